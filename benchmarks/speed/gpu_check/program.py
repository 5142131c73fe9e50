"""Runs and times on a GPU the work whose speed on a CPU says nothing about GPUs. Writes the figures into one JSON file.

It takes at most 8 minutes and needs no network.

    python -m tenfold.benchmarks.speed.gpu_check [--device cuda] [--out gpu_check.json] [--seconds 480] [--only NAME,NAME]

Each check (`kernels.py`, `stages.py`) runs in a process of its own. A check that fails, crashes or takes too long
therefore does not affect the others. The file is written after each check. Its key `not_run` has what could not run, with the
reason, and its key `failed` has the errors. `--device cpu` runs the same checks with small sizes, to test the program.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from .... import disk
from ....pipelines.launch import supervise
from . import kernels, stages
from .kernels import Figures
from .sizes import SIZES, Sizes

PACKAGES = ("tenfold", "torch", "transformers", "accelerate", "verl", "vllm", "flash-attn", "liger-kernel")
CHECKS: dict[str, Callable[[Sizes, str, Path], Figures]] = {
    "product": kernels.product,
    "sft": stages.sft,
    "pretrain": stages.pretrain,
    "distill": stages.distill,
    "fsdp2": stages.fsdp2,
    "loss": kernels.loss,
    "attention": kernels.attention,
    "rounding": stages.rounding,
    "sampling": stages.sampling,
    "grpo": stages.grpo,
}
"""The checks in their order, by name. Some use the results of earlier ones."""
LONGEST = 0.4
"""Largest share of the whole time for one check. Our choice."""
SHORTEST = 5.0
"""Seconds that must be left to start a check: the imports take about as long. Our choice."""

Report = dict[str, Any]
"""The content of the JSON file."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the checks; returns 1 if one failed, else 0.

    Args:
        arguments: command-line arguments; default: those of this process.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cuda", "cpu"), default=default, help="default: cuda if torch finds a GPU")
    parser.add_argument("--out", type=Path, default=Path("gpu_check.json"), help="file of the figures; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=480.0, help="time limit of all checks; default: %(default)g")
    parser.add_argument("--only", default=",".join(CHECKS), help="checks to run, with commas; default: %(default)s")
    parser.add_argument("--one", nargs=2, metavar=("CHECK", "FOLDER"), help="run one check here and print its figures")
    given = parser.parse_args(arguments)
    names = given.only.split(",")
    if unknown := [name for name in names if name not in CHECKS]:
        parser.error(f"--only: there is no check {unknown[0]}; the checks are {', '.join(CHECKS)}")
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU here; --device cpu tests the program")
    if not given.out.absolute().parent.is_dir():
        parser.error(f"--out {given.out}: there is no folder {given.out.parent}")
    if given.one:
        name, folder = given.one
        figures = CHECKS[name](SIZES[given.device], given.device, Path(folder))
        print(json.dumps({key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in figures.items()}))
        return 0
    started = time.monotonic()
    report: Report = {"command": _command(given), "machine": _machine(given.device), "figures": {}, "not_run": {}, "failed": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in CHECKS:
            if name in names:
                left = started + given.seconds - time.monotonic()
                _add(report, name, given.device, Path(folder), min(left, LONGEST * given.seconds))
                report["seconds"] = round(time.monotonic() - started, 1)
                disk.write(given.out, json.dumps(report, indent=1) + "\n")
    print(f"{given.out}: {len(report['figures'])} checks in {report['seconds']:.0f} s")
    return 1 if report["failed"] else 0


def _add(report: Report, name: str, device: str, folder: Path, seconds: float) -> None:
    """Runs a check and adds its result to the report.

    Args:
        report: the report.
        name: name of the check.
        device: cuda or cpu.
        folder: folder that the checks share.
        seconds: time limit.
    """
    print(f"{name} …", flush=True)
    if seconds < SHORTEST:
        report["not_run"][name] = "the time is over"
        return
    begun = time.monotonic()
    found, error = _in_process(name, device, folder, seconds)
    took = time.monotonic() - begun
    if found is None:
        report["failed"][name] = error
        print(f"  failed after {took:.0f} s: {error}", flush=True)
        return
    for part, reason in found.pop("not_run", {}).items():
        report["not_run"][f"{name}: {part}"] = reason
        print(f"  not run: {part}: {reason}", flush=True)
    report["figures"][name] = found | {"seconds": round(took, 1)}
    print(f"  {took:.0f} s: {json.dumps(found)}", flush=True)


def _in_process(name: str, device: str, folder: Path, seconds: float) -> tuple[Report | None, str]:
    """Returns the figures of a check that runs in a process of its own, or None and the reason of its failure."""
    log = folder / f"{name}.log"
    command = [sys.executable, "-m", __package__, "--device", device, "--one", name, str(folder)]
    environment = os.environ | {"TENFOLD_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    with log.open("wb") as errors:
        child = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            preexec_fn=supervise.die_with_parent,
        )
        try:
            output, _ = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None, f"no result within {seconds:.0f} s"
        finally:
            supervise.end(child)
    if child.returncode:
        return None, supervise.cause(log, child=child)
    found: Report = json.loads(output.splitlines()[-1])  # libraries may print lines before it
    return found, ""


def _machine(device: str) -> dict[str, str]:
    """Returns the machine's hardware and the versions of the packages."""
    found = {"python": platform.python_version(), "processors": str(len(os.sched_getaffinity(0)))}
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found |= {
            "gpu": properties.name,
            "memory": f"{properties.total_memory / 2**30:.0f} GiB",
            "cuda": str(torch.version.cuda),
        }
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _command(given: argparse.Namespace) -> str:
    """Returns the command with these arguments, for the record."""
    words = f"python -m {__package__} --device {given.device} --seconds {given.seconds:g}"
    return words if given.only == ",".join(CHECKS) else f"{words} --only {given.only}"
