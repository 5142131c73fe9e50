from pathlib import Path

import pytest

from tenfold.core import UserError
from tenfold.policies.store import Store


def test_rows_are_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    Store(tmp_path / "s.jsonl", {"seed": 1}).append([{"a": 1}, {"a": "\u2028 né"}])
    assert Store(tmp_path / "s.jsonl", {"seed": 1}).rows == [{"a": 1}, {"a": "\u2028 né"}]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_cut_short_is_dropped_and_the_file_goes_on(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "s.jsonl"
    Store(path, {"seed": 1}).append([{"a": n} for n in range(5)])
    path.write_bytes(path.read_bytes()[:-cut])
    store = Store(path, {"seed": 1})
    kept = len(store.rows)
    assert store.rows == [{"a": n} for n in range(kept)]
    store.append([{"a": "next"}])
    assert Store(path, {"seed": 1}).rows[kept:] == [{"a": "next"}]


def test_a_store_is_not_continued_under_other_settings(tmp_path: Path) -> None:
    Store(tmp_path / "s.jsonl", {"seed": 1})
    with pytest.raises(UserError, match="seed=1, not 2"):
        Store(tmp_path / "s.jsonl", {"seed": 2})


def test_a_file_changed_by_hand_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text('{"settings": {}}\nnot json\n')
    with pytest.raises(UserError, match="line 2"):
        Store(tmp_path / "s.jsonl", {})
