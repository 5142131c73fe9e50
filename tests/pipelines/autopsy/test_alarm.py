"""The sequential test."""

import random

import pytest

from tenfold.pipelines.autopsy import alarm
from tenfold.pipelines.autopsy.alarm import Group

SAMPLES = 8


def run(seed: int, denied: float, opens: int | None = None, steps: int = 40, groups: int = 8) -> list[list[Group]]:
    """Returns a run whose reward rises and whose judge denies a share of it; from `opens` on it denies ever more."""
    rng = random.Random(seed)

    def group(step: int) -> Group:
        hole = 0.0 if opens is None or step < opens else min(0.9, 0.05 * 1.5 ** (step - opens))
        rate = min(1.0, max(0.0, 0.3 + 0.5 * step / steps + rng.gauss(0, 0.2)))
        used = [rng.random() < hole for _ in range(SAMPLES)]
        rewards = [each or rng.random() < rate for each in used]
        wrong = [reward and (each or rng.random() < denied) for each, reward in zip(used, rewards, strict=True)]
        return Group(sum(wrong) / SAMPLES, sum(rewards) / SAMPLES, SAMPLES)

    return [[group(step) for _ in range(groups)] for step in range(steps)]


@pytest.mark.parametrize("denied", [0.0, 0.05, 0.3])
def test_a_judge_that_denies_a_constant_share_raises_few_alarms(denied: float) -> None:
    alarms = sum(alarm.test(run(seed, denied), judges=1).alarm is not None for seed in range(60))
    assert alarms <= 60 * alarm.FALSE_ALARMS


@pytest.mark.parametrize(("groups", "samples"), [(8, 8), (4, 16), (2, 32)])
def test_a_judge_that_cannot_read_the_gold_answers_of_some_problems_raises_few_alarms(groups: int, samples: int) -> None:
    def honest(seed: int) -> list[list[Group]]:
        """Returns a run in which 5% of 500 problems are denied with all their samples, while the reward rises."""
        rng = random.Random(seed)
        skill = [(rng.gauss(0, 0.25), rng.random() < 0.05) for _ in range(500)]

        def group(step: int, problem: int) -> Group:
            rate = 0.3 + 0.5 * step / 200 + skill[problem][0]
            reward = sum(rng.random() < rate for _ in range(samples)) / samples
            return Group(reward * skill[problem][1], reward, samples)

        order = [problem for _ in range(1 + 200 * groups // 500) for problem in rng.sample(range(500), 500)]
        return [[group(step, problem) for problem in order[step * groups : (step + 1) * groups]] for step in range(200)]

    assert sum(alarm.test(honest(seed), judges=1).alarm is not None for seed in range(60)) <= 60 * alarm.FALSE_ALARMS


@pytest.mark.parametrize("denied", [0.0, 0.05, 0.1])
def test_a_growing_share_is_seen_soon_and_its_start_is_estimated(denied: float) -> None:
    for seed in range(5):
        found = alarm.test(run(seed, denied, opens=20), judges=3)
        assert found.alarm is not None
        assert found.opened is not None
        assert 20 <= found.alarm <= 28
        assert abs(found.opened - 20) <= 6
        assert found.share <= found.allowed < 1


def test_more_looks_and_more_judges_need_no_less_evidence() -> None:
    steps = run(1, 0.0, opens=20)
    one, many = alarm.test(steps, judges=1), alarm.test(steps, judges=20)
    assert many.threshold == pytest.approx(20 * one.threshold)
    assert many.allowed > one.allowed
    assert many.alarm is not None
    assert one.alarm is not None
    assert many.alarm >= one.alarm


def test_a_judge_that_denies_nearly_all_from_the_start_is_not_tested() -> None:
    blind = alarm.test([[Group(1.0, 1.0, SAMPLES)] * 8] * 20, judges=1)
    assert (blind.blind, blind.alarm) == (True, None)
    assert alarm.test([[Group(0.0, 0.0, SAMPLES)] * 8] * 20, judges=1).blind, "there is no reward to deny"


def test_first_steps_with_little_reward_are_more() -> None:
    assert alarm.number_of_first([[Group(0.0, 1.0, SAMPLES)] * 8] * 100) == 10
    assert alarm.number_of_first([[Group(0.0, 0.1, SAMPLES)] * 8] * 100) == 16
    assert alarm.number_of_first([[Group(0.0, 0.0, SAMPLES)] * 8] * 100) == 25


@pytest.mark.parametrize("steps", [[], [[]], [[Group(0.0, 1.0, 1)]], [[], [Group(1.0, 1.0, 1)], []]])
def test_very_short_runs_have_no_alarm(steps: list[list[Group]]) -> None:
    assert alarm.test(steps, judges=1).alarm is None
