"""Three stages, killed at twenty moments: what comes out is what an undisturbed run leaves. Takes a quarter of an hour.

Up to the preference stage that holds to the last bit. There a reward model answers whichever questions wait together, and the
last bits of its probabilities depend on their company, which is a matter of threads: rewards differ by 1e-8 or so.
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
    "reward_model": {"save_steps": 25, "perturbed_answers": 10},
    "grpo": {"steps": 5, "save_steps": 2},
    "filter": {"problems": 60, "band": [0.0, 1.0]},
    "bench": {"limit": 30},
}
"""The recipe's stages as they are, but for their length."""


def results(folder: Path) -> dict[str, Any]:
    """Metrics of every stage, and its weights."""
    found: dict[str, Any] = {}
    for record in sorted(folder.glob("*/stage.json")):
        stage = record.parent
        found[stage.name] = json.loads(record.read_text())["metrics"]
        if (weights := stage / "policy" / "model.safetensors").is_file():
            found[f"{stage.name}/policy"] = weights.read_bytes()
    return found


@pytest.mark.slow
def test_three_stages_killed_twenty_times_end_as_if_nothing_had_happened(lab: Path) -> None:
    content = recipe.load("three_stages").model_dump(mode="json", exclude_defaults=True)
    content["stages"] = [stage | SHORTER[stage["kind"]] for stage in content["stages"]]
    Path("recipe.yaml").write_text(yaml.safe_dump(content))
    command = [sys.executable, "-m", "tenfold.cli", "run", "recipe.yaml", "--quiet", "--out"]
    begun = time.monotonic()
    subprocess.run([*command, "whole"], check=True)
    seconds = time.monotonic() - begun  # all that follows is in proportion to what a run takes on this machine
    moments, kills, unfinished = random.Random(20), 0, []
    while True:
        child = subprocess.Popen([*command, "killed"])
        try:
            # Some kills hit while verl starts, some in its steps, some a filter or a benchmark.
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
    judged = ("filter_preference", "preference", "preference/policy", "after_preference")
    for name in whole.keys() - {*judged}:
        assert whole[name] == killed[name], name
    near = (("filter_preference", "pass_rate", 1e-6), ("preference", "reward_first", 0.03), ("preference", "reward_last", 0.03))
    for stage, figure, apart in near:
        assert whole[stage][figure] == pytest.approx(killed[stage][figure], abs=apart), stage


def _done(stage: Path) -> bool:
    return (stage / "stage.json").is_file()
