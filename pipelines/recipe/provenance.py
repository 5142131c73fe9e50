"""The commit and the machine of a run. Stages record both, and neither is part of a stage's identity."""

import functools
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import TypedDict

from ... import cpu_threads
from ...version import __version__

PACKAGE = Path(__file__).parents[2]
GIT_SECONDS = 10
"""Time limit of a git command, in seconds. Our choice."""
_NVIDIA = Path("/proc/driver/nvidia/gpus")
"""Folder with a file `information` for each GPU of NVIDIA's driver."""


class Machine(TypedDict):
    """The hardware that a stage ran on."""

    platform: str
    """Operating system and architecture, as Python's `platform.platform` returns them."""
    processor: str
    """Model name of the processor."""
    processors: int
    """Number of processors that this process may use."""
    threads: int | None
    """Number of threads of torch on the CPU (`cpu_threads.py`); None if models run on GPUs."""
    memory_gib: int
    """Main memory, in GiB."""
    gpus: list[str]
    """Model names."""


@functools.cache
def commit(folder: Path = PACKAGE) -> str:
    """Returns `git describe` of the package's folder if it is a git checkout, else the package's version.

    The suffix "-dirty" marks uncommitted changes. The result is cached, because later changes of the checkout do not affect
    the code that this process has loaded.
    """
    if not (folder / ".git").exists():  # a checkout of another project around site-packages does not count
        return __version__
    command = ["git", "--no-optional-locks", "-c", f"safe.directory={folder}", "describe", "--always", "--dirty", "--tags"]
    try:
        described = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=GIT_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return __version__
    return described.stdout.strip() or __version__


def machine() -> Machine:
    """Returns the hardware of this process."""
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)),
        "threads": cpu_threads.recordable(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "gpus": _gpus(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = (value.strip() for name, _, value in (line.partition(":") for line in lines) if name.strip() == "model name")
    return next(names, platform.machine())


def _gpus() -> list[str]:
    """Returns the GPUs that torch uses if it has initialized CUDA, else those of NVIDIA's driver.

    It never initializes CUDA, because that takes GPU memory from the processes that train.
    """
    if (torch := sys.modules.get("torch")) and torch.cuda.is_initialized():
        return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    try:
        files = [path.read_text(errors="replace") for path in sorted(_NVIDIA.glob("*/information"))]
    except OSError:
        return []
    lines = (line.partition(":") for text in files for line in text.splitlines())
    return [value.strip() for name, _, value in lines if name.strip() == "Model"]
