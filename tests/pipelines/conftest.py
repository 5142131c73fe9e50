"""Trainings in one process and in two, and what two trainings must have in common to be the same one."""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tenfold.pipelines.cluster import Cluster
from tenfold.pipelines.launch import processes, supervise
from tenfold.pipelines.stage import Context, Stage
from tenfold.policies import checkpoints

Trained = dict[str, Any]


class TwoProcesses:
    """Two processes that train one stage after the other (see `two_processes.py`), started as on two GPUs."""

    def __init__(self, queue: Path, python: Path):
        """Starts them; what they say is in the folder `queue`."""
        command = processes.launch(Cluster(device="cuda", gpus=2), queue)
        command[command.index("-m", 3) : -1] = [str(Path(__file__).with_name("two_processes.py"))]
        command[0] = str(python)
        self.queue, self.said, self.numbers = queue, queue / "said", itertools.count()
        with self.said.open("w") as said:
            env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHON_EXEC": str(python)}
            self.process = subprocess.Popen(command, env=env, stdout=said, stderr=said, preexec_fn=supervise.die_with_parent)

    def train(self, record: Trained, folder: Path) -> Trained:
        """Trains what a stage's record says, in a folder; its metrics."""
        folder.mkdir(exist_ok=True)
        (folder / "settings.json").write_text(json.dumps(record | {"cluster": {"device": "cpu"}}))
        (folder / "done").unlink(missing_ok=True)
        (self.queue / str(next(self.numbers))).symlink_to(folder.resolve())
        while not (folder / "done").exists():
            assert self.process.poll() is None, self.said.read_text()[-2000:]
            time.sleep(0.05)
        assert any(folder.glob("checkpoints/*/pytorch_model_fsdp*")), "FSDP2 was not at work"
        metrics: Trained = json.loads((folder / "trained.json").read_text())
        return metrics


@pytest.fixture(scope="session")
def forked_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A program that does what Python does, without the seconds that the imports of a training take (`forked_python.py`)."""
    python = tmp_path_factory.mktemp("forked") / "python"
    command = [sys.executable, str(Path(__file__).with_name("forked_python.py")), str(python)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline()
        yield python
        server.communicate(b"end\n")  # with all of its forks


@pytest.fixture(scope="session")
def in_two_processes(
    tmp_path_factory: pytest.TempPathFactory, forked_python: Path
) -> Iterator[Callable[[Trained, Path], Trained]]:
    """Trains what a stage's record says, in a folder, in two processes with FSDP2 over gloo; its metrics.

    All tests have the same two; other ones where a training has ended them.
    """
    started: list[TwoProcesses] = []

    def train(record: Trained, folder: Path) -> Trained:
        if not started or started[-1].process.poll() is not None:
            started.append(TwoProcesses(tmp_path_factory.mktemp("two"), forked_python))
        return started[-1].train(record, folder)

    yield train
    for pair in started:
        pair.process.kill()  # its children end with it
        pair.process.wait()


@pytest.fixture
def by_one_and_by_two(
    tmp_path: Path, in_two_processes: Callable[[Trained, Path], Trained]
) -> Callable[[Stage, str, int], tuple[Trained, Trained]]:
    """Trains a stage in this process and in two, and asserts that it was one training; the metrics of both."""

    def train(stage: Stage, policy: str, seed: int) -> tuple[Trained, Trained]:
        one, two = tmp_path / "by one", tmp_path / "by two"
        one.mkdir()
        alone = stage.train(Context(one, policy, seed, {}, lambda *done, **figures: None))
        shared = in_two_processes({"stage": stage.model_dump(mode="json"), "policy": policy, "seed": seed}, two)
        assert_same_training(one, two, policy)
        return json.loads(json.dumps(alone)), shared

    return train


RELATIVE = 1e-4
MOVED = 1e-3
"""How far apart two trainings may be that do the same sums in another order, on any processor.

A sum of n numbers in another order differs by about sqrt(n) roundings, each 2^-24 = 6e-8 of it: here n is at most
100,000, which makes 2e-5 of a loss or of a gradient's norm, rarely more. RELATIVE is five times that.

Weights cannot be compared one by one. Adam moves a weight by the learning rate whatever the size of its gradient is, so where
the gradient is 0 but for its rounding, the two may go opposite ways, up to twice the learning rate a step. Such weights are as
rare as gradients that are 2e-5 of the usual one: 2e-5 of all the way that the weights have gone. MOVED is fifty times that.
They hardly matter to the next step either, for what a weight does to the loss is its gradient, and that is next to 0.

A wrong share of a batch, another order or another rate change the losses and the way by percents and more.
"""


@pytest.fixture(name="assert_same_training")
def same_training() -> Callable[[Path, Path, str], None]:
    """See the function of that name."""
    return assert_same_training


def assert_same_training(one: Path, other: Path, start: str) -> None:
    """Asserts that two folders hold one training of the policy `start`.

    It has the same steps, and at every step the same loss and norm of the gradient, which Adam's steps alone would not show. It
    ends at the same weights: the two ends are nearer to each other than to the start by far.
    """
    found, wanted = logged(other), logged(one)
    assert [row["step"] for row in found] == [row["step"] for row in wanted]
    for name in ("loss", "grad_norm"):
        assert [row[name] for row in found] == pytest.approx([row[name] for row in wanted], rel=RELATIVE), name
    apart = distance(weights(one), weights(other))
    moved = distance(weights(one), checkpoints.load(checkpoints.checkpoint(start), torch.float32)[0].state_dict())
    assert apart <= MOVED * moved


def logged(folder: Path) -> list[dict[str, Any]]:
    """What the Trainer noted down at each step that it reported, as of its last checkpoint."""
    states = [json.loads(path.read_text()) for path in folder.glob("checkpoints/*/trainer_state.json")]
    history = max(states, key=lambda state: state["global_step"])["log_history"]
    return [row for row in history if "loss" in row]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights that a training left."""
    return load_file(folder / "policy" / "model.safetensors")


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The sum over all weights of how far apart they are."""
    return sum(float((one[name].double() - other[name].double()).abs().sum()) for name in one)
