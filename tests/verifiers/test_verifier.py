"""A verifier is an object: a function with options, invalid gold answers and requirements."""

import math
import pickle
import re
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import gymnasium
import numpy
import pytest
from gymnasium.envs.registration import EnvSpec

import tenfold
from tenfold import verifiers
from tenfold.core import Message, Problem, Status, UserError, Verdict, Verifier
from tenfold.envs.text import TextEnv
from tenfold.verifiers import agentic, as_verifier, load, pool, verifier
from tenfold.verifiers import math as mathematics

SUM = Problem("sum", (Message(role="user", content="1 + 1?"),), "2", "")
BROKEN = Problem("broken", (Message(role="user", content="?"),), r"\frac{1}{", "")
UNSURE = "scripted:Who knows.\nVERDICT: UNSURE"


@pytest.mark.parametrize(
    ("returned", "score"),
    [(True, 1), (False, 0), (0.25, 0.25), (1, 1), (numpy.float32(0.5), 0.5), (numpy.bool_(True), 1), (numpy.int64(0), 0)],
)
def test_a_function_may_return_a_number_or_a_bool(returned: Any, score: float) -> None:
    verdict = load(lambda problem, response: returned)(SUM, "2")
    assert (verdict.status, verdict.score) == (Status.SCORED, score)


def test_a_function_may_return_a_verdict() -> None:
    verdict = Verdict(Status.TIMEOUT, 0.0, "mine", "too slow")
    assert load(lambda problem, response: verdict)(SUM, "2") is verdict


@pytest.mark.parametrize("returned", [None, "1", b"1", math.nan, math.inf, -0.1, 1.5, [1], {"reward": 1}])
def test_an_invalid_return_value_is_a_fault_and_not_an_incorrect_answer(returned: Any) -> None:
    verdict = load(lambda problem, response: returned)(SUM, "2")
    assert (verdict.status, verdict.score) == (Status.FAULT, None)


def test_an_exception_is_a_fault_unless_it_is_a_user_error() -> None:
    def raises(problem: Problem, response: str) -> float:
        raise UserError("set a key") if response == "key" else ZeroDivisionError("of mine")

    verdict = load(raises)(SUM, "2")
    assert (verdict.status, verdict.score) == (Status.FAULT, None)
    assert re.fullmatch(r"ZeroDivisionError: of mine \(\S*test_verifier\.py:\d+, in raises\)", verdict.reason)
    with pytest.raises(UserError, match="set a key"):
        load(raises)(SUM, "key")


class Unreadable(Exception):
    """An exception whose text cannot be read."""

    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ValueError("two\nlines"), "ValueError: two lines"), (Unreadable(), "Unreadable: (its text cannot be read)")],
)
def test_a_fault_has_a_reason_of_one_line_whatever_the_exception(error: Exception, reason: str) -> None:
    def raises(problem: Problem, response: str) -> float:
        raise error

    verdict = load(raises)(SUM, "2")
    assert (verdict.status, verdict.reason.rpartition(" (")[0]) == (Status.FAULT, reason)
    assert re.search(r"test_verifier\.py:\d+, in raises\)$", verdict.reason)


class Parity:
    """A user's verifier: a class with `invalid_gold`."""

    def __init__(self) -> None:
        self.prepared = 0

    def __call__(self, problem: Problem, response: str) -> bool:
        return int(response) % 2 == int(problem.answer) % 2

    def invalid_gold(self, problem: Problem) -> str | None:
        return None if str(problem.answer).isdigit() else "no number"

    def prepare(self) -> None:
        self.prepared += 1


def test_an_object_may_have_invalid_gold_and_prepare() -> None:
    parity = Parity()
    environment = TextEnv([SUM, BROKEN], parity, invalid_gold="drop")  # type: ignore[arg-type]
    assert [problem.id for problem in environment.problems] == ["sum"]
    assert parity.prepared == 1
    environment.reset(options={"problem": 0})
    assert environment.step("4")[1] == 1


def test_a_plain_function_becomes_a_verifier_and_a_verifier_is_unchanged() -> None:
    assert not isinstance(plain, Verifier)
    wrapped = as_verifier(plain)
    assert isinstance(wrapped, Verifier)
    assert wrapped.options == {"slack": 0}
    assert as_verifier(wrapped) is wrapped
    assert as_verifier(near) is near
    assert wrapped.with_options(slack=1)(SUM, "3").score == 1


@as_verifier()
def near(problem: Problem, response: str, slack: float = 0) -> bool:
    return abs(float(response) - float(problem.answer)) <= slack


def plain(problem: Problem, response: str, slack: float = 0) -> bool:
    return abs(float(response) - float(problem.answer)) <= slack


@pytest.mark.parametrize("name", ["near", "plain"])
def test_a_registration_can_set_options(name: str) -> None:
    given = {"name": f"{__name__}:{name}", "slack": 1}
    assert load(given)(SUM, "3").score == 1
    assert load(given["name"])(SUM, "3").score == 0  # type: ignore[arg-type]
    assert load(given).options == {"slack": 1}
    with pytest.raises(UserError, match="no option 'slak'; its options are: slack"):
        load({"name": given["name"], "slak": 1})
    with pytest.raises(UserError, match="name: "):
        load({"slack": 1})


def test_a_registration_with_options_can_be_made_in_another_process() -> None:
    near_enough = {"name": f"{__name__}:near", "slack": 1}
    tenfold.register("lab/Near-v0", problems="reasoning_gym:chain_sum?size=3", verifier=near_enough)
    environment = gymnasium.make(EnvSpec.from_json(gymnasium.spec("lab/Near-v0").to_json()))
    _, info = environment.reset(options={"problem": 0})
    gold = int(environment.unwrapped.problems[info["index"]].answer)
    assert environment.step(str(gold + 1))[1] == 1


@pytest.mark.parametrize("name", verifiers.BUILT_IN_VERIFIERS)
def test_every_verifier_is_an_object_under_its_name_and_can_be_pickled(name: str) -> None:
    found = verifiers.find(name)
    assert isinstance(found, Verifier)
    assert pickle.loads(pickle.dumps(found)) == found
    assert verifiers.find(found) is found


def test_options_are_pickled() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as processes:
        assert processes.submit(near.with_options(slack=1), SUM, "3").result().score == 1
        assert processes.submit(mathematics.verify, SUM, "2").result().score == 1


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("math", r"\frac{1}{"),
        ("math", ""),
        ("choice", {"letter": "J", "options": ["a", "b"]}),
        ("choice", "5"),
        ("science", {"letter": "C", "options": ["a", "b"]}),
        ("science", r"\frac{1}{"),
        ("code", "no tests"),
        ("code_share", {"entry_point": "f"}),
        ("code", {"stdin": [{"input": 1}]}),
        ("code", {"asserts": ["assert f(1"]}),
        ("code_share", {"entry_point": "f", "test": "def check(f): return f("}),
        ("code", {"entry_point": "f", "encoded": True, "calls": [{"arguments": [{"no such kind": 1}], "output": 1}]}),
        ("code", {"stdin": [{"input": "1", "output": "1"}], "language": "cobol"}),
        ("fullstack", {"tests": ""}),
        ("fullstack", {"tests": "", "runs_as": "python"}),
        ("fullstack", {"tests": "", "language": "python", "runs_as": "python", "files": {"a": "not base64"}}),
        ("instructions", {}),
        ("function_calls", {"functions": []}),
        ("function_calls", {"functions": [{"name": "f"}], "calls": [{"g": {}}]}),
        ("reasoning_gym", "2"),
        ({"name": "judge", "policy": UNSURE}, r"\frac{1}{"),
        ({"name": "judge", "policy": UNSURE, "rules": "choice"}, {"letter": "J", "options": ["a", "b"]}),
        ({"name": "judge", "policy": UNSURE, "rules": "choice"}, "5"),
    ],
)
def test_every_undecidable_gold_answer_is_reported_as_invalid(name: Any, answer: Any) -> None:
    problem = Problem("p", SUM.prompt, answer, "")
    [(found, reason)] = verifiers.invalid_gold(name, [problem])
    assert found is problem
    assert reason
    assert verifiers.find(name)(problem, "The answer is $\\pi$.").status == Status.UNDECIDED  # no program is run


def test_an_exception_of_the_check_of_a_gold_answer_is_a_reason() -> None:
    @as_verifier(invalid_gold=lambda problem: f"{int(problem.answer)} is odd" if int(problem.answer) % 2 else None)
    def even(problem: Problem, response: str) -> bool:
        return response == problem.answer

    with pytest.warns(
        UserWarning, match="1 of 2 problems cannot be used .broken: the gold answer cannot be checked: ValueError"
    ):
        TextEnv([SUM, BROKEN], even)
    assert [problem.id for problem in TextEnv([SUM, BROKEN], even, invalid_gold="drop").problems] == ["sum"]


def test_user_error_of_the_check_of_a_gold_answer_is_raised() -> None:
    def refuse(problem: Problem) -> str | None:
        raise UserError("set a key")

    with pytest.raises(UserError, match="set a key"):
        TextEnv([SUM], as_verifier(invalid_gold=refuse)(lambda problem, response: True))


LONG = "x1 " * 3_000 + "\U000e0100\ue000" * 3_000
"""An answer whose `repr` is several times as long."""


@pytest.mark.parametrize(
    "wrapped", [LONG, f"\\boxed{{{LONG}}}", f"<answer>{LONG}</answer>", f"```python\nraise ValueError('{LONG}')\n```"]
)
@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("math", "2"),
        ("math", LONG),
        ("math", r"\frac{1}{" + LONG),
        ("choice", {"letter": "A", "options": ["a", "b"]}),
        ("choice", {"letter": LONG, "options": ["a", "b"]}),
        ("fullstack", {"tests": "", "language": "python", "runs_as": LONG}),
        ("code", {"stdin": [{"input": "1", "output": "1"}], "language": LONG}),
        ("function_calls", {"functions": [{"name": LONG}], "calls": [{LONG: {}}]}),
        ("function_calls", {"functions": [{"name": "f"}], "calls": [{LONG: {}}]}),
        ("instructions", {"instructions": [LONG]}),
        ("reasoning_gym", "2"),
        ({"name": "judge", "policy": UNSURE}, LONG),
    ],
)
def test_the_reason_of_a_verdict_is_short(name: Any, answer: Any, wrapped: str) -> None:
    meta = {"metadata": {"source_dataset": "chain_sum"}}
    verdict = verifiers.find(name)(Problem("p", SUM.prompt, answer, "", meta), wrapped)
    assert len(verdict.reason) <= verifier.MAX_REASON_CHARACTERS, verdict


@pytest.mark.parametrize(
    ("name", "answer"),
    [("math", r"\nabla x"), ("instructions", {"instructions": ["punctuation:no_comma"]}), ("reasoning_gym", "2")],
)
def test_failure_of_a_worker_is_a_fault_with_a_short_reason(name: str, answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def call(self: pool.Pool, *arguments: object) -> object:
        raise pool.WorkerFault("ended " * 100)

    monkeypatch.setattr(pool.Pool, "call", call)
    meta = {"metadata": {"source_dataset": "chain_sum"}}
    verdict = verifiers.find(name)(Problem("p", SUM.prompt, answer, "", meta), r"\boxed{\nabla y}")
    assert (verdict.status, verdict.score, verdict.reason[:6]) == (Status.FAULT, None, "ended ")
    assert len(verdict.reason) <= verifier.MAX_REASON_CHARACTERS


@pytest.mark.parametrize(
    "verifier",
    [
        agentic.verifier(lambda conversation: "VERDICT: UNSURE"),
        agentic.verifier(lambda conversation: "VERDICT: UNSURE", always=True),
        {"name": "judge", "policy": UNSURE},
        {"name": "tenfold.policies.judge:verify", "policy": UNSURE, "always": True},
    ],
)
def test_invalid_gold_answers_are_dropped_with_a_judge_as_well(verifier: Any) -> None:
    assert [problem.id for problem in TextEnv([SUM, BROKEN], verifier, invalid_gold="drop").problems] == ["sum"]
    with pytest.raises(UserError, match="broken"):
        TextEnv([SUM, BROKEN], verifier, invalid_gold="error")
    with pytest.warns(UserWarning, match="1 of 2 problems cannot be used"):
        TextEnv([SUM, BROKEN], verifier)


def test_a_judge_in_the_registration_overrides_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_JUDGE", "path:nowhere")
    monkeypatch.setenv("TENFOLD_JUDGE_ALWAYS", "1")
    judge = load({"name": "judge", "policy": "scripted:No.\nVERDICT: DIFFERENT"})
    assert judge.options == {"policy": "scripted:No.\nVERDICT: DIFFERENT", "always": True, "rules": "math"}
    assert (judge(SUM, "2").score, judge(SUM, "2").method) == (0, "agentic")
    assert judge.with_options(always=False)(SUM, "2").method == "exact"
    parts = [{"name": "math", "weight": 1}, {"name": "length", "weight": 1}]
    assert len(judge.with_options(always=False, rules=parts)(SUM, "2").parts) == 2
    monkeypatch.setenv("TENFOLD_JUDGE_ALWAYS", "0")
    assert judge.options["always"] is False
    with pytest.raises(UserError, match="no folder nowhere"):
        load("judge")
    for wrong in ({"polcy": "x"}, {"always": "yes"}, {"policy": 3}):
        with pytest.raises(UserError, match="judge"):
            load({"name": "judge", **wrong})


def test_other_functions_of_the_module_are_not_taken_for_the_verifiers_methods(lab: Path) -> None:
    (lab / "lab_names.py").write_text(
        "def verify(problem, response):\n    return True\n\ndef prepare():\n    raise SystemExit\n\nunreadable = prepare\n"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert TextEnv([SUM], "lab_names:verify", invalid_gold="drop").problems == [SUM]
    sys.modules.pop("lab_names")
