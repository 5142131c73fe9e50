import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import tenfold
from hypothesis import given
from hypothesis import strategies as st
from tenfold.core import Status
from tenfold.verifiers.math import final_answer


@pytest.mark.parametrize(
    ("gold", "response", "score", "decided_by"),
    [
        ("72", "72", 1, "exact"),
        ("72", "First 48, then 24.\n#### 72", 1, "exact"),
        ("1,000", "The final answer is $1000.", 1, "exact"),
        (7, "8-9=-1\n-1+8=7", 1, "exact"),
        ("7", "8 - 9 + 8 = 7", 1, "exact"),
        ("1/2", r"so \boxed{0.5}", 1, "rational"),
        ("0.5", r"\boxed{\frac{1}{2}}", 1, "rational"),
        ("7", "8", 0, "rational"),
        # A policy that was paid for it learned to repeat the problem.
        ("5", "7+4-6", 0, "unevaluated"),
        ("5", r"\boxed{7 + 4 - 6}", 0, "unevaluated"),
        ("6", r"\boxed{2 \times 3}", 0, "unevaluated"),
        ("6", "2*(1+2)", 0, "unevaluated"),
        ("2", "8/4", 0, "unevaluated"),
        ("5000", r"\boxed{5 \times 10^{3}}", 1, "symbolic"),
        ("12", r"The answer is $\dfrac12$ hours.", 0, "symbolic"),
        ("3", "The answer is 3x plus y", 0, "symbolic"),
        ("-5", "The answer is \u22125 metres.", 1, "exact"),
        ("5", "The answer is .5 metres", 0, "symbolic"),
        ("x>=5", "x<=5", 0, "symbolic"),
        ("x+y=5", "x+y=5", 1, "exact"),
        ("50%", r"\boxed{50\%}", 1, "exact"),
        ("14", "It is 14.", 1, "exact"),
        ("6", "1+5=6\u200b", 1, "exact"),
        ("1234", r"\boxed{1\,234}", 1, "exact"),
        ("72", "#### 72 clips", 1, "exact"),
        ("18", "She makes $18 every day.", 1, "exact"),
        ("5", "The answer is **5**.", 1, "exact"),
        ("5", "**Answer:** 5 apples", 1, "exact"),
        ("5", "the answer is 5 apples, not 7", 0, "symbolic"),
        ("2", "The answer is 2 pi", 0, "symbolic"),
        ("2", "The answer is 2 million.", 0, "symbolic"),
        ("5", "That is not 5", 0, "extract"),
        ("7", r"\boxed{7} or \boxed{8}", 0, "rational"),
        ("3", r"\boxed{1,2,3}", 0, "symbolic"),
        ("1/3", r"\boxed{\frac{1}{4}}", 0, "rational"),
        ("x^2+1", r"\boxed{1+x^2}", 1, "symbolic"),
        (r"\sqrt{8}", r"\boxed{2\sqrt{2}}", 1, "symbolic"),
        ("x^2+1", r"\boxed{x^2}", 0, "symbolic"),
        ("7", "", 0, "extract"),
        ("7", "I cannot tell what this is about, and so I would rather not say.", 0, "extract"),
        ("7", "<think>it is 7</think> The answer is 8", 0, "rational"),
        ("12", "48 apples, of which 12 are red and that is all there is to it, 13", 0, "rational"),
    ],
)
def test_an_answer_is_judged_by_the_cheapest_rung_that_can(gold: object, response: str, score: float, decided_by: str) -> None:
    verdict = tenfold.verify(gold, response)
    assert (verdict.score, verdict.decided_by) == (score, decided_by)


@pytest.mark.parametrize(
    "response",
    [
        r"\boxed{9^{9^{9^{9^{9}}}}}",
        r"\boxed{(10^{10})!!!!}",
        r"\boxed{\sum_{i=1}^{10^{12}} \sin(i)}",
        r"\boxed{\int_0^{1000} x^{x^{x}} dx}",
        r"\boxed{" + "(" * 900 + "1" + ")" * 900 + "}",
        r"\boxed{" + r"\frac{1}{" * 100 + "2" + "}" * 100 + "}",
        r"\boxed{" + "9" * 1990 + "}",
        "\x00\ud800\\boxed{\x00}",
        r"\boxed{\boxed{\boxed{",
        "the answer is" + "\n" * 100_000,
        "answer " * 50_000,
    ],
)
def test_no_response_hangs_or_breaks_the_verifier(response: str) -> None:
    started = time.monotonic()
    verdict = tenfold.verify("7", response)
    assert verdict.status in (Status.SCORED, Status.TIMEOUT)
    assert verdict.score == 0
    assert time.monotonic() - started < 60  # a bound on hanging, far above the limit of the clock inside


@given(st.text(max_size=300))
def test_a_response_without_the_gold_never_raises(response: str) -> None:
    assert tenfold.verify("the gold that no text holds: 31337", response).status != Status.FAULT


@given(st.integers(), st.integers())
def test_whole_numbers_are_equal_when_they_are_the_same_number(gold: int, answer: int) -> None:
    assert tenfold.verify(str(gold), f"\\boxed{{{answer}}}").score == float(gold == answer)


def test_a_gold_answer_that_does_not_parse_is_nobodys_mistake() -> None:
    verdict = tenfold.verify(r"\text{}", r"\boxed{x+1}")
    assert (verdict.status, verdict.score) == (Status.UNDECIDED, None)


def test_it_works_from_many_threads_at_once() -> None:
    with ThreadPoolExecutor(16) as threads:
        verdicts = list(threads.map(lambda n: tenfold.verify(f"x+{n}", f"\\boxed{{{n}+x}}"), range(64)))
    assert {verdict.score for verdict in verdicts} == {1.0}


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"\boxed{1} or rather \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        ("#### 5\n", "5"),
        ("The answer is: 12. Done", "12"),
        ("there were 3, then 4 more, so in the end a total of 7 of them", "7"),
        ("</think>", None),
    ],
)
def test_the_final_answer_is_found(response: str, answer: str | None) -> None:
    assert final_answer(response) == answer
