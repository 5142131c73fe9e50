import json
from pathlib import Path

import pytest

import tenfold
from tenfold.core import UserError
from tenfold.envs.problems import sources
from tenfold.envs.problems.math import champ_gold
from tenfold.verifiers import invalid_gold

ROWS = {
    "gsm8k": {"question": "Two and two?", "answer": "2 + 2 = <<2+2=4>>4\n#### 4"},
    "svamp": {"ID": "chal-1", "Body": "There are 3 pens.", "Question": "How many with 2 more?", "Answer": 5.0},
    "math": {"problem": "Half?", "solution": r"It is $\boxed{\frac{1}{2}}$.", "level": "Level 1", "type": "Algebra"},
    "math500": {"problem": "Half?", "solution": "One over two.", "answer": r"\frac{1}{2}", "unique_id": "a/1.json"},
}


def loaded(tmp_path: Path, row: dict) -> tenfold.Problem:
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    return sources.load(f"jsonl:{tmp_path}/rows.jsonl")[0]


@pytest.mark.parametrize(
    ("form", "id", "prompt", "answer"),
    [
        ("gsm8k", "rows/0", "Two and two?", "4"),
        ("svamp", "chal-1", "There are 3 pens. How many with 2 more?", "5"),
        ("math", "rows/0", "Half?", r"\frac{1}{2}"),
        ("math500", "a/1.json", "Half?", r"\frac{1}{2}"),
    ],
)
def test_rows_in_known_formats_need_no_options(tmp_path: Path, form: str, id: str, prompt: str, answer: str) -> None:
    problem = loaded(tmp_path, ROWS[form])
    assert (problem.id, problem.prompt[0]["content"], problem.answer) == (id, prompt, answer)


def test_an_unclosed_box_is_reported_as_invalid_gold(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"row 1: the solution has no .*rows/0"):
        loaded(tmp_path, {"problem": "?", "solution": r"\boxed{1"})


@pytest.mark.parametrize(
    ("answer", "golds"),
    [
        ("@@C(10, 5)@@, or equivalently @@252@@", ["C(10, 5)", "252"]),
        ("0 (i.e., no real-valued zeros)", ["0"]),
        ("-3 is the only possible value", ["-3"]),
        ("98 values", ["98"]),
        ("The limit exists and is equal to @@2/3@@", ["2/3"]),
        ("No such values", ["No such values"]),
        ("@@x=16@@ and @@x=81@@", ["x=16 and x=81"]),
    ],
)
def test_champ_gold_extracts_the_answers_from_prose(answer: str, golds: list[str]) -> None:
    assert champ_gold(answer) == golds


def test_all_gold_answers_of_champ_are_valid() -> None:
    champ = sources.load("champ:")
    assert len(champ) == 270
    assert invalid_gold("math", champ) == []
    problem = next(problem for problem in champ if len(problem.answer) == 2)
    for gold in problem.answer:
        assert tenfold.verify(problem.answer, f"\\boxed{{{gold}}}").score == 1


def test_math_python_provides_an_interpreter(sandboxed: None) -> None:
    env = tenfold.make("tenfold/MathPython-v0")
    _, info = env.reset(options={"problem": 0})
    assert "Python interpreter" in info["messages"][0]["content"]
    reply = env.step('<tool_call>\n{"name": "python", "arguments": {"code": "240 - 1"}}\n</tool_call>')[0]
    assert reply == "239"
    assert env.step(r"\boxed{239}")[1] == 1
    env.close()
