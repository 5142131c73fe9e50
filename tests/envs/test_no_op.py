"""`tenfold env check` plays responses that must not win, and says which of them wins on what share of the problems."""

import json
from collections.abc import Iterator
from typing import Any

import gymnasium
import pytest

import tenfold
from tenfold import Problem, cli
from tenfold.core import Message
from tenfold.envs import built_in, preference
from tenfold.envs.check import Finding, Level, Settings, no_op
from tenfold.envs.check.subject import Make, Subject
from tenfold.envs.text import Text

SUMS = [{"question": f"{n} + {n + 1}?", "answer": 2 * n + 1} for n in range(10, 40)]
QUICK = (
    *(
        "Math",
        "Repair",
        "SQL",
        "FunctionCalls",
        "Strings",
        "Retrieval",
        "JSONSchema",
        "Regex",
        "Logic",
        "Mastermind",
        "Hangman",
    ),
    *("GuessNumber", "TwentyQuestions", "Nim", "ChainSum", "BasicArithmetic", "Tools", "SmallTools", "SmallFunctions"),
    *("HumanEval", "RG-acre", "RG-gcd", "RG-n_queens", "RG-syllogism", "RG-word_sorting"),
)
"""Built-in environments that need no network, and some of the generators."""
SLOW = tuple(id for id in built_in.REASONING_GYM if id not in {f"tenfold/{name}-v0" for name in QUICK})


def played(id: str, **settings: Any) -> dict[str, Finding]:
    """Returns the findings on responses that must not win, by name."""
    make = Make(id, {})
    return {finding.name: finding for finding in no_op.no_op(Subject(make, make(), Settings(**settings)))}


def beaten(found: dict[str, Finding]) -> dict[str, Level]:
    return {name: finding.level for name, finding in found.items() if finding.level in (Level.WARNING, Level.FAILS)}


def choices(correct: str = "ABCD") -> list[Problem]:
    return [
        Problem(
            f"c{n}",
            (Message(role="user", content=f"Which is {n}? A) {n + 1} B) {n} C) {n + 2} D) {n + 3}"),),
            {"letter": correct[n % len(correct)], "options": [f"x{n}", f"y{n}", f"z{n}", f"w{n}"]},
            "lab",
        )
        for n in range(20)
    ]


def accepts_empty(gold: object, response: str) -> bool:
    return not response.strip() or response == str(gold)


def accepts_prompt(problem: Problem, response: str) -> bool:
    return response in (str(problem.answer), problem.prompt[-1]["content"])


def contains(gold: object, response: str) -> bool:
    return str(gold) in response


def contains_letter(gold: dict[str, str], response: str) -> bool:
    return gold["letter"] in response


def adds_the_numbers(gold: int, response: str) -> bool:
    numbers = [int(word) for word in response.split(", ") if word.isdigit()]
    return gold in (sum(numbers), *numbers)


@pytest.mark.parametrize(
    ("problems", "verifier", "caught"),
    [
        (SUMS, accepts_empty, {"empty": Level.FAILS}),
        (SUMS, accepts_prompt, {"echo": Level.FAILS}),
        (SUMS, contains, {"listed": Level.FAILS, "flood": Level.FAILS}),
        (SUMS, adds_the_numbers, {"numbers": Level.FAILS}),
        ([{"question": f"{n}?", "answer": "yes"} for n in range(20)], "text", {"constant": Level.WARNING}),
        (choices(), contains_letter, {"options": Level.FAILS, "echo": Level.FAILS, "flood": Level.FAILS}),
        (choices("B"), "choice", {"constant": Level.WARNING}),
    ],
)
def test_each_planted_defect_is_caught(problems: Any, verifier: Any, caught: dict[str, Level]) -> None:
    tenfold.register("lab/Planted-v0", problems=problems, verifier=verifier)
    found = played("lab/Planted-v0")
    assert beaten(found).items() >= caught.items()
    assert all(found[name].remedy for name in caught)


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("hidden", [False, True])
def test_a_program_that_knows_only_the_visible_tests_is_caught(hidden: bool) -> None:
    def problem(n: int) -> Problem:
        calls = [{"arguments": [x], "output": x + n} for x in ((1, 2) if not hidden else (1, 2, 3))]
        prompt = f"Add {n}.\n\n>>> f(1)\n{1 + n}\n\nassert f(2) == {2 + n}"
        return Problem(f"p{n}", (Message(role="user", content=prompt),), {"entry_point": "f", "calls": calls}, "lab")

    tenfold.register("lab/Visible-v0", problems=[problem(n) for n in range(6)], verifier="code")
    found = played("lab/Visible-v0")
    assert beaten(found) == ({} if hidden else {"visible": Level.FAILS})
    assert found["visible"].figures["share"] == (0.0 if hidden else 1.0)


def test_whole_programs_print_the_outputs_of_the_visible_tests() -> None:
    tests = [{"input": f"{n}\n", "output": f"{2 * n}\n"} for n in range(3)]
    problem = Problem("p", (Message(role="user", content="Double it."),), {"stdin": tests, "public": 3}, "lab")
    tenfold.register("lab/Whole-v0", problems=[problem], verifier="code")
    assert played("lab/Whole-v0")["visible"].figures["share"] == 1


def test_a_constant_wins_one_of_the_options_by_chance() -> None:
    tenfold.register("lab/Choice-v0", problems=choices(), verifier="choice")
    found = played("lab/Choice-v0")
    assert beaten(found) == {}
    assert found["constant"].text.endswith("wins 5 of 20 problems (25%; by chance 25%)")
    assert found["options"].text == "all letters wins 0 of 20 problems (0%; by chance 25%)"


def test_a_near_miss_must_not_win() -> None:
    problems = [
        Problem("p", (Message(role="user", content="1 + 1?"),), "2", "lab", {"near_misses": ["1", miss]})
        for miss in ("3", "2.0")
    ]
    tenfold.register("lab/Near-v0", problems=problems[:1])
    assert played("lab/Near-v0")["near"].level == Level.PASSES
    tenfold.register("lab/Near-v0", problems=problems[1:])
    finding = played("lab/Near-v0")["near"]
    assert (finding.level, finding.text) == (Level.FAILS, "1 of 2 near misses win, first '2.0' on problem p")


def test_the_share_that_fails_can_be_chosen() -> None:
    tenfold.register("lab/Empty-v0", problems=SUMS, verifier=accepts_empty)
    assert beaten(played("lab/Empty-v0", allow=1.0)) == {"empty": Level.WARNING}
    assert beaten(played("lab/Empty-v0", allow=1.0, strict=True)) == {"empty": Level.FAILS}


def test_the_problems_are_a_sample_that_depends_on_the_seed() -> None:
    tenfold.register("lab/Sums-v0", problems=SUMS)
    make = Make("lab/Sums-v0", {})

    def indices(**settings: int) -> list[int]:
        return Subject(make, make(), Settings(**settings)).indices(20)

    assert indices(problems=5) == indices(problems=5) != indices(problems=5, seed=1)
    assert (len(indices(problems=5)), indices(problems=100)) == (5, [*range(30)])
    assert max(indices(problems=5)) > 5


def test_a_verifier_that_asks_a_model_is_asked_few_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = {"name": "judge", "policy": "scripted:no", "always": False, "rules": "math"}
    tenfold.register("lab/Judged-v0", problems=SUMS, verifier=judge)
    found = played("lab/Judged-v0", problems=3)
    assert {"empty", "echo", "swapped"} <= found.keys()
    assert "flood, numbers" in found["left out"].text
    assert "each verdict asks a model" in found["left out"].text


def test_a_reward_model_that_prefers_short_texts_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preference, "preference", lambda uri: lambda pairs: [float(len(a) < len(b)) for _, a, b in pairs])
    rows = [{"question": f"Greet {n}.", "answer": f"Good day, {n}."} for n in range(10)]
    entry = "tenfold.envs.preference:PreferenceEnv"
    tenfold.register("lab/Preference-v0", entry_point=entry, problems=rows, reward_model="any:model")
    found = played("lab/Preference-v0")
    assert beaten(found)["constant"] == Level.WARNING  # an empty response loses without a comparison
    assert "the reward compares two responses" in found["left out"].text


class Turns(gymnasium.Env[str, str]):
    """An endless environment of three turns; the last one must be `go`."""

    def __init__(self) -> None:
        self.observation_space = self.action_space = Text()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = 3
        return "Say go.", {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        return "", float(self.left == 0 and action != "go"), self.left == 0, False, {}


def test_environments_of_several_turns_are_played() -> None:
    tenfold.register("lab/Turns-v0", entry_point=Turns)
    found = played("lab/Turns-v0")
    assert {"empty": Level.FAILS, "echo": Level.FAILS}.items() <= beaten(found).items()
    assert "swapped: the gold answers are not known" in found["left out"].text


def test_json_has_the_figures_of_all_findings(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["env", "check", "tenfold/Nim-v0", "--problems", "3", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["id"], report["passes"]) == ("tenfold/Nim-v0", True)
    figures = {finding["name"]: finding["figures"] for finding in report["findings"]}
    assert figures["empty"]["responses"] == [{"response": "an empty response", "problems": 3, "wins": 0, "undecided": 0}]
    assert figures["times"]["verdict"].keys() == {"median", "p99", "most"}


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("name", QUICK)
def test_no_trick_beats_a_built_in_environment(name: str) -> None:
    found = played(f"tenfold/{name}-v0", problems=4)
    assert Level.FAILS not in {finding.level for finding in found.values()}
    assert {"empty", "echo", "constant"} <= found.keys()


@pytest.mark.slow
@pytest.mark.parametrize("id", SLOW)
def test_no_trick_beats_a_generator(id: str) -> None:
    assert Level.FAILS not in {finding.level for finding in played(id).values()}


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    known = dict(gymnasium.registry)
    yield
    gymnasium.registry.clear()
    gymnasium.registry.update(known)
