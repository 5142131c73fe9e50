"""Large sources: their problems are read when they are asked for, and are equal to those of a list."""

import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenfold.core import Problem, UserError
from tenfold.envs import text
from tenfold.envs.identity import of_argument
from tenfold.envs.problems import sources
from tenfold.envs.problems.stored import prepared
from tenfold.envs.problems.stored.problems import IndexedProblems
from tenfold.envs.text import TextEnv

Load = Callable[[str], Sequence[Problem]]


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Loads a URI as if its files were large."""

    def load(uri: str) -> Sequence[Problem]:
        with monkeypatch.context() as patch:
            patch.setattr(sources, "SMALL_BYTES", 0)
            patch.setattr(sources, "SMALL_ROWS", 0)
            sources._load.cache_clear()
            problems = sources.load(uri)
        sources._load.cache_clear()
        assert isinstance(problems, IndexedProblems)
        return problems

    return load


def outcome(load: Load, uri: str) -> object:
    """Returns the problems of a URI, or that there is an error. Of several errors, another one may come first."""
    try:
        return [*load(uri)]
    except UserError:
        return "error"


IDS = st.sampled_from(["a", "a#2", "a#3", "b", "rows/1", "rows/3", "mbpp/a", "mbpp/rows/2", "", None, 1, "1", 2.0])
TEXTS = st.sampled_from(["1+1?", "è ☃", "", "\ud800", "line\nline", None])
GOLDS = st.sampled_from([2, "2", "so\n#### 7", "####", "", None, [1, 2], {"gold": 3}, float("nan")])
ROWS = st.one_of(
    st.fixed_dictionaries({"question": TEXTS, "answer": GOLDS}, optional={"id": IDS, "unique_id": IDS, "task_id": IDS}),
    st.fixed_dictionaries({"prompt": TEXTS, "answer": GOLDS}, optional={"id": IDS, "key": IDS, "index": IDS, "uid": IDS}),
    st.fixed_dictionaries(
        {"text": st.just("add"), "test_list": st.just(["assert f(1) == 1"]), "code": st.just("")}, optional={"task_id": IDS}
    ),
    st.fixed_dictionaries(
        {"question": TEXTS, "choices": st.just(["x", "y"]), "answer": st.sampled_from([0, 1, 5])},
        optional={"id": IDS, "uuid": IDS},
    ),
)
LINES = st.one_of(
    ROWS.map(json.dumps),
    ROWS.map(lambda row: json.dumps(row, ensure_ascii=False).encode("utf-8", "replace").decode()),
    st.sampled_from(["", " \t", "\ufeff" + '{"question": "1?", "answer": 1}']),
)
OPTIONS = st.sampled_from(
    [
        "",
        "?skip=1",
        "?limit=2",
        "?skip=2&limit=3",
        "?limit=0",
        "?skip=50",
        "?shuffle=3",
        "?id=id",
        "?id=key",
        "?answer_after=%23%23%23%23",
        "?skip=1&id=question",
    ]
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINES, max_size=12), header=st.booleans(), end=st.sampled_from(["", "\n", "\n\n"]), options=OPTIONS)
def test_the_problems_are_those_of_a_list(
    tmp_path: Path, large: Load, lines: list[str], header: bool, end: str, options: str
) -> None:
    lines = ['{"settings": {}}', *lines] if header else lines
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + end, encoding="utf-8", errors="replace", newline="")
    uri = f"jsonl:{tmp_path}/rows.jsonl{options}"
    sources._load.cache_clear()
    assert outcome(large, uri) == outcome(sources.load, uri)


def write_rows(path: Path, count: int, start: int = 0, opened: Callable[..., Any] = open) -> None:
    with opened(path, "wb") as file:
        file.write(b"".join(b'{"question": "%d+1?", "answer": %d}\n' % (n, n + 1) for n in range(start, start + count)))


def answers(problems: Sequence[Problem]) -> list[object]:
    return [problem.answer for problem in problems]


@pytest.fixture
def thousand(tmp_path: Path, large: Load) -> Sequence[Problem]:
    write_rows(tmp_path / "rows.jsonl", 1_000)
    return large(f"jsonl:{tmp_path}/rows.jsonl")


def test_problems_are_read_by_index_slice_and_iteration(thousand: Sequence[Problem]) -> None:
    assert (len(thousand), thousand[0].answer, thousand[-1].id, thousand[np.int64(7)].answer) == (1_000, 1, "rows/999", 8)
    assert answers(thousand[990:]) == [*range(991, 1_001)]
    assert answers(thousand[5:0:-2]) == [6, 4, 2]
    assert answers(thousand[100:200][::50]) == [101, 151]
    assert answers(thousand[::400]) == [1, 401, 801]
    assert not thousand[1_000:]
    assert thousand[2:4] == [thousand[2], thousand[3]] != [*thousand[:2]]
    with pytest.raises(IndexError):
        thousand[1_000]


def test_a_pickled_sequence_has_the_uri_and_no_problems(thousand: Sequence[Problem]) -> None:
    pickled = pickle.dumps(thousand)
    assert len(pickled) < 2_000
    assert isinstance(thousand, IndexedProblems)


def test_another_process_reads_a_range(tmp_path: Path, thousand: Sequence[Problem]) -> None:
    code = "import pickle, sys; print([p.answer for p in pickle.load(sys.stdin.buffer)])"
    write_rows(tmp_path / "big.jsonl", sources.SMALL_BYTES // 35 + 1)
    problems = sources.load(f"jsonl:{tmp_path}/big.jsonl")
    assert isinstance(problems, IndexedProblems)
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(problems[3_000:3_003]), capture_output=True)
    assert done.stdout.decode().strip() == "[3001, 3002, 3003]", done.stderr.decode()


def test_a_file_that_changes_while_it_is_used_is_an_error(tmp_path: Path, thousand: Sequence[Problem]) -> None:
    write_rows(tmp_path / "rows.jsonl", 999, start=1)
    with pytest.raises(UserError, match=r"rows.jsonl was changed while it was used: start again"):
        thousand[5]


@pytest.mark.parametrize("line", ["{", "[1]", '"text"', "nul"])
def test_a_line_that_is_no_object_is_reported_when_the_file_is_loaded(tmp_path: Path, large: Load, line: str) -> None:
    write_rows(tmp_path / "rows.jsonl", 10)
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write(f"\n{line}\n")
    with pytest.raises(UserError, match=r"rows.jsonl, line 12: (not JSON|expected a JSON object)"):
        large(f"jsonl:{tmp_path}/rows.jsonl")


def test_a_row_in_no_known_format_is_reported_when_it_is_read(tmp_path: Path, large: Load) -> None:
    (tmp_path / "rows.jsonl").write_text('{"question": "1?", "answer": 1}\n{"text": "two"}\n')
    problems = large(f"jsonl:{tmp_path}/rows.jsonl")
    assert problems[0].answer == 1
    with pytest.raises(UserError, match="row 2: there is no column"):
        problems[1]


def test_rows_of_parquet_files_are_those_of_a_list(tmp_path: Path, large: Load) -> None:
    for name, start in (("a", 0), ("b", 1_500)):
        columns = {
            "question": [f"{n}?" for n in range(start, start + 2_500)],
            "answer": range(2_500),
            "id": ["x", *"ab" * 1_249, "y"],
        }
        frame = pandas.DataFrame(columns)
        frame["subject"] = pandas.Categorical(["sums"] * 2_500)
        frame.to_parquet(tmp_path / f"{name}.parquet", row_group_size=1_100)
    for options in ("", "?skip=2400&limit=300", "?id=question", "?limit=0"):
        uri = f"parquet:{tmp_path}/*.parquet{options}"
        sources._load.cache_clear()
        assert outcome(large, uri) == outcome(sources.load, uri)


def test_rows_of_the_hub_are_those_of_a_list(large: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"question": f"{n}?", "answer": str(n), "id": "a" if n % 3 else None} for n in range(2_000)]
    monkeypatch.setattr(datasets, "load_dataset", lambda *given, **options: datasets.Dataset.from_list(rows))
    for options in ("", "?skip=5&limit=1500", "?id=question"):
        sources._load.cache_clear()
        assert [*large(f"hf:lab/rows{options}")] == [*sources.load(f"hf:lab/rows{options}")]


def test_invalid_gold_of_large_sources(tmp_path: Path, large: Load) -> None:
    rows = [{"question": f"{n}?", "answer": None if n % 2 else n} for n in range(10)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    problems = large(f"jsonl:{tmp_path}/rows.jsonl")
    with pytest.warns(UserWarning, match=r"5 of 10 problems cannot be used \(rows/1: there is no answer"):
        assert TextEnv(problems).problems == problems
    assert answers(TextEnv(problems, invalid_gold="drop").problems) == [0, 2, 4, 6, 8]
    with pytest.raises(UserError, match="5 of 10 problems cannot be used"):
        TextEnv(problems, invalid_gold="error")


def test_a_warning_names_the_problems_of_a_large_source_that_are_not_checked(
    tmp_path: Path, large: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "CHECKED", 4)
    for invalid, words in (
        (7, "the first 4 problems can be used; the other 6 of this large source are not checked; invalid_gold=drop or error"),
        (2, r"1 of the first 4 problems cannot be used \(rows/2: .*\); the other 6 of this .* invalid_gold=drop drops"),
    ):
        rows = [{"question": f"{n}?", "answer": None if n == invalid else n} for n in range(10)]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        problems = large(f"jsonl:{tmp_path}/rows.jsonl")
        with pytest.warns(UserWarning, match=words):
            assert TextEnv(problems).problems == problems
        with pytest.raises(UserError, match="1 of 10 problems cannot be used"):
            TextEnv(problems, invalid_gold="error")


def test_the_digest_depends_on_the_content_and_not_on_the_place(tmp_path: Path, large: Load) -> None:
    digests = []
    for folder, count in (("one", 5), ("two", 5), ("three", 6)):
        (tmp_path / folder).mkdir()
        write_rows(tmp_path / folder / "rows.jsonl", count)
        digests += [of_argument("problems", large(f"jsonl:{tmp_path}/{folder}/rows.jsonl{end}")) for end in ("", "?skip=1")]
    assert digests[:2] == digests[2:4]
    assert len({json.dumps(digest) for digest in digests}) == 4


def test_the_folder_of_a_killed_process_is_removed_by_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(prepared.VARIABLE, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def runs(end: str) -> set[Path]:
        """Prepares something in another process; returns the folders that are left."""
        program = f"import os; from {prepared.__name__} import folder; folder('key', lambda path: None); {end}"
        subprocess.run([sys.executable, "-c", program], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False)
        return {*tmp_path.iterdir()}

    (killed,) = runs("os.kill(os.getpid(), 9)")
    own = prepared.folder("key", lambda path: None).parent
    monkeypatch.setenv(prepared.VARIABLE, "")  # the processes have folders of their own
    assert own != killed
    assert {*tmp_path.iterdir()} == {own}
    assert runs("") == {own}, "its owner lives"
    assert len(runs("os.kill(os.getpid(), 9)")) == 2
    assert runs("") == {own}
