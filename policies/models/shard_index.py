"""Index files of torch's distributed checkpoints. torch reads them as plain pickles, so they are checked first for code."""

import enum
import pickle
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.distributed.checkpoint.metadata import Metadata

from ...core import UserError

_FILES = "*.metadata"
"""Names of the index files."""
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


def check(folder: Path) -> None:
    """Checks that the index files in a folder, and in its folders, contain nothing but an index.

    Raises:
        UserError: a file contains something else, because it was changed or is damaged.
    """
    for path in sorted(folder.rglob(_FILES)):
        with path.open("rb") as file:
            try:
                if not isinstance(_Reader(file).load(), Metadata):
                    raise pickle.UnpicklingError("not an index of a checkpoint")
            except Exception as error:  # a damaged or crafted file may raise anything
                raise UserError(load_error(path, error)) from None


def load_error(path: Path, error: object) -> str:
    """Returns the message for a checkpoint that contains code or is damaged."""
    reason = " ".join(str(error).split())
    return f"{path}: expected only weights ({reason:.200}); the checkpoint was changed or is damaged: remove it"
