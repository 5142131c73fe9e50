"""The three stages, killed at twenty moments: what comes out is what an undisturbed run leaves. Takes an hour."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

KILLS = 20
COMMAND = [sys.executable, "-m", "tenfold.cli", "run", "three_stages", "--quiet", "--out"]


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
    subprocess.run([*COMMAND, "whole"], check=True)
    moments, kills = random.Random(20), 0
    while True:
        child = subprocess.Popen([*COMMAND, "killed"])
        try:
            # Some kills hit while verl starts, some in its steps, some a filter or a benchmark.
            assert child.wait(moments.uniform(5, 110) if kills < KILLS else None) == 0
            break
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            kills += 1
    assert kills == KILLS, f"the run ended after {kills} kills"
    whole, killed = results(lab / "whole"), results(lab / "killed")
    assert whole.keys() == killed.keys()
    for name in whole:
        assert whole[name] == killed[name], name
