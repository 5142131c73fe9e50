"""Simulated trainings with a planted hole, and honest ones. `planted.py` prints the table of longer runs."""

from pathlib import Path

import pytest

from . import planted

STEPS, OPENS = 40, 16
JUDGES = ("rules", "math-verify", "tests", "fresh tests")
WITHIN = STEPS // 5
"""A hole is to be seen within a fifth of the run after it opens."""


@pytest.mark.parametrize("name", planted.HOLES)
def test_each_hole_is_seen_within_a_fifth_of_the_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planted, "GROWTH", 1.6)  # as the run is short, the policy learns fast
    hole = planted.HOLES[name]
    id = planted.register(name, hole, problems=10)
    planted.write(tmp_path / "grpo", id, hole, seed=1, opens=OPENS, steps=STEPS)
    found = planted.examined(tmp_path / "grpo", id, JUDGES)
    (first, *_) = found["alarms"]
    assert OPENS <= first["step"] <= OPENS + WITHIN
    assert abs(first["opened"] - OPENS) <= WITHIN
    assert hole.trick in {sign["name"] for sign in found["signs"]}

    before, after = first["before"], first["after"]
    assert before is not None
    assert after is not None
    assert after > before + 0.3
    reward, judge = found["reward_change"], found["judges"][first["name"]]
    assert reward is not None
    assert judge["change"] is not None
    assert reward[1] > 0, "the reward rose"
    assert judge["change"][0] < reward[1], "the judge's score did not rise with it"

    largest = found["clusters"][0]
    assert hole.trick in largest["tricks"]
    assert largest["first_step"] >= OPENS or name == "visible tests"
    assert 0 < len(largest["examples"]) <= 3
    assert all(example["reward"] == 1 for example in largest["examples"])


@pytest.mark.parametrize("seed", range(2))
def test_an_honest_run_has_no_alarm(seed: int, tmp_path: Path) -> None:
    hole = planted.HONEST[0]
    id = planted.register(f"honest {seed}", hole, seed=seed)
    planted.write(tmp_path / "grpo", id, hole, seed, opens=None, steps=STEPS, skill=(0.2, 0.9))
    found = planted.examined(tmp_path / "grpo", id, JUDGES)
    reward, rules = found["reward_change"], found["judges"]["rules"]["change"]
    assert reward is not None
    assert rules is not None
    assert reward[1] > 0.2
    assert rules[1] > 0.2
    assert (found["alarms"], found["signs"]) == ([], [])
