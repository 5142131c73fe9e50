"""`tenfold env check`: each defect is found, with what to do about it."""

import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import tenfold
from tenfold import Problem, UserError, Verdict
from tenfold.core import Message, Status
from tenfold.envs import check
from tenfold.envs.check import Finding, Level
from tenfold.envs.text import Text

ROWS = [{"question": f"{n} + {n}?", "answer": 2 * n} for n in range(1, 9)]


def findings(id: str) -> dict[str, Finding]:
    return {finding.name: finding for finding in check.check(id)}


def levels(id: str, *expected: Level) -> dict[str, Finding]:
    """Returns the findings of these levels, by name."""
    return {name: finding for name, finding in findings(id).items() if finding.level in expected}


def test_a_sound_environment_passes_every_check() -> None:
    tenfold.register("lab/Sound-v0", problems=ROWS)
    found = findings("lab/Sound-v0")
    assert [*found] == [
        *("gymnasium", "problems", "seeds", "gold", "empty", "echo", "constant", "swapped", "listed", "flood"),
        *("left out", "hostile", "process", "times"),
    ]
    assert {finding.level for finding in found.values()} == {Level.PASSES, Level.NOTE}
    assert found["gold"].text == "8 gold answers score 1"
    assert found["constant"].text == "always '2', the most frequent gold answer, wins 1 of 8 problems (12%; by chance 12%)"
    check.require([*found.values()])


def test_each_finding_says_what_to_do() -> None:
    finding = Finding(Level.FAILS, "gold", "no", "do this")
    assert str(finding) == "fails    gold       no\n                    -> do this"
    with pytest.raises(UserError, match="1 of 2 checks fail: gold"):
        check.require([finding, Finding(Level.NOTE, "times", "fast")])


def lenient(response: str) -> bool:
    return True


def strict(gold: object, answer: str) -> bool:
    return answer == f"exactly {gold}"


def contains(gold: object, response: str) -> bool:
    return str(gold) in response


def crashes(gold: object, response: str) -> bool:
    if not response.isascii():
        raise ValueError("ascii only")
    return response == str(gold)


@pytest.mark.parametrize(
    ("verifier", "names"),
    [
        ("math", set()),
        (lenient, {"empty", "echo", "constant", "swapped", "listed", "flood", "process"}),
        (strict, {"gold", "process"}),
    ],
)
def test_wrong_answers_and_gold_answers_are_played(verifier: Any, names: set[str]) -> None:
    tenfold.register("lab/Played-v0", problems=ROWS, verifier=verifier)
    assert levels("lab/Played-v0", Level.FAILS, Level.WARNING).keys() == names


def test_a_prompt_that_contains_its_answer_is_found_by_the_echo() -> None:
    rows = [{"question": f"{n} + {n}? It is {2 * n}.", "answer": 2 * n} for n in range(1, 4)]
    tenfold.register("lab/Echo-v0", problems=rows, verifier=contains)
    assert "the prompt wins 3 of 3 problems (100%; by chance 0%), first problem" in findings("lab/Echo-v0")["echo"].text


def has_all_words(gold: list[dict[str, str]], response: str) -> bool:
    return all(item["word"] in response.split() for item in gold)


def test_the_solution_is_played_if_the_gold_answer_is_no_text() -> None:
    problems = [
        Problem(
            f"{n}", (Message(role="user", content=f"Use number {n}."),), [{"word": f"n{n}"}], "", {"solution": f"I use n{n}"}
        )
        for n in range(3)
    ]
    tenfold.register("lab/Words-v0", problems=problems, verifier=has_all_words)
    assert findings("lab/Words-v0")["gold"].text == "3 gold answers score 1"


def test_a_constant_that_solves_most_problems_is_a_warning() -> None:
    tenfold.register("lab/Constant-v0", problems=[{"question": f"{n}?", "answer": "yes"} for n in range(8)], verifier=contains)
    found = findings("lab/Constant-v0")["constant"]
    assert (found.level, found.text) == (
        Level.WARNING,
        "always 'yes' wins 8 of 8 problems (100%; by chance 0%), first problem 0",
    )
    assert "balance the gold answers" in found.remedy


def test_repeated_ids_and_unusable_problems_fail() -> None:
    problems = [
        Problem("same", (Message(role="user", content=f"{n}?"),), gold, "lab") for n, gold in enumerate(("1", r"\frac{1}{"))
    ]
    tenfold.register("lab/Ids-v0", problems=problems)
    with pytest.warns(UserWarning, match="1 of 2 problems cannot be used"):
        tenfold.make("lab/Ids-v0")
    found = levels("lab/Ids-v0", Level.FAILS)
    assert found["problems"].text == "1 ids occur several times, such as 'same'"
    assert "1 of 2 gold answers do not score 1; problem same cannot be used: " in found["gold"].text


class Lab(gymnasium.Env[str, str]):
    """An environment with one defect."""

    problems = range(4)

    def __init__(self, defect: str = ""):
        self.observation_space = self.action_space = Text()
        self.defect = defect

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        number = (options or {}).get("problem", 0)
        if self.defect == "random":
            number = random.SystemRandom().random()
        if self.defect == "seed":
            number = self.np_random.random()
        return f"problem {number}", {} if self.defect == "no info" else {"problem_id": str(number)}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        action.encode() if self.defect == "surrogates" else None
        warnings.warn("a name is deprecated", DeprecationWarning, stacklevel=2)  # as libraries do
        if self.defect == "NaN":
            return "", float("nan"), False, False, {}
        return "", float(action == "right"), True, False, {}


@pytest.mark.parametrize(
    ("defect", "name", "words"),
    [
        ("random", "seeds", "take randomness from self.np_random"),
        ("seed", "seeds", 'let options["problem"] alone decide'),
        ("surrogates", "hostile", "an environment must not raise"),
        ("NaN", "gymnasium", "Gymnasium's documentation of Env.reset and Env.step"),
    ],
)
def test_defects_of_a_class_are_found(defect: str, name: str, words: str) -> None:
    tenfold.register("lab/Lab-v0", entry_point=Lab, defect=defect)
    finding = levels("lab/Lab-v0", Level.FAILS)[name]
    assert words in finding.remedy
    assert "play." not in finding.text  # a method of the user's class, not of the checks


def undecided(gold: object, answer: str) -> Verdict | bool:
    return answer == str(gold) or Verdict(Status.UNDECIDED, None, "lab", "no judge is set")


def test_an_undecided_verdict_is_no_defect() -> None:
    tenfold.register("lab/Undecided-v0", problems=ROWS, verifier=undecided)
    assert levels("lab/Undecided-v0", Level.FAILS) == {}


def test_a_reward_that_is_nan_is_no_difference_between_instances() -> None:
    tenfold.register("lab/Lab-v0", entry_point=Lab, defect="NaN")
    assert findings("lab/Lab-v0")["seeds"].level == Level.PASSES


def test_an_environment_of_another_class_without_defects_passes(lab: Path) -> None:
    tenfold.register("lab/Lab-v0", entry_point=Lab)
    assert levels("lab/Lab-v0", Level.FAILS, Level.WARNING).keys() == {"process"}  # the class is an object, not a name
    assert "put its registration into a module" in findings("lab/Lab-v0")["process"].text
    (lab / "lab_own.py").write_text(
        "import tenfold\n"
        "rows = [{'question': f'{n} + {n}?', 'answer': 2 * n} for n in range(9)]\n"
        "tenfold.register('lab/Own-v0', problems=rows, verifier=lambda gold, answer: answer == str(gold))\n"
    )
    assert findings("lab_own:lab/Own-v0")["process"].level == Level.PASSES


def test_an_environment_that_differs_in_another_process_fails(lab: Path) -> None:
    (lab / "lab_other.py").write_text(
        "import os\n"
        "def problems():\n"
        "    import tenfold\n"
        "    for n in range(3):\n"
        "        yield tenfold.Problem(f'{n}-{os.getpid()}', ({'role': 'user', 'content': f'{n}?'},), str(n), 'lab')\n"
    )
    tenfold.register("lab/Other-v0", problems="generate:lab_other:problems")
    assert findings("lab/Other-v0")["process"].text == "it behaves differently in another process"


def test_an_environment_may_print(lab: Path) -> None:
    (lab / "lab_prints.py").write_text(
        "import atexit, sys\nif 'pytest' not in sys.modules:\n    print('begins')\n    atexit.register(print, 'ends')\n"
        "def problems():\n    import tenfold\n    yield tenfold.Problem('1', ({'role': 'user', 'content': '?'},), '2', 'lab')\n"
    )
    tenfold.register("lab/Prints-v0", problems="generate:lab_prints:problems")
    assert findings("lab/Prints-v0")["process"].level == Level.PASSES


def test_gold_answers_have_no_form_to_check() -> None:
    parts = ["math", {"name": "format", "weight": 0.2}, {"name": "length", "weight": 0.1}]
    tenfold.register("lab/Parts-v0", problems=ROWS, verifier=parts)
    assert findings("lab/Parts-v0")["gold"].text == "8 gold answers score 1"
    tenfold.register("lab/Parts-v0", problems=ROWS, verifier=[strict, {"name": "length", "weight": 0.1}])
    assert findings("lab/Parts-v0")["gold"].level == Level.FAILS


def test_many_rows_reach_the_other_process() -> None:
    tenfold.register("lab/Many-v0", problems=[{"question": f"{n} " * 50 + "?", "answer": n} for n in range(2_000)])
    assert findings("lab/Many-v0")["process"].level == Level.PASSES


def test_a_timeout_scores_0_and_is_no_defect() -> None:
    def slow(response: str) -> Verdict:
        return Verdict(Status.TIMEOUT, 0.0, "slow", "")

    tenfold.register("lab/Slow-v0", problems=ROWS, verifier=slow)
    assert levels("lab/Slow-v0", Level.FAILS).keys() == {"gold"}


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    known = dict(gymnasium.registry)
    yield
    gymnasium.registry.clear()
    gymnasium.registry.update(known)
