"""No response makes a verifier raise, return a fault, hang or use much memory."""

import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tenfold.core import Problem, Status, Verdict, Verifier
from tenfold.verifiers import budget

from .hostile import ANSWERS, ENDS, LONGEST, RESPONSES, problem, repeated, verifier

SECONDS = 4.0
"""Processor seconds of one verdict in this process. Half of it is the verdict's limit, the rest is for a slow machine."""
MEMORY = 64 << 20
"""Bytes in addition to the memory at rest."""
HERE = ("math", "choice", "function_calls", "judge", "format", "length", "language", "text", "json_schema")
"""Verifiers that do all their work in this process."""
ELSEWHERE = {"code": 12, "fullstack": 12, "reasoning_gym": 12, "instructions": 4, "regex": 40, "sql": 40}
ELSEWHERE |= {"livebench": 40, "livebench_coding": 4}
"""Verifiers that work in the sandbox or in worker processes, and the number of responses that each gets.

`code_share` is `code` with another score; `science` is `math` or `choice`.
"""


def check(judge: Verifier, posed: Problem, response: str) -> Verdict:
    """Returns the verdict on a response. It must be in time and must not be a fault."""
    begun = time.thread_time()
    verdict = judge(posed, response)
    took = time.thread_time() - begun
    assert verdict.status in (Status.SCORED, Status.TIMEOUT), verdict
    assert verdict.score is not None
    assert 0 <= verdict.score <= 1
    assert verdict.status == Status.SCORED or verdict.score == 0
    assert took < SECONDS, verdict
    return verdict


def fuzz(name: str, examples: int) -> None:
    judge, posed = verifier(name), problem(name)
    check(judge, posed, "7")  # does the one-time setup

    @settings(max_examples=examples, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(response=RESPONSES)
    def no_response_does_harm(response: str) -> None:
        check(judge, posed, response)

    no_response_does_harm()


@pytest.mark.parametrize("name", HERE)
def test_any_response_gets_a_verdict(name: str) -> None:
    fuzz(name, 120)


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("name", ELSEWHERE)
def test_any_response_gets_a_verdict_from_verifiers_with_workers(name: str) -> None:
    fuzz(name, ELSEWHERE[name])


@pytest.mark.slow
@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("name", ANSWERS)
def test_each_of_many_responses_gets_a_verdict(name: str) -> None:
    fuzz(name, 1_500 if name in HERE else 300)


@pytest.mark.parametrize("name", HERE)
def test_the_longest_responses_take_little_memory(name: str) -> None:
    judge, posed = verifier(name), problem(name)
    check(judge, posed, "7")
    tracemalloc.start()
    try:
        for number, piece in enumerate(("<think>", "\\boxed{", "```\n", "\n", "<tool_call>", "answer is ")):
            at_rest, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            judge(posed, repeated("", piece, ENDS[number], LONGEST))
            assert tracemalloc.get_traced_memory()[1] - at_rest < MEMORY, piece
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "answer", ["i \\mod 3", "5 \\mod 0", "\\max(i, 1)", "\\gcd(i, 2)", "\\sqrt[i]{5}", "\\log_0 3", "(-3)!!"]
)
def test_a_malformed_number_is_an_incorrect_answer(answer: str) -> None:
    assert check(verifier("math"), problem("math"), rf"\boxed{{{answer}}}").score == 0
    assert check(verifier("choice"), problem("choice"), rf"\boxed{{{answer}}}").score == 0


READ_AGAIN = "\\boxed{$" + "it is " * 160 + "(a) " * 230 + "(a1 if x}"
"""An answer that begins with filler words, and the text after them, repeated."""


@pytest.mark.parametrize("name", ["math", "choice"])
def test_a_verdict_that_takes_too_long_is_a_timeout_in_any_thread(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    judge, posed = verifier(name), problem(name)
    monkeypatch.setattr(f"tenfold.verifiers.{name}.SECONDS", 0.05)
    with ThreadPoolExecutor(2) as threads:
        for verdict in threads.map(judge, [posed] * 2, [READ_AGAIN] * 2):
            assert (verdict.status, verdict.score) == (Status.TIMEOUT, 0)
    assert judge(posed, "\\boxed{no such thing}").status == Status.SCORED


@pytest.mark.parametrize(
    ("module", "name", "response"),
    [
        ("code", "code", "```python\n" + "a = 1\n" * 2_000),
        ("fullstack", "fullstack", "```python\n" + "a = 1\n" * 2_000),
        ("function_calls", "function_calls", "[area(base=1)]" + "\na" * 2_000),
    ],
)
def test_every_verifier_that_reads_responses_has_a_time_limit(
    module: str, name: str, response: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"tenfold.verifiers.{module}.SECONDS", 0.0)
    verdict = verifier(name)(problem(name), response)
    assert (verdict.status, verdict.score) == (Status.TIMEOUT, 0)


def test_a_nested_time_limit_does_not_extend_the_outer_one() -> None:
    with budget.limit(0.0):
        with budget.limit(60.0):
            sum(range(1_000))
            assert budget.is_spent()
        with pytest.raises(budget.OutOfTime):
            budget.check_time()
    budget.check_time()


def test_time_spent_on_one_time_setup_is_not_counted() -> None:
    with budget.limit(0.05), budget.limit(0.05):
        begun = time.thread_time()
        with budget.uncounted():
            while time.thread_time() < begun + 0.1:
                pass
        budget.check_time()
