"""Memory and time of the distillation loss over chunks of tokens, against the same loss from whole tables of logits.

    python -m tenfold.benchmarks.speed.chunked_loss [--tokens 4096] [--vocabulary 32768] [--width 576] [--rounds 5]

The rival is what torch's own parts give: logits, log-softmax and KL of all tokens at once, and autograd's gradient of it. Both
have the loss and the gradients of the hidden states and of the head; both ways are run in turn, each in a process of its own,
and memory is what that process took at most beyond its inputs (freed blocks are given back at once, so that it is what was
alive). `dpd` is the whole loss of `pipelines/distill/distill.py` with the extra pass that DPO wants, `kd` is distillation
alone. The last line is reckoned, not measured.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from ...pipelines.trainer import chunked_loss
from ...pipelines.trainer.chunked_loss import Dense, Head

LOSSES, WAYS = ("kd", "dpd"), ("chunked", "full")


def inputs(tokens: int, vocabulary: int, width: int) -> tuple[torch.Tensor, torch.Tensor, Dense, torch.Tensor]:
    """The student's hidden states and head, a teacher as wide, and labels."""
    torch.manual_seed(0)
    hidden, teacher = torch.randn(tokens, width), torch.randn(tokens, width)
    student, head = torch.randn(vocabulary, width) / width**0.5, torch.randn(vocabulary, width) / width**0.5
    labels = torch.randint(vocabulary, (tokens,))
    return hidden.requires_grad_(), student.requires_grad_(), Dense(teacher, Head(head)), labels


def chunked(loss: str, hidden: torch.Tensor, head: torch.Tensor, teacher: Dense, labels: torch.Tensor) -> torch.Tensor:
    """The package's own."""
    nll = torch.zeros(len(labels))
    if loss == "dpd":
        margin = chunked_loss.log_probs(hidden, Head(head), labels).view(2, -1).sum(-1)
        pull = 0.1 * torch.sigmoid(0.1 * (margin[1] - margin[0]))
        nll = torch.cat([pull.expand(len(labels) // 2), -pull.expand(len(labels) // 2)])
    weights = torch.full((len(labels),), 1 / len(labels))
    return chunked_loss.weighted(hidden, Head(head), labels, nll, weights, teacher).total


def full(loss: str, hidden: torch.Tensor, head: torch.Tensor, teacher: Dense, labels: torch.Tensor) -> torch.Tensor:
    """The rival."""
    log_p = (hidden @ head.T).log_softmax(-1)
    with torch.no_grad():
        log_q = (teacher.hidden @ teacher.head.weight.T).log_softmax(-1)
    total = torch.nn.functional.kl_div(log_p, log_q, log_target=True, reduction="sum") / len(labels)
    if loss == "dpd":
        margin = log_p.gather(-1, labels[:, None]).view(2, -1).sum(-1)
        total = total - torch.nn.functional.logsigmoid(0.1 * (margin[0] - margin[1]))
    return total


def measure(way: str, loss: str, tokens: int, vocabulary: int, width: int) -> dict[str, float]:
    """One loss with its gradients, in this process: seconds, and bytes at most beyond the inputs."""
    given = inputs(tokens, vocabulary, width)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    before = _high_water()
    started = time.perf_counter()
    total = {"chunked": chunked, "full": full}[way](loss, *given)
    total.backward()
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "bytes": _high_water() - before}


def _high_water() -> int:
    """Most bytes that this process has had in memory."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Prints a table of both, and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, number in (("tokens", 4096), ("vocabulary", 32768), ("width", 576), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "LOSS"), help="one measurement, as JSON")
    asked = parser.parse_args()
    sizes = (asked.tokens, asked.vocabulary, asked.width)
    if asked.one:
        way, loss = asked.one
        print(json.dumps(measure(way, loss, *sizes)))
        return
    program = [sys.executable, "-m", f"{__package__}.chunked_loss", "--tokens", str(sizes[0]), "--vocabulary", str(sizes[1])]
    program += ["--width", str(sizes[2]), "--one"]
    print(f"{sizes[0]:,} tokens x {sizes[1]:,} words, width {sizes[2]}, {torch.get_num_threads()} threads, float32")
    giving_back = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
    for loss in LOSSES:
        found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(asked.rounds):
            for way in WAYS:
                told = subprocess.run(
                    [*program, way, loss], check=True, stdout=subprocess.PIPE, text=True, env=giving_back
                ).stdout
                found[way].append(json.loads(told))
        medians = {
            way: {name: statistics.median(run[name] for run in runs) for name in ("seconds", "bytes")}
            for way, runs in found.items()
        }
        ours, theirs = (medians[way] for way in WAYS)
        times = [one["seconds"] / other["seconds"] for one, other in zip(*found.values(), strict=True)]
        for way in WAYS:
            print(f"{loss:4} {way:8} {medians[way]['seconds']:7.2f} s {medians[way]['bytes'] / 2**20:9,.0f} MiB")
        memory, slower = theirs["bytes"] / ours["bytes"], ours["seconds"] / theirs["seconds"]
        print(f"{loss:4} memory {memory:.1f} times less, time x {slower:.2f} (rounds {min(times):.2f} to {max(times):.2f})")
    tokens, vocabulary, width = 65_536, 166_144, 2_560
    table, chunk = tokens * vocabulary * 4, chunked_loss.CHUNK * vocabulary * 4
    head, states = vocabulary * width * 4, tokens * width * 4
    print(
        f"{tokens:,} x {vocabulary:,} at width {width:,} in float32: a table of logits {table / 2**30:.1f} GiB, of a chunk "
        f"{chunk / 2**30:.2f}; the gradients kept, of the head {head / 2**30:.2f} and of the states {states / 2**30:.2f}"
    )


if __name__ == "__main__":
    main()
