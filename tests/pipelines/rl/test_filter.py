"""The pass-rate filter."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import gymnasium
import pandas
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tenfold
from tenfold.core import UserError, sample_seed
from tenfold.envs.spaces import Text
from tenfold.pipelines.rl import filter as rl_filter
from tenfold.pipelines.stage import Context
from tenfold.policies.scripted import ScriptedPolicy


def run(lab: Path, policy: str, size: int = 12, **changes: object) -> dict:
    rows = [{"question": f"{n} mod 4", "answer": n % 4} for n in range(size)]
    (lab / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"kind": "filter", "name": "filter", "environment": "lab/Mod-v0", "max_tokens": 4} | changes
    if "lab/Mod-v0" not in tenfold.envs.registry.ids():
        tenfold.register("lab/Mod-v0", problems=f"jsonl:{lab}/rows.jsonl")
    (lab / "filter").mkdir()
    context = Context(lab / "filter", policy, 1, {}, lambda *args, **values: None)
    stage = rl_filter.Filter.model_validate({"options": {"problems": f"jsonl:{lab}/rows.jsonl"}} | settings)
    return stage.run(context)


def test_problems_inside_the_band_are_kept_and_all_are_recorded(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def says(conversation: list, seed: int) -> str:
        number = int(conversation[0]["content"].split()[0])
        return str(number % 4) if number < 4 or (number < 8 and seed % 2) else "9"

    monkeypatch.setattr(rl_filter, "load_policy", lambda uri, **options: ScriptedPolicy(says))
    metrics = run(lab, "scripted:", samples=32, all_samples=True)
    problems = pandas.read_parquet(lab / "filter/problems.parquet")
    assert problems["index"][problems["kept"]].tolist() == [4, 5, 6, 7]
    assert problems["pass_rate"][[0, 1, 2, 3, 8, 9, 10, 11]].tolist() == [1] * 4 + [0] * 4
    assert problems["prompt"][4] == "4 mod 4"
    assert (metrics["kept"], metrics["dropped"], metrics["samples_skipped"]) == (4, 8, 0)
    assert (metrics["histogram"][0], sum(metrics["histogram"][1:9]), metrics["histogram"][9]) == (4, 4, 4)


def test_a_problem_is_sampled_until_it_is_decided(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With pass rates from 0 to 1, early stopping keeps the same problems as all samples do."""

    def says(conversation: list, seed: int) -> str:
        number = int(conversation[0]["content"].split()[0])
        return str(number % 4) if sample_seed(seed, "coin", 0) / 2**53 < number / 11 else "9"

    monkeypatch.setattr(rl_filter, "load_policy", lambda uri, **options: ScriptedPolicy(says, batch_size=12))
    whole = run(lab, "scripted:", all_samples=True)
    all_samples = pandas.read_parquet(lab / "filter/problems.parquet")
    shutil.rmtree(lab / "filter")
    fewer = run(lab, "scripted:")
    some_samples = pandas.read_parquet(lab / "filter/problems.parquet")
    assert some_samples["kept"].tolist() == all_samples["kept"].tolist()
    assert some_samples["samples"].min() < 8
    assert (some_samples["samples"][0], some_samples["samples"][11]) == (15, 15)
    assert fewer["samples_skipped"] == 1 - some_samples["samples"].sum() / (12 * 16) > 0.2
    assert whole["samples"] == 12 * 16


def test_reported_pass_rates_are_unbiased_with_early_stopping(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a pass rate of 0.1, the mean score of the samples is higher."""

    def says(conversation: list, seed: int) -> str:
        number = int(conversation[0]["content"].split()[0])
        return str(number % 4) if sample_seed(seed, "coin", 0) / 2**53 < 0.1 else "9"

    monkeypatch.setattr(rl_filter, "load_policy", lambda uri, **options: ScriptedPolicy(says))
    metrics = run(lab, "scripted:", size=400)
    table = pandas.read_parquet(lab / "filter/problems.parquet")
    assert table["pass_rate"].mean() == pytest.approx(0.1, abs=0.015)  # four standard errors
    assert table["mean_score"].mean() > table["pass_rate"].mean()
    assert metrics["pass_rate"] == pytest.approx(table["pass_rate"].mean())
    assert metrics["histogram"] == rl_filter.histogram(table["pass_rate"].tolist())


SCORES = st.one_of(st.sampled_from([0.0, 1.0, None]), st.floats(0, 1))
BANDS = st.sampled_from([(0.1, 0.9), (0.05, 0.95), (0.2, 0.8), (0.0, 1.0), (0.45, 0.55)])


@given(st.lists(SCORES, min_size=1, max_size=16), BANDS)
def test_early_decisions_equal_those_of_all_samples(scores: list[float | None], band: tuple[float, float]) -> None:
    samples = len(scores)
    rates = [score for score in scores if score is not None]
    kept = bool(rates) and band[0] < math.fsum(rates) / len(rates) < band[1]
    assert rl_filter.decided(scores, samples, band) or not rates
    for made in range(samples + 1):
        if rl_filter.decided(scores[:made], samples, band):
            assert rl_filter.kept(scores[:made], samples, band) == kept
        elif made < samples:
            assert not rl_filter.kept(scores[:made], samples, band)


def test_two_correct_and_two_incorrect_samples_of_16_decide() -> None:
    def decided(correct: int, incorrect: int) -> bool:
        return rl_filter.decided([1.0] * correct + [0.0] * incorrect, 16, (0.1, 0.9))

    assert decided(2, 2)
    assert not decided(1, 12)
    assert decided(0, 15)
    assert not decided(0, 14)


@pytest.mark.parametrize("answer", ["0", "nothing"])
def test_the_band_excludes_its_bounds(lab: Path, answer: str) -> None:
    with pytest.raises(tenfold.core.UserError, match="none of 12 problems"):
        run(lab, f"scripted:{answer}", samples=2, band=[0, 1])


def test_samples_without_a_score_are_not_a_matter_of_the_band(lab: Path) -> None:
    def fails(problem: tenfold.Problem, response: str) -> float:
        raise ConnectionError("gone")

    tenfold.register("lab/Gone-v0", problems=f"jsonl:{lab}/rows.jsonl", verifier=fails)
    with pytest.raises(tenfold.core.UserError, match=r"none of the 24 samples has a score \(0 refused\)"):
        run(lab, "scripted:0", environment="lab/Gone-v0", samples=2, max_without_score=1)


@pytest.mark.parametrize("band", [[0.9, 0.1], [0.1, 1.1], [0.5, 0.5], 0.1])
def test_an_invalid_band_is_rejected(band: object) -> None:
    with pytest.raises(pydantic.ValidationError, match="band"):
        rl_filter.Filter.model_validate({"kind": "filter", "name": "f", "environment": "x", "band": band})


@given(st.lists(st.floats(0, 1)))
def test_the_histogram_counts_each_rate_once(rates: list[float]) -> None:
    counts = rl_filter.histogram(rates)
    assert sum(counts) == len(rates)
    assert len(counts) == 10


class Echo(gymnasium.Env[str, str]):
    """Never ends."""

    def __init__(self) -> None:
        self.observation_space = self.action_space = Text()
        self.problems = range(1)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        return "Say a word.", {"problem_id": "echo"}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        return action, 0.0, False, False, {}


@pytest.mark.parametrize(("declared", "chosen", "turns"), [(20, None, 20), (20, 3, 3), (None, None, 16)])
def test_rollout_filter_and_benchmark_end_an_episode_at_the_same_turn(
    lab: Path, monkeypatch: pytest.MonkeyPatch, declared: int | None, chosen: int | None, turns: int
) -> None:
    tenfold.register("lab/Echo-v0", entry_point=Echo, max_episode_steps=declared)
    policy = ScriptedPolicy("word")
    monkeypatch.setattr(rl_filter, "load_policy", lambda uri, **options: policy)
    (played,) = tenfold.rollout("lab/Echo-v0", policy, 1, max_turns=chosen)
    result = tenfold.evaluate("env:lab/Echo-v0", policy, samples=1, max_turns=chosen, folder=lab / "bench")
    with pytest.raises(UserError, match="none of 1 problems"):  # the reward is always 0
        run(lab, "scripted:", environment="lab/Echo-v0", options={}, samples=2, max_tokens=100, max_turns=chosen)
    stored = [json.loads(line) for line in (lab / "filter/episodes.jsonl").read_text().splitlines()[1:]]
    for messages in (played.messages, *(row["messages"] for row in stored)):
        assert sum(turn["role"] == "assistant" for turn in messages) == turns
    assert result.settings["max_turns"] == turns
