"""The number of threads of torch on a CPU.

By default a waiting OpenMP thread uses its processor for a while (it spins). If other programs use the processors too, a step
with two threads then takes several times as long as with one. Therefore waiting threads sleep, and the number of threads is
the one with which a training step of the policy's width is fastest when the process starts: a second thread is of no use to a
small model, and nearly doubles the speed of a larger one. Rounding depends on the number of threads, so a run records the
number, and a resumed run uses the recorded number.
"""

import functools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

THREADS, WAITING, SPINNING = "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"
"""Environment variables of OpenMP: number of threads, what waiting threads do, and how long they spin."""
ROUNDS = 5
"""Timed steps for each number of threads. An untimed step precedes each of them. Our choice: on two processors 0.2 seconds for
`WIDTH`, and some seconds for `MAX_WIDTH`."""
TOKENS, WIDTH = 512, 96
"""Size of the measured step: tokens of a batch, and width if the policy's is unknown, about as in the recipe `quickstart`."""
MAX_WIDTH = 1024
"""Largest width that is measured. A wider model has the same number of threads."""
GAIN = 0.9
"""A greater number of threads is used only if it takes less than this share of the smaller number's time. Our choice."""

_chosen: int | None = None


def stop_spinning() -> None:
    """Makes waiting threads of this process and its child processes sleep, unless the user's environment has another choice.

    It has no effect on this process if torch is imported already, because OpenMP reads the environment when it is loaded.
    """
    if SPINNING not in os.environ:
        os.environ.setdefault(WAITING, "PASSIVE")


def choose(setting: int | None = None, recorded: int | None = None, config: Callable[[], Path | None] | None = None) -> int:
    """Sets the number of threads of torch in this process, and returns it.

    Args:
        setting: the number in the recipe, if there is one. It has priority over $OMP_NUM_THREADS.
        recorded: the number with which the run began. It is used if neither the recipe nor the environment has a number.
        config: returns the folder with the config.json of the policy. It is called only if the number is measured.
    """
    global _chosen
    import torch

    _chosen = setting or _from_environment() or recorded or measured(_width(config() if config else None))
    torch.set_num_threads(_chosen)
    return _chosen


def chosen(config: Callable[[], Path | None] | None = None) -> int:
    """Returns the number of threads that was chosen for this process; chooses one if there is none yet.

    Args:
        config: see `choose`.
    """
    return _chosen or choose(config=config)


def share(processes: int) -> int:
    """Returns the number of threads for each of several processes that share this machine's processors."""
    return max(1, len(os.sched_getaffinity(0)) // processes)


def recordable() -> int | None:
    """Returns the number of threads that was chosen for this process; None if there is none, as with GPUs."""
    return _chosen


def variables() -> dict[str, str]:
    """Returns the environment variables with which a process uses as many threads as this one, and waits in the same way."""
    return {THREADS: str(chosen())} | waiting()


def waiting() -> dict[str, str]:
    """Returns the environment variables that say what waiting threads do."""
    return {name: os.environ[name] for name in (WAITING, SPINNING) if name in os.environ}


def _from_environment() -> int | None:
    """Returns the user's number of threads. Like OpenMP, it ignores a value that is not a positive number."""
    first = os.environ.get(THREADS, "").partition(",")[0].strip()  # further numbers are for nested loops
    return int(first) if first.isascii() and first.isdigit() and int(first) else None


def _width(folder: Path | None) -> int:
    """Returns the width (`hidden_size`) of the model whose config.json is in a folder, or the default if it is unknown."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8")) if folder else {}
    except (OSError, ValueError):  # whatever loads the model reports the error
        return WIDTH
    width = config.get("hidden_size") if isinstance(config, dict) else None
    return min(width, MAX_WIDTH) if isinstance(width, int) and width > 0 else WIDTH


@functools.cache
def measured(width: int = WIDTH) -> int:
    """Returns the number of threads with which a training step is fastest now: 1, 2, 4, ... or all processors.

    Args:
        width: width of the network of the step.
    """
    import torch

    processors = len(os.sched_getaffinity(0))
    numbers = [*(2**power for power in range(processors.bit_length()) if 2**power < processors), processors]
    if len(numbers) == 1:
        return processors
    before, step = torch.get_num_threads(), _step(width)
    seconds = dict.fromkeys(numbers, 0.0)
    try:
        for _ in range(ROUNDS):  # the numbers take turns, so that other programs affect all of them alike
            for number in numbers:
                torch.set_num_threads(number)
                step()
                start = time.perf_counter()
                step()
                seconds[number] += time.perf_counter() - start
    finally:
        torch.set_num_threads(before)
    best = numbers[0]
    for number in numbers[1:]:
        if seconds[number] < GAIN * seconds[best]:
            best = number
    return best


def _step(width: int) -> Callable[[], None]:
    """Returns a forward and backward pass through a small network of a width. It does not change torch's random state."""
    import torch

    batch = torch.ones(TOKENS, width)
    inner, outer = torch.full((width, 4 * width), 0.01), torch.full((4 * width, width), 0.01)

    def step() -> None:
        weights = [weight.clone().requires_grad_() for weight in (inner, outer)]
        hidden = torch.nn.functional.gelu(torch.nn.functional.layer_norm(batch, (width,)) @ weights[0])
        (hidden @ weights[1]).log_softmax(-1).mean().backward()

    return step
