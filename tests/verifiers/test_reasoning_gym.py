import dataclasses
import json
from pathlib import Path

import pytest

from tenfold.core import Problem, Status
from tenfold.envs.problems import sources
from tenfold.verifiers import invalid_gold, load, reasoning_gym


@pytest.mark.parametrize("generator", ["chain_sum", "gcd", "number_sorting", "simple_equations", "leg_counting"])
def test_generators_own_answer_is_correct_and_other_is_incorrect(generator: str) -> None:
    verifier = load("reasoning_gym")
    for problem in sources.load(f"reasoning_gym:{generator}?size=3"):
        assert verifier(problem, f"\\boxed{{{problem.answer}}}").score == 1
        assert verifier(problem, "\\boxed{no such thing}").score == 0


@pytest.mark.parametrize("generator", ["arc_agi", "rearc"])
def test_grid_stored_as_json_is_judged(generator: str) -> None:
    (problem,) = sources.load(f"reasoning_gym:{generator}?size=1")
    stored = Problem(**json.loads(json.dumps(dataclasses.asdict(problem))))
    assert load("reasoning_gym")(stored, f"\\boxed{{{problem.answer}}}").score == 1
    assert load("reasoning_gym")(stored, "\\boxed{0 0}").score == 0


def test_grid_in_answer_tag_is_judged_unchanged() -> None:
    (problem,) = sources.load("reasoning_gym:rotate_matrix?size=1")
    assert load("reasoning_gym")(problem, f"<think>hm</think>\n<answer>\n{problem.answer}\n</answer>").score == 1
    incorrect = load("reasoning_gym")(problem, "<answer>\n1 2\n3 4\n</answer>")
    assert (incorrect.score, incorrect.reason) == (0, "1 2 3 4 scores 0")


def problem_of(generator: str, gold: str, **metadata: object) -> Problem:
    return Problem("p", ({"role": "user", "content": "?"},), gold, "", {"metadata": {"source_dataset": generator, **metadata}})


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("<answer>5</answer>", 1),
        ("\\boxed{6}, no: <answer>5</answer>", 1),
        (r"\boxed{\text{5}}", 1),
        ("<answer>5</answer> \\boxed{6}", 0),
        ("<answer>5</answer> \\boxed{6", 0),
        ("<answer>5</answer> or 6", 0),
        ("<answer>6</answer> or 5", 0),
    ],
)
def test_only_the_last_answer_counts(response: str, score: int) -> None:
    assert load("reasoning_gym")(problem_of("chain_sum", "5"), response).score == score


@pytest.mark.parametrize(
    ("problem", "correct", "incorrect"),
    [
        (problem_of("game_of_life_halting", "True"), ["True", "true"], ["False", "x"]),
        (problem_of("game_of_life_halting", "False"), ["False", r"\text{False}"], ["True", "x"]),
        (problem_of("coin_flip", "0.109375"), ["7/64", "0.1094"], ["0", "0.1", "0.11"]),
        (problem_of("coin_flip", "3.051757812e-05"), ["1/32768", "3.05e-5"], ["0", "0.0001"]),
        (problem_of("complex_arithmetic", "5.0 + 2.0i", result=[5.0, 2.0]), ["5 + 2i"], ["nan", "nan+nani", "5 + nani"]),
        (
            problem_of("puzzle24", "(8-(3-1))*4", numbers=[8, 3, 1, 4]),
            ["(8 - (3 - 1)) * 4", "4*(8-3+1)"],
            ["6*4*1*1", "3*8+1/4", "8*3*1**4", "8*3*1"],
        ),
    ],
)
def test_answer_that_only_the_scorer_of_the_library_accepts_is_incorrect(
    problem: Problem, correct: list[str], incorrect: list[str]
) -> None:
    verifier = load("reasoning_gym")
    assert [verifier(problem, f"<answer>{answer}</answer>").score for answer in correct] == [1] * len(correct)
    assert [verifier(problem, f"<answer>{answer}</answer>").score for answer in incorrect] == [0] * len(incorrect)


def test_problem_of_other_source_is_undecided() -> None:
    import tenfold

    assert tenfold.verify("7", "7", verifier="reasoning_gym").status == Status.UNDECIDED


@pytest.mark.parametrize("metadata", [None, 3, "source_dataset", {}])
def test_problem_with_other_metadata_is_invalid(metadata: object) -> None:
    problem = Problem("p", (), "7", "", {"metadata": metadata})
    assert [reason for _, reason in invalid_gold("reasoning_gym", [problem])] == [
        "the problem does not come from a reasoning-gym generator"
    ]


EVALUATED = (
    *("string_insertion", "spiral_matrix", "binary_matrix", "n_queens", "puzzle24", "countdown", "polynomial_multiplication"),
    *("simple_integration", "intermediate_integration"),
)
"""Generators whose scorers evaluate the answer."""


@pytest.mark.parametrize("generator", EVALUATED)
def test_answer_is_not_executed(generator: str, tmp_path: Path) -> None:
    (problem,) = sources.load(f"reasoning_gym:{generator}?size=1")
    hit = tmp_path / "hit"
    programs = (
        f"__import__('os').mkdir('{hit}')",
        f"[__import__('os').mkdir('{hit}')]",
        f"[c for c in ().__class__.__base__.__subclasses__() if c.__name__ == 'Popen'][0](['touch', '{hit}'])",
        f"sqrt(\"__import__('os').mkdir('{hit}')\")",
        f"open('{hit}', 'w')",
        f'(lambda: exec(\'open("{hit}", "w")\'))()',
        "(" * 5000,
        "[" * 300 + "]" * 300,
    )
    verifier = load("reasoning_gym")
    for program in programs:
        verdict = verifier(problem, f"<answer>{program}</answer>")
        assert (verdict.status, verdict.score) == (Status.SCORED, 0), verdict
        entry = {"question": "", "answer": problem.answer, "metadata": problem.meta["metadata"]}
        assert reasoning_gym.pool.shared("tenfold.verifiers.reasoning_gym:score").call(entry, program) < 1
    assert not hit.exists()
    assert verifier(problem, f"<answer>{problem.answer}</answer>").score == 1


@pytest.mark.parametrize(
    ("generator", "metadata", "gold", "answer"),
    [
        ("polynomial_multiplication", {"variables": ["x"], "result": "x**2 + 3*x + 2"}, "x**2 + 3*x + 2", "2 + 3*x + x**2"),
        ("simple_integration", {"integrand": "2*x + cos(x)", "variable": "x"}, "x**2 + sin(x) + C", "C + sin(x) + x**2 - 4"),
        ("bitwise_arithmetic", {"problem": "(0x1f & 0xf) + 1"}, "0x10", "16"),
    ],
)
def test_other_form_of_correct_answer_is_correct(generator: str, metadata: dict, gold: str, answer: str) -> None:
    entry = {"question": "", "answer": gold, "metadata": metadata | {"source_dataset": generator}}
    assert reasoning_gym.pool.shared("tenfold.verifiers.reasoning_gym:score").call(entry, answer) == 1
