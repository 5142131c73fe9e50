"""Packages of environments: source text and data, and a card. Nothing of a package is imported."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ... import disk
from ...core import UserError
from . import card, contents, origin, parcel
from .address import Address
from .contents import CARD, ENVIRONMENT, PACKAGE_README, File

GROUP = "gymnasium.envs"
"""Group of entry points by which an installed package registers environments."""
_ADVICE = "`tenfold env new` writes a package"


def pack(location: str, address: Address, licence: str | None, patterns: list[str]) -> parcel.Parcel:
    """Returns what a push of an environment's package sends.

    Args:
        location: folder of the package, with a pyproject.toml.
        address: where it goes.
        licence: the licence that the user names; None: that of pyproject.toml.
        patterns: files to leave out.

    Raises:
        UserError: it is not the folder of a package that registers environments.
    """
    folder = disk.expanded(location)
    project = _project(folder)
    found, left_out = contents.walk(folder, ENVIRONMENT)
    if CARD in found:
        readme = found.pop(CARD)
        if parcel.KIND_KEY not in origin.metadata(readme):
            found[PACKAGE_README] = readme
        else:
            left_out.append(contents.LeftOut(CARD, "a card, which is written again"))
    files, named = parcel.without([contents.of_path(name, path) for name, path in sorted(found.items())], patterns)
    if "pyproject.toml" not in {file.path for file in files}:
        raise UserError(f"{folder} without its pyproject.toml is not a package")
    declared = project.get("license")
    own = licence or (declared.lower() if isinstance(declared, str) and " " not in declared else None)
    notes = [] if own else ["the licence is not known: name it by --license, such as --license apache-2.0"]
    text = _card(address, files, project, own)
    return parcel.Parcel(ENVIRONMENT, "dataset", tuple(files), (*left_out, *named), tuple(notes), text)


def _project(folder: Path) -> dict[str, Any]:
    path = folder / "pyproject.toml"
    if not path.is_file():
        raise UserError(f"{folder} is not the folder of a package: it has no pyproject.toml; {_ADVICE}")
    try:
        project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
        points = project.get("entry-points", {}).get(GROUP, {})
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from None
    if not points or not isinstance(project.get("name"), str):
        raise UserError(f'{path} registers no environment: it needs a name and [project.entry-points."{GROUP}"]; {_ADVICE}')
    return dict(project)


def ids(files: list[File]) -> list[str]:
    """Returns the ids that the source texts of a package register as a constant. No text is run."""
    found: dict[str, None] = {}
    for file in files:
        if file.path.endswith(".py") and isinstance(file.source, Path):
            found |= dict.fromkeys(_registered(file.source.read_bytes()))
    return [*found]


def _registered(text: bytes) -> Iterator[str]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "register":
            named = [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg in ("id", "env_id"))]
            yield from (value.value for value in named if isinstance(value, ast.Constant) and isinstance(value.value, str))


def _card(address: Address, files: list[File], project: dict[str, Any], licence: str | None) -> str:
    from huggingface_hub import DatasetCardData

    title = address.name.rpartition("/")[2]
    data = DatasetCardData(
        license=licence, tags=["tenfold", "environment", "reinforcement-learning"], pretty_name=title, viewer=False
    )
    data[parcel.KIND_KEY] = ENVIRONMENT
    registered = [name for name in ids(files) if "/" in name or "-v" in name]
    requires = [card.cell(each) for each in project.get("dependencies", [])]
    use = [f"tenfold pull datasets/{address.name}", f"pip install ./{title}"]
    use += [f"tenfold env check {registered[0]}"] if registered else []
    name, version = card.cell(project["name"]), card.cell(project.get("version", ""))
    parts = [
        f"---\n{data.to_yaml()}\n---\n\n# {title}\n\nThe package `{name}` {version} registers environments of Gymnasium.\n\n",
        f"{card.cell(project['description'])}\n\n" if project.get("description") else "",
        card.section("Environments", card.bullets(f"`{card.cell(each)}`" for each in registered)),
        card.section(
            "Use",
            "A pull neither installs nor imports the package. Read its code before you install it.\n\n"
            + card.block("bash", "\n".join(use)),
        ),
        card.section("Requires", card.bullets(f"`{each}`" for each in requires)),
        f"`{PACKAGE_README}` is the package's own description.\n\n" if PACKAGE_README in {file.path for file in files} else "",
        parcel.listing(files),
    ]
    return card.checked("".join(parts), model=False)
