"""Which Python packages a sandbox shows to its programs, by the names of distributions."""

import importlib.metadata
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_SKIPPED = ("..", "__pycache__", "bin", "share", "etc", "tests", "test", "docs", "examples")
"""Names in a folder of packages that are no package of their own."""


def paths(distributions: Iterable[str]) -> list[str]:
    """Returns the files and folders of those distributions that are installed, and of all that they need.

    Their common parent folder is not among them, because it may contain data sets with the gold answers.

    Args:
        distributions: names as in requirements, such as `scikit-learn`.
    """
    found: dict[str, str] = {}
    seen: set[str] = set()
    waiting = list(distributions)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        for file in distribution.files or ():
            top = file.parts[0]
            if top not in _SKIPPED and not top.endswith(".pth") and top not in found:
                path = Path(str(distribution.locate_file(top)))
                if path.exists():
                    found[top] = str(path)
        waiting += [
            word[0]
            for need in distribution.requires or ()
            if "extra ==" not in need and (word := _NAME.match(need)) is not None
        ]
    return list(found.values())


def modules(shown: Sequence[str]) -> frozenset[str]:
    """Returns the names that a program can import from files and folders that `paths` has returned."""
    return frozenset(Path(path).name.partition(".")[0] for path in shown if not path.endswith((".dist-info", ".libs")))
