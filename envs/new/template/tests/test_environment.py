"""The problems, the verifier and the environment."""

import pytest
import tenfold
from tenfold.envs import check

from roman_numerals.environments import ID
from roman_numerals.numerals import from_roman, to_roman
from roman_numerals.problems import problem, problems
from roman_numerals.verifier import verify


def test_numerals_can_be_read_and_written() -> None:
    assert [to_roman(number) for number in (4, 9, 14, 48, 1994)] == ["IV", "IX", "XIV", "XLVIII", "MCMXCIV"]
    assert all(from_roman(to_roman(number)) == number for number in range(1, 4000))
    assert [from_roman(numeral) for numeral in ("", "IIII", "VX", "MMMM")] == [None] * 4


@pytest.mark.parametrize("number", [1, 4, 14, 48, 399, 3999])
def test_gold_answers_and_solutions_are_right_and_near_misses_are_not(number: int) -> None:
    posed = problem(number)
    right = (str(posed.answer), f"It is {posed.answer}.", str(posed.meta["solution"]))
    assert [verify(posed, response).score for response in right] == [1, 1, 1]
    misses = posed.meta["near_misses"]
    assert isinstance(misses, list)
    assert misses
    assert [miss for miss in misses if verify(posed, miss).score != 0] == []


def test_a_draft_in_the_reasoning_is_no_answer() -> None:
    responses = ("<think>First X.</think>It is XIV.", "<think>Perhaps XIV", "<think>XIV</think>It is XV.", "")
    assert [verify(problem(14), response).score for response in responses] == [1, 0, 0, 0]


def test_no_problem_of_training_is_held_out() -> None:
    train, held_out = ({each.id for each in problems(part, size=1000)} for part in ("train", "held_out"))
    assert len(train) == 320
    assert len(held_out) == 80
    assert not train & held_out


def test_the_environment_passes_the_checks() -> None:
    findings = [*check.check(ID)]
    check.require(findings)
    assert not [str(finding) for finding in findings if finding.level == check.Level.WARNING]


def test_the_environment_can_be_played() -> None:
    environment = tenfold.make(ID)
    prompt, info = environment.reset(options={"problem": 0})
    assert prompt.startswith("Write ")
    assert info["problem_id"].startswith("roman_numerals/")
    assert environment.step("no idea")[1] == 0
