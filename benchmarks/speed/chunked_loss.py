"""Memory and time of losses over chunks of tokens, compared with the same losses from the full logits.

    python -m tenfold.benchmarks.speed.chunked_loss [--tokens 4096] [--vocabulary 32768] [--width 576] [--rounds 5]
    python -m tenfold.benchmarks.speed.chunked_loss --stage [--tokens 8192] [--vocabulary 49152] [--width 256]

The first form measures the loss of distillation alone, the second one a whole `sft` stage.

The baseline uses torch's own functions: logits, log-softmax and KL of all tokens at once, with autograd. Both methods compute
the loss and the gradients of the hidden states and of the head. They run in turn, each in a process of its own. Memory is the
peak of that process beyond its inputs; freed blocks return to the system at once, so that only live tensors count. `dpd` is the
whole loss of `pipelines/distill/distill.py` with the extra pass for DPO, `kd` is distillation alone. The last line is
calculated, not measured.

The stage trains a Llama with random weights, a vocabulary of `--vocabulary` and 8 layers, with `--tokens` tokens in each
forward pass. It runs with the logits of all tokens, with chunks, and with chunks and `gradient_checkpointing`, each time in a
process of its own. Memory is the peak of the whole process. Time is that of the stage, loading and saving included.
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

from ...pipelines.sft.sft import SFT
from ...pipelines.stage import Context
from ...pipelines.trainer import chunked_loss, limited_logits
from ...pipelines.trainer.chunked_loss import Dense, Head
from ...policies import checkpoints
from .memory import peak_kib

LOSSES, METHODS, STAGE_METHODS = ("kd", "dpd"), ("chunked", "full"), ("full", "chunked", "recomputed")
ROW = 512
"""Tokens of an example of the stage."""
STAGE = {"kind": "sft", "name": "sft", "problems": "jsonl:rows.jsonl", "steps": 3, "max_tokens": ROW, "truncate": True}
"""The stage that is measured."""


def inputs(tokens: int, vocabulary: int, width: int) -> tuple[torch.Tensor, torch.Tensor, Dense, torch.Tensor]:
    """Returns random inputs: the student's hidden states (tokens, width) and head (vocabulary, width), a teacher, labels
    (tokens,).

    Args:
        tokens: number of tokens.
        vocabulary: rows of the heads.
        width: width of student and teacher.
    """
    torch.manual_seed(0)
    hidden, teacher = torch.randn(tokens, width), torch.randn(tokens, width)
    student, head = torch.randn(vocabulary, width) / width**0.5, torch.randn(vocabulary, width) / width**0.5
    labels = torch.randint(vocabulary, (tokens,))
    return hidden.requires_grad_(), student.requires_grad_(), Dense(teacher, Head(head)), labels


def chunked(loss: str, hidden: torch.Tensor, head: torch.Tensor, teacher: Dense, labels: torch.Tensor) -> torch.Tensor:
    """Returns the loss of `pipelines/trainer/chunked_loss.py`. For `dpd` it has the gradients of `full`, but another value.

    Args:
        loss: one of `LOSSES`.
        hidden, head, teacher, labels: see `inputs`.
    """
    nll = torch.zeros(len(labels))
    if loss == "dpd":
        margin = chunked_loss.log_probs(hidden, Head(head), labels).view(2, -1).sum(-1)
        pull = 0.1 * torch.sigmoid(0.1 * (margin[1] - margin[0]))
        nll = torch.cat([pull.expand(len(labels) // 2), -pull.expand(len(labels) // 2)])
    weights = torch.full((len(labels),), 1 / len(labels))
    return chunked_loss.weighted(hidden, Head(head), labels, nll, weights, teacher).total


def full(loss: str, hidden: torch.Tensor, head: torch.Tensor, teacher: Dense, labels: torch.Tensor) -> torch.Tensor:
    """Returns the loss from the full logits.

    Args:
        loss: one of `LOSSES`.
        hidden, head, teacher, labels: see `inputs`.
    """
    log_p = (hidden @ head.T).log_softmax(-1)
    with torch.no_grad():
        log_q = (teacher.hidden @ teacher.head.weight.T).log_softmax(-1)
    total = torch.nn.functional.kl_div(log_p, log_q, log_target=True, reduction="sum") / len(labels)
    if loss == "dpd":
        margin = log_p.gather(-1, labels[:, None]).view(2, -1).sum(-1)
        total = total - torch.nn.functional.logsigmoid(0.1 * (margin[0] - margin[1]))
    return total


def measure(method: str, loss: str, tokens: int, vocabulary: int, width: int) -> dict[str, float]:
    """Computes one loss and its gradients in this process. Returns the seconds, and the peak bytes of memory beyond the inputs.

    Args:
        method: one of `METHODS`.
        loss: one of `LOSSES`.
        tokens, vocabulary, width: see `inputs`.
    """
    arguments = inputs(tokens, vocabulary, width)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = peak_kib()
    started = time.perf_counter()
    total = {"chunked": chunked, "full": full}[method](loss, *arguments)
    total.backward()
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "bytes": 1024 * (peak_kib() - before)}


def measure_stage(method: str, tokens: int, vocabulary: int, width: int) -> dict[str, float]:
    """Runs the stage in this process. Returns the seconds, the peak bytes of memory of the process, and the last loss.

    Args:
        method: one of `STAGE_METHODS`.
        tokens: tokens of a forward pass, a multiple of `ROW`.
        vocabulary, width: of the model.
    """
    limited_logits.MAX_LOGITS = tokens * vocabulary - (method != "full")
    sizes = {"hidden_size": width, "intermediate_size": 3 * width, "num_hidden_layers": 8, "num_attention_heads": 4}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": vocabulary, **sizes}))
        rows = [{"question": "2 + 3", "answer": f"{number} " * ROW} for number in range(2 * tokens // ROW)]
        Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        policy = f"config:config.json?tokenizer={checkpoints.checkpoint('micro:')}"
        checkpoints.checkpoint(policy)
        stage = SFT.model_validate(STAGE | {"batch_size": tokens // ROW, "gradient_checkpointing": method == "recomputed"})
        started = time.perf_counter()
        metrics = stage.run(Context(Path(folder), policy, 0, {}, lambda *done, **values: None))
        return {"seconds": time.perf_counter() - started, "bytes": 1024 * peak_kib(), "loss": metrics["loss"]}


def main() -> None:
    """Prints time and memory of both methods, and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    defaults = {"tokens": (4096, 8192), "vocabulary": (32768, 49152), "width": (576, 256)}
    for name, numbers in defaults.items():
        parser.add_argument(f"--{name}", type=int, help="default: {}; with --stage {}".format(*numbers))
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s; not with --stage")
    parser.add_argument("--stage", action="store_true", help="measure an sft stage")
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "LOSS"), help="print one measurement as JSON")
    arguments = parser.parse_args()
    for name, numbers in defaults.items():
        setattr(arguments, name, getattr(arguments, name) or numbers[arguments.stage])
    if arguments.stage:
        _stages(arguments, parser)
        return
    if arguments.tokens < 2 or arguments.tokens % 2:
        parser.error("--tokens: expected an even number, because dpd compares the two halves of the tokens")
    sizes = (arguments.tokens, arguments.vocabulary, arguments.width)
    if arguments.one:
        method, loss = arguments.one
        print(json.dumps(measure(method, loss, *sizes)))
        return
    program = [sys.executable, "-m", f"{__package__}.chunked_loss", "--tokens", str(sizes[0]), "--vocabulary", str(sizes[1])]
    program += ["--width", str(sizes[2]), "--one"]
    print(f"{sizes[0]:,} tokens x vocabulary of {sizes[1]:,}, width {sizes[2]}, {torch.get_num_threads()} threads, float32")
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}  # so that freed blocks return to the system
    for loss in LOSSES:
        found: dict[str, list[dict[str, float]]] = {method: [] for method in METHODS}
        for _ in range(arguments.rounds):
            for method in METHODS:
                output = subprocess.run(
                    [*program, method, loss], check=True, stdout=subprocess.PIPE, text=True, env=environment
                ).stdout
                found[method].append(json.loads(output))
        medians = {
            method: {name: statistics.median(run[name] for run in runs) for name in ("seconds", "bytes")}
            for method, runs in found.items()
        }
        chunked, plain = (medians[method] for method in METHODS)
        ratios = [one["seconds"] / other["seconds"] for one, other in zip(*found.values(), strict=True)]
        for method in METHODS:
            print(f"{loss:4} {method:8} {medians[method]['seconds']:7.2f} s {medians[method]['bytes'] / 2**20:9,.0f} MiB")
        memory, seconds = plain["bytes"] / chunked["bytes"], chunked["seconds"] / plain["seconds"]
        print(f"{loss:4} full / chunked memory {memory:.1f}")
        print(f"{loss:4} chunked / full time {seconds:.2f} (single rounds: {min(ratios):.2f} to {max(ratios):.2f})")
    tokens, vocabulary, width = 65_536, 166_144, 2_560
    table, chunk = tokens * vocabulary * 4, chunked_loss.CHUNK * vocabulary * 4
    head, states = vocabulary * width * 4, tokens * width * 4
    print(
        f"calculated for {tokens:,} tokens x vocabulary of {vocabulary:,}, width {width:,}, float32: logits of all tokens "
        f"{table / 2**30:.1f} GiB, of a chunk {chunk / 2**30:.2f} GiB; gradients of the head {head / 2**30:.2f} GiB, of the "
        f"hidden states {states / 2**30:.2f} GiB"
    )


def _stages(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Prints time and memory of the stage with each method, or one measurement."""
    if arguments.tokens % ROW:
        parser.error(f"--tokens: expected a multiple of {ROW}")
    sizes = (arguments.tokens, arguments.vocabulary, arguments.width)
    if arguments.one:
        print(json.dumps(measure_stage(arguments.one[0], *sizes)))
        return
    print(f"{sizes[0]:,} tokens x vocabulary of {sizes[1]:,}, width {sizes[2]}, {torch.get_num_threads()} threads, float32")
    for method in STAGE_METHODS:
        program = [sys.executable, "-m", f"{__package__}.chunked_loss", "--stage", "--one", method, "sft"]
        program += [f"--{name}={getattr(arguments, name)}" for name in ("tokens", "vocabulary", "width")]
        environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}  # so that freed blocks return to the system
        output = subprocess.run(program, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
        found = json.loads(output.splitlines()[-1])
        print(f"{method:10} {found['seconds']:7.1f} s {found['bytes'] / 2**20:9,.0f} MiB  loss {found['loss']:.6f}")


if __name__ == "__main__":
    main()
