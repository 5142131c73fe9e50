"""Memory and time of an environment with many problems, whose rows are read when they are asked for, and with a list of them.

    python -m tenfold.benchmarks.speed.large_sources [--rows 10000 100000 1000000]

The rows have GSM8K's form, about 350 bytes each. For each number of rows and each method, a process of its own makes the
environment, resets it and takes one step. Memory is the peak of that process (VmHWM). Seconds are those of the process's
processor time, without the imports. The baseline, `list`, converts all rows when the environment is made.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ...cli.options import positive
from ...envs import registry
from ...envs.problems import sources
from .memory import peak_kib

METHODS = ("indexed", "list")


def write_rows(path: Path, count: int) -> None:
    """Writes a file with rows."""
    rng = random.Random(0)
    with path.open("w") as file:
        for number in range(count):
            boxes, pencils, sold = rng.randrange(100, 1_000), rng.randrange(2, 30), rng.randrange(1, 100)
            question = (
                f"A shop in town number {number} has {boxes} boxes with {pencils} pencils in each. On Monday it sells {sold} "
                "boxes. How many pencils does it have at the end of the day, if nothing else is sold or delivered?"
            )
            left = boxes - sold
            worked = (
                f"It has {boxes} - {sold} = <<{boxes}-{sold}={left}>>{left} boxes left.\n"
                f"These have {left} * {pencils} = <<{left}*{pencils}={left * pencils}>>{left * pencils} pencils.\n"
            )
            file.write(json.dumps({"question": question, "answer": f"{worked}#### {left * pencils}"}) + "\n")


def play(uri: str, method: str) -> None:
    """Prints the peak of memory (MB) and the seconds that an environment takes in this process."""
    if method == "list":
        sources.SMALL_BYTES = sys.maxsize
    started = time.process_time()
    registry.register("lab/Large-v0", problems=uri, verifier="math")
    environment = registry.make("lab/Large-v0")
    environment.reset(seed=0)
    environment.step("#### 5")
    seconds = time.process_time() - started
    print(peak_kib() * 1024 / 1e6, seconds)


def main() -> None:
    """Prints the memory and the seconds of each method for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=positive, nargs="+", default=[10_000, 100_000, 1_000_000], help="numbers of rows")
    parser.add_argument("--play", nargs=2, metavar=("URI", "METHOD"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.play:
        play(*arguments.play)
        return
    with tempfile.TemporaryDirectory() as folder:
        for rows in arguments.rows:
            path = Path(folder) / "rows.jsonl"
            write_rows(path, rows)
            print(f"{rows:,} rows, {path.stat().st_size / 1e6:.0f} MB", flush=True)
            for method in METHODS:
                command = [sys.executable, "-m", f"{__package__}.large_sources", "--play", f"jsonl:{path}", method]
                done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
                peak, seconds = map(float, done.stdout.split())
                print(f"    {method:8} {peak:7,.0f} MB {seconds:7.2f} s", flush=True)


if __name__ == "__main__":
    main()
