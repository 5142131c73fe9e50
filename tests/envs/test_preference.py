"""Rewards from preferences. A function replaces the judge."""

from collections.abc import Sequence

import pytest

from tenfold.core import Problem, Status, UserError
from tenfold.envs import preference
from tenfold.envs.preference import PreferenceEnv
from tenfold.verifiers.pairwise import ResponsePair

PROBLEMS = [Problem("p", ({"role": "user", "content": "Greet me."},), "Good day.", "")]


def shorter(questions: Sequence[ResponsePair]) -> list[float]:
    """Prefers the shorter response, with a small bias for the first one."""
    return [0.9 if len(first) < len(second) else 0.2 for _, first, second in questions]


@pytest.fixture(autouse=True)
def _judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preference, "preference", lambda uri: shorter)


def test_the_reward_is_the_probability_of_being_better_than_the_reference() -> None:
    environment = PreferenceEnv(PROBLEMS, "any:model")
    environment.reset(options={"problem": 0})
    _, reward, terminated, _, info = environment.step("Hi.")
    assert (reward, terminated) == (pytest.approx((0.9 + 1 - 0.2) / 2), True)
    assert info["verdict"].method == "pairwise"
    assert environment.score_group(0, ["Hi.", "Hello!"]) is None


def test_in_a_group_each_response_is_compared_with_every_other() -> None:
    environment = PreferenceEnv(PROBLEMS, "any:model", compare_with="group")
    verdicts = environment.score_group(0, ["Hi.", "Hello there!", "Hi."])
    assert verdicts is not None
    scores = [verdict.score for verdict in verdicts]
    assert scores[0] == scores[2] == pytest.approx((0.85 + 0.5) / 2)
    assert scores[1] == pytest.approx(0.15)


def test_a_failed_judge_gives_a_fault_not_a_score_of_0(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(questions: Sequence[ResponsePair]) -> list[float]:
        raise ConnectionError("the server is gone")

    monkeypatch.setattr(preference, "preference", lambda uri: gone)
    environment = PreferenceEnv(PROBLEMS, "any:model")
    environment.reset(options={"problem": 0})
    verdict = environment.step("Hi.")[4]["verdict"]
    assert (verdict.status, verdict.score) == (Status.FAULT, None)
    assert "the server is gone" in verdict.reason


def test_a_missing_reward_model_is_reported_by_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    environment = PreferenceEnv(PROBLEMS, "stage:nowhere")
    with pytest.raises(UserError, match="there is no folder nowhere"):
        environment.reset(options={"problem": 0})
    with pytest.raises(UserError, match="compare_with: expected one of reference, group, got 'all'"):
        PreferenceEnv(PROBLEMS, "stage:nowhere", compare_with="all")
