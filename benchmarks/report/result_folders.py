"""Folders of results that a user names: folders of `tenfold bench`, stages, runs, and folders that contain such folders."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from ...core import UserError


def find(name: str) -> list[Path]:
    """Returns the folders of results that a name stands for.

    These are the folder itself if it has results, else the folders with results up to two levels below it. The bench stages of
    a run have the order of its recipe.

    Args:
        name: a folder, or a stage URI (`stage:runs/x/after`).

    Raises:
        UserError: there are no results.
    """
    folder = Path(name.removeprefix("stage:"))
    if any(folder.glob("*.result.json")):
        return [folder]
    found = {path.parent for below in ("*", "*/*") for path in folder.glob(f"{below}/*.result.json")}
    if not found:
        raise UserError(f"{folder} contains no result; name a folder that `tenfold bench` has written, a run or a bench stage")
    return sorted(found, key=lambda path: (path.parent, _position(path), path.name))


def _position(folder: Path) -> int:
    """Returns the position of a stage in the recipe of its run; 0 for other folders."""
    try:
        recipe = yaml.safe_load((folder.parent / "recipe.yaml").read_text(encoding="utf-8"))
        return [stage["name"] for stage in recipe["stages"]].index(folder.name)
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):  # not the folder of a run
        return 0


def labels(folders: Sequence[Path]) -> list[str]:
    """Returns the shortest name of each folder that distinguishes it from the others, such as "after" or "x/after".

    If a folder is repeated, its second name ends with " (2)", the third with " (3)".
    """
    paths = [folder.resolve().parts for folder in folders]
    found: list[str] = []
    for number, path in enumerate(paths):
        others = [other for other in paths if other != path]
        sizes = range(1, len(path) + 1)
        size = next((size for size in sizes if all(other[-size:] != path[-size:] for other in others)), len(path))
        name = "/".join(path[-size:])
        found.append(f"{name} ({repeated + 1})" if (repeated := paths[:number].count(path)) else name)
    return found
