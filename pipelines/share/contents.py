"""Which files may go to the hub and may come from it. A push and a pull apply the same rules.

    checkpoint     weights as safetensors, configurations, tokenizer, chat template, recipe, licence
    pages          pages, tables and figures of a run
    environment    source text and data of a package

Files that may contain a pickle, hidden files, symbolic links out of the folder, sockets and pipes do not travel.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from ... import digests
from ...policies import checkpoints
from ...policies.models import adapter

CHECKPOINT, PAGES, ENVIRONMENT = "checkpoint", "pages", "environment"
"""The kinds of what is shared."""
CARD, RECIPE, PACKAGE_README = "README.md", "recipe.yaml", "README.package.md"
"""Names of the card, which the hub shows, of the recipe, and of a package's own description, whose place the card takes."""
_PICKLES = frozenset(".bin .ckpt .dill .joblib .npy .npz .pickle .pkl .pt .pth".split())
_LICENCES = ("LICENSE*", "LICENCE*", "NOTICE*", "COPYING*")
_NAMES = {
    CHECKPOINT: (
        *(*checkpoints.FILES, "*.safetensors.index.json", adapter.CONFIG, "additional_chat_templates/*.jinja"),
        *(RECIPE, *_LICENCES),
    ),
    PAGES: ("*",),
    ENVIRONMENT: ("*",),
}
"""Patterns of the paths that each kind has. An asterisk also stands for slashes."""
_SUFFIXES = {
    CHECKPOINT: frozenset(".jinja .json .md .model .safetensors .txt .yaml".split()),
    PAGES: frozenset(".csv .html .js .json .jsonl .md .png .svg .txt .yaml".split()),
    ENVIRONMENT: frozenset(
        ".cfg .css .csv .html .in .ini .ipynb .jinja .js .json .jsonl .lock .md .parquet .png .py .pyi .rst .sh .sql .svg "
        ".toml .tsv .txt .typed .yaml .yml".split()
    ),
}
_WHOLE_NAMES = frozenset({"Dockerfile", "Makefile", "py.typed", *("LICENSE", "LICENCE", "NOTICE", "COPYING")})
"""Names without a suffix that travel."""
_BUILT = ("__pycache__", "build", "dist", "node_modules", "venv", "*.egg-info")
"""Names of folders with files that a tool has made."""
MAX_NAME = 200
"""Longest path of a file, in characters. Our choice."""


@dataclass(frozen=True)
class File:
    """A file of a repository."""

    path: str
    """Path in the repository."""
    source: Path | bytes
    """Where it is, or its content."""
    size: int
    """In bytes."""
    sha256: str
    """Digest of the content."""


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that does not go."""

    path: str
    reason: str


def refusal(kind: str, path: str) -> str:
    """Returns why a file of a repository may not travel; empty if it may.

    Args:
        kind: checkpoint, pages or environment.
        path: path in the repository.
    """
    pure = PurePosixPath(path)
    if not path.isprintable() or "\\" in path or len(path) > MAX_NAME:
        return "its name has control characters or backslashes, or is too long"
    if pure.is_absolute() or str(pure) != path or ".." in pure.parts or path in ("", "."):
        return "its path leads out of the folder"
    if any(part.startswith((".", "~")) for part in pure.parts):
        return "hidden"
    if pure.suffix.lower() in _PICKLES:
        return "may contain a pickle"
    matches = pure.suffix in _SUFFIXES[kind] or pure.name in _WHOLE_NAMES
    if not matches or not any(fnmatchcase(path, pattern) for pattern in _NAMES[kind]):
        return f"no file of a {kind}" if kind == CHECKPOINT else "a kind of file that is not shared"
    if kind == CHECKPOINT and len(pure.parts) > 1 and pure.parts[0] != "additional_chat_templates":
        return "in a folder of its own"
    return ""


def of_path(path: str, source: Path) -> File:
    """Returns a file on the disk as a file of a repository."""
    return File(path, source, source.stat().st_size, digests.of_file(source))


def of_bytes(path: str, content: bytes) -> File:
    """Returns a content as a file of a repository."""
    import hashlib

    return File(path, content, len(content), hashlib.sha256(content).hexdigest())


def walk(root: Path, kind: str) -> tuple[dict[str, Path], list[LeftOut]]:
    """Returns the files of a folder that may go, by path in the folder, and those that do not with the reason.

    Args:
        root: the folder.
        kind: checkpoint, pages or environment.
    """
    found: dict[str, Path] = {}
    left_out: list[LeftOut] = []
    for path, reason in _entries(root, kind):
        name = path.relative_to(root).as_posix()
        if reason := reason or refusal(kind, name):
            left_out.append(LeftOut(name, reason))
        else:
            found[name] = path
    return found, left_out


def _entries(root: Path, kind: str) -> Iterator[tuple[Path, str]]:
    """Yields each file, and each folder that is not entered, with the reason why it does not go; empty if it is a file."""
    real_root = Path(os.path.realpath(root))
    for place, folders, files in os.walk(root):
        entered = []
        for name in sorted(folders):
            path = Path(place, name)
            if path.is_symlink():
                yield path, "a symbolic link to a folder"
            elif name.startswith("."):
                yield path, "hidden"
            elif kind != CHECKPOINT and any(fnmatchcase(name, pattern) for pattern in _BUILT):
                yield path, "made by a tool"
            else:
                entered.append(name)
        folders[:] = entered
        for name in sorted(files):
            path = Path(place, name)
            real = Path(os.path.realpath(path))
            if path.is_symlink() and not real.is_relative_to(real_root):
                yield path, "a symbolic link out of the folder"
            elif not real.exists():
                yield path, "a symbolic link to nothing"
            elif not stat.S_ISREG(real.stat().st_mode):
                yield path, "no regular file"
            else:
                yield path, ""
