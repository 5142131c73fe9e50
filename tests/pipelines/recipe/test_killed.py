"""A run of three stages that is killed twenty times gives the results of an uninterrupted run. Takes a quarter of an hour.

Before the preference stage the results are equal in all bits. There a reward model scores the requests that wait together,
which depends on the timing of threads, and the last bits of its probabilities depend on the batch. Rewards differ by about
1e-8.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenfold.pipelines.recipe import recipe

KILLS = 20
SHORTER = {
    "sft": {"steps": 300, "save_steps": 60},
    "reward_model": {"save_steps": 25, "perturbed_responses": 10},
    "grpo": {"steps": 5, "save_steps": 2},
    "filter": {"problems": 60, "band": [0.0, 1.0]},
    "bench": {"limit": 30},
}
"""Settings that shorten the recipe's stages."""


def results(folder: Path) -> dict[str, Any]:
    """Returns the metrics and the weights of each stage."""
    found: dict[str, Any] = {}
    for record in sorted(folder.glob("*/stage.json")):
        stage = record.parent
        found[stage.name] = json.loads(record.read_text())["metrics"]
        if (weights := stage / "policy" / "model.safetensors").is_file():
            found[f"{stage.name}/policy"] = weights.read_bytes()
    return found


@pytest.mark.slow
def test_three_stages_killed_twenty_times_give_the_results_of_an_uninterrupted_run(lab: Path) -> None:
    content = recipe.load("three_stages").model_dump(mode="json", exclude_defaults=True)
    content["stages"] = [stage | SHORTER[stage["kind"]] for stage in content["stages"]]
    Path("recipe.yaml").write_text(yaml.safe_dump(content))
    command = [sys.executable, "-m", "tenfold.cli", "run", "recipe.yaml", "--quiet", "--out"]
    begun = time.monotonic()
    subprocess.run([*command, "whole"], check=True)
    seconds = time.monotonic() - begun  # the moments of the kills are in proportion to this time
    moments, kills, unfinished = random.Random(20), 0, []
    while True:
        child = subprocess.Popen([*command, "killed"])
        try:
            # Kills hit verl's start, its steps, filters and benchmarks.
            assert child.wait(seconds * moments.uniform(0.03, 0.2) if kills < KILLS else None) == 0
            break
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            kills += 1
            unfinished += [path.parent.name for path in Path("killed").glob("*/settings.json") if not _done(path.parent)]
    assert kills == KILLS, f"the run ended after {kills} kills"
    print(f"killed in {', '.join(unfinished)}")
    whole, killed = results(lab / "whole"), results(lab / "killed")
    assert whole.keys() == killed.keys()
    inexact = ("filter_preference", "preference", "preference/policy", "after_preference", "tools_after_preference")
    for name in whole.keys() - {*inexact}:
        assert whole[name] == killed[name], name
    close = (
        ("filter_preference", "pass_rate", 1e-6),
        ("preference", "reward_first", 0.03),
        ("preference", "reward_last", 0.03),
    )
    for stage, metric, tolerance in close:
        assert whole[stage][metric] == pytest.approx(killed[stage][metric], abs=tolerance), stage


def _done(stage: Path) -> bool:
    return (stage / "stage.json").is_file()
