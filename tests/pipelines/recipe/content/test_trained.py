"""The word `trained` among the tasks of a bench stage."""

import datetime
import json
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import yaml

import tenfold
from tenfold import cli
from tenfold.benchmarks.result import results
from tenfold.core import UserError
from tenfold.pipelines.recipe import recipe

GRPO = {"kind": "grpo", "name": "grpo", "environment": "lab/Sums-v0", "steps": 1}


def loaded(folder: Path, *stages: dict[str, Any]) -> recipe.Recipe:
    environments = {"lab/Sums-v0": {"problems": "jsonl:train.jsonl", "held_out": "jsonl:test.jsonl"}}
    content = {"name": "r", "policy": "scripted:4", "environments": environments, "stages": list(stages)}
    (folder / "r.yaml").write_text(yaml.safe_dump(content))
    return recipe.load(folder / "r.yaml")


def test_trained_stands_for_the_environments_of_all_grpo_stages_with_their_options(tmp_path: Path) -> None:
    bench = {"kind": "bench", "name": "bench", "tasks": ["chain_sum", "trained"]}
    other = GRPO | {"name": "other", "options": {"problems": "jsonl:x.jsonl", "template": "{prompt}?", "size": 3}}
    read = loaded(tmp_path, bench, GRPO, other, bench | {"name": "after"})
    expected = ["chain_sum", "env:lab/Sums-v0", "env:lab/Sums-v0?size=3&template=%7Bprompt%7D%3F"]
    assert [stage.tasks for stage in read.stages if stage.kind == "bench"] == [expected, expected]
    other["options"] = {"problems": "reasoning_gym:chain_sum?part=train&size=9"}
    held_out = "env:lab/Sums-v0?problems=reasoning_gym%3Achain_sum%3Fpart%3Dheld_out%26size%3D9"
    assert loaded(tmp_path, bench, other).stages[0].tasks == ["chain_sum", held_out]  # type: ignore[union-attr]
    with pytest.raises(UserError, match="'trained' stands for the environments of the grpo stages, but the recipe has none"):
        loaded(tmp_path, bench)
    with pytest.raises(UserError, match=r"bench\.tasks\.1: Input should be a valid string"):
        loaded(tmp_path, bench | {"tasks": ["trained", "trained", {"file": "x"}, {"file": "x"}]}, other)
    with pytest.raises(UserError, match=r"other\.options: expected values that JSON can store"):
        loaded(tmp_path, bench, other | {"options": {"day": datetime.date(2024, 1, 2)}})


def test_a_bench_stage_measures_an_environment_of_the_recipe_and_its_identity_has_the_held_out_problems(lab: Path) -> None:
    for name, numbers in (("train", range(4)), ("test", range(4, 8))):
        rows = [{"question": f"{number} + 0 =", "answer": number} for number in numbers]
        (lab / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = loaded(lab, {"kind": "bench", "name": "bench", "tasks": ["env:lab/Sums-v0"], "samples": 2})
    metrics = tenfold.run(read, "out", quiet=True)
    score = metrics["bench"]["scores"]["env_lab_Sums-v0_avg2"]
    assert (score["mean"], score["problems"], score["cautions"]) == (0.25, 4, [])
    assert tenfold.run(read, "out", quiet=True) == metrics
    gymnasium.registry.pop("lab/Sums-v0", None)
    before = results("out/bench")
    assert cli.main(["bench", "rescore", "out/bench"]) == 0
    assert results("out/bench") == before
    (lab / "test.jsonl").write_text('{"question": "1 + 1 =", "answer": 2}\n')
    with pytest.raises(UserError, match=r"bench was started with task env:lab/Sums-v0 problems content="):
        tenfold.run(read, "out", quiet=True)
