"""What a GRPO run on a processor spends its time on: verl's start, a step, and the share of environment and verifier.

    python -m tenfold.benchmarks.speed.verl_step [--run runs/quickstart/grpo]

Without `--run`, runs a small stage of its own first (about two minutes).
"""

import argparse
import json
import queue
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gymnasium
import yaml
from gymnasium.envs.registration import EnvSpec

from ...core import UserError
from ...pipelines.rl.threads import THREADS

STAGE: dict[str, Any] = {
    "kind": "grpo",
    "name": "grpo",
    "environment": "tenfold/ChainSum-v0",
    "steps": 12,
    "batch_size": 16,
    "group_size": 8,
    "learning_rate": 1e-5,
    "max_prompt_tokens": 64,
    "max_response_tokens": 24,
    "save_steps": 100,
}
WARM_UP = 2
"""First steps that are not counted: libraries are still being imported."""


def measure(folder: Path) -> dict[str, float]:
    """Figures of a finished `grpo` stage, in seconds; medians over its steps after the first ones."""
    stage = json.loads((folder / "stage.json").read_text())
    if stage["resumed"]:
        raise UserError(f"{folder} was resumed: the time of its start is not known; measure a run that went through")
    steps = [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]
    counted = steps[WARM_UP:] or steps
    names = ("seconds", "generate_seconds", "update_seconds")
    step, generate, update = (statistics.median(row[name] for row in counted) for name in names)
    judge = judge_seconds(stage["stage"]["batch_size"] * stage["stage"]["group_size"], folder)
    return {
        "start": stage["wall_seconds"] - sum(row["seconds"] for row in steps),
        "step": step,
        "generate": generate,
        "update": update,
        "environment and verifier": judge,
        "share of a step": judge / step,
    }


def judge_seconds(draws: int, folder: Path) -> float:
    """Seconds that the environment takes for one step's draws, reset and stepped in as many threads as the loop has."""
    rows = [json.loads(line) for path in (folder / "episodes").iterdir() for line in path.read_text().splitlines()][-draws:]
    (loop,) = yaml.safe_load((folder / "agent_loops.yaml").read_text())
    for spec in map(EnvSpec.from_json, loop["registered"]):  # those of the recipe
        gymnasium.registry.setdefault(spec.id, spec)
    free: queue.SimpleQueue[gymnasium.Env[str, str]] = queue.SimpleQueue()
    for _ in range(THREADS):
        free.put(gymnasium.make(EnvSpec.from_json(loop["environment"])))

    def play(row: dict[str, Any], answer: str) -> None:
        environment = free.get()
        environment.reset(options={"problem": row["problem"]})
        environment.step(answer)
        free.put(environment)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(play, rows[:THREADS], [""] * THREADS))  # what is started once a process
        started = time.perf_counter()
        list(threads.map(play, rows, [row["messages"][-1]["content"] for row in rows]))
        seconds = time.perf_counter() - started
    while not free.empty():
        free.get().close()
    return seconds * draws / len(rows)


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="folder of a finished grpo stage")
    folder = parser.parse_args().run
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="tenfold-speed-")) / "grpo"
        folder.parent.mkdir(exist_ok=True)
        recipe = folder.parent / "speed.json"  # JSON is YAML
        recipe.write_text(json.dumps({"name": "speed", "policy": "micro:?hidden=96&layers=3", "stages": [STAGE]}))
        subprocess.run([sys.executable, "-m", "tenfold.cli", "run", str(recipe), "--out", str(folder.parent)], check=True)
    for name, value in measure(folder).items():
        print(f"{name:26} {value:8.3f}" + ("" if "share" in name else " s"))


if __name__ == "__main__":
    main()
