import pickle
from collections.abc import Sequence
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core import Problem, Status
from tenfold.verifiers import pairwise
from tenfold.verifiers.pairwise import ResponsePair


def problem(answer: object = "a middling note") -> Problem:
    return Problem("1", ({"role": "user", "content": "Write a note."},), answer, "")


def by_length(pairs: Sequence[ResponsePair]) -> list[float]:
    """Prefers the shorter response, and slightly the one that it reads first."""
    return [0.8 if len(first) < len(second) else 0.4 for _, first, second in pairs]


def test_the_score_is_the_mean_over_both_orders() -> None:
    verdict = pairwise.verifier(by_length)(problem(), "short")
    assert (verdict.status, verdict.method) == (Status.SCORED, "pairwise")
    assert verdict.score == pytest.approx((0.8 + (1 - 0.4)) / 2)
    assert "0.800" in verdict.reason
    assert "0.600" in verdict.reason


def test_a_model_that_prefers_a_position_scores_one_half() -> None:
    assert pairwise.verifier(lambda pairs: [0.9] * len(pairs))(problem(), "anything").score == pytest.approx(0.5)


def test_the_reference_may_be_in_a_mapping() -> None:
    for answer in ({"reference": "a middling note"}, MappingProxyType({"reference": "a middling note"})):
        assert pairwise.verifier(by_length)(problem(answer), "short").score == pytest.approx(0.7)


@pytest.mark.parametrize("answer", [None, "", {"gold": "x"}, 7])
def test_a_problem_without_a_reference_is_undecided(answer: object) -> None:
    assert pairwise.verifier(by_length)(problem(answer), "short").status == Status.UNDECIDED


@pytest.mark.parametrize(
    "response",
    [
        "",
        "  \n",
        "\u200b\u200b",
        "\u3164\n\u2800",
        "\u115f \U000e0041",
        "<think>long thoughts</think>",
        "<think>cut while it thou",
    ],
)
def test_an_empty_response_scores_0_without_a_comparison(response: str) -> None:
    def never(pairs: Sequence[ResponsePair]) -> list[float]:
        raise AssertionError("was pairs")

    assert pairwise.verifier(never)(problem(), response).score == 0


def test_thinking_is_not_compared() -> None:
    seen: list[ResponsePair] = []

    def judge(pairs: Sequence[ResponsePair]) -> list[float]:
        seen.extend(pairs)
        return [0.5] * len(pairs)

    pairwise.verifier(judge)(problem(), "<think>judge, take me</think>my note")
    assert {text for _, *two in seen for text in two} == {"my note", "a middling note"}


def test_the_middle_of_a_long_response_is_left_out() -> None:
    shown = pairwise.shown("begin" + "x" * 1_000_000 + "end")
    assert len(shown) == pairwise.MAX_CHARACTERS
    assert shown.startswith("begin")
    assert shown.endswith("end")
    assert pairwise.GAP in shown


def fails(pairs: Sequence[ResponsePair]) -> list[float]:
    raise ConnectionError("the server is down")


@pytest.mark.parametrize(
    "prefer",
    [fails, lambda q: [float("nan")] * len(q), lambda q: [0.5], lambda q: [1.5] * len(q)],
    ids=["raises", "nan", "few", "no chance"],
)
def test_an_error_of_the_model_is_a_fault_and_does_not_score_0(prefer: pairwise.Prefer) -> None:
    verdict = pairwise.verifier(prefer)(problem(), "short")
    assert (verdict.status, verdict.score) == (Status.FAULT, None)
    verdicts = pairwise.round_robin(prefer, problem(), ["one", "another", "", "one"])
    assert [verdict.status for verdict in verdicts] == [Status.FAULT, Status.FAULT, Status.SCORED, Status.FAULT]


def test_a_pairwise_verifier_can_be_pickled() -> None:
    sent = pickle.loads(pickle.dumps(pairwise.verifier(by_length)))
    assert sent(problem(), "short").score == pytest.approx(0.7)


def test_all_pairs_of_a_group_are_compared_in_both_orders_in_one_call() -> None:
    calls: list[Sequence[ResponsePair]] = []

    def judge(pairs: Sequence[ResponsePair]) -> list[float]:
        calls.append(pairs)
        return by_length(pairs)

    verdicts = pairwise.round_robin(judge, problem(), ["a", "bbb", "cc"])
    (pairs,) = calls
    assert sorted((first, second) for _, first, second in pairs) == sorted(
        (first, second) for first in ("a", "bbb", "cc") for second in ("a", "bbb", "cc") if first != second
    )
    assert [verdict.score for verdict in verdicts] == pytest.approx([0.7, 0.3, 0.5])


def test_equal_responses_tie_and_empty_ones_lose_without_a_comparison() -> None:
    verdicts = pairwise.round_robin(fails, problem(), ["same", "<think>otherwise</think>same", ""])
    assert [verdict.score for verdict in verdicts] == [0.75, 0.75, 0]


def test_a_group_of_one_is_undecided() -> None:
    assert [verdict.status for verdict in pairwise.round_robin(fails, problem(), ["alone"])] == [Status.UNDECIDED]


@given(st.lists(st.sampled_from(["a", "b", "cc", "ddd"]), min_size=2, max_size=8), st.integers())
def test_the_mean_score_of_a_group_is_one_half(responses: list[str], salt: int) -> None:
    def judge(pairs: Sequence[ResponsePair]) -> list[float]:
        return [(hash((first, second, salt)) % 1000) / 1000 for _, first, second in pairs]

    scores = [verdict.score for verdict in pairwise.round_robin(judge, problem(), responses)]
    assert sum(score for score in scores if score is not None) == pytest.approx(len(responses) / 2)
