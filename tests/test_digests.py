import cmath
import dataclasses
import datetime
import decimal
import functools
import json
import math
import operator
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold import digests

DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(DATA, DATA)
def test_digests_are_equal_only_for_equal_data(one: object, other: object) -> None:
    assert digests.of(one) == digests.of(one)
    assert (repr(one) == repr(other)) == (digests.of(one) == digests.of(other)) or one == other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"x", "y", "z"}, {"z", "y", "x"}),
        ((1, 2), [1, 2]),
        (functools.partial(round, 2), functools.partial(round, 2)),
    ],
)
def test_digests_ignore_the_order_of_keys_and_sets(one: object, other: object) -> None:
    assert digests.of(one) == digests.of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, "1"), (1, 1.0), (None, "None"), (True, "True"), ([], {}), (b"a", "a"), ("\ud800", "\ud801"), ([[1], 2], [1, [2]])],
)
def test_similar_values_have_different_digests(one: object, other: object) -> None:
    assert digests.of(one) != digests.of(other)


class Slotted:
    __slots__ = ("limit",)

    def __init__(self, limit: int):
        self.limit = limit


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (max, min),
        (math.sin, cmath.sin),
        (str.lower, str.upper),
        (operator.itemgetter(0), operator.itemgetter(1)),
        (np.add, np.subtract),
        (np.longdouble(1), np.longdouble(2)),
        (re.compile("a"), re.compile("b")),
        (re.compile("a"), re.compile("a", re.IGNORECASE)),
        (Path("a"), Path("b")),
        (decimal.Decimal("0.1"), decimal.Decimal("0.2")),
        (datetime.timedelta(1), datetime.timedelta(2)),
        (1j, 2j),
        (Slotted(1), Slotted(2)),
    ],
)
def test_values_without_attributes_differ_by_what_they_hold(one: object, other: object) -> None:
    assert digests.of(one) == digests.of(one)
    assert digests.of(functools.partial(sorted, key=one)) != digests.of(functools.partial(sorted, key=other))


@pytest.mark.parametrize(("one", "other"), [(max, min), (re.compile("a"), re.compile("b")), (Path("a"), Path("b")), (1j, 2j)])
def test_attributes_that_are_data_enter_the_digest(one: object, other: object) -> None:
    assert digests.of(SimpleNamespace(rule=one)) != digests.of(SimpleNamespace(rule=other))


@dataclasses.dataclass
class Rule:
    limit: int
    note: object = None


def bounded(limit: int) -> object:
    return lambda number: number <= limit


def test_digests_of_functions_and_objects_depend_on_their_state() -> None:
    assert digests.of(bounded(1)) == digests.of(bounded(1))
    assert digests.of(bounded(1)) != digests.of(bounded(2))
    assert digests.of(Rule(1)) == digests.of(Rule(1))
    assert digests.of(Rule(1)) != digests.of(Rule(2))
    assert digests.of(SimpleNamespace(rule=Rule(1))) != digests.of(SimpleNamespace(rule=Rule(2)))
    assert digests.of(SimpleNamespace(lock=threading.Lock())) == digests.of(SimpleNamespace(lock=threading.Lock()))
    rule = Rule(1)
    rule.note = [rule]
    assert digests.of(rule) != digests.of(Rule(1))


def test_unusual_functions_have_digests() -> None:
    def early() -> object:
        return late

    without_module: dict[str, Callable[[], int]] = {}
    exec("def one(): return 1\ndef two(): return 2", {"__builtins__": {}}, without_module)
    assert digests.of(early) == digests.of(early)  # `late` is not assigned yet
    late = 1
    assert digests.of(without_module["one"]) != digests.of(without_module["two"])
    assert digests.of(staticmethod(bounded)) != digests.of(staticmethod(early))


def test_a_module_that_a_function_uses_enters_its_digest_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def user(module: object) -> object:
        return lambda text: module.loads(text)  # type: ignore[attr-defined]

    before = digests.of(user(json))
    monkeypatch.setattr(json, "calls", 1, raising=False)
    assert digests.of(user(json)) == before
    assert digests.of(user(math)) != before


def test_digests_are_equal_in_another_process() -> None:
    values = "[{'a', 'b', 'c'}, {1.5: None}, print, digests.of, Path('a'), re.compile('a')]"
    code = f"import re; from pathlib import Path; from tenfold import digests; print(digests.of({values}))"
    output = {
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(output) == 1


@pytest.fixture
def package(lab: Path) -> Path:
    """A user's package, and a module next to it."""
    (lab / "lab_package/inner").mkdir(parents=True)
    for name, source in {
        "lab_package/__init__.py": "",
        "lab_package/rules.py": "from . import numbers\nfrom .inner.words import LIST\nimport lab_beside, json, numpy\n",
        "lab_package/numbers.py": "ONE = 1\n",
        "lab_package/inner/__init__.py": "",
        "lab_package/inner/words.py": "def late():\n    from ..late import LIST\nLIST = []\n",
        "lab_package/late.py": "LIST = []\n",
        "lab_package/other.py": "UNUSED = 1\n",
        "lab_beside.py": "import lab_further\n",
        "lab_further.py": "X = 1\n",
    }.items():
        (lab / name).write_text(source)
    return lab


@pytest.mark.parametrize(
    ("file", "changes_digest"),
    [
        ("lab_package/rules.py", True),
        ("lab_package/__init__.py", True),
        ("lab_package/numbers.py", True),
        ("lab_package/inner/words.py", True),
        ("lab_package/late.py", True),
        ("lab_beside.py", True),
        ("lab_further.py", True),
        ("lab_package/other.py", False),
    ],
)
def test_a_source_digest_covers_imports_of_the_users_modules(package: Path, file: str, changes_digest: bool) -> None:
    loaded = {*sys.modules}
    before = digests.of_source("lab_package.rules")
    assert before == digests.of_source("lab_package.rules")
    path = package / file
    path.write_text(path.read_text() + "# changed\n")
    assert (digests.of_source("lab_package.rules") != before) == changes_digest
    assert not [name for name in sys.modules.keys() - loaded if name.startswith("lab_")], "the package must not be imported"


def test_modules_are_found_in_folders_without_init_that_are_not_imported(lab: Path) -> None:
    (lab / "lab_names/inner/deeper").mkdir(parents=True)
    (lab / "lab_names/inner/deeper/rules.py").write_text("import lab_names.inner.words\n")
    (lab / "lab_names/inner/words.py").write_text("LIST = []\n")
    assert {*digests.sources("lab_names.inner.deeper.rules")} == {"lab_names.inner.deeper.rules", "lab_names.inner.words"}
    assert digests.file_of("lab_names.inner.missing.rules") is None


def test_packages_of_the_system_and_of_the_user_do_not_count_as_code_of_the_user() -> None:
    assert not digests.is_users(Path("/usr/lib/python3/dist-packages/numpy/__init__.py"))
    assert not digests.is_users(Path.home() / ".local/lib/python3.11/site-packages/numpy/__init__.py")
    assert digests.is_users(Path.home() / "lab/rules.py")


@pytest.mark.parametrize("module", ["tenfold.verifiers.math", "no_such_module", "sys", "no such module"])
def test_modules_of_this_package_or_without_source_have_no_digest(module: str) -> None:
    assert digests.of_source(module) is None


def test_the_digest_of_a_file_changes_with_its_content(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    found = set()
    for text in ("1", "2", "11"):
        file.write_text(text)
        os.utime(file, ns=(len(found), len(found)))
        found.add(digests.of_file(file))
    assert len(found) == 3
    one = digests.of_folder(tmp_path)
    file.rename(tmp_path / "renamed.jsonl")
    assert digests.of_folder(tmp_path) != one
