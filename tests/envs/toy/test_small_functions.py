"""Small functions: prompts, correct programs, and incorrect one-line programs."""

import pytest

from tenfold.core import UserError
from tenfold.envs.problems import sources
from tenfold.envs.toy.small_functions import one_line, program, small_functions, value
from tenfold.verifiers import load

STEPS = [("add", 3), ("times", 4), ("take", 9)]


def test_a_program_has_one_statement_for_each_step() -> None:
    assert program(STEPS) == "def f(x):\n x+=3\n x*=4\n x-=9\n return x"
    assert value(STEPS, 2) == (2 + 3) * 4 - 9


@pytest.mark.usefixtures("sandboxed")
def test_worked_solutions_pass_and_one_line_solutions_can_fail() -> None:
    judge = load("code")
    for problem in small_functions(20, seed=3):
        assert judge(problem, problem.meta["solution"]).score == 1, problem.id
    hasty = [problem for problem in small_functions(40, seed=3, worked=0.0) if "add 2, times" in problem.id]
    assert hasty
    assert all(judge(problem, problem.meta["solution"]).score == 0 for problem in hasty)
    assert one_line([("times", 4), ("add", 3)]) == "def f(x):\n return x*4+3"


def test_no_prompt_is_in_both_parts() -> None:
    uri = "generate:tenfold.envs.toy.small_functions:small_functions?size=200&part="
    train, held_out = ({problem.id for problem in sources.load(uri + part)} for part in ("train", "held_out"))
    assert len(train) == len(held_out) == 200
    assert not train & held_out
    with pytest.raises(UserError, match="part: expected all, train or held_out, got 'test'"):
        list(small_functions(1, part="test"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("size=many", "size: expected an integer >= 1, got 'many'"),
        ("size=2.5", "size: expected an integer >= 1, got 2.5"),
        ("size=1&min_steps=0&max_steps=0", "min_steps: expected an integer >= 1, got 0"),
        ("size=1&min_steps=3&max_steps=2", "max_steps: expected an integer >= 3, got 2"),
        ("size=1&worked=most", "worked: expected a number from 0 to 1, got 'most'"),
    ],
)
def test_wrong_options_give_a_one_line_error(options: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        sources.load(f"generate:tenfold.envs.toy.small_functions:small_functions?{options}")


def test_too_many_functions_give_an_error() -> None:
    with pytest.raises(UserError, match="size=25: there are only 24 functions of 1 to 1 steps"):
        list(small_functions(25, part="all", min_steps=1, max_steps=1))
    with pytest.raises(UserError, match=r"size=24: there are only \d+ functions of 1 to 1 steps in part=held_out"):
        list(small_functions(24, part="held_out", min_steps=1, max_steps=1))
    assert len(list(small_functions(24, part="all", min_steps=1, max_steps=1))) == 24
