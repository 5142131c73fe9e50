"""Rows per second and memory of an `sft` stage, by the number of rows.

    python -m tenfold.benchmarks.speed.tokenizing [--rows 10000 100000 1000000] [--policy micro:] [--words 12] [--figure FILE]

For each number of rows, a file of JSON lines is written. A process of its own then runs two steps of an `sft` stage on it. It
does so twice: the first run tokenizes the rows, the second one finds them tokenized. A row is a sum with its solution and some
random words. The memory of a process is the largest that it has used (VmHWM), mapped files included.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

from ...pipelines.sft import sft
from ...pipelines.stage import Context
from .memory import peak_kib

WORDS = "apples boxes coins days friends hours miles pages pears shops tickets trees weeks and for in of the with".split()

STAGE = {"kind": "sft", "name": "sft", "problems": "jsonl:rows.jsonl", "steps": 2, "batch_size": 8, "save_steps": 100}
"""The stage that is measured."""


class Measured(NamedTuple):
    """The measurements for one number of rows."""

    rows: int
    tokenized_seconds: float
    """Wall time of the first run up to the end of its first step, in seconds, without the import of the packages."""
    rows_per_second: float
    """Rows divided by the processor time, of all processes together, that the first run takes more than the second.

    The start of the tokenizing processes counts.
    """
    first_step: float
    """Wall time of the second run up to the end of its first step, in seconds, without the import of the packages."""
    trainer_mb: float
    """Memory of the training process, the larger of both runs."""
    worker_mb: float
    """Memory of the largest process that tokenized; 0 if there was none."""


class Run(TypedDict):
    """The measurements of one process."""

    first_step: float
    processor: float
    """Processor time up to the end of the first step, of the process and its children, in seconds."""
    trainer_mb: float
    worker_mb: float


def write_rows(path: Path, count: int, words: int) -> None:
    """Writes rows with a question and its answer.

    Args:
        path: the file.
        count: number of rows.
        words: number of random words in each question.
    """
    draw = random.Random(count)
    with path.open("w") as file:
        for _ in range(count):
            first, second, third = (draw.randint(1, 999) for _ in range(3))
            text = " ".join(draw.choices(WORDS, k=words))
            question = f"{text}: what is {first} + {second} - {third}?"
            answer = f"{first} + {second} = {first + second}. {first + second} - {third} = {first + second - third}."
            file.write(json.dumps({"question": question, "answer": answer}) + "\n")


def train(rows: Path, policy: str, folder: Path) -> Run:
    """Runs two steps of an `sft` stage in this process."""
    ends: list[tuple[float, float]] = []

    def progress(done: int, total: int, **values: object) -> None:
        if done == 1 and not ends:
            ends.append((time.perf_counter(), _processor()))

    folder.mkdir(parents=True, exist_ok=True)
    started, before = time.perf_counter(), _processor()
    sft.SFT.model_validate(STAGE | {"problems": f"jsonl:{rows}"}).run(Context(folder, policy, 0, {}, progress))
    return {
        "first_step": ends[0][0] - started,
        "processor": ends[0][1] - before,
        "trainer_mb": peak_kib() / 1024,
        "worker_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }


def _processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure(count: int, policy: str, words: int) -> Measured:
    """Measures one number of rows; see `Measured`.

    Args:
        count: number of rows.
        policy: URI of the policy to train.
        words: see `write_rows`.
    """
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder, "rows.jsonl")
        write_rows(rows, count, words)
        runs: list[Run] = []
        for name in ("first", "second"):
            command = [sys.executable, "-m", __spec__.name, "--in-process", str(rows), policy, f"{folder}/run/{name}"]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
        first, second = runs
        return Measured(
            rows=count,
            tokenized_seconds=first["first_step"],
            rows_per_second=count / max(0.01, first["processor"] - second["processor"]),
            first_step=second["first_step"],
            trainer_mb=max(first["trainer_mb"], second["trainer_mb"]),
            worker_mb=first["worker_mb"],
        )


def draw(found: Sequence[Measured], path: Path) -> None:
    """Draws time and memory against the number of rows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    time_axes, memory_axes = figure.subplots(1, 2)
    rows = [each.rows for each in found]
    time_axes.loglog(rows, [each.tokenized_seconds for each in found], marker="o", label="tokenized in this run")
    time_axes.loglog(rows, [each.first_step for each in found], marker="o", label="tokenized before")
    time_axes.set(xlabel="rows", ylabel="seconds to the first step")
    memory_axes.semilogx(rows, [each.trainer_mb for each in found], marker="o", label="training process")
    workers = [(each.rows, each.worker_mb) for each in found if each.worker_mb]
    memory_axes.semilogx(*zip(*workers, strict=True), marker="o", label="largest tokenizing process")
    memory_axes.set(xlabel="rows", ylabel="peak memory in MB", ylim=(0, None))
    for axes in (time_axes, memory_axes):
        axes.legend(fontsize=8)
    figure.savefig(path)


def main() -> None:
    """Prints a row of a table for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="numbers of rows (default: %(default)s)"
    )
    parser.add_argument("--policy", default="micro:", help="policy to train (default: %(default)s)")
    parser.add_argument("--words", type=int, default=12, help="random words in each question (default: %(default)s)")
    parser.add_argument("--figure", type=Path, help="file of a plot of the results")
    parser.add_argument("--in-process", nargs=3, metavar=("ROWS", "POLICY", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.in_process:
        rows, policy, folder = arguments.in_process
        print(json.dumps(train(Path(rows), policy, Path(folder))))
        return
    print(f"{len(os.sched_getaffinity(0))} processors")
    print("| " + " | ".join(Measured._fields) + " |\n" + "|---" * len(Measured._fields) + "|")
    found = []
    for count in arguments.rows:
        found.append(measure(count, arguments.policy, arguments.words))
        print(
            "| " + " | ".join(f"{value:,.0f}" if value > 20 else f"{value:.1f}" for value in found[-1]) + " |",
            flush=True,
        )
    if arguments.figure:
        draw(found, arguments.figure)


if __name__ == "__main__":
    main()
