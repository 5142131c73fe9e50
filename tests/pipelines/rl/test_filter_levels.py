"""The filter with `raise_level_above`: which levels it samples depends on the policy's pass rates."""

import json
from pathlib import Path
from typing import Any

import pandas
import pytest

import tenfold
from tenfold.core import UserError

POLICY = """
from tenfold.core import sample_seed

RATES = {rates}

def says(conversation, seed):
    with open("calls.txt", "a") as file:
        file.write("x")
    question, level = conversation[0]["content"].split(" at level ")
    return question if sample_seed(seed, "coin", 0) / 2**53 < RATES[int(level)] else "no"
"""


def run(lab: Path, rates: list[float], **changes: Any) -> Any:
    """Runs a filter over three levels of 20 problems, of which the policy solves these shares; returns its metrics."""
    (lab / "lab_levels.py").write_text(POLICY.format(rates=rates))
    for level in range(3):
        rows = [{"question": f"{n} at level {level}", "answer": n} for n in range(20)]
        (lab / f"level{level}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    levels = [{"id": "lab/Echo-v0", "problems": f"jsonl:level{level}.jsonl"} for level in range(3)]
    stage = {"kind": "filter", "name": "filter", "environment": "lab/Levels-v0", "raise_level_above": 0.8, "max_tokens": 8}
    recipe = {
        "name": "levels",
        "policy": "call:lab_levels:says",
        "modules": ["lab_levels"],
        "environments": {
            "lab/Echo-v0": {"problems": "jsonl:level0.jsonl", "verifier": "math"},
            "lab/Levels-v0": {"entry_point": "tenfold.envs.mixture:Mixture", "environments": levels},
        },
        "stages": [stage | changes],
    }
    (lab / "levels.yaml").write_text(json.dumps(recipe))  # JSON is valid YAML
    return tenfold.run("levels.yaml", "out", quiet=True, trust=True)["filter"]


def table(lab: Path) -> pandas.DataFrame:
    return pandas.read_parquet(lab / "out/filter/problems.parquet")


def calls(lab: Path) -> int:
    return len((lab / "calls.txt").read_text())


@pytest.mark.parametrize(
    ("rates", "sampled"), [([0.5, 0.5, 0.5], 1), ([0.95, 0.5, 0.5], 2), ([1.0, 0.9, 0.0], 3), ([1.0, 0.85, 0.95], 3)]
)
def test_the_next_level_is_sampled_if_the_policy_solves_the_level_before(lab: Path, rates: list[float], sampled: int) -> None:
    metrics = run(lab, rates, band=[0.02, 0.99])
    assert metrics["levels"] == pytest.approx({str(level): rates[level] for level in range(sampled)}, abs=0.1)
    problems = table(lab)
    assert {id.split("/")[1] for id in problems["id"]} == {f"Echo-v0#{level}" for level in range(sampled)}
    assert len(problems) == metrics["problems"] == 20 * sampled
    assert problems["index"].is_monotonic_increasing
    assert metrics["kept"] == problems["kept"].sum() > 0


def test_problems_inside_the_band_are_kept_at_each_sampled_level(lab: Path) -> None:
    run(lab, [0.85, 0.5, 0.5])
    kept = table(lab).query("kept")["id"]
    assert {id.split("/")[1] for id in kept} == {"Echo-v0#0", "Echo-v0#1"}


def test_without_the_setting_all_levels_are_sampled(lab: Path) -> None:
    metrics = run(lab, [0.5, 0.5, 0.5], raise_level_above=None)
    assert metrics["problems"] == 60
    assert "levels" not in metrics


def test_a_limit_of_problems_takes_as_many_of_each_level(lab: Path) -> None:
    assert run(lab, [0.95, 0.5, 0.5], problems=30)["problems"] == 20


def test_samples_of_an_interrupted_filter_are_reused_at_all_levels(lab: Path) -> None:
    whole = run(lab, [0.95, 0.5, 0.5], all_samples=True)
    rows, made = table(lab), calls(lab)
    for name in ("stage.json", "problems.parquet"):
        (lab / "out/filter" / name).unlink()
    store = lab / "out/filter/episodes.jsonl"
    lines = store.read_text().splitlines(keepends=True)
    store.write_text("".join(lines[:-10]))  # the last samples are of level 1
    assert run(lab, [0.95, 0.5, 0.5], all_samples=True) == whole
    assert table(lab).equals(rows)
    assert calls(lab) == made + 10


def test_another_threshold_does_not_resume(lab: Path) -> None:
    run(lab, [0.95, 0.5, 0.5])
    (lab / "out/filter/stage.json").unlink()
    with pytest.raises(UserError, match="raise_level_above"):
        run(lab, [0.95, 0.5, 0.5], raise_level_above=0.7)


def test_an_environment_without_levels_is_an_error_before_the_run(lab: Path) -> None:
    with pytest.raises(
        UserError, match="filter: raise_level_above needs levels, which lab/Echo-v0 does not have: use a mixture"
    ):
        run(lab, [1.0], environment="lab/Echo-v0")
    assert not (lab / "calls.txt").exists()


def test_a_class_names_the_levels_of_its_problems(lab: Path) -> None:
    class Steps(tenfold.envs.text.TextEnv):
        levels = (2, 1, 2, 1)  # level 1 is the easier one

    rows = [{"question": f"{n} at level {level}", "answer": n} for n, level in enumerate((2, 1, 2, 1))]
    tenfold.register("lab/Steps-v0", entry_point=Steps, problems=rows)
    metrics = run(lab, [0.0, 0.5, 0.5], environment="lab/Steps-v0", band=[0.02, 0.98])
    assert [*metrics["levels"]] == ["1"]
    assert table(lab)["index"].tolist() == [1, 3]
