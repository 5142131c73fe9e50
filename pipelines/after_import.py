"""Calls a function after a module of another package has been imported.

tenfold adds its own entries to verl's registries in this way, because verl has no hook for it.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Sequence
from types import ModuleType


class _AfterImport(importlib.abc.MetaPathFinder):
    """Finds one module, once, with a loader that also calls the function."""

    def __init__(self, module: str, call: Callable[[ModuleType], None]):
        self.module, self.call = module, call

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        assert spec is not None
        assert spec.loader is not None
        run = spec.loader.exec_module

        def run_and_call(module: ModuleType) -> None:
            run(module)
            self.call(module)

        spec.loader.exec_module = run_and_call  # type: ignore[method-assign]
        return spec


def after_import(module: str, call: Callable[[ModuleType], None]) -> None:
    """Calls a function with a module when it is imported, or now if it has been imported.

    Args:
        module: name of the module.
        call: the function.
    """
    if found := sys.modules.get(module):
        call(found)
    else:
        sys.meta_path.insert(0, _AfterImport(module, call))
