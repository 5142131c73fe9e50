"""The checkpoints in a stage's folder: which are kept, and how they are read (only weights and plain data, only whole files).

A run's folder may come from someone else, so a checkpoint is never unpickled in a way that runs code. A full disk or a kill may
leave a file incomplete.
"""

import contextlib
import enum
import json
import pickle
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch.distributed.checkpoint.metadata import Metadata

from ... import named_code
from ...core import UserError
from ...disk import step_folders
from ..stage import RECORD

VARIABLES = {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "0"}
"""Environment variables that make each `torch.load` of a process reject code, whatever its caller asks for."""
REJECTED = "Weights only load failed"
"""The beginning of torch's error when it rejects a file."""
_METADATA = "*.metadata"
"""Index files of torch's distributed checkpoints. torch reads them as plain pickles."""
_PLAIN = {
    "torch.distributed.checkpoint.metadata": None,  # all names of the module
    "torch.distributed.checkpoint.filesystem": ("_StorageInfo", "_StoragePrefix"),
    "torch.serialization": ("_get_layout",),
    "collections": ("OrderedDict",),
    "pathlib": ("PosixPath", "PurePosixPath", "Path"),
    "pathlib._local": ("PosixPath", "PurePosixPath", "Path"),  # its name in Python 3.13
}
"""Names that an index file may contain besides dtypes and sizes, by module."""


def _member(kind: object, name: str) -> enum.Enum:
    """Returns a member of an enumeration, which Python 3.11.0 to 3.11.3 pickle as `getattr(kind, name)`."""
    if isinstance(kind, enum.EnumMeta) and type(name) is str and name in kind.__members__:
        return kind.__members__[name]
    raise pickle.UnpicklingError(f"builtins.getattr of {name!r:.50}")


class _Reader(pickle._Unpickler):
    """Unpickles an index file, and rejects the names that it may not contain.

    It derives from the unpickler that is written in Python, because there `load_build` can be overridden, which would set
    attributes of a class if the file says so.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("builtins", "getattr"):
            return _member
        names = _PLAIN.get(module, ())
        kinds = (torch.dtype, torch.layout, torch.memory_format)
        found = getattr(torch, name, None) if module == "torch" else None
        if (module == "torch" and (name == "Size" or isinstance(found, kinds))) or (
            module in _PLAIN and "." not in name and (names is None or name in names)
        ):
            found = super().find_class(module, name)
            if names is not None or getattr(found, "__module__", "") == module:
                return found
        raise pickle.UnpicklingError(f"{module}.{name}")

    def load_build(self) -> None:
        if callable(self.stack[-2]):  # type: ignore[attr-defined]
            raise pickle.UnpicklingError("attributes of a class")
        super().load_build()  # type: ignore[misc]

    dispatch: ClassVar[dict[int, Any]] = {**pickle._Unpickler.dispatch, pickle.BUILD[0]: load_build}


@contextlib.contextmanager
def as_weights(folder: Path) -> Iterator[None]:
    """Makes the Trainer read a checkpoint as weights and plain data only, for the duration of the context.

    Args:
        folder: folder of the checkpoint.

    Raises:
        UserError: the checkpoint contains something else, because it was changed or is damaged.
    """
    for path in sorted(folder.rglob(_METADATA)):
        with path.open("rb") as file:
            try:
                if not isinstance(_Reader(file).load(), Metadata):
                    raise pickle.UnpicklingError("not an index of a checkpoint")
            except Exception as error:  # a damaged or crafted file may raise anything
                raise UserError(load_error(path, error)) from None
    try:
        with named_code.environment_variables(VARIABLES), torch.serialization.safe_globals(_GLOBALS):
            yield
    except pickle.UnpicklingError as error:
        raise UserError(load_error(folder, error)) from None


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


def load_error(path: Path, error: object) -> str:
    """Returns the message for a checkpoint that contains code or is damaged."""
    reason = " ".join(str(error).split())
    return f"{path}: expected only weights ({reason:.200}); the checkpoint was changed or is damaged: remove it"


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
