"""The checkpoints in a stage's folder: which are kept, and how they are read (only weights and plain data, only whole files).

A run's folder may come from someone else, so a checkpoint is never unpickled in a way that runs code. A full disk or a kill may
leave a file incomplete.
"""

import contextlib
import json
import pickle
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from ... import named_code
from ...core import UserError
from ...disk import step_folders
from ...policies.models import shard_index
from ..stage import RECORD

VARIABLES = {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "0"}
"""Environment variables that make each `torch.load` of a process reject code, whatever its caller asks for."""
REJECTED = "Weights only load failed"
"""The beginning of torch's error when it rejects a file."""


@contextlib.contextmanager
def as_weights(folder: Path) -> Iterator[None]:
    """Makes the Trainer read a checkpoint as weights and plain data only, for the duration of the context.

    Args:
        folder: folder of the checkpoint.

    Raises:
        UserError: the checkpoint contains something else, because it was changed or is damaged.
    """
    shard_index.check(folder)
    try:
        with named_code.environment_variables(VARIABLES), torch.serialization.safe_globals(_GLOBALS):
            yield
    except pickle.UnpicklingError as error:
        raise UserError(shard_index.load_error(folder, error)) from None


def keep_last(stage: Path, count: int) -> None:
    """Removes all checkpoints of a stage but the last `count`."""
    found = step_folders(stage)
    for step in sorted(found)[: max(0, len(found) - count)]:
        shutil.rmtree(found[step])
    if not count:
        shutil.rmtree(stage / "checkpoints", ignore_errors=True)


@contextlib.contextmanager
def new_policy(stage: Path) -> Iterator[Path]:
    """Yields the path of a folder, which the caller creates. After the block it becomes the stage's `policy`.

    An earlier policy, with fewer steps, stays until then. Its record is removed first, so that a kill cannot leave the record
    with another policy.
    """
    partial = stage / "policy.partial"
    shutil.rmtree(partial, ignore_errors=True)
    yield partial
    (stage / RECORD).unlink(missing_ok=True)
    shutil.rmtree(stage / "policy", ignore_errors=True)
    partial.rename(stage / "policy")


def allow_random_states() -> None:
    """Makes this process's `torch.load` accept states of numpy's random generators, which verl's checkpoints contain."""
    torch.serialization.add_safe_globals(_GLOBALS)


_GLOBALS: list[Any] = [
    np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
    np.ndarray,
    np.dtype,
    type(np.dtype(np.uint32)),
]
"""Names in the pickled state of a numpy generator."""


def damage(folder: Path) -> str | None:
    """Returns a text that names the first incomplete file of a checkpoint; None if all files are complete.

    Args:
        folder: contains files of safetensors, of torch.save (zip files, whose directory is at the end) and JSON.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not _is_whole(path):
            return f"{path.relative_to(folder)} is incomplete"
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
        except (ValueError, RecursionError):
            return False
    if path.suffix == ".distcp" or path.name == ".metadata":
        return path.stat().st_size > 0
    return True
