import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core import Problem, Status
from tenfold.verifiers import choice, math

OPTIONS = ["an enzyme", "a lipid", r"$2.5 \times 10^{3}$ J", "none of these", "a hormone"]


def judge(response: str, letter: str = "C", options: list[str] = OPTIONS) -> choice.Verdict:
    return choice.verify(Problem("p", (), {"letter": letter, "options": options}, ""), response)


@pytest.mark.parametrize(
    ("response", "letter", "decided_by"),
    [
        (r"\boxed{C}", "C", "letter"),
        (r"\boxed{\text{(C)}}", "C", "letter"),
        ("The answer is (C).", "C", "letter"),
        ("The correct option is B", "B", "letter"),
        ("**Answer: D**", "D", "letter"),
        (r"\boxed{D) none of these}", "D", "letter"),
        (r"\boxed{\text{a lipid}}", "B", "option"),
        (r"\boxed{2500\text{ J}}", "C", "option"),
        ("After some thought I choose (E).", "E", "letter"),
        ("c", "C", "letter"),
    ],
)
def test_an_option_is_chosen_by_its_letter_or_its_words(response: str, letter: str, decided_by: str) -> None:
    for right in "ABCDE":
        verdict = judge(response, right)
        assert (verdict.score, verdict.decided_by) == (float(right == letter), decided_by)


@pytest.mark.parametrize(
    "response",
    [
        "",
        r"\boxed{A, C}",
        r"\boxed{A and C}",
        r"\boxed{(A) or (C)}",
        r"\boxed{A) a lipid}",  # A's letter with B's words
        r"\boxed{F}",
        r"\boxed{an acid}",
        r"\boxed{2500}, or was it \boxed{C",
        "It is one of A, B, C, D and E.",
    ],
)
def test_two_options_or_none_are_never_right(response: str) -> None:
    assert [judge(response, right).score for right in "ABCDE"] == [0.0] * 5


def test_words_that_are_two_options_choose_none() -> None:
    assert judge(r"\boxed{1/2}", "A", ["0.5", r"\frac{2}{4}", "2"]).score == 0
    assert judge(r"\boxed{2.0}", "C", ["0.5", r"\frac{2}{4}", "2"]).score == 1


def test_the_time_that_an_earlier_answer_took_is_not_counted_against_a_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(math, "SECONDS", 0.0)
        math.verify(Problem("p", (), "x^2 + 1", ""), r"\boxed{1 + x^2}")
    assert judge(r"\boxed{2.0}", "C", ["0.5", "0.25", "2"]).score == 1


def test_ten_options_are_no_problem_and_none_is() -> None:
    ten = [f"option number {number}" for number in range(10)]
    assert judge(r"\boxed{J}", "J", ten).score == 1
    assert judge(r"\boxed{J}", "J", OPTIONS).status == Status.UNDECIDED
    assert choice.unreadable(Problem("p", (), {"letter": "J", "options": OPTIONS}, "")) is not None
    assert choice.unreadable(Problem("p", (), {"letter": "A", "options": ["x", "x "]}, "")) is not None


@given(st.text(max_size=60))
def test_no_response_raises(response: str) -> None:
    assert judge(f"\\boxed{{{response}}}").status == Status.SCORED
