"""Whether the files of a checkpoint were written to their ends; a full disk or a kill leaves some that were not."""

import json
import zipfile
from pathlib import Path

from safetensors import SafetensorError, safe_open


def damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint, in a few words; None where every file of it is whole.

    Args:
        folder: with files of safetensors, of torch.save (a zip file, whose table is at its end) and of JSON.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not _is_whole(path):
            return f"{path.relative_to(folder)} is cut short"
    return None


def _is_whole(path: Path) -> bool:
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, "np") as file:
                return bool(file.keys())
        except (SafetensorError, OSError):
            return False
    if path.suffix in (".pt", ".pth", ".bin"):
        return zipfile.is_zipfile(path)
    if path.suffix == ".json":
        try:
            json.loads(path.read_bytes())
        except ValueError:
            return False
    if path.suffix == ".distcp" or path.name == ".metadata":
        return path.stat().st_size > 0
    return True
