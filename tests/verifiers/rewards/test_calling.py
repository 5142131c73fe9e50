"""A function of the user as a verifier: its parameters, its return values, and what cannot be one."""

import asyncio
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy
import pytest

import tenfold
from tenfold import Problem, Status, UserError, Verdict
from tenfold.core import Message, Part
from tenfold.verifiers import load

SUM = Problem("sum", (Message(role="user", content="1 + 1?"),), "2", "")


@pytest.mark.parametrize(
    ("function", "response"),
    [
        (lambda problem, response: response.endswith(problem.answer), "It is 2"),
        (lambda gold, answer: gold == answer, r"1 + 1 makes \boxed{2}"),
        (lambda gold, answer: gold == answer, "<think>1 + 1</think>\n<answer>2</answer>"),
        (lambda gold, answer: gold == answer, "<think>1 + 1</think> 2"),
        (lambda answer, gold: (answer, gold) == ("2", "2"), "The answer is 2."),
        (lambda gold, response: response == f"It is {gold}", "It is 2"),
        (lambda response: response == "It is 2", "It is 2"),
        (lambda response, *, gold: response == f"It is {gold}", "It is 2"),
        (lambda *, problem, response: response == f"It is {problem.answer}", "It is 2"),
        (lambda problem, *, response: response == f"It is {problem.answer}", "It is 2"),
        (lambda problem, note="", response="": response == f"It is {problem.answer}{note}", "It is 2"),
        (lambda problem, response, /: response == f"It is {problem.answer}", "It is 2"),
        (lambda task, text: task.id == "sum" and text == "It is 2", "It is 2"),
        (lambda *both: both[0].id == "sum" and both[1] == "It is 2", "It is 2"),
    ],
)
def test_the_names_of_parameters_decide_what_a_function_receives(function: Callable[..., bool], response: str) -> None:
    assert load(function)(SUM, response).score == 1
    assert load(function)(SUM, "no").score == 0


def test_further_parameters_are_options() -> None:
    def near(gold: str, answer: str, tolerance: float = 0.0) -> bool:
        return abs(float(gold) - float(answer)) <= tolerance

    verifier = load(near)
    assert verifier.options == {"tolerance": 0.0}
    assert verifier(SUM, "2.1").score == 0
    assert verifier.with_options(tolerance=0.2)(SUM, "2.1").score == 1


def test_a_coroutine_function_is_awaited() -> None:
    async def verify(gold: str, answer: str) -> float:
        await asyncio.sleep(0)
        return float(gold == answer)

    verifier = load(verify)
    assert verifier(SUM, "2").score == 1

    async def inside_a_loop() -> float | None:
        return verifier(SUM, "2").score

    assert asyncio.run(inside_a_loop()) == 1


def test_coroutines_of_many_threads_run_together() -> None:
    entered = threading.Barrier(4)

    async def verify(response: str) -> bool:
        return await asyncio.to_thread(entered.wait, 60) >= 0  # ends once four verdicts are in progress

    with ThreadPoolExecutor(4) as threads:
        assert [verdict.score for verdict in threads.map(load(verify), [SUM] * 4, ["2"] * 4)] == [1] * 4


def test_a_coroutine_may_call_another_one() -> None:
    async def inner(gold: str, answer: str) -> bool:
        return gold == answer

    async def outer(gold: str, answer: str) -> bool:
        return tenfold.verify(gold, answer, inner).score == 1

    async def outermost(gold: str, answer: str) -> bool:
        in_thread = await asyncio.to_thread(tenfold.verify, gold, answer, outer)
        return tenfold.verify(gold, answer, outer).score == in_thread.score == 1

    assert tenfold.verify("2", "2", outer).score == 1
    assert tenfold.verify("2", "2", outermost).score == 1


def test_a_coroutine_that_exits_is_a_fault() -> None:
    async def leave(gold: str, answer: str) -> bool:
        exit(1)

    async def verify(gold: str, answer: str) -> bool:
        return gold == answer

    assert tenfold.verify("2", "2", leave).status == Status.FAULT
    assert tenfold.verify("2", "2", verify).score == 1


def test_the_score_of_a_verdict_may_be_a_number_of_numpy() -> None:
    verdict = load(lambda response: Verdict(Status.SCORED, numpy.float32(0.5), "lab", "half"))(SUM, "2")
    assert verdict == Verdict(Status.SCORED, 0.5, "lab", "half")


def test_a_function_may_return_a_dict_with_score_reasons_and_parts() -> None:
    returned = {"score": 0.5, "reasons": ["right", "too long"], "words": 9, "parts": {"correct": 1, "short": 0.0}}
    verdict = load(lambda problem, response: returned)(SUM, "2")
    assert (verdict.status, verdict.score, verdict.reason) == (Status.SCORED, 0.5, "right; too long; words=9")
    assert verdict.parts == (Part("correct", 1.0, 0.0), Part("short", 0.0, 0.0))
    undecided = load(lambda problem, response: {"score": None, "reason": "no judge"})(SUM, "2")
    assert (undecided.status, undecided.score, undecided.reason) == (Status.UNDECIDED, None, "no judge")


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        ({"reward": 1}, "without the key 'score'"),
        ({"score": 2}, "a score must be from 0 to 1"),
        ({"score": "1"}, "must return a verdict, a number"),
        ({"score": 1, "parts": [1]}, "parts must be a dict of scores"),
        ({"score": 1, "parts": {"short": "yes"}}, "parts must be a dict of scores, but short is no number"),
    ],
)
def test_a_malformed_dict_is_a_fault(returned: Any, reason: str) -> None:
    verdict = load(lambda problem, response: returned)(SUM, "2")
    assert (verdict.status, verdict.score) == (Status.FAULT, None)
    assert reason in verdict.reason


@pytest.mark.parametrize(
    "returned",
    [
        Verdict(Status.SCORED, 5.0, "lab", ""),
        Verdict(Status.SCORED, None, "lab", ""),
        Verdict(Status.UNDECIDED, 1.0, "lab", ""),
        {"score": Verdict(Status.SCORED, -1.0, "lab", "")},
        {"score": 1, "parts": {"short": float("inf")}},
    ],
)
def test_a_verdict_whose_score_does_not_fit_is_a_fault(returned: Any) -> None:
    verdict = load(lambda problem, response: returned)(SUM, "2")
    assert (verdict.status, verdict.score) == (Status.FAULT, None)


def test_an_undecided_verdict_in_a_dict_stays_undecided() -> None:
    undecided = Verdict(Status.UNDECIDED, None, "lab", "no judge")
    assert load(lambda problem, response: {"score": undecided})(SUM, "2") == undecided


def test_an_exception_is_a_fault_with_its_cause_and_line() -> None:
    async def verify(gold: dict[str, str], answer: str) -> bool:
        try:
            return gold["unit"] == answer
        except TypeError as error:
            raise RuntimeError("the gold answer has no unit") from error

    verdict = load(verify)(SUM, "2")
    assert (verdict.status, verdict.score) == (Status.FAULT, None)
    assert verdict.reason.startswith("RuntimeError: the gold answer has no unit, caused by TypeError: string indices")
    assert re.search(r"test_calling\.py:\d+, in verify\)$", verdict.reason)
    assert load(lambda problem, response: exit(1))(SUM, "2").status == Status.FAULT


def rewards(completions: list[str], **columns: object) -> list[float]:
    """A reward function of another trainer."""
    return [1.0 for _ in completions]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            rewards,
            r"rewards cannot be a verifier: it takes \(completions, columns\); give it the parameters \(problem, response\) or",
        ),
        (
            lambda prediction, gold: True,
            "it takes prediction and gold; name its parameters gold and answer, or problem and resp",
        ),
        (lambda: True, r"it takes \(\); give it the parameters"),
        (lambda gold: True, r"it takes \(gold\)"),
        (lambda problem, response, tolerance: True, "no value for its parameter tolerance"),
        (lambda gold, answer, unit: True, "no value for its parameter unit"),
        (lambda gold, problem: True, "it takes gold and problem; name its parameters"),
        (lambda gold, answer, /: True, "it takes gold and answer; name its parameters .*, and use no / after them"),
        (lambda gold, /, answer: True, "it takes gold and answer; name its parameters .*, and use no / after them"),
        (lambda response, ground_truth: True, "it takes response and ground_truth; name its parameters gold and answer"),
        (lambda row, problem: True, "it takes row and problem; name its parameters"),
        (lambda problem, response: (yield 1.0), "it yields values; return one score"),
        (3, "3 is not a verifier"),
        (Problem, "is not a verifier"),
    ],
)
def test_what_cannot_be_a_verifier_is_said_at_registration(function: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        tenfold.register("lab/Never-v0", problems=[SUM], verifier=function)
    with pytest.raises(UserError, match="no environment 'lab/Never-v0'"):
        tenfold.make("lab/Never-v0")
