"""An import hook that registers this package's environments with Gymnasium once both packages are imported, in any order.

`import tenfold` does not import Gymnasium, because that import takes longer than a verdict.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

GYMNASIUM = "gymnasium"


def install() -> None:
    """Registers the environments now if Gymnasium is imported, else right after its import."""
    if GYMNASIUM in sys.modules:
        _register()
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _register() -> None:
    """Registers the environments of this package and of installed plug-in packages."""
    importlib.import_module(".registry", __package__)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds Gymnasium through the other finders, and adds a loader that registers the environments."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        if fullname != GYMNASIUM:
            return None
        for finder in [finder for finder in sys.meta_path if finder is not self]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, self)
                return spec
        return None


class _Loader(importlib.abc.Loader):
    """Loads Gymnasium with its original loader, then registers the environments."""

    def __init__(self, original: importlib.abc.Loader, finder: _Finder):
        self.original, self.finder = original, finder

    def __getattr__(self, name: str) -> object:
        """Returns an attribute of the original loader, such as `get_data`, which `pkgutil` looks up before the import."""
        return getattr(object.__getattribute__(self, "original"), name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """See `importlib.abc.Loader`."""
        return self.original.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """See `importlib.abc.Loader`."""
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self.original
        self.original.exec_module(module)
        if self.finder in sys.meta_path:
            sys.meta_path.remove(self.finder)
        _register()
