import dataclasses
import json

import pytest

from tenfold.core import Problem, Status
from tenfold.envs import problems
from tenfold.verifiers import load


@pytest.mark.parametrize("generator", ["chain_sum", "gcd", "number_sorting", "simple_equations", "leg_counting"])
def test_the_generators_own_answers_win_and_others_lose(generator: str) -> None:
    verifier = load("reasoning_gym")
    for problem in problems.load(f"reasoning_gym:{generator}?size=3"):
        assert verifier(problem, f"\\boxed{{{problem.answer}}}").score == 1
        assert verifier(problem, "\\boxed{no such thing}").score == 0


@pytest.mark.parametrize("generator", ["arc_agi", "rearc"])
def test_a_grid_that_has_been_stored_as_json_is_still_judged(generator: str) -> None:
    (problem,) = problems.load(f"reasoning_gym:{generator}?size=1")
    stored = Problem(**json.loads(json.dumps(dataclasses.asdict(problem))))
    assert load("reasoning_gym")(stored, f"\\boxed{{{problem.answer}}}").score == 1
    assert load("reasoning_gym")(stored, "\\boxed{0 0}").score == 0


def test_a_grid_in_an_answer_tag_is_judged_as_it_stands() -> None:
    (problem,) = problems.load("reasoning_gym:rotate_matrix?size=1")
    assert load("reasoning_gym")(problem, f"<think>hm</think>\n<answer>\n{problem.answer}\n</answer>").score == 1
    assert load("reasoning_gym")(problem, "<answer>\n1 2\n3 4\n</answer>").score == 0


def test_a_problem_from_elsewhere_is_undecided() -> None:
    import tenfold

    assert tenfold.verify("7", "7", verifier="reasoning_gym").status == Status.UNDECIDED
