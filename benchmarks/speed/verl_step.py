"""What a GRPO run on a processor spends its time on: verl's start, a step, and the share of environment and verifier.

    python -m tenfold.benchmarks.speed.verl_step [--run runs/quickstart/grpo [--instant]]

Without `--run`, runs a small stage of its own first (about two minutes). The share is what environment and verifier take by
themselves. A step is held up by less, for some samples are judged while others are sampled: with `--instant` the stage is run
again, every other step with a verifier that answers at once; the difference is the median over pairs of steps, with an
interval that holds it in 95% of cases.
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
from typing import Any, SupportsFloat

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
"""Pairs of steps, with `--instant`."""
UPDATE_SECONDS = 1.0
"""Between one step's verdicts and the next one's samples; the sandbox makes itself ready meanwhile."""
WARM_UP = 2
"""First steps that are not counted: libraries are still being imported."""


def measure(folder: Path) -> dict[str, float]:
    """Figures of a finished `grpo` stage, in seconds; medians over its steps after the first ones."""
    stage = json.loads((folder / "stage.json").read_text())
    if stage["resumed"]:
        raise UserError(f"{folder} was resumed: the time of its start is not known; measure a run that went through")
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
    """A verifier that takes no time, and under which samples of a problem differ."""
    return Verdict(Status.SCORED, float(zlib.crc32(response.encode()) % 2), "instant", "")


class InTurn(gymnasium.Env[str, str]):
    """An environment for all samples of a step, and for those of the next one the same with an instant verifier.

    Steps are told apart by counting resets, so all samples must be played in one process, as on a processor they are. What
    judges a group together (`score_group`) is left out.
    """

    resets = itertools.count()
    """Of all environments in this process."""

    def __init__(self, environment: str, samples: int):
        """Wraps an environment, by its EnvSpec as JSON; a step has so many samples."""
        own = gymnasium.make(EnvSpec.from_json(environment))
        posed: Any = own.unwrapped
        self.problems = posed.problems  # which a stage counts
        self.both = (own, TextEnv(self.problems, instant, posed.template, posed.system))
        self.observation_space, self.action_space, self.samples = own.observation_space, own.action_space, samples

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Poses a problem."""
        self.chosen = self.both[next(self.resets) // self.samples % 2]
        return self.chosen.reset(seed=seed, options=options)

    def step(self, action: str) -> tuple[str, SupportsFloat, bool, bool, dict[str, Any]]:
        """Judges the response."""
        return self.chosen.step(action)

    def close(self) -> None:
        """Closes both."""
        for environment in self.both:
            environment.close()


def against_instant(folder: Path) -> dict[str, float]:
    """Seconds of steps with the stage's own verifier and with an instant one, and by which share the first are longer."""
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
    same = {"environment": "speed/InTurn-v0", "name": "in_turn", "policy": stage["policy"], "keep": None, "options": {}}
    steps = WARM_UP + 2 * PAIRS
    stages = [settings | same | {"steps": steps, "save_steps": steps}]
    at = _run(
        {"name": "speed", "seed": stage["seed"], "policy": stage["policy"], "environments": environments, "stages": stages}
    )
    seconds = [row["seconds"] for row in _steps(at / "in_turn")]
    own, without = (seconds[first::2] for first in (WARM_UP, WARM_UP + 1))
    shares = sorted((one - other) / statistics.median(own) for one, other in zip(own, without, strict=True))
    outside = int(scipy.stats.binom.ppf(0.025, PAIRS, 0.5)) - 1  # ranks on each side of the interval of a median
    return {
        "step, own verifier": statistics.median(own),
        "step, instant verifier": statistics.median(without),
        "share of the difference": statistics.median(shares),
        "share, low": shares[outside],
        "share, high": shares[-1 - outside],
    }


def _steps(folder: Path) -> list[dict[str, Any]]:
    """The figures of a stage's steps."""
    return [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]


def _loop(folder: Path) -> dict[str, Any]:
    """What a stage told its agent loops."""
    (loop,) = json.loads((folder / verl_config.LOOPS).read_text())
    return loop


def _run(recipe: dict[str, Any]) -> Path:
    """Runs a recipe; the folder of its stages."""
    folder = Path(tempfile.mkdtemp(prefix="tenfold-speed-"))
    (folder / "speed.json").write_text(json.dumps(recipe))  # JSON is YAML
    command = [sys.executable, "-m", "tenfold.cli", "run", str(folder / "speed.json"), "--out", str(folder / "run")]
    subprocess.run(command, check=True)
    return folder / "run"


def judge_seconds(samples: int, folder: Path) -> float:
    """Seconds that the environment takes for the last step's samples, reset and stepped in as many threads as the loop has,
    when it has judged those of the step before as long ago as an update takes."""
    steps = [*metrics.episodes(folder).values()][-2:]
    loop = _loop(folder)
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
        for rows in steps:
            time.sleep(UPDATE_SECONDS)
            started = time.perf_counter()
            list(threads.map(play, rows, [row["messages"][-1]["content"] for row in rows]))
        seconds = time.perf_counter() - started
    while not free.empty():
        free.get().close()
    return seconds * samples / len(rows)


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="folder of a finished grpo stage")
    parser.add_argument(
        "--instant", action="store_true", help="run the stage again, every other step with a verifier that answers at once"
    )
    given = parser.parse_args()
    if given.instant and not given.run:
        parser.error("--instant wants the --run of a finished stage")
    folder = given.run or _run({"name": "speed", "policy": "micro:?hidden=96&layers=3", "stages": [STAGE]}) / "grpo"
    for name, value in (against_instant if given.instant else measure)(folder).items():
        print(f"{name:26} {value:8.3f}" + ("" if "share" in name else " s"))


if __name__ == "__main__":
    main()
