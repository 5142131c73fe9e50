"""Rows per second and memory of the preparation of an `sft`, `distill` or `reward_model` stage, by the number of rows.

    python -m tenfold.benchmarks.speed.tokenizing [--stage sft] [--rows 10000 100000 1000000] [--policy micro:] [--words 12]
        [--figure FILE]

For each number of rows, a file of JSON lines is written. A process of its own then runs two steps of the stage on it. It does
so twice: the first run prepares the rows, the second one finds them prepared. A row of `sft` is a sum with its solution and
some random words. A row of `reward_model` has a wrong solution, too, and a row of `distill` has the tokens of both, as
`sample_pairs` writes them. The memory of a process is the largest that it has used (VmHWM), mapped files included.
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

from ...cli.options import positive
from ...pipelines.distill import distill, sample_pairs
from ...pipelines.reward import reward_model
from ...pipelines.sft import sft
from ...pipelines.stage import Context
from ...pipelines.trainer.settings import Training
from ...policies import checkpoints
from ...policies.chat import tokens
from .memory import peak_kib

WORDS = "apples boxes coins days friends hours miles pages pears shops tickets trees weeks and for in of the with".split()

STEPS = {"steps": 2, "batch_size": 8, "save_steps": 100}
STAGES: dict[str, dict[str, object]] = {
    "sft": {"kind": "sft", "name": "sft", "problems": "jsonl:rows.jsonl", **STEPS},
    "distill": {"kind": "distill", "name": "distill", "pairs": ".", "teacher": "micro:", **STEPS},
    "reward_model": {"kind": "reward_model", "name": "reward_model", "pairs": "jsonl:rows.jsonl", **STEPS},
}
"""The stages that are measured, by kind."""
KINDS: dict[str, type[Training]] = {
    "sft": sft.SFT,
    "distill": distill.Distill,
    "reward_model": reward_model.RewardModel,
}
AT_ONCE = 1000
"""Rows that are made at a time."""


class Measured(NamedTuple):
    """The measurements for one number of rows."""

    rows: int
    prepared_seconds: float
    """Wall time of the first run up to the end of its first step, in seconds, without the import of the packages."""
    rows_per_second: float
    """Rows divided by the processor time, of all processes together, that the first run takes more than the second.

    The start of further processes counts.
    """
    first_step: float
    """Wall time of the second run up to the end of its first step, in seconds, without the import of the packages."""
    trainer_mb: float
    """Memory of the training process, the larger of both runs."""
    worker_mb: float
    """Memory of the largest further process; 0 if there was none."""


class Run(TypedDict):
    """The measurements of one process."""

    first_step: float
    processor: float
    """Processor time up to the end of the first step, of the process and its children, in seconds."""
    trainer_mb: float
    worker_mb: float


def write_rows(kind: str, path: Path, count: int, words: int, policy: str) -> None:
    """Writes the rows of a stage.

    Args:
        kind: kind of the stage.
        path: the file.
        count: number of rows.
        words: number of random words in each question.
        policy: URI of the policy whose tokenizer makes the tokens of a `distill` stage.
    """
    draw = random.Random(count)
    tokenizer = checkpoints.tokenizer_of(checkpoints.checkpoint(policy)) if kind == "distill" else None
    with path.open("w") as file:
        for start in range(0, count, AT_ONCE):
            rows = [_row(draw, words) for _ in range(min(AT_ONCE, count - start))]
            made: list[dict[str, object]]
            if kind == "sft":
                made = [{"question": question, "answer": answer} for question, answer, _ in rows]
            elif tokenizer is None:
                made = [{"prompt": question, "chosen": right, "rejected": wrong} for question, right, wrong in rows]
            else:
                ids = iter(tokens.texts_tokens(tokenizer, [text for row in rows for text in row]))
                made = [_token_row(start + place, *(next(ids) for _ in row)) for place, row in enumerate(rows)]
            file.writelines(json.dumps(each) + "\n" for each in made)


def _row(draw: random.Random, words: int) -> tuple[str, str, str]:
    """Returns a question, its answer and a wrong answer."""
    first, second, third = (draw.randint(1, 999) for _ in range(3))
    text = " ".join(draw.choices(WORDS, k=words))
    steps = f"{first} + {second} = {first + second}. {first + second} - {third} ="
    right = first + second - third
    return f"{text}: what is {first} + {second} - {third}?", f"{steps} {right}.", f"{steps} {right + 1}."


def _token_row(number: int, prompt: list[int], *responses: list[int]) -> dict[str, object]:
    """Returns a pair of a `sample_pairs` stage, as far as a `distill` stage reads it."""
    both = [{"ids": prompt + ids, "mask": [0] * len(prompt) + [1] * len(ids)} for ids in responses]
    return {"id": str(number), "chosen_tokens": both[0], "rejected_tokens": both[1]}


def train(kind: str, rows: Path, policy: str, folder: Path) -> Run:
    """Runs two steps of a stage in this process.

    Args:
        kind: kind of the stage.
        rows: file of its rows, in a folder of its own.
        policy: URI of the policy to train, and of the teacher.
        folder: folder of the stage.
    """
    ends: list[tuple[float, float]] = []

    def progress(done: int, total: int, **values: object) -> None:
        if done == 1 and not ends:
            ends.append((time.perf_counter(), _processor()))

    folder.mkdir(parents=True, exist_ok=True)
    started, before = time.perf_counter(), _processor()
    data: dict[str, dict[str, object]] = {
        "sft": {"problems": f"jsonl:{rows}"},
        "distill": {"pairs": str(rows.parent), "teacher": policy},
        "reward_model": {"pairs": f"jsonl:{rows}"},
    }
    KINDS[kind].model_validate(STAGES[kind] | data[kind]).train(Context(folder, policy, 0, {}, progress))
    return {
        "first_step": ends[0][0] - started,
        "processor": ends[0][1] - before,
        "trainer_mb": peak_kib() / 1024,
        "worker_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }


def _processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure(kind: str, count: int, policy: str, words: int) -> Measured:
    """Measures one number of rows; see `Measured`.

    Args:
        kind: kind of the stage.
        count: number of rows.
        policy: URI of the policy to train.
        words: see `write_rows`.
    """
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder, sample_pairs.PAIRS)
        write_rows(kind, rows, count, words, policy)
        runs: list[Run] = []
        for name in ("first", "second"):
            command = [sys.executable, "-m", __spec__.name, "--in-process", kind, str(rows), policy, f"{folder}/run/{name}"]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
        first, second = runs
        return Measured(
            rows=count,
            prepared_seconds=first["first_step"],
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
    time_axes.loglog(rows, [each.prepared_seconds for each in found], marker="o", label="prepared in this run")
    time_axes.loglog(rows, [each.first_step for each in found], marker="o", label="prepared before")
    time_axes.set(xlabel="rows", ylabel="seconds to the first step")
    memory_axes.semilogx(rows, [each.trainer_mb for each in found], marker="o", label="training process")
    workers = [(each.rows, each.worker_mb) for each in found if each.worker_mb]
    memory_axes.semilogx(*zip(*workers, strict=True), marker="o", label="largest preparing process")
    memory_axes.set(xlabel="rows", ylabel="peak memory in MB", ylim=(0, None))
    for axes in (time_axes, memory_axes):
        axes.legend(fontsize=8)
    figure.savefig(path)


def main() -> None:
    """Prints a row of a table for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rows", type=positive, nargs="+", default=[10_000, 100_000, 1_000_000], help="numbers of rows (default: %(default)s)"
    )
    parser.add_argument("--stage", choices=[*STAGES], default="sft", help="kind of the stage (default: %(default)s)")
    parser.add_argument("--policy", default="micro:", help="policy to train (default: %(default)s)")
    parser.add_argument("--words", type=positive, default=12, help="random words in each question (default: %(default)s)")
    parser.add_argument("--figure", type=Path, help="file of a plot of the results")
    parser.add_argument("--in-process", nargs=4, metavar=("KIND", "ROWS", "POLICY", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.in_process:
        kind, rows, policy, folder = arguments.in_process
        print(json.dumps(train(kind, Path(rows), policy, Path(folder))))
        return
    print(f"{len(os.sched_getaffinity(0))} processors")
    print("| " + " | ".join(Measured._fields) + " |\n" + "|---" * len(Measured._fields) + "|")
    found = []
    for count in arguments.rows:
        found.append(measure(arguments.stage, count, arguments.policy, arguments.words))
        print(
            "| " + " | ".join(f"{value:,.0f}" if value > 20 else f"{value:.1f}" for value in found[-1]) + " |",
            flush=True,
        )
    if arguments.figure:
        draw(found, arguments.figure)


if __name__ == "__main__":
    main()
