"""Fixtures that train a stage in one process and in two, and that compare two trainings."""

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
from tenfold.pipelines.trainer import attention
from tenfold.policies import checkpoints

Trained = dict[str, Any]


class TwoProcesses:
    """Two processes that train stages (see `two_processes.py`), started like those on two GPUs."""

    def __init__(self, queue: Path, python: Path):
        """Starts the processes. Their output is in the folder `queue`."""
        command = processes.launch(Cluster(device="cuda", gpus=2), queue)
        command[command.index("-m", 3) : -1] = [str(Path(__file__).with_name("two_processes.py"))]
        command[0] = str(python)
        self.queue, self.log, self.numbers = queue, queue / "log", itertools.count()
        with self.log.open("w") as log:
            env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHON_EXEC": str(python)}
            self.process = subprocess.Popen(command, env=env, stdout=log, stderr=log, preexec_fn=supervise.die_with_parent)

    def train(self, record: Trained, folder: Path) -> Trained:
        """Trains the stage of a record in a folder; returns its metrics."""
        folder.mkdir(exist_ok=True)
        (folder / "processes.json").write_text(json.dumps(record | {"cluster": {"device": "cpu"}}))
        (folder / "done").unlink(missing_ok=True)
        (self.queue / str(next(self.numbers))).symlink_to(folder.resolve())
        while not (folder / "done").exists():
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            time.sleep(0.05)
        assert any(folder.glob("checkpoints/*/pytorch_model_fsdp*")), "FSDP2 was not used"
        metrics: Trained = json.loads((folder / "trained.json").read_text())
        return metrics


@pytest.fixture(scope="session")
def forked_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A program that replaces Python and has the slow imports of training already (`forked_python.py`)."""
    python = tmp_path_factory.mktemp("forked") / "python"
    command = [sys.executable, str(Path(__file__).with_name("forked_python.py")), str(python)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline()
        yield python
        server.communicate(b"end\n")  # this also ends its forks


@pytest.fixture(scope="session")
def in_two_processes(
    tmp_path_factory: pytest.TempPathFactory, forked_python: Path
) -> Iterator[Callable[[Trained, Path], Trained]]:
    """Trains the stage of a record in a folder, in two processes with FSDP2 over gloo; returns its metrics.

    All tests share the two processes. If a training has ended them, new ones are started.
    """
    started: list[TwoProcesses] = []

    def train(record: Trained, folder: Path) -> Trained:
        if not started or started[-1].process.poll() is not None:
            started.append(TwoProcesses(tmp_path_factory.mktemp("two"), forked_python))
        return started[-1].train(record, folder)

    yield train
    for pair in started:
        pair.process.kill()  # this also ends its children
        pair.process.wait()


@pytest.fixture
def by_one_and_by_two(
    tmp_path: Path, in_two_processes: Callable[[Trained, Path], Trained]
) -> Callable[[Stage, str, int], tuple[Trained, Trained]]:
    """Trains a stage in this process and in two, and asserts that both trainings are equal; returns the metrics of both."""

    def train(stage: Stage, policy: str, seed: int) -> tuple[Trained, Trained]:
        one, two = tmp_path / "by one", tmp_path / "by two"
        one.mkdir()
        alone = stage.train(Context(one, policy, seed, {}, lambda *done, **values: None))
        shared = in_two_processes({"stage": stage.model_dump(mode="json"), "policy": policy, "seed": seed}, two)
        assert_same_training(one, two, policy)
        return json.loads(json.dumps(alone)), shared

    return train


@pytest.fixture
def without_masks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Returns a function after whose call short rows are treated like long ones, and a mask of the attention is an error."""
    compute = torch.nn.functional.scaled_dot_product_attention

    def checked(*arguments: Any, attn_mask: torch.Tensor | None = None, **options: Any) -> torch.Tensor:
        assert attn_mask is None, f"there is a mask of {tuple(attn_mask.shape)}"
        return compute(*arguments, **options)

    def start() -> None:
        monkeypatch.setitem(attention.MIN_SCORES, "cpu", 0)
        monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", checked)

    return start


RELATIVE = 1e-4
MOVED = 1e-3
"""Tolerances for two trainings that add the same numbers in another order, on any CPU.

A sum of n numbers in another order differs by about sqrt(n) roundings of 2^-24 = 6e-8 each. Here n is at most 100,000, so a
loss or a gradient's norm differs by about 2e-5. RELATIVE is five times that.

Weights cannot be compared one by one. Adam moves a weight by the learning rate, whatever the size of its gradient. If the
gradient is 0 except for rounding, the two trainings may move it in opposite directions, up to twice the learning rate per step.
Such weights are as rare as gradients of 2e-5 of the usual size: 2e-5 of the total distance that the weights move. MOVED is
fifty times that. They hardly affect the next step, because their gradient is close to 0.

A wrong share of a batch, another order of examples or another learning rate changes losses and distance by percents or more.
"""


@pytest.fixture(name="assert_same_training")
def same_training() -> Callable[[Path, Path, str], None]:
    """Returns the function `assert_same_training`."""
    return assert_same_training


def assert_same_training(first: Path, second: Path, start: str) -> None:
    """Asserts that two folders have equal trainings of the policy `start`.

    The steps are equal, and at each step the loss and the norm of the gradient, because Adam's steps hide its size. The final
    weights are much closer to each other than to the start.
    """
    rows, expected = logged(second), logged(first)
    assert [row["step"] for row in rows] == [row["step"] for row in expected]
    for name in ("loss", "grad_norm"):
        assert [row[name] for row in rows] == pytest.approx([row[name] for row in expected], rel=RELATIVE), name
    apart = distance(weights(first), weights(second))
    moved = distance(weights(first), checkpoints.load(checkpoints.checkpoint(start), torch.float32)[0].state_dict())
    assert apart <= MOVED * moved


def logged(folder: Path) -> list[dict[str, Any]]:
    """Returns the Trainer's log of each reported step, from the last checkpoint."""
    states = [json.loads(path.read_text()) for path in folder.glob("checkpoints/*/trainer_state.json")]
    history = max(states, key=lambda state: state["global_step"])["log_history"]
    return [row for row in history if "loss" in row]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Returns the trained weights."""
    return load_file(folder / "policy" / "model.safetensors")


def distance(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    """Returns the sum of absolute differences over all weights."""
    return sum(float((first[name].double() - second[name].double()).abs().sum()) for name in first)
