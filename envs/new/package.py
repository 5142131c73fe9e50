"""Writes a plug-in package with a new environment.

`template/` is a package that works: its name is `roman_numerals`. The new package has the same files with another name.
"""

import importlib.util
import keyword
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import gymnasium

from ... import faults
from ...core import UserError
from .. import registry

TEMPLATE = Path(__file__).parent / "template"
TEMPLATE_NAME = "roman_numerals"
FILES = (
    *("pyproject.toml", "README.md", "recipe.yaml", ".gitignore", ".github/workflows/test.yml", "tests/test_environment.py"),
    *(f"{TEMPLATE_NAME}/{name}.py" for name in ("__init__", "environments", "numerals", "problems", "verifier")),
    f"{TEMPLATE_NAME}/py.typed",
)
"""The files of the template. A program that ran there may have left others."""
LICENCES = ("Apache-2.0", "MIT", "none")
"""The licences to choose from, by their SPDX names. Our choice."""
LONGEST_NAME = 40
"""Largest length of a name, in characters, so that lines of the template stay short enough. Our choice."""


def write(name: str, folder: Path | None = None, licence: str = "none", author: str = "") -> tuple[Path, str]:
    """Writes a package, and returns its folder and the id of its environment.

    Args:
        name: name of the Python package, and namespace of the environment's id.
        folder: folder to create; default: `name` in the working folder. An existing folder must be empty.
        licence: one of `LICENCES`.
        author: holder of the copyright; default: the authors of the package.

    Raises:
        UserError: the name cannot be used, the folder exists and is not empty, or it cannot be written.
    """
    check_name(name)
    if licence not in LICENCES:
        raise UserError(f"licence: expected one of {', '.join(LICENCES)}, got {licence!r}")
    folder = Path(name) if folder is None else folder
    with faults.as_user_errors(folder):
        if folder.is_symlink() or (folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))):
            raise UserError(f"{folder} exists already, and nothing is overwritten; name another folder with --dir")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as temporary:
            made = Path(temporary) / "package"
            _write_files(made, name, licence, author or f"The authors of {name}")
            try:
                os.rename(made, folder)  # fails if a folder that is not empty has appeared there
            except OSError as error:
                raise UserError(f"{folder} cannot be created ({error.strerror}); name another folder with --dir") from None
    return folder, f"{name}/Numerals-v0"


def check_name(name: str) -> None:
    """Checks that a name can be that of a Python package and the namespace of environments.

    Raises:
        UserError: it cannot; the message says why.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*", name):
        words = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        proposed = f", such as {words}" if re.fullmatch(r"[a-z]\w*", words) and words.isascii() else ""
        rule = "use lower-case letters, digits and single underscores, with a letter first"
        raise UserError(f"{name!r} cannot be the name of a Python package here: {rule}{proposed}")
    if len(name) > LONGEST_NAME:
        raise UserError(f"{name!r} has {len(name)} characters; use a name of at most {LONGEST_NAME}")
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise UserError(f"{name!r} is a word of Python's grammar; use another name")
    registry.load_plugins()
    if name in {spec.namespace for spec in gymnasium.registry.values()}:
        raise UserError(f"{name!r} is the namespace of environments that are registered already; use another name")
    if name in sys.stdlib_module_names or name in ("tests", "test") or _is_installed(name):
        raise UserError(f"{name!r} is the name of a module that is installed here; use another name")


def _is_installed(name: str) -> bool:
    """True if a module of this name can be imported. A plain folder in the working folder does not count."""
    found = importlib.util.find_spec(name)
    return found is not None and found.origin is not None


def _write_files(folder: Path, name: str, licence: str, author: str) -> None:
    """Writes the template's files with another name, and the licence."""
    for file in FILES:
        path = folder / _renamed(file, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_renamed((TEMPLATE / file).read_text(encoding="utf-8"), name), encoding="utf-8")
    if licence == "none":
        return
    text = (Path(__file__).parent / "licences" / f"{licence}.txt").read_text(encoding="utf-8")
    year = time.strftime("%Y")
    (folder / "LICENSE").write_text(text.replace("{year}", year).replace("{author}", author), encoding="utf-8")
    project = folder / "pyproject.toml"
    python = 'requires-python = ">=3.11"\n'
    project.write_text(project.read_text().replace(python, f'{python}license = "{licence}"\nlicense-files = ["LICENSE"]\n'))


def _renamed(text: str, name: str) -> str:
    """Returns a text of the template with the name of the new package."""
    names = {TEMPLATE_NAME: name, TEMPLATE_NAME.replace("_", "-"): name.replace("_", "-")}
    return re.sub("|".join(map(re.escape, names)), lambda found: names[found[0]], text)
