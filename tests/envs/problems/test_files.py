"""Problems in several files, and in compressed files."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pyarrow
import pytest

from tenfold.core import UserError
from tenfold.envs.problems import pairs, sources

ROW = b'{"question": "?", "answer": 1}\n'


def write_rows(path: Path, *golds: int, write: Callable[[Path, bytes], Any] = Path.write_bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, b"".join(b'{"question": "%d?", "answer": %d}\n' % (gold, gold) for gold in golds))


def write_gzip(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content))


def write_zstd(path: Path, content: bytes) -> None:
    with pyarrow.CompressedOutputStream(str(path), "zstd") as file:
        file.write(content)


def loaded(uri: str) -> dict[str, object]:
    """Returns the answers of a URI's problems, by id."""
    return {problem.id: problem.answer for problem in sources.load(uri)}


@pytest.fixture(params=["list", "indexed"])
def _both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads files as small and as large ones."""
    if request.param == "indexed":
        monkeypatch.setattr(sources, "SMALL_BYTES", 0)
        monkeypatch.setattr(sources, "SMALL_ROWS", 0)


@pytest.mark.usefixtures("_both")
def test_a_pattern_reads_its_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    write_rows(tmp_path / "b.jsonl", 3, 4)
    write_rows(tmp_path / "a.jsonl", 1, 2)
    write_rows(tmp_path / "c.txt", 5)
    assert loaded(f"jsonl:{tmp_path}/*.jsonl") == {"a/0": 1, "a/1": 2, "b/0": 3, "b/1": 4}
    assert loaded(f"jsonl:{tmp_path}/*.jsonl?skip=1&limit=2") == {"a/1": 2, "b/0": 3}


@pytest.mark.usefixtures("_both")
def test_files_of_folders_have_ids_with_the_folders_and_may_be_compressed(tmp_path: Path) -> None:
    write_rows(tmp_path / "x" / "part-0.jsonl.gz", 1, write=write_gzip)
    write_rows(tmp_path / "y" / "part-0.jsonl.gz", 2, 3, write=write_gzip)
    write_rows(tmp_path / "y" / "part-1.jsonl.zst", 4, write=write_zstd)
    found = loaded(f"jsonl:{tmp_path}/**/part-*.jsonl*")
    assert found == {"x/part-0/0": 1, "y/part-0/0": 2, "y/part-0/1": 3, "y/part-1/0": 4}
    assert loaded(f"jsonl:{tmp_path}/y/part-1.jsonl.zst") == {"part-1/0": 4}


@pytest.mark.usefixtures("_both")
def test_equal_names_of_files_give_different_ids(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", 1)
    write_rows(tmp_path / "a.jsonl.gz", 2, write=write_gzip)
    assert loaded(f"jsonl:{tmp_path}/a*") == {"a.jsonl/0": 1, "a.jsonl.gz/0": 2}


@pytest.mark.usefixtures("_both")
def test_a_pattern_of_parquet_files(tmp_path: Path) -> None:
    for name, gold in (("one", 1), ("two", 2)):
        pandas.DataFrame({"question": ["?"], "answer": [gold]}).to_parquet(tmp_path / f"{name}.parquet")
    assert loaded(f"parquet:{tmp_path}/*.parquet") == {"one/0": 1, "two/0": 2}


def test_a_problem_names_its_file(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", 1)
    write_rows(tmp_path / "b.jsonl", 2)
    assert sources.load(f"jsonl:{tmp_path}/[ab].jsonl")[1].source == f"jsonl:{tmp_path}/b.jsonl"


def test_a_character_of_patterns_in_the_name_of_a_file_is_no_pattern(tmp_path: Path) -> None:
    write_rows(tmp_path / "a[1].jsonl", 1)
    write_rows(tmp_path / "a1.jsonl", 2)
    assert loaded(f"jsonl:{tmp_path}/a[1].jsonl") == {"a[1]/0": 1}


def test_a_new_file_of_a_pattern_is_read(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", 1)
    assert len(sources.load(f"jsonl:{tmp_path}/*.jsonl")) == 1
    write_rows(tmp_path / "b.jsonl", 2)
    assert len(sources.load(f"jsonl:{tmp_path}/*.jsonl")) == 2


def test_pairs_are_read_from_a_pattern(tmp_path: Path) -> None:
    for name in "ab":
        write_gzip(tmp_path / f"{name}.jsonl.gz", b'{"prompt": "%s", "chosen": "yes", "rejected": "no"}' % name.encode())
    assert [pair.prompt_text for pair in pairs.load(f"jsonl:{tmp_path}/*.jsonl.gz")] == ["a", "b"]


@pytest.mark.usefixtures("_both")
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none*.jsonl", b"", r"none\*.jsonl: no file matches this pattern"),
        ("a.jsonl.gz", b"text", r"a.jsonl.gz is not a .gz file, or is damaged"),
        (
            "a.jsonl.gz",
            gzip.compress(ROW * 9, mtime=0)[:-9],
            r"a.jsonl.gz is not a .gz file, or is damaged",
        ),
        ("a.jsonl.zst", b"text", r"a.jsonl.zst is not a .zst file, or is damaged"),
        ("a.jsonl.gz", gzip.compress(ROW + b"[", mtime=0), r"a.jsonl.gz, line 2: not JSON"),
    ],
)
def test_a_user_error_is_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    if content:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        sources.load(f"jsonl:{tmp_path}/{name}")
    assert "\n" not in str(error.value)


def test_a_streamed_data_set_reads_only_the_rows_that_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    write_rows(tmp_path / "data" / "train-0.jsonl", *range(20))
    (tmp_path / "data" / "train-1.jsonl").write_text("no JSON")
    uri = f"hf:{tmp_path}/data?streaming=true"
    assert [*loaded(f"{uri}&skip=3&limit=2").values()] == [3, 4]
    with pytest.raises(UserError, match="add limit=N"):
        sources.load(uri)
    with pytest.raises(UserError, match="streaming: expected true or false, got 'yes'"):
        sources.load(f"hf:{tmp_path}/data?streaming=yes&limit=1")
