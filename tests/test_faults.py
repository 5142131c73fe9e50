"""Errors of libraries about a full disk, limits and memory are reported as one line."""

import errno
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import pyarrow
import pyarrow.parquet
import pytest
import safetensors.torch
import tokenizers
import torch

from tenfold import faults
from tenfold.core import UserError

WRITERS: dict[str, Callable[[Path], object]] = {
    "python": lambda path: path.write_bytes(bytes(400_000)),
    "torch": lambda path: torch.save(torch.ones(100_000), path),
    "torch in a file": lambda path: torch.save(torch.ones(100_000), path.open("wb")),
    "safetensors": lambda path: safetensors.torch.save_file({"a": torch.ones(100_000)}, path),
    "parquet": lambda path: pyarrow.parquet.write_table(pyarrow.table({"a": numpy.random.default_rng(0).random(50_000)}), path),
    "numpy": lambda path: numpy.save(path, numpy.ones(50_000)),
    "tokenizers": lambda path: tokenizers.Tokenizer(
        tokenizers.models.WordLevel({str(number): number for number in range(20_000)}, unk_token="0")
    ).save(str(path)),
}


@pytest.fixture
def no_room() -> Iterator[None]:
    """Limits files to 100 kB, to simulate a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("no_room")
@pytest.mark.parametrize("writer", WRITERS)
def test_file_size_limits_are_reported_for_every_library(tmp_path: Path, writer: str) -> None:
    with pytest.raises(UserError) as raised, faults.as_user_errors(tmp_path):
        WRITERS[writer](tmp_path / "file.npy")
    assert str(raised.value).startswith(str(tmp_path))
    assert "raise the limit (ulimit -f)" in str(raised.value)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), "a/b: no space left on the disk: delete files"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "the disk quota is used up"),
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), "a/b: permission denied: choose another folder"),
        (OSError(errno.EROFS, "Read-only file system", "a/b"), "a/b: the file system is read-only"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "a/b"), "a/b: a file exists where a folder is needed"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "a/b"), "a/b: a folder exists where a file is needed"),
        (OSError(errno.EMFILE, "Too many open files"), "too many files are open: raise the limit (ulimit -n)"),
        (MemoryError(), "no memory left"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "no memory left"),
        (RuntimeError("can't start new thread"), "no memory left"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "no memory left"),
    ],
)
def test_an_error_of_the_machine_gives_one_line_with_a_remedy(error: Exception, words: str) -> None:
    output = faults.explain(error)
    assert output is not None
    assert words in output
    assert "\n" not in output


@pytest.mark.parametrize(
    "error",
    [
        ValueError("invalid value"),
        ConnectionRefusedError(111, "refused"),
        RuntimeError("shapes"),
        OSError("odd"),
        BlockingIOError(errno.EAGAIN, "write could not complete without blocking", 0),  # a full pipe on stdout
    ],
)
def test_other_errors_have_no_message(error: Exception) -> None:
    assert faults.explain(error) is None
    with pytest.raises(type(error)), faults.as_user_errors(os.curdir):
        raise error


def test_the_cause_of_an_error_gives_the_message_unless_it_is_suppressed() -> None:
    def error(is_suppressed: bool) -> Exception:
        try:
            try:
                raise OSError(errno.ENOSPC, "No space left on device", "a/b")
            except OSError as cause:
                raise ValueError("invalid value") from (None if is_suppressed else cause)
        except ValueError as raised:
            return raised

    assert str(faults.explain(error(is_suppressed=False))).startswith("a/b: no space left")
    assert faults.explain(error(is_suppressed=True)) is None


def test_the_memory_message_contains_the_limit_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda which: (2 << 30, 2 << 30))
    assert faults.explain(MemoryError()) == faults.memory_advice()
    assert "within this process's limit of 2,048 MiB: raise it (ulimit -v)" in faults.memory_advice()
