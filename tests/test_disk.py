"""Atomic writes, locks, and errors about broken files."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenfold import disk, settings_folder
from tenfold.core import UserError
from tenfold.pipelines.corpus import documents
from tenfold.policies import checkpoints
from tenfold.policies.models.cached import cached


def test_a_failed_write_leaves_the_file_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.write(tmp_path / "a.json", "first")
    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(OSError, match="No space left") as raised:
        disk.write(tmp_path / "a.json", "second")
    assert raised.value.filename == str(tmp_path / "a.json")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.json": "first"}


def _full(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_write_keeps_links_and_accepts_lone_surrogates(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere/file")
    disk.write(tmp_path / "link", "half \ud800 a pair")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "elsewhere/file").read_text(encoding="utf-8") == "half \ufffd a pair"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b'{"a": [1, 2', "is truncated or not JSON"),
        (b"\x00" * 64, "is truncated or not JSON"),
        (b"\x80abc", "is not UTF-8 text"),
        (b"[1]", "expected a JSON object, got a list"),
        (b"[" * 100_000, "RecursionError"),
    ],
)
def test_an_error_about_a_broken_file_names_the_defect_and_the_remedy(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(UserError, match=r"r\.json .*: remove it") as raised:
        disk.read_object(tmp_path / "r.json", "remove it")
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_broken_lines_are_skipped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "rows").write_bytes(b'{"a": 1}\n{"a"\n[]\n\xff\n{"b": 2}\n{"a": 3}\n{"a": 4')

    def check(row: dict[str, Any]) -> None:
        disk.check_types(row, a=int)

    assert [row for _, row in disk.read_rows(tmp_path / "rows", check)] == [{"a": 1}, {"a": 3}]
    assert "4 lines cannot be read" in caplog.text


HOLDER = "import sys; from tenfold import disk\nwith disk.{0}(sys.argv[1]): print('held', flush=True); sys.stdin.read()"


@pytest.mark.parametrize(("function", "name"), [("locked", "folder"), ("locked_file", "samples.jsonl")])
def test_a_second_process_gets_an_error_that_names_the_holder_of_the_lock(tmp_path: Path, function: str, name: str) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER.format(function), tmp_path / name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    held = getattr(disk, function)
    with pytest.raises(UserError, match=rf"another process uses .*{name} \(process {holder.pid} on "), held(tmp_path / name):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    with held(tmp_path / name):  # a killed process releases the lock
        pass
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_lock_is_reentrant_in_one_thread_and_exclusive_between_threads(tmp_path: Path) -> None:
    output: list[str] = []

    def other() -> None:
        try:
            with disk.locked(tmp_path):
                output.append("held")
        except UserError as error:
            output.append(str(error))

    with disk.locked(tmp_path), disk.locked(tmp_path):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert f"process {os.getpid()} on " in output[0]


@pytest.mark.parametrize("name", ["file", "file/below", "odd\n'\"\u202e\udcff"])
def test_a_folder_that_cannot_be_created_gives_a_one_line_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    if name.startswith("odd"):
        with disk.locked(tmp_path / name):
            assert (tmp_path / name).is_dir()
        return
    with pytest.raises(UserError, match=r"cannot create the folder .*: a file has that name"), disk.locked(tmp_path / name):
        pass


def test_without_kernel_locks_a_warning_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unsupported(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with disk.locked(tmp_path):
        disk.write(tmp_path / "a", json.dumps(1))
    assert "cannot be locked (No locks available)" in caplog.text


@pytest.mark.parametrize(
    "read",
    [
        lambda path: checkpoints.checkpoint(f"path:{path}"),
        lambda path: checkpoints.checkpoint(f"config:{path}?tokenizer={path}"),
        lambda path: cached("x", lambda folder: None),
        lambda path: settings_folder.path("trusted"),
    ],
)
def test_the_home_folder_of_an_unknown_user_gives_a_one_line_error(
    read: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "~no-such-user/data"
    monkeypatch.setenv("TENFOLD_CACHE", path)
    monkeypatch.setenv("TENFOLD_CONFIG", path)
    with pytest.raises(UserError, match=r"~no-such-user/data.*: this machine has no home folder ~no-such-user"):
        read(path)


@pytest.mark.parametrize("uri", ["text:~no-such-user/*.txt", "jsonl:~no-such-user/*.jsonl"])
def test_a_pattern_in_the_home_folder_of_an_unknown_user_matches_no_file(uri: str) -> None:
    with pytest.raises(UserError, match=r"~no-such-user/\*.*: no file matches this pattern"):
        [*documents.read(uri)]
