import resource
from pathlib import Path

import pytest

from tenfold import disk
from tenfold.core import UserError
from tenfold.policies.store import Store


def test_rows_are_read_when_the_file_is_opened_again(tmp_path: Path) -> None:
    Store(tmp_path / "s.jsonl", {"seed": 1}).append([{"a": 1}, {"a": "\u2028 né"}])
    assert Store(tmp_path / "s.jsonl", {"seed": 1}).rows == [{"a": 1}, {"a": "\u2028 né"}]


@pytest.mark.parametrize("removed", range(1, 60, 7))
def test_a_partial_last_line_is_dropped(tmp_path: Path, removed: int) -> None:
    path = tmp_path / "s.jsonl"
    Store(path, {"seed": 1}).append([{"a": n} for n in range(5)])
    path.write_bytes(path.read_bytes()[:-removed])
    store = Store(path, {"seed": 1})
    kept = len(store.rows)
    assert store.rows == [{"a": n} for n in range(kept)]
    store.append([{"a": "next"}])
    assert Store(path, {"seed": 1}).rows[kept:] == [{"a": "next"}]


def test_a_store_is_not_continued_under_other_settings(tmp_path: Path) -> None:
    Store(tmp_path / "s.jsonl", {"seed": 1})
    with pytest.raises(UserError, match="seed=1, not 2"):
        Store(tmp_path / "s.jsonl", {"seed": 2})


@pytest.mark.parametrize("broken", [b"not json", b"{}", b"[1]", b'{"a": "1"}', b"\x00\xff", b"[" * 100_000])
def test_a_broken_line_is_logged_and_its_row_can_be_appended_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: bytes
) -> None:
    def opened() -> Store:
        return Store(tmp_path / "s.jsonl", {"seed": 1}, lambda row: disk.check_types(row, a=int))

    opened().append([{"a": number} for number in range(3)])
    lines = (tmp_path / "s.jsonl").read_bytes().split(b"\n")
    (tmp_path / "s.jsonl").write_bytes(b"\n".join([*lines[:2], broken, *lines[3:]]))
    store = opened()
    assert store.rows == [{"a": 0}, {"a": 2}]
    assert "s.jsonl: 1 line cannot be read and is skipped" in caplog.text
    store.append([{"a": 1}])
    assert opened().rows == [{"a": 0}, {"a": 2}, {"a": 1}]


@pytest.mark.parametrize("content", [b"a diary without an end of line", b"a\nb\n", b"[]\n{}\n", b'{"seed": 1}\n', b"\x00" * 99])
def test_a_file_that_is_not_a_store_is_rejected_unchanged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "diary").write_bytes(content)
    with pytest.raises(UserError, match="the first line has no settings"):
        Store(tmp_path / "diary", {"seed": 1})
    assert (tmp_path / "diary").read_bytes() == content


def test_an_append_on_a_full_disk_writes_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "s.jsonl", {"seed": 1})
    store.append([{"a": 1}])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            store.append([{"a": "long" * 50}])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert raised.value.filename == str(tmp_path / "s.jsonl")
    store.append([{"a": 2}])
    assert Store(tmp_path / "s.jsonl", {"seed": 1}).rows == [{"a": 1}, {"a": 2}]
