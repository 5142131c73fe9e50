"""Samples per second of the benchmark harness with a policy that takes no time.

    python -m tenfold.benchmarks.speed.harness

The problems have GSM8K's form, and the math verifier judges the samples. The baseline is the verifier alone on the same
responses.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from ...core import Conversation, sample_seed
from ...envs.problems import sources
from ...policies.scripted import ScriptedPolicy
from ...verifiers import load
from .. import evaluate
from ..result import Options

SAMPLES = 10
SIZES = (100, 1_000, 10_000)
"""Total numbers of samples."""


def answer(conversation: Conversation, seed: int) -> str:
    """Returns a response that is correct for half of the seeds. No two responses have the same text."""
    number = int(conversation[0]["content"].split()[2])
    return f"Let me see (seed {seed}). So the answer is \\boxed{{{number + seed % 2}}}."


def main() -> None:
    """Prints samples per second for each size, and verdicts per second of the verifier alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="runs per size; medians count (default: %(default)s)")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        uri = f"jsonl:{folder}/problems.jsonl"
        Path(folder, "problems.jsonl").write_text(
            "".join(
                json.dumps({"question": f"What is {n} plus nothing?", "answer": n}) + "\n" for n in range(max(SIZES) // SAMPLES)
            )
        )
        _run(uri, min(SIZES), Path(folder) / "warm")
        for size in SIZES:
            times = [_run(uri, size, Path(folder) / f"{size}_{number}") for number in range(rounds)]
            seconds = statistics.median(times)
            print(f"{size:7,} samples: {seconds:6.2f} s, {size / seconds:6,.0f} samples/s", flush=True)
        print(f"  the verifier alone: {max(SIZES) / _verify(uri):6,.0f} verdicts/s")


def _run(uri: str, size: int, folder: Path) -> float:
    started = time.perf_counter()
    options = Options(problems=uri, limit=size // SAMPLES, samples=SAMPLES)
    evaluate.run_task("gsm8k", ScriptedPolicy(answer), options, folder=folder)
    return time.perf_counter() - started


def _verify(uri: str) -> float:
    verifier = load("math")
    responses = [
        (problem, answer(problem.prompt, sample_seed(0, problem.id, number)))
        for problem in sources.load(uri)
        for number in range(SAMPLES)
    ]
    started = time.perf_counter()
    for problem, response in responses:
        verifier(problem, response)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
