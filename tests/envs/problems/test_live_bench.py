"""Rows of LiveBench as problems, and the questions of a release."""

import datetime
import json
import sys
import types
import uuid
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest

from tenfold.core import Problem, UserError
from tenfold.envs.problems import sources

AMC = r"What is $2 \cdot 3$? $\textbf{(A)}~5 \qquad \textbf{(B) }6 \qquad \textbf{(C) }7$"
OLD_TABLE = "Please convert the Input Table from JSON format to CSV format. Please respond only with the table."
TABLE = "Convert it.\nSource Format: CSV\nTarget Format: JSONL\n"


def row(category: str, task: str, gold: object = None, **more: object) -> dict[str, Any]:
    fields = {"question_id": "q", "category": category, "task": task, "turns": ["Why?"], "ground_truth": gold}
    return fields | {"livebench_release_date": "2024-11-25", "livebench_removal_date": ""} | more


def load(rows: list[dict[str, Any]], folder: Path) -> list[Problem]:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return list(sources.load(f"jsonl:{folder}/rows.jsonl"))


def generate(rows: list[dict[str, Any]], options: str, monkeypatch: pytest.MonkeyPatch) -> list[Problem]:
    """Returns the problems of rows that a function yields, with values that no file has, such as pandas' NaT."""
    module = types.ModuleType(f"lab_{uuid.uuid4().hex}")  # a new name, because problems are cached by their URI
    module.__dict__["rows"] = lambda: rows
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return list(sources.load(f"generate:{module.__name__}:rows{options}"))


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        (
            row("math", "math_comp", "B", subtask="amc_12a", turns=[AMC]),
            {"rule": "amc", "gold": "B", "option": "6"},
        ),
        (row("math", "math_comp", "042", subtask="aime_i_2024"), {"rule": "aime", "gold": "042"}),
        (row("math", "olympiad", "3,1,2", subtask="imo"), {"rule": "olympiad", "gold": [3, 1, 2]}),
        (row("math", "AMPS_Hard", ["x", "y"], subtask="amps_hard_x"), {"rule": "amps_hard", "gold": "y"}),
        (row("reasoning", "zebra_puzzle", "a, b"), {"rule": "zebra_puzzle", "gold": "a, b"}),
        (
            row("reasoning", "zebra_puzzle", "a", livebench_release_date="2024-08-31"),
            {"rule": "zebra_puzzle_bold", "gold": "a"},
        ),
        (
            row("language", "connections", "a,b", livebench_release_date="2024-08-31 00:00:00"),
            {"rule": "connections_bold", "gold": "a,b"},
        ),
        (row("data_analysis", "tablejoin", "{'a': 'b'}"), {"rule": "tablejoin", "gold": {"a": "b"}}),
        (
            row("data_analysis", "tablereformat", "a\n1", turns=[OLD_TABLE]),
            {"rule": "tablereformat", "gold": "a\n1", "format": "csv", "version": 1},
        ),
        (
            row("data_analysis", "tablereformat", "{}", turns=[TABLE], livebench_release_date="2025-04-25"),
            {"rule": "tablereformat", "gold": "{}", "format": "jsonl", "version": 2},
        ),
        (
            row("instruction_following", "paraphrase", instruction_id_list=["a:b"], kwargs=[{"n": 1, "m": None}]),
            {"rule": "instructions", "instructions": {"instructions": ["a:b"], "arguments": [{"n": 1}]}},
        ),
        (
            row(
                "coding",
                "code_generation",
                tests="import numpy",
                entry_point="f",
                code_prompt="import re",
                expected_time=1.5,
                partial_solution=None,
            ),
            {
                "rule": "unit_tests",
                "unit_tests": "import numpy",
                "imports": ["numpy", "re"],
                "entry_point": "f",
                "seconds": 6.5,
                "start": "",
                "code": "import re",
            },
        ),
    ],
)
def test_the_task_and_the_release_decide_the_rule(given: dict[str, Any], answer: object, tmp_path: Path) -> None:
    (problem,) = load([given], tmp_path)
    assert problem.answer == answer
    assert [turn["content"] for turn in problem.prompt] == given["turns"]
    assert (problem.id, problem.meta["category"], problem.meta["section"]) == ("q", given["task"], given["category"])


NOVEMBER = datetime.datetime(2024, 11, 25, tzinfo=datetime.UTC)
"""Release since which zebra puzzles have answers in tags."""
SECONDS = int(NOVEMBER.timestamp())


@pytest.mark.parametrize("options", ["", "?release=2024-11-25"])
@pytest.mark.parametrize(
    "date",
    [
        "2024-11-25",
        "2024-11-25T00:00:00Z",
        " 2024-11-25 00:00:00 ",
        "20241125",
        20241125,
        20241125.0,
        SECONDS,
        SECONDS * 1000,
        float(SECONDS * 1000),
        str(SECONDS * 1000),
        NOVEMBER,
        NOVEMBER.date(),
        pandas.Timestamp("2024-11-25"),
        numpy.datetime64("2024-11-25T00:00:00", "ns"),
    ],
    ids=repr,
)
def test_the_date_of_a_release_may_have_any_form(date: object, options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (problem,) = generate([row("reasoning", "zebra_puzzle", "a", livebench_release_date=date)], options, monkeypatch)
    assert problem.answer == {"rule": "zebra_puzzle", "gold": "a"}
    assert problem.meta["released"] == "2024-11-25"


def test_a_data_set_that_pandas_has_written_gives_the_same_rules(tmp_path: Path) -> None:
    puzzles = [row("reasoning", "zebra_puzzle", "a", livebench_release_date=date) for date in ("2024-08-31", "2024-11-25")]
    frame = pandas.DataFrame(puzzles)
    frame["livebench_release_date"] = pandas.to_datetime(frame["livebench_release_date"])
    frame.to_json(tmp_path / "rows.jsonl", orient="records", lines=True, date_format="epoch")
    assert f":{SECONDS * 1000}," in (tmp_path / "rows.jsonl").read_text()
    found = sources.load(f"jsonl:{tmp_path}/rows.jsonl")
    assert [problem.answer for problem in found] == [problem.answer for problem in load(puzzles, tmp_path)]


@pytest.mark.parametrize("date", [None, "", "soon", True, float("inf"), 2024], ids=repr)
@pytest.mark.parametrize(
    "given",
    [
        row("reasoning", "zebra_puzzle", "a"),
        row("language", "connections", "a"),
        row("data_analysis", "tablereformat", "a", turns=[TABLE]),
        row("instruction_following", "paraphrase", instruction_id_list=["a:b"], kwargs=[{}]),
    ],
    ids=lambda given: str(given["task"]),
)
def test_a_rule_that_depends_on_the_release_needs_its_date(
    given: dict[str, Any], date: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = f"the rule of LiveBench's task {given['task']} depends on the release and needs a date in the column"
    with pytest.raises(UserError, match=rf"rows/0: {words} livebench_release_date, got {date!r}$"):
        generate([given | {"livebench_release_date": date}], "", monkeypatch)


@pytest.mark.parametrize("date", [None, "soon"])
def test_other_rules_need_no_date(date: object, tmp_path: Path) -> None:
    (problem,) = load([row("reasoning", "spatial", "4", livebench_release_date=date)], tmp_path)
    assert problem.answer == {"rule": "spatial", "gold": "4"}
    assert problem.meta["released"] == ""


@pytest.mark.parametrize(
    "date", [None, "", " ", "nan", "NaT", float("nan"), numpy.nan, pandas.NaT, pandas.NA, numpy.datetime64("NaT")], ids=repr
)
def test_a_question_without_a_date_of_removal_has_not_been_removed(date: object, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row("reasoning", "spatial", "4", question_id="kept", livebench_removal_date=date)]
    rows += [row("reasoning", "spatial", "4", question_id="removed", livebench_removal_date=SECONDS * 1000)]
    assert [problem.id for problem in generate(rows, "?release=2024-11-25", monkeypatch)] == ["kept"]


def test_tests_of_live_code_bench_are_read(tmp_path: Path) -> None:
    test = {"input": "[1]\n2", "output": "3", "testtype": "functional"}
    given = row(
        "coding", "coding_completion", partial_solution="class Solution:", original_json={"metadata": '{"func_name": "add"}'}
    )
    given |= {"public_test_cases": json.dumps([test]), "private_test_cases": json.dumps([test])}
    (problem,) = load([given], tmp_path)
    assert isinstance(problem.answer, dict)
    assert (problem.answer["rule"], problem.answer["start"]) == ("live_code_bench", "class Solution:")
    assert problem.answer["tests"]["entry_point"] == "add"
    assert problem.answer["tests"]["calls"] == [{"arguments": [[1], 2], "output": 3}] * 2


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            row(
                "instruction_following",
                "paraphrase",
                livebench_release_date="2025-11-25",
                instruction_id_list=["count:x"],
                kwargs=[{}],
            ),
            "the instructions are those of IFBench, which cannot be scored here",
        ),
        (row("agentic_coding", "python"), "LiveBench's task python cannot be scored here"),
        (
            row(
                "data_analysis", "tablereformat", "", turns=[TABLE.replace("JSONL", "XML")], livebench_release_date="2025-04-25"
            ),
            "'xml'",
        ),
        (row("reasoning", "spatial", "4", turns=["Why?", "And why?"]), "the question has 2 turns"),
    ],
)
def test_questions_that_cannot_be_scored_have_no_answer(given: dict[str, Any], reason: str, tmp_path: Path) -> None:
    _, problem = load([row("reasoning", "spatial", "4"), given], tmp_path)
    assert problem.answer is None
    assert reason in str(problem.meta["invalid_gold"])


def test_a_row_that_cannot_be_read_gives_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"rows\.jsonl, rows/0: expected a row of LiveBench \(ValueError\("):
        load([row("math", "olympiad", "one, two", subtask="imo")], tmp_path)


DATES = (("2024-06-24", ""), ("2024-06-24", "2024-11-25"), ("2024-08-31", "2025-04-25"), ("2024-11-25", ""), ("2025-04-25", ""))
"""Release and removal of each question."""


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize("bytes_of_a_list", [0, 1 << 20])
@pytest.mark.parametrize(
    ("release", "numbers"), [("2024-06-24", "01"), ("2024-08-31", "012"), ("2024-11-25", "023"), ("2025-04-25", "034")]
)
def test_a_release_has_its_questions(
    kind: str, bytes_of_a_list: int, release: str, numbers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "SMALL_BYTES", bytes_of_a_list)
    rows = [
        row(
            "reasoning",
            "spatial",
            "4",
            question_id=str(number),
            livebench_release_date=released,
            livebench_removal_date=removed,
        )
        for number, (released, removed) in enumerate(DATES)
    ]
    file = tmp_path / f"rows.{kind}"
    if kind == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        frame = pandas.DataFrame(rows)
        frame["livebench_release_date"] = pandas.to_datetime(frame["livebench_release_date"])  # as on the hub
        frame.to_parquet(file)
    assert "".join(problem.id for problem in sources.load(f"{kind}:{file}?release={release}")) == numbers


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("release=autumn", "release: expected a date such as 2024-08-01, got 'autumn'"),
        ("release=2024-11-25&from=2024-01-01", "from= and to= do not go with release=; omit one of them"),
        ("release=2024-01-01", "there are no problems"),
    ],
)
def test_an_unusable_release_gives_a_one_line_error(options: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(row("reasoning", "spatial", "4")) + "\n")
    with pytest.raises(UserError, match=words):
        sources.load(f"jsonl:{tmp_path}/rows.jsonl?{options}")


def test_rows_without_a_release_give_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"question": "1 + 1?", "answer": 2}\n')
    with pytest.raises(UserError, match="release= needs a date in the column livebench_release_date, got None"):
        sources.load(f"jsonl:{tmp_path}/rows.jsonl?release=2024-11-25")
