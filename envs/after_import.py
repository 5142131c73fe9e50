"""Calls a function after a module of another package has been imported, in whatever order the packages are imported.

`import tenfold` does not import Gymnasium, because that import takes longer than a verdict. The environments are registered
when Gymnasium has been imported. The plug-in for verl adds its entries to verl's registries in the same way, because verl has
no hook for it.
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType


def after_import(module: str, call: Callable[[ModuleType], object]) -> None:
    """Calls a function with a module right after the module's import, or now if it has been imported.

    Args:
        module: name of the module.
        call: the function.
    """
    if found := sys.modules.get(module):
        call(found)
    else:
        sys.meta_path.insert(0, _Finder(module, call))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds a module through the finders after this one, and adds a loader that calls the function."""

    def __init__(self, module: str, call: Callable[[ModuleType], object]):
        self.module, self.call = module, call

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        if fullname != self.module or self not in sys.meta_path:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, self)
                return spec
        return None


class _Loader(importlib.abc.Loader):
    """Loads the module with its original loader, then calls the function."""

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
        self.finder.call(module)
