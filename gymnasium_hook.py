"""Has Gymnasium know this package's environments as soon as both are imported, in whatever order.

Gymnasium takes longer to import than a verdict takes, so this package does not import it: whoever does gets the environments
with it.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

GYMNASIUM = "gymnasium"


def install() -> None:
    """Registers the environments now where Gymnasium is imported, else right after it will be."""
    if GYMNASIUM in sys.modules:
        _register()
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _register() -> None:
    importlib.import_module(".envs.registry", __package__)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds Gymnasium as the others do, with a loader that registers the environments after it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        if fullname != GYMNASIUM:
            return None
        for finder in [other for other in sys.meta_path if other is not self]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, self)
                return spec
        return None


class _Loader(importlib.abc.Loader):
    """Loads Gymnasium by its own loader, which the module keeps."""

    def __init__(self, own: importlib.abc.Loader, finder: _Finder):
        self.own, self.finder = own, finder

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """See `importlib.abc.Loader`."""
        return self.own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Runs the module, then registers the environments."""
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self.own
        self.own.exec_module(module)
        if self.finder in sys.meta_path:
            sys.meta_path.remove(self.finder)
        _register()
