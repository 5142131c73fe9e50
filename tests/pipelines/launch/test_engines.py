"""Stages that sample with several engines, as Ray actors on a CPU."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import tenfold
from tenfold.core import UserError
from tenfold.pipelines.cluster import Cluster
from tenfold.pipelines.launch import engines, nodes
from tenfold.policies.play.engines import EnginePool
from tenfold.policies.transformers import TransformersPolicy

POLICY = "micro:?hidden=16&layers=1&heads=2"
PROMPTS = [[{"role": "user", "content": f"{n} + 1 ="}] for n in range(24)]
CLUSTER = Cluster.model_validate({"device": "cpu", "engines": 2, "threads": 1})
KEYS = [str(n) for n in range(24)]


def recipe(lab: Path, **cluster: Any) -> Path:
    """Writes a recipe with a benchmark and a filter of a trained policy."""
    (lab / "sums.jsonl").write_text("".join(json.dumps({"question": f"{n} + 1 =", "answer": n + 1}) + "\n" for n in range(12)))
    content = {
        "name": "engines",
        "seed": 1,
        "policy": POLICY,
        "cluster": {"device": "cpu", "threads": 1} | cluster,
        "environments": {"lab/Sums-v0": {"problems": f"jsonl:{lab}/sums.jsonl", "verifier": "math"}},
        "stages": [
            {"kind": "sft", "name": "sft", "problems": f"jsonl:{lab}/sums.jsonl", "steps": 60, "learning_rate": 5e-3}
            | {"batch_size": 12},
            {"kind": "filter", "name": "filter", "environment": "lab/Sums-v0", "max_tokens": 6, "batch_size": 8, "samples": 6}
            | {"band": [0.0, 1.0]},
            {"kind": "bench", "name": "bench", "tasks": ["chain_sum_avg8"], "limit": 6, "batch_size": 8},
        ],
    }
    (lab / "recipe.yaml").write_text(json.dumps(content))
    return lab / "recipe.yaml"


@pytest.mark.slow
def test_two_engines_give_the_results_of_one(lab: Path) -> None:
    one = tenfold.run(recipe(lab), "one", quiet=True)
    two = tenfold.run(recipe(lab, engines=2), "two", quiet=True)
    assert one["filter"]["kept"] > 0
    for stage in ("filter", "bench"):
        assert {**two[stage]} == {**one[stage]}


@pytest.mark.slow
def test_a_killed_actor_is_replaced(lab: Path) -> None:
    policy = engines.load_policy(POLICY, cluster=CLUSTER, batch_size=4)
    try:
        assert isinstance(policy, EnginePool)
        sampling = tenfold.Sampling(max_tokens=8)
        first = policy.generate(PROMPTS, 1, sampling, KEYS)
        os.kill(int(actors()[0]), signal.SIGKILL)
        again = policy.generate(PROMPTS, 1, sampling, KEYS)
    finally:
        nodes.release()
    alone = TransformersPolicy(tenfold.policies.checkpoints.checkpoint(POLICY)).generate(PROMPTS, 1, sampling, KEYS)
    texts = [[completion.text for (completion,) in rows] for rows in (first, again, alone)]
    assert texts[0] == texts[1] == texts[2]


@pytest.mark.slow
def test_an_engine_that_does_not_start_is_an_error_with_its_cause(lab: Path) -> None:
    (lab / "broken").mkdir()
    checkpoint = tenfold.policies.checkpoints.checkpoint(POLICY)
    for file in checkpoint.iterdir():
        (lab / "broken" / file.name).write_bytes(file.read_bytes() if file.suffix != ".safetensors" else b"not weights")
    policy = engines.load_policy(f"path:{lab}/broken", cluster=CLUSTER, batch_size=4)
    try:
        with pytest.raises(UserError, match="broken cannot be loaded") as error:
            policy.generate(PROMPTS[:1], 1, tenfold.Sampling(max_tokens=2))
        assert "\n" not in str(error.value)
    finally:
        nodes.release()


@pytest.mark.slow
def test_a_killed_run_leaves_no_engine(lab: Path) -> None:
    command = [sys.executable, "-P", "-m", "tenfold.cli", "run", str(recipe(lab, engines=2)), "--out", "out", "--quiet"]
    child = subprocess.Popen(command, env=os.environ)
    store = lab / "out/filter/episodes.jsonl"
    while child.poll() is None and not (store.is_file() and store.read_text().count("\n") > 1):
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    deadline = time.monotonic() + 60
    while (left := actors()) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not left
    stored = store.read_text().splitlines()
    whole = tenfold.run(recipe(lab, engines=2), "out", quiet=True)["filter"]
    assert store.read_text().splitlines()[: len(stored)] == stored, "what was stored is used"
    assert whole == tenfold.run(recipe(lab), "alone", quiet=True)["filter"]


def actors() -> list[str]:
    """Returns the ids of living processes of engines."""
    return subprocess.run(["pgrep", "-f", "ray::Actor"], capture_output=True, text=True, check=False).stdout.split()
