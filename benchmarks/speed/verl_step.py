"""Time of a GRPO run on a CPU: verl's start, a step, and the share of environment and verifier.

    python -m tenfold.benchmarks.speed.verl_step [--run runs/quickstart/grpo [--instant]]

Without `--run`, it first runs a small stage of its own (about two minutes). The share is the time that environment and
verifier take when they run by themselves, divided by the time of a step. In training they delay a step by less, because samples
are judged while others are generated. `--instant` measures this delay: it runs the stage again, and every other step has a
verifier that takes no time. The delay is the median over pairs of steps, as a share of a step, with its 95% interval.
"""

import argparse
import itertools
import json
import queue
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, SupportsFloat, cast

import gymnasium
import scipy.stats
from gymnasium.envs.registration import EnvSpec

from ...core import Problem, Status, UserError, Verdict
from ...envs.text import TextEnv
from ...pipelines.rl import metrics, verl_config
from ...pipelines.rl.threads import THREADS

STAGE: dict[str, Any] = {
    "kind": "grpo",
    "name": "grpo",
    "environment": "tenfold/ChainSum-v0",
    "steps": 12,
    "batch_size": 16,
    "samples": 8,
    "learning_rate": 1e-5,
    "max_prompt_tokens": 64,
    "max_response_tokens": 24,
    "save_steps": 100,
}
PAIRS = 30
"""Pairs of steps with `--instant`. Our choice."""
UPDATE_SECONDS = 1.0
"""Pause between the verdicts of two steps, about as long as an update. The sandbox prepares its processes during this time. Our
choice."""
WARM_UP = 2
"""First steps that do not count, because libraries are still imported. Our choice."""


def measure(folder: Path) -> dict[str, float]:
    """Returns the times of a finished `grpo` stage in seconds, and the share of environment and verifier in a step.

    The times of a step are medians over the steps after the warm-up.

    Raises:
        UserError: the stage was resumed.
    """
    stage = json.loads((folder / "stage.json").read_text())
    if stage["resumed"]:
        raise UserError(f"{folder} was resumed, so its starting time is unknown; measure a stage that ran without interruption")
    steps = _steps(folder)
    counted = steps[WARM_UP:] or steps
    names = ("seconds", "generate_seconds", "update_seconds")
    step, generate, update = (statistics.median(row[name] for row in counted) for name in names)
    judge = judge_seconds(stage["stage"]["batch_size"] * stage["stage"]["samples"], folder)
    return {
        "start": stage["wall_seconds"] - sum(row["seconds"] for row in steps),
        "step": step,
        "generate": generate,
        "update": update,
        "environment and verifier": judge,
        "share of a step": judge / step,
    }


def instant(problem: Problem, response: str) -> Verdict:
    """A verifier that takes no time. Its scores differ between the samples of a problem."""
    return Verdict(Status.SCORED, float(zlib.crc32(response.encode()) % 2), "instant", "")


class InTurn(gymnasium.Env[str, str]):
    """An environment that uses its own verifier and an instant one in alternate steps.

    It counts resets to find the step of a sample. Therefore all samples of a run must be played in one process, as on a CPU.
    Scores of whole groups (`score_group`) are not measured.
    """

    resets = itertools.count()
    """Counts the resets of all environments in this process."""

    def __init__(self, environment: str, samples: int):
        """Wraps an environment.

        Args:
            environment: the environment's EnvSpec as JSON.
            samples: samples per step.
        """
        own = gymnasium.make(EnvSpec.from_json(environment))
        unwrapped = cast(TextEnv, own.unwrapped)
        self.problems = unwrapped.problems  # the stage reads their number
        self.both = (own, TextEnv(self.problems, instant, unwrapped.template, unwrapped.system))
        self.observation_space, self.action_space, self.samples = own.observation_space, own.action_space, samples

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Starts an episode. See `gymnasium.Env.reset`."""
        self.chosen = self.both[next(self.resets) // self.samples % 2]
        return self.chosen.reset(seed=seed, options=options)

    def step(self, action: str) -> tuple[str, SupportsFloat, bool, bool, dict[str, Any]]:
        """Judges the response. See `gymnasium.Env.step`."""
        return self.chosen.step(action)

    def close(self) -> None:
        """Closes both environments."""
        for environment in self.both:
            environment.close()


def against_instant(folder: Path) -> dict[str, float]:
    """Returns the seconds of a step with the stage's own verifier and with an instant one, and the delay as a share."""
    stage = json.loads((folder / "stage.json").read_text())
    loop, settings = _loop(folder), stage["stage"]
    samples = settings["batch_size"] * settings["samples"]
    environments = {
        "speed/InTurn-v0": {
            "entry_point": f"{__spec__.name}:InTurn",
            "environment": loop["environment"],
            "samples": samples,
        }
    }
    changes = {"environment": "speed/InTurn-v0", "name": "in_turn", "policy": stage["policy"], "keep": None, "options": {}}
    steps = WARM_UP + 2 * PAIRS
    stages = [settings | changes | {"steps": steps, "save_steps": steps}]
    run = _run(
        {"name": "speed", "seed": stage["seed"], "policy": stage["policy"], "environments": environments, "stages": stages}
    )
    seconds = [row["seconds"] for row in _steps(run / "in_turn")]
    own, without = (seconds[first::2] for first in (WARM_UP, WARM_UP + 1))
    shares = sorted((one - other) / statistics.median(own) for one, other in zip(own, without, strict=True))
    outside = int(scipy.stats.binom.ppf(0.025, PAIRS, 0.5)) - 1  # number of ranks on each side of a median's 95% interval
    return {
        "step, own verifier": statistics.median(own),
        "step, instant verifier": statistics.median(without),
        "delay, share of a step": statistics.median(shares),
        "share, low": shares[outside],
        "share, high": shares[-1 - outside],
    }


def _steps(folder: Path) -> list[dict[str, Any]]:
    """Returns the metrics of a stage's steps."""
    return [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]


def _loop(folder: Path) -> dict[str, Any]:
    """Returns the settings of a stage's agent loop."""
    (loop,) = json.loads((folder / verl_config.LOOPS).read_text())
    return loop


def _run(recipe: dict[str, Any]) -> Path:
    """Runs a recipe and returns the folder of its stages."""
    folder = Path(tempfile.mkdtemp(prefix="tenfold-speed-"))
    (folder / "speed.json").write_text(json.dumps(recipe))  # JSON is YAML
    command = [sys.executable, "-m", "tenfold.cli", "run", str(folder / "speed.json"), "--out", str(folder / "run")]
    subprocess.run(command, check=True)
    return folder / "run"


def judge_seconds(samples: int, folder: Path) -> float:
    """Returns the seconds that the environment takes for one step's samples, in as many threads as the agent loop has.

    It plays the samples of the last two steps, with a pause of `UPDATE_SECONDS` before each, and measures the last step.

    Args:
        samples: samples per step.
        folder: folder of the stage.
    """
    steps = [*metrics.episodes(folder).values()][-2:]
    loop = _loop(folder)
    for spec in map(EnvSpec.from_json, loop["registered"]):  # the recipe's environments
        gymnasium.registry.setdefault(spec.id, spec)
    free: queue.SimpleQueue[gymnasium.Env[str, str]] = queue.SimpleQueue()
    for _ in range(THREADS):
        free.put(gymnasium.make(EnvSpec.from_json(loop["environment"])))

    def play(row: dict[str, Any], answer: str) -> None:
        environment = free.get()
        try:
            environment.reset(options={"problem": row["problem"]})
            environment.step(answer)
        finally:
            free.put(environment)  # also after an error, because other threads wait for it

    with ThreadPoolExecutor(THREADS) as threads:
        for rows in steps:
            time.sleep(UPDATE_SECONDS)
            started = time.perf_counter()
            list(threads.map(play, rows, [row["messages"][-1]["content"] for row in rows]))
        seconds = time.perf_counter() - started
    while not free.empty():
        free.get().close()
    return seconds * samples / len(rows)


def main() -> None:
    """Prints the times and shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="folder of a finished grpo stage (default: run a small stage first)")
    parser.add_argument(
        "--instant", action="store_true", help="run the stage again; every other step has a verifier that takes no time"
    )
    arguments = parser.parse_args()
    if arguments.instant and not arguments.run:
        parser.error("--instant needs --run with the folder of a finished stage")
    folder = arguments.run or _run({"name": "speed", "policy": "micro:?hidden=96&layers=3", "stages": [STAGE]}) / "grpo"
    for name, value in (against_instant if arguments.instant else measure)(folder).items():
        print(f"{name:26} {value:8.3f}" + ("" if "share" in name else " s"))


if __name__ == "__main__":
    main()
