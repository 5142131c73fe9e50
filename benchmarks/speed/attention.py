"""Memory and time of the attention over packed rows: of each sequence alone, compared with a mask.

    python -m tenfold.benchmarks.speed.attention [--tokens 8192] [--rows 1] [--rounds 3] [--lengths 64,1024]

Each measurement is a forward and a backward pass of `micro:` over rows of `--tokens` tokens, packed with sequences of one
length, in a process of its own. The two methods run in turn:

    mask         transformers' `sdpa`, which makes a mask of rows x tokens x tokens if a row has several sequences
    sequences    `pipelines/trainer/attention.py`

Time is that of the processor. Memory is the peak of the process beyond that before the pass; freed blocks return to the system
at once. The last column is the greatest difference of a gradient, relative to the greatest gradient of the same weights.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from ...pipelines.trainer import attention
from ...policies import checkpoints
from .memory import peak_kib

METHODS = ("mask", "sequences")


def measure(method: str, rows: int, tokens: int, length: int, gradients: Path) -> dict[str, float]:
    """Computes one pass in this process. Returns the processor seconds and the peak bytes beyond those before.

    Args:
        method: one of `METHODS`.
        rows: number of rows.
        tokens: tokens of a row.
        length: tokens of a sequence.
        gradients: file for the gradients.
    """
    model, _ = checkpoints.load(checkpoints.checkpoint("micro:"), torch.float32)
    if method == "sequences":
        attention.MIN_SCORES["cpu"] = 0  # also where the stages would use a mask
        attention.attend_within_sequences(model)
    model.train()
    ids = torch.randint(model.config.vocab_size, (rows, tokens), generator=torch.Generator().manual_seed(0))
    positions = (torch.arange(tokens) % length).repeat(rows, 1)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before, started = peak_kib(), time.process_time()
    model(input_ids=ids, position_ids=positions, labels=ids, use_cache=False).loss.backward()
    seconds, peak = time.process_time() - started, peak_kib()
    torch.save({name: weights.grad for name, weights in model.named_parameters()}, gradients)
    return {"seconds": seconds, "bytes": 1024 * (peak - before)}


def difference(one: Path, other: Path) -> float:
    """Returns the greatest difference of two files of gradients, relative to the greatest gradient of the same weights."""
    first, second = (torch.load(path, weights_only=True) for path in (one, other))
    return max(float((first[name] - second[name]).abs().max() / first[name].abs().max()) for name in first)


def main() -> None:
    """Prints time and memory of both methods for each length."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=8192, help="tokens of a row; default: %(default)s")
    parser.add_argument("--rows", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--lengths", default="64,1024", help="tokens of a sequence; default: %(default)s")
    parser.add_argument("--one", nargs=3, metavar=("METHOD", "LENGTH", "FILE"), help="print one measurement as JSON")
    arguments = parser.parse_args()
    if arguments.one:
        method, length, file = arguments.one
        print(json.dumps(measure(method, arguments.rows, arguments.tokens, int(length), Path(file))))
        return
    print(f"{arguments.rows} x {arguments.tokens:,} tokens, micro:, {torch.get_num_threads()} threads, float32")
    program = [sys.executable, "-m", f"{__package__}.attention", f"--rows={arguments.rows}", f"--tokens={arguments.tokens}"]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}  # so that freed blocks return to the system
    with tempfile.TemporaryDirectory() as folder:
        files = {method: Path(folder) / method for method in METHODS}
        for length in arguments.lengths.split(","):
            found: dict[str, list[dict[str, float]]] = {method: [] for method in METHODS}
            for _ in range(arguments.rounds):
                for method in METHODS:
                    one = [*program, "--one", method, length, str(files[method])]
                    output = subprocess.run(one, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
                    found[method].append(json.loads(output.splitlines()[-1]))
            texts = []
            for method in METHODS:
                seconds, peak = (statistics.median(run[name] for run in found[method]) for name in ("seconds", "bytes"))
                texts.append(f"{method} {seconds:6.2f} s {peak / 2**20:6,.0f} MiB")
            print(f"sequences of {int(length):6,}: {'   '.join(texts)}   difference {difference(*files.values()):.0e}")


if __name__ == "__main__":
    main()
