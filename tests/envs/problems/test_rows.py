"""Rows of data sets: the columns that are read, missing values, unreadable rows."""

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest

import tenfold
from tenfold.core import Problem, UserError
from tenfold.envs.problems import cells, sources
from tenfold.envs.text import TextEnv
from tenfold.verifiers import invalid_gold
from tenfold.verifiers.answers.extraction.response import boxed


def loaded(folder: Path, *rows: dict[str, Any], options: str = "") -> list[Problem]:
    """Returns the problems of a JSONL file with the rows."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [*sources.load(f"jsonl:{folder}/rows.jsonl{options}")]


EVEN = {"question": "Which is even?", "options": ["1", "2", "3"]}


@pytest.mark.parametrize(
    ("row", "options"),
    [
        (EVEN | {"right": "B"}, "?answer=right"),
        (EVEN | {"right": 1, "answer": "nobody knows"}, "?answer=right"),
        (EVEN | {"right": "2", "answer_index": 0, "answer_letter": "A"}, "?answer=right"),
        (EVEN | {"asked": "Which is even?", "question": "unused", "answer": "B"}, "?prompt=asked"),
        (EVEN | {"answer": "B"}, "?answer=answer&prompt=question"),
        ({"problem": "Which is even?", "choices": ["1", "2", "3"], "target": 1}, "?answer=target"),
        ({"question": "Which is even?", "A": 1, "B": 2, "C": 3, "answer": "B"}, ""),
        ({"Question": "Which is even?", "A": "1", "B": "2", "C": "3", "D": None, "Answer": "B"}, ""),
        ({"question": "Which is even?", "options": {"A": "1", "B": "2", "C": "3", "D": None}, "answer": "B"}, ""),
        ({"question": "Which is even?", "options": '["1", "2", "3"]', "answer": "B"}, ""),
        ({"question": "Which is even?", "choices": {"text": ["1", "2", "3"], "label": ["A", "B", "C"]}, "answerKey": "B"}, ""),
        ({"question": "Which is even?", "choices": {"text": ["1", "2", "3"], "label": ["1", "2", "3"]}, "answerKey": "2"}, ""),
        ({"question_stem": "Which is even?", "choices": {"text": ["1", "2", "3"], "label": list("ABC")}, "answerKey": "B"}, ""),
        (EVEN | {"answer": 1.0}, ""),
    ],
)
def test_options_of_a_multiple_choice_row_are_in_the_prompt(tmp_path: Path, row: dict[str, Any], options: str) -> None:
    (problem,) = loaded(tmp_path, row, options=options)
    assert problem.prompt[0]["content"] == "Which is even?\n\nA) 1\nB) 2\nC) 3"
    assert problem.answer == {"letter": "B", "options": ["1", "2", "3"]}


def test_uri_options_apply_to_rows_in_known_formats(tmp_path: Path) -> None:
    row = {"problem": "?", "solution": r"\boxed{1}", "thought": "Hm.", "name": "p7", "long": "One, since..."}
    (problem,) = loaded(tmp_path, row, options="?thinking=thought&id=name&solution=long")
    assert (problem.id, problem.answer) == ("p7", "1")
    assert (problem.meta["thinking"], problem.meta["solution"]) == ("Hm.", "One, since...")


OLYMPIAD = {"question": "How many?", "solution": ["First.", "Second."], "context": "Of cats.", "unit": "m", "error": None}


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ({"final_answer": ["2"], "is_multiple_answer": False}, "2"),
        ({"final_answer": ["2,3"], "is_multiple_answer": True}, "2,3"),
        ({"final_answer": ["2", "3"], "is_multiple_answer": True}, "2, 3"),
        ({"final_answer": ["2", "\\sqrt{4}"], "is_multiple_answer": False}, ["2", "\\sqrt{4}"]),
        ({"final_answer": ["$4$"], "error": "1e-1"}, {"gold": "$4$", "tolerance": 0.025}),
        ({"final_answer": ["4"], "error": "0.1,0.2"}, "4"),
        ({"final_answer": ["4"], "error": "1e400"}, "4"),
        ({"final_answer": "5"}, "5"),
        ({"final_answer": 5}, "5"),
        ({"final_answer": None, "solution": "So \\boxed{7}."}, "7"),
        ({"final_answer": ["9"], "answer": float("nan")}, "9"),
    ],
)
def test_final_answer_is_the_gold_answer(tmp_path: Path, row: dict[str, Any], answer: Any) -> None:
    (problem,) = loaded(tmp_path, OLYMPIAD | row)
    assert problem.answer == answer
    assert problem.prompt[0]["content"] == "Of cats.\n\nHow many?"
    assert problem.meta["unit"] == "m"
    assert "First.\n\nSecond." in problem.meta["solution"] or "boxed" in problem.meta["solution"]


def test_an_olympiad_row_is_judged_with_its_tolerance(tmp_path: Path) -> None:
    (problem,) = loaded(tmp_path, OLYMPIAD | {"final_answer": ["4"], "error": "0.1"})
    assert [tenfold.verify(problem.answer, f"\\boxed{{{number}}}").score for number in ("4.05", "4.2")] == [1, 0]


MISSING = [None, float("nan"), "", "  ", "nan", "NaN", "<NA>", [], [None], ["", float("nan")]]


@pytest.mark.parametrize("answer", MISSING, ids=repr)
@pytest.mark.parametrize("form", [{"question": "2+2?"}, {"problem": "2+2?", "solution": "Four."}, EVEN], ids=str)
def test_a_missing_answer_is_invalid(tmp_path: Path, answer: Any, form: dict[str, Any]) -> None:
    rows = [form | {"answer": answer}, form | {"answer": "2"}]
    (tmp_path / "lab.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    env = TextEnv(f"jsonl:{tmp_path}/lab.jsonl", "science", invalid_gold="drop")
    assert len(env.problems) == 1
    with pytest.warns(UserWarning, match="1 of 2 problems cannot be used"):
        TextEnv(f"jsonl:{tmp_path}/lab.jsonl", "science")
    with pytest.raises(UserError, match="1 of 2"):
        TextEnv(f"jsonl:{tmp_path}/lab.jsonl", "science", invalid_gold="error")
    lost = sources.load(f"jsonl:{tmp_path}/lab.jsonl")[0]
    assert lost.answer is None
    assert lost.meta["invalid_gold"]
    assert tenfold.verifiers.load("science")(lost, "\\boxed{nan}").score is None


def test_the_next_column_is_used_if_the_first_is_missing(tmp_path: Path) -> None:
    rows = [{"prompt": None, "question": "2+2?", "answer": "", "target": 4}, {"question": "1+1?", "answer": "None"}]
    four, none = loaded(tmp_path, *rows)
    assert (four.prompt[0]["content"], four.answer) == ("2+2?", 4)
    assert none.answer == "None", "it is an answer to some questions"


@pytest.mark.parametrize("prompt", [None, "", "  ", []], ids=repr)
def test_a_row_without_a_prompt_is_invalid(tmp_path: Path, prompt: Any) -> None:
    lost, good = loaded(tmp_path, {"prompt": prompt, "answer": "4"}, {"prompt": "2+2?", "answer": "4"})
    assert lost.meta["invalid_gold"] == "the prompt is empty"
    assert (lost.answer, good.answer) == (None, "4")


@pytest.mark.parametrize(
    "row",
    [
        EVEN | {"question": "", "answer": "B"},
        {"Question": None, "Correct Answer": "2", "Incorrect Answer 1": "1"},
        {"prompt": None, "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
        {"uid": "a", "category": "hard", "prompt": None, "answer": "4"},
        {"query": None, "checklist": [{"name": "clear", "criteria_description": "It is clear."}]},
        {"text": None, "prompt": None, "code": "def two(): return 2", "test_list": ["assert two() == 2"]},
        {"prompt": None, "test": "def check(two): assert two() == 2", "entry_point": "two"},
        {"question_content": None, "public_test_cases": '[{"testtype": "stdin", "input": "", "output": ""}]'},
    ],
    ids=lambda row: " ".join(row),
)
def test_a_row_of_a_known_format_without_a_prompt_is_invalid(tmp_path: Path, row: dict[str, Any]) -> None:
    lost, _ = loaded(tmp_path, row, {"question": "2+2?", "answer": 4})
    assert (lost.meta["invalid_gold"], lost.answer, lost.prompt[0]["content"]) == ("the prompt is empty", None, "")


@pytest.mark.parametrize(
    ("row", "prompt", "answer"),
    [
        ({"uid": 1, "category": "sums", "prompt": "2+2?", "target": "4"}, "2+2?", "4"),
        ({"uid": 1, "category": "hard", "prompt": [{"role": "user", "content": "2+2?"}], "answer": "4"}, "2+2?", "4"),
        ({"uid": 1, "query": "Write.", "checklist": [{"name": "clear"}]}, "Write.", [{"name": "clear"}]),
        (
            {"CONVERSATION": [{"role": "user", "content": "2+2?"}], "TARGET_QUESTION": "Is it 4?", "PASS_CRITERIA": None},
            "2+2?",
            {"question": "Is it 4?", "passing_answer": "YES"},
        ),
        ({"question": "2+2?", "answer": "#### 4"}, "2+2?", "4"),
        ({"question": "2+2?", "answer": "Sum\n#### Step 1\nIt is 4."}, "2+2?", "Sum\n#### Step 1\nIt is 4."),
        (
            {"question": "0/0?", "options": ["NaN", "0"], "answer": "A"},
            "0/0?\n\nA) NaN\nB) 0",
            {"letter": "A", "options": ["NaN", "0"]},
        ),
    ],
)
def test_columns_and_values_identify_the_format(tmp_path: Path, row: dict[str, Any], prompt: str, answer: Any) -> None:
    (problem,) = loaded(tmp_path, row)
    assert (problem.prompt[0]["content"], problem.answer) == (prompt, answer)


def test_missing_values_of_pandas_are_missing(tmp_path: Path) -> None:
    numbers = pandas.array([1, None, 3], dtype="Int64")
    table = pandas.DataFrame({"question": ["a", "b", "c"], "answer": numbers, "id": ["x", None, "x"]})
    table.to_parquet(tmp_path / "rows.parquet")
    found = sources.load(f"parquet:{tmp_path}/rows.parquet")
    assert [problem.answer for problem in found] == [1, None, 3]
    assert [problem.id for problem in found] == ["x", "rows/1", "x#2"]


def test_repeated_ids_are_numbered(tmp_path: Path) -> None:
    found = loaded(tmp_path, *({"id": id, "question": f"{n}?", "answer": n} for n, id in enumerate([7, 7, "7", None, "", 8])))
    assert [problem.id for problem in found] == ["7", "7#2", "7#3", "rows/3", "rows/4", "8"]
    found = loaded(tmp_path, *({"id": id, "question": f"{n}?", "answer": n} for n, id in enumerate(["a", "a", "a#2"])))
    assert len({problem.id for problem in found}) == 3


@pytest.mark.parametrize(
    "row",
    [
        {"question": "2 + 2?", "answer": "4"},
        {"problem": "2 + 2?", "solution": "It is \\boxed{4}.", "answer": "4"},
        EVEN | {"answer": "B"},
    ],
)
def test_a_column_with_reasoning_is_stored_in_every_format(tmp_path: Path, row: dict[str, Any]) -> None:
    (problem,) = loaded(tmp_path, row | {"thinking": "Let me see.", "other": "I see."})
    assert problem.meta["thinking"] == "Let me see."
    (problem,) = loaded(tmp_path, row | {"thinking": "Let me see.", "other": "I see."}, options="?thinking=other")
    assert problem.meta["thinking"] == "I see."


def test_the_number_of_the_row_stands_for_a_missing_id(tmp_path: Path) -> None:
    rows = [{"name": name, "question": "?", "answer": 1} for name in ("x", None, "")]
    assert [problem.id for problem in loaded(tmp_path, *rows, options="?id=name")] == ["x", "rows/1", "rows/2"]
    with pytest.raises(UserError, match="row 1: there is no column 'nmae'; the columns are name, question, answer"):
        loaded(tmp_path, *rows, options="?id=nmae")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (numpy.int64(3), 3),
        (numpy.float32(0.5), 0.5),
        (numpy.bool_(True), True),
        (numpy.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (numpy.array(["a", None], dtype=object), ["a", None]),
        (numpy.str_("a"), "a"),
        (numpy.float64("nan"), None),
        (pandas.NA, None),
        (pandas.NaT, None),
        (decimal.Decimal("5"), 5),
        (decimal.Decimal("0.25"), "0.25"),
        (decimal.Decimal("Infinity"), "Infinity"),
        pytest.param({"b", "c", "a"}, ["a", "b", "c"], id="set"),
        (datetime.date(2024, 5, 1), "2024-05-01"),
        (pandas.Timestamp("2024-05-01"), "2024-05-01T00:00:00"),
        (b"caf\xc3\xa9", "caf\u00e9"),
        ({"a": (1, numpy.int8(2))}, {"a": [1, 2]}),
        ("half \ud800", "half \ufffd"),
        (["\ud83d\ude00"], ["\U0001f600"]),
        (True, True),
        (10**30, 10**30),
    ],
    ids=str,
)
def test_values_of_other_libraries_become_plain_python(value: Any, plain: Any) -> None:
    found = cells.plain(value)
    assert (found, type(found)) == (plain, type(plain))
    json.dumps(found)


@pytest.mark.parametrize(
    ("solution", "gold"),
    [
        (r"So $\boxed 2$.", "2"),
        (r"So $\boxed2$.", "2"),
        (r"So \boxed 12 apples", "12"),
        (r"Not yet $\boxed{5}$. So it is $\boxed 1,234$", "1,234"),
        (r"So $\boxed -3$", "-3"),
        (r"So $\boxed\frac12$.", r"\frac12"),
        (r"So $\boxed\frac{1}{2}$.", r"\frac{1}{2}"),
        (r"So $\boxed\dfrac{\sqrt{3}}{2}$.", r"\dfrac{\sqrt{3}}{2}"),
        (r"So $\boxed \pi$.", r"\pi"),
        (r"So $\boxed\sqrt[3]{2}$.", r"\sqrt[3]{2}"),
        (r"So $\boxed x$.", "x"),
        (r"So $\fbox 4$.", "4"),
        ("First $\\boxed 1$.\n\nThen $\\boxed{2}$.", "2"),
        (r"So $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"So $\boxed$.", None),
        (r"So $\boxed{1$.", None),
        (r"So $\boxed\frac{1}{$.", None),
        ("No box.", None),
        ("\\boxed", None),
    ],
)
def test_a_box_without_braces_contains_one_token_as_in_tex(solution: str, gold: str | None) -> None:
    assert boxed(solution) == gold


def test_an_unreadable_row_does_not_affect_other_rows(tmp_path: Path) -> None:
    boxes = [r"$\boxed 2$", r"$\boxed{3}$", r"$\boxed{4$", r"$\boxed\frac12$"]
    rows = [{"problem": f"{n}?", "solution": f"It is {box}."} for n, box in enumerate(boxes)]
    found = loaded(tmp_path, *rows)
    assert [problem.answer for problem in found] == ["2", "3", None, r"\frac12"]
    assert [problem.id for problem, _ in invalid_gold("math", found)] == ["rows/2"]
    env = TextEnv(f"jsonl:{tmp_path}/rows.jsonl", "math", invalid_gold="drop")
    assert [problem.id for problem in env.problems] == ["rows/0", "rows/1", "rows/3"]


def test_answers_without_the_mark_are_invalid(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        {"question": "?", "answer": "so #### 4"},
        {"question": "?", "answer": "so 4"},
        options="?answer_after=%23%23%23%23",
    )
    assert [problem.answer for problem in found] == ["4", None]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "2+2?", "answer": 4}, "row 1: there is no column prompt or question"),
        ({"question": "2+2?", "label": 4}, "row 1: there is no column answer or gold"),
        ({"prompt": 5, "answer": 4}, "row 1: a prompt must be text or a list of messages"),
        ({"prompt": ["a", "b"], "answer": 4}, "row 1: a prompt must be text or a list of messages"),
        ({"prompt": [{"role": "user", "content": [{"type": "image_url"}]}], "answer": 4}, "row 1: .*'image_url'"),
        ({"prompt": [{"role": "user", "content": [{"type": "input_audio"}]}], "answer": 4}, "row 1: .*'input_audio'"),
        ({"question": "?", "options": ["a", "b"], "answer": "c"}, "row 1: .*there is no option C"),
        ({"messages": [{"role": "user", "content": "?"}], "answer": 4, "tools": 5}, "row 1: tools must be a list of objects"),
        ({"messages": [{"role": "user", "content": "?"}], "answer": 4, "tools": "5"}, "row 1: tools must be a list of objects"),
    ],
)  # fmt: skip
def test_an_impossible_row_gives_a_one_line_error(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        loaded(tmp_path, row)
    assert "\n" not in str(error.value)


def test_calls_may_be_absent_or_without_arguments(tmp_path: Path) -> None:
    no_calls = {"role": "assistant", "content": "4.", "tool_calls": "[]"}
    no_arguments = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "now", "arguments": "null"}}]}
    question = {"role": "user", "content": "2+2?"}
    (problem,) = loaded(tmp_path, {"messages": [question, no_calls, question, no_arguments, question], "answer": 4})
    assert "tool_calls" not in problem.prompt[1]
    assert problem.prompt[3]["tool_calls"][0]["function"] == {"name": "now", "arguments": {}}


def test_tools_of_a_conversation_are_declared_in_its_first_message(lab: Path) -> None:
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
    turn = {"role": "user", "content": "1 + 1?"}
    rows = [{"messages": [turn], "answer": 2, "tools": [tool]}, {"messages": [{**turn, "tools": [tool]}], "answer": 2}]
    (lab / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for problem in sources.load("jsonl:rows.jsonl"):
        assert problem.prompt == ({**turn, "tools": [tool]},)
