"""Functions that are called after the import of another package's module."""

import importlib
import importlib.util
from pathlib import Path

import pytest

from tenfold.envs.after_import import after_import


def test_functions_are_called_once_with_the_imported_module(lab: Path) -> None:
    (lab / "lab_late.py").write_text("value = 1\n")
    seen: list[tuple[str, int]] = []
    for name in ("first", "second"):
        after_import("lab_late", lambda module, name=name: seen.append((name, module.value)))  # type: ignore[misc]
    assert importlib.util.find_spec("lab_late")
    assert seen == [], "a look-up is no import"
    module = importlib.import_module("lab_late")
    assert sorted(seen) == [("first", 1), ("second", 1)]
    assert type(module.__loader__).__name__ == "SourceFileLoader"
    after_import("lab_late", lambda module: seen.append(("now", module.value)))
    importlib.reload(module)
    assert len(seen) == 3


def test_a_function_waits_for_an_import_that_succeeds(lab: Path) -> None:
    (lab / "lab_fails.py").write_text("raise OSError('not yet')\n")
    seen: list[str] = []
    after_import("lab_fails", lambda module: seen.append(module.__name__))
    with pytest.raises(OSError, match="not yet"):
        importlib.import_module("lab_fails")
    assert seen == []
    (lab / "lab_fails.py").write_text("\n")
    importlib.invalidate_caches()
    importlib.import_module("lab_fails")
    assert seen == ["lab_fails"]
