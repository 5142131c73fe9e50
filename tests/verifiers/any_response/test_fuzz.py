"""No response makes a verifier raise, fail, hang or fill the memory."""

import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tenfold.core import Problem, Status, Verdict, Verifier
from tenfold.verifiers import budget

from .hostile import ANSWERS, ENDS, LONGEST, RESPONSES, problem, run_of, verifier

SECONDS = 4.0
"""Processor time of one verdict in this process; half of it is what a verdict may take, the rest is for a slow machine."""
MEMORY = 64 << 20
"""Bytes above rest."""
HERE = ("math", "choice", "function_calls", "judge")
"""Verifiers that do all their work in this process."""
ELSEWHERE = {"code": 12, "fullstack": 12, "reasoning_gym": 12, "instructions": 4}
"""Verifiers that work in the sandbox or in a process of their own, and how many responses each of them gets.

`code_share` is `code` with another score; `science` is `math` or `choice`.
"""


def check(judge: Verifier, asked: Problem, response: str) -> Verdict:
    """The verdict on a response, which is one of the response's own doing, in time."""
    begun = time.thread_time()
    verdict = judge(asked, response)
    took = time.thread_time() - begun
    assert verdict.status in (Status.SCORED, Status.TIMEOUT), verdict
    assert verdict.score is not None
    assert 0 <= verdict.score <= 1
    assert verdict.status == Status.SCORED or verdict.score == 0
    assert took < SECONDS, verdict
    return verdict


def fuzz(name: str, examples: int) -> None:
    judge, asked = verifier(name), problem(name)
    check(judge, asked, "7")  # what is made once is made

    @settings(max_examples=examples, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(response=RESPONSES)
    def no_response_does_harm(response: str) -> None:
        check(judge, asked, response)

    no_response_does_harm()


@pytest.mark.parametrize("name", HERE)
def test_any_response_gets_a_verdict(name: str) -> None:
    fuzz(name, 120)


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("name", ELSEWHERE)
def test_any_response_that_is_judged_elsewhere_gets_a_verdict(name: str) -> None:
    fuzz(name, ELSEWHERE[name])


@pytest.mark.slow
@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("name", ANSWERS)
def test_any_of_many_responses_gets_a_verdict(name: str) -> None:
    fuzz(name, 1_500 if name in HERE else 300)


@pytest.mark.parametrize("name", HERE)
def test_the_longest_responses_take_little_memory(name: str) -> None:
    judge, asked = verifier(name), problem(name)
    check(judge, asked, "7")
    tracemalloc.start()
    try:
        for number, piece in enumerate(("<think>", "\\boxed{", "```\n", "\n", "<tool_call>", "answer is ")):
            at_rest, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            judge(asked, run_of("", piece, ENDS[number], LONGEST))
            assert tracemalloc.get_traced_memory()[1] - at_rest < MEMORY, piece
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "answer", ["i \\mod 3", "5 \\mod 0", "\\max(i, 1)", "\\gcd(i, 2)", "\\sqrt[i]{5}", "\\log_0 3", "(-3)!!"]
)
def test_a_number_that_is_none_is_a_wrong_answer(answer: str) -> None:
    assert check(verifier("math"), problem("math"), rf"\boxed{{{answer}}}").score == 0
    assert check(verifier("choice"), problem("choice"), rf"\boxed{{{answer}}}").score == 0


READ_AGAIN = "\\boxed{$" + "it is " * 160 + "(a) " * 230 + "(a1 if x}"
"""An answer whose first words say nothing, and what follows them, again and again."""


@pytest.mark.parametrize("name", ["math", "choice"])
def test_a_verdict_that_takes_too_long_is_a_timeout_in_any_thread(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    judge, asked = verifier(name), problem(name)
    monkeypatch.setattr(f"tenfold.verifiers.{name}.SECONDS", 0.05)
    with ThreadPoolExecutor(2) as threads:
        for verdict in threads.map(judge, [asked] * 2, [READ_AGAIN] * 2):
            assert (verdict.status, verdict.score) == (Status.TIMEOUT, 0)
    assert judge(asked, "\\boxed{no such thing}").status == Status.SCORED


@pytest.mark.parametrize(
    ("module", "name", "response"),
    [
        ("code", "code", "```python\n" + "a = 1\n" * 2_000),
        ("fullstack", "fullstack", "```python\n" + "a = 1\n" * 2_000),
        ("function_calls", "function_calls", "[area(base=1)]" + "\na" * 2_000),
    ],
)
def test_every_verifier_that_reads_has_a_budget(module: str, name: str, response: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"tenfold.verifiers.{module}.SECONDS", 0.0)
    verdict = verifier(name)(problem(name), response)
    assert (verdict.status, verdict.score) == (Status.TIMEOUT, 0)


def test_a_limit_within_a_limit_gives_no_more_time() -> None:
    with budget.limit(0.0):
        with budget.limit(60.0):
            sum(range(1_000))
            assert budget.is_spent()
        with pytest.raises(budget.OutOfTime):
            budget.in_time()
    budget.in_time()


def test_what_is_made_once_is_at_nobodys_cost() -> None:
    with budget.limit(0.05), budget.limit(0.05):
        begun = time.thread_time()
        with budget.uncounted():
            while time.thread_time() < begun + 0.1:
                pass
        budget.in_time()
