"""Checkpoints: read as weights and plain data, never as pickles that may hold code, for a run's folder may be a stranger's; and
only where every file was written to its end, which a full disk or a kill prevents."""

import contextlib
import enum
import json
import pickle
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

VARIABLES = {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "0"}
"""Has every `torch.load` of a process refuse code, whatever its caller asks for, as verl and torch's own readers do."""
REFUSED = "Weights only load failed"
"""What torch says where it does."""
_METADATA = "*.metadata"
"""Files in which torch's distributed checkpoints tell what is where: pickles, which torch reads as such."""
_PLAIN = {
    "torch.distributed.checkpoint.metadata": None,  # all that the module has
    "torch.distributed.checkpoint.filesystem": ("_StorageInfo", "_StoragePrefix"),
    "torch.serialization": ("_get_layout",),
    "collections": ("OrderedDict",),
    "pathlib": ("PosixPath", "PurePosixPath", "Path"),
    "pathlib._local": ("PosixPath", "PurePosixPath", "Path"),  # its name in Python 3.13
}
"""What such a file may hold beside dtypes and sizes, by module."""


def _member(kind: object, name: str) -> enum.Enum:
    """A member of an enumeration, which Python 3.11.0 to 3.11.3 write as `getattr(kind, name)`."""
    if isinstance(kind, enum.EnumMeta) and type(name) is str and name in kind.__members__:
        return kind.__members__[name]
    raise pickle.UnpicklingError(f"builtins.getattr of {name!r:.50}")


class _Reader(pickle._Unpickler):
    """Reads what torch writes into such a file, and refuses whatever else it names.

    It is Python's own reader in Python, for the one in C sets attributes of classes, too, where a file says so.
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
    """Has a checkpoint of the Trainer's be read as weights and plain data.

    Args:
        folder: of the checkpoint.

    Raises:
        UserError: it holds something else: somebody has changed it, or made it.
    """
    for path in sorted(folder.rglob(_METADATA)):
        with path.open("rb") as file:
            try:
                if not isinstance(_Reader(file).load(), Metadata):
                    raise pickle.UnpicklingError("no table of contents")
            except Exception as error:  # of whatever a broken or made file holds
                raise UserError(refusal(path, error)) from None
    try:
        with named_code.environment_variables(VARIABLES), torch.serialization.safe_globals(_GLOBALS):
            yield
    except pickle.UnpicklingError as error:
        raise UserError(refusal(folder, error)) from None


def allow_random_states() -> None:
    """Has this process's `torch.load` take states of numpy's random numbers, which verl's checkpoints hold, for plain data."""
    torch.serialization.add_safe_globals(_GLOBALS)


def refusal(place: Path, error: object) -> str:
    """That a checkpoint holds code, and what to do."""
    said = " ".join(str(error).split())
    return f"{place} holds something else than weights ({said:.200}): it was changed or is broken; remove that checkpoint"


_GLOBALS: list[Any] = [
    np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
    np.ndarray,
    np.dtype,
    type(np.dtype(np.uint32)),
]
"""What the state of numpy's generator is made of."""


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
