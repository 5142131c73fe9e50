import json
import tempfile
from pathlib import Path

import pytest

import tenfold
from tenfold.core import UserError
from tenfold.envs.problems import sources

LISTED = {"question": "Which is even?", "options": ["1", "2", "3", "5"], "answer": "2", "answer_letter": "B", "uuid": "u1"}
NAMED = {"question": "Which is a metal?", "options": {"A": "neon", "B": "iron"}, "answer": "B"}
COUNTED = {"question": "Which is a metal?", "choices": ["neon", "argon", "iron"], "answer": 2}
GPQA = {
    "Question": "Which is a metal?",
    "Correct Answer": "iron",
    "Incorrect Answer 1": "neon",
    "Incorrect Answer 2": "argon",
    "Incorrect Answer 3": "xenon",
    "Record ID": "rec1",
}


def loaded(tmp_path: Path, row: dict, options: str = "") -> tenfold.Problem:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    (folder / "rows.jsonl").write_text(json.dumps(row) + "\n")
    return sources.load(f"jsonl:{folder}/rows.jsonl{options}")[0]


@pytest.mark.parametrize(("row", "letter", "id"), [(LISTED, "B", "u1"), (NAMED, "B", "rows/0"), (COUNTED, "C", "rows/0")])
def test_options_of_a_row_keep_their_order(tmp_path: Path, row: dict, letter: str, id: str) -> None:
    problem = loaded(tmp_path, row)
    assert (problem.id, problem.answer["letter"]) == (id, letter)
    assert "A) 1\nB) 2" in problem.prompt[0]["content"] or "A) neon\nB) " in problem.prompt[0]["content"]


def test_shuffled_order_depends_on_the_seed_and_the_question(tmp_path: Path) -> None:
    orders = {seed: tuple(loaded(tmp_path, LISTED, f"?shuffle={seed}").answer["options"]) for seed in range(8)}
    assert len(set(orders.values())) > 3
    again = loaded(tmp_path, LISTED, "?shuffle=3").answer
    assert tuple(again["options"]) == orders[3]
    assert again["options"]["ABCD".index(again["letter"])] == "2"


def test_options_of_gpqa_are_shuffled(tmp_path: Path) -> None:
    letters = {loaded(tmp_path, GPQA | {"Question": f"Metal {n}?"}).answer["letter"] for n in range(20)}
    assert letters == set("ABCD")
    problem = loaded(tmp_path, GPQA)
    assert problem.id == "rec1"
    assert problem.answer["options"]["ABCD".index(problem.answer["letter"])] == "iron"
    numbers = loaded(tmp_path, GPQA | {f"Incorrect Answer {number}": number - 1 for number in (1, 2, 3)})
    assert sorted(numbers.answer["options"]) == ["0", "1", "2", "iron"]


def test_one_environment_judges_choices_and_open_problems(tmp_path: Path) -> None:
    rows = [LISTED, {"question": "How far is 3000 m?", "answer": "3 km"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    env = tenfold.make("tenfold/Science-v0", problems=f"jsonl:{tmp_path}/rows.jsonl")
    for index, response in enumerate([r"\boxed{B}", r"\boxed{3000\text{ m}}"]):
        env.reset(options={"problem": index})
        assert env.step(response)[1] == 1


@pytest.mark.parametrize(
    "row",
    [
        NAMED | {"answer": "copper"},
        NAMED | {"options": {"A": "neon", "C": "iron"}},
        LISTED | {"options": ["2"]},
        LISTED | {"options": ["2", "", "3", "5"]},
        COUNTED | {"answer": 7},
    ],
)
def test_a_row_without_a_correct_option_is_reported(tmp_path: Path, row: dict) -> None:
    with pytest.raises(UserError, match="rows/0"):
        loaded(tmp_path, row)
