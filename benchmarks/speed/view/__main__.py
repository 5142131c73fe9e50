"""Time and memory of `tenfold view` with a large store: its index, and each of its answers.

    python -m tenfold.benchmarks.speed.view [--episodes 1000000] [--repeats 5] [--folder FOLDER] [--browser]

The store is that of a GRPO stage: 128 problems with 8 samples in each step, about 1,200 bytes an episode, 120 words of text
with frequencies that follow Zipf's law. A process of its own makes the index; its peak memory (VmHWM) is printed. An answer is
timed from the request's path to its JSON, without HTTP. The table has the median and the largest time over the repeats, and the
median of the processor time. With --browser, the page is timed in a headless Chromium as well (playwright and chromium).
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ....cli.options import positive
from ....pipelines.view import schema
from ....pipelines.view.folders import Folders
from ....pipelines.view.index import Index
from ....pipelines.view.runs import Runs
from ....pipelines.view.server import answer, encoded
from ..memory import peak_kib
from . import browser

PROBLEMS, SAMPLES, WORDS, TEXTS = 128, 8, 120, 20_000
POOL = 5_000
"""Problems of which each step has 128."""
AT = "/api/runs/r0/stages/grpo"


STAGE = {"kind": "grpo", "name": "grpo", "environment": "tenfold/ChainSum-v0", "steps": 1_000}


def texts(rng: random.Random) -> list[str]:
    """Returns responses of random words."""
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randrange(2, 9))) for _ in range(20_000)]
    weights = [1 / (place + 1) for place in range(len(words))]
    return [" ".join(rng.choices(words, weights, k=WORDS)) for _ in range(TEXTS)]


def rows(count: int) -> Iterator[str]:
    """Yields the lines of the store."""
    rng = random.Random(0)
    responses = [json.dumps(text)[1:-1] for text in texts(rng)]
    tail = '"judge_messages": []}, "generate_seconds": 0.5, "environment_seconds": 0.01, "other_seconds": 0.2, "reused": false}'
    for number in range(count):
        step, place = divmod(number, PROBLEMS * SAMPLES)
        problem, sample = (step * PROBLEMS + place // SAMPLES) % POOL, place % SAMPLES
        correct = rng.random() < 0.2 + 0.6 * (problem / POOL)
        finish, tokens = ("length", 512) if rng.random() < 0.03 else ("stop", rng.randrange(60, 500))
        question = f"Problem {problem}: what is {problem} + {problem}? Reason step by step."
        yield (
            f'{{"problem_id": "sums/{problem}", "sample": {sample}, "messages": [{{"role": "user", "content": "{question}"}}, '
            f'{{"role": "assistant", "content": "{responses[rng.randrange(TEXTS)]} \\\\boxed{{{number}}}"}}], '
            f'"tokens": {tokens}, "finish_reason": "{finish}", '
            f'"problem": {problem}, "step": {step + 1}, "attempt": 0, "verdict": {{"status": "scored", '
            f'"score": {float(correct)}, "method": "rational", "reason": "{number} against {2 * problem}", {tail}\n'
        )


def write_run(folder: Path, count: int) -> None:
    """Writes a run with one GRPO stage."""
    (folder / "grpo/episodes").mkdir(parents=True)
    recipe = {"name": "large", "policy": "micro:", "stages": [STAGE]}
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    (folder / "grpo/settings.json").write_text(json.dumps({"stage": STAGE}))
    with (folder / "grpo/episodes/host-1.jsonl").open("w") as file:
        for row in rows(count):
            file.write(row)
    with (folder / "grpo/steps.jsonl").open("w") as file:
        for step in range(1, -(-count // (PROBLEMS * SAMPLES)) + 1):
            file.write(json.dumps({"step": step, "reward": 0.5 + step / 5_000, "tokens": 280, "seconds": 2.0}) + "\n")


def make_index(folder: Path) -> None:
    """Makes the index in this process; prints its seconds, its processor seconds and its peak of memory (MB)."""
    started, processor = time.monotonic(), time.process_time()
    index = Index(folder.resolve(), (folder / "grpo").resolve())
    while not index.extend():
        pass
    index.close()
    print(time.monotonic() - started, time.process_time() - processor, peak_kib() * 1024 / 1e6)


def requests(count: int) -> dict[str, tuple[str, dict[str, str]]]:
    """Returns the requests that are timed, by name."""
    last = (count - 1) // (PROBLEMS * SAMPLES) + 1
    searches = {
        "first page": {},
        "last page": {"offset": str(count - 50)},
        "highest scores": {"sort": "-score"},
        "most tokens": {"sort": "-tokens"},
        "by step": {"sort": "-step"},
        "one step": {"step": str(last // 2 or 1)},
        "one problem": {"problem": "17", "sort": "step"},
        "truncated": {"finish": "length"},
        "truncated and correct": {"finish": "length", "min_score": "1", "sort": "-tokens"},
        "a range of tokens": {"min_tokens": "100", "max_tokens": "110", "sort": "score"},
        "nothing": {"status": "fault"},
        "a rare text": {"text": str(count // 2)},
        "a common text": {"text": "boxed"},
        "a common text, highest scores": {"text": "boxed", "sort": "-score"},
        "a common text in one step": {"text": "boxed", "step": str(last)},
    }
    others = {
        "groups of the last step": ("groups", {}),
        "groups of a step": ("groups", {"step": str(last // 2 or 1)}),
        "problems": ("problems", {}),
        "hardest problems": ("problems", {"sort": "rate"}),
        "problems with a text": ("problems", {"text": "4999"}),
        "histogram of rates": ("histogram", {"of": "rate"}),
        "histogram of scores": ("histogram", {"of": "score"}),
        "histogram of tokens": ("histogram", {"of": "tokens"}),
        "histogram of a step": ("histogram", {"of": "tokens", "step": str(last)}),
        "an episode": (f"episodes/{count // 2}", {}),
    }
    found = {f"episodes: {name}": (f"{AT}/episodes", query) for name, query in searches.items()}
    found |= {name: (f"{AT}/{path}", query) for name, (path, query) in others.items()}
    return {"runs": ("/api/runs", {}), "run": ("/api/runs/r0", {}), **found}


def measure(runs: Runs, count: int, repeats: int) -> None:
    """Prints the times of each answer."""
    print(f"{'answer':44}{'median s':>10}{'largest s':>10}{'processor s':>12}")
    for label, (path, query) in requests(count).items():
        times, processor = [], []
        for _ in range(repeats):
            started, used = time.monotonic(), time.thread_time()
            encoded(answer(runs, path, query))
            times.append(time.monotonic() - started)
            processor.append(time.thread_time() - used)
        print(f"{label:44}{statistics.median(times):10.3f}{max(times):10.3f}{statistics.median(processor):12.3f}", flush=True)


def main() -> None:
    """Writes a run, makes its index, and prints the time of each answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=positive, default=1_000_000)
    parser.add_argument("--repeats", type=positive, default=5)
    parser.add_argument("--folder", type=Path, help="where the run and the index are written (default: a temporary folder)")
    parser.add_argument("--browser", action="store_true", help="also time the page in a headless Chromium")
    parser.add_argument("--index-only", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.index_only:
        make_index(arguments.index_only)
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name) / "large"
        write_run(folder, arguments.episodes)
        size = (folder / "grpo/episodes/host-1.jsonl").stat().st_size / 1e6
        command = [sys.executable, "-m", "tenfold.benchmarks.speed.view", "--index-only", str(folder)]
        seconds, processor, memory = map(float, subprocess.run(command, capture_output=True, check=True).stdout.split())
        index = schema.path_of((folder / "grpo").resolve())
        print(f"{arguments.episodes:,} episodes, {size:,.0f} MB: index in {seconds:.0f} s ({processor:.0f} s of a processor)")
        print(f"index {index.stat().st_size / 1e6:,.0f} MB; peak memory {memory:,.0f} MB")
        runs = Runs(Folders([folder]))
        answer(runs, "/api/runs", {})
        answer(runs, "/api/runs/r0", {})
        while not runs.kinds.loaded:  # not measured: the import of all kinds of stages
            time.sleep(0.1)
        before = peak_kib()
        measure(runs, arguments.episodes, arguments.repeats)
        megabytes = [kib * 1024 / 1e6 for kib in (peak_kib(), peak_kib() - before)]
        print(f"peak memory of this process: {megabytes[0]:,.0f} MB, of which {megabytes[1]:,.0f} MB by answers")
        runs.close()
        if arguments.browser:
            browser.measure(folder, arguments.repeats)
        schema.remove(index)


if __name__ == "__main__":
    main()
