"""A GRPO update with verl's engine does not depend on micro-batches and processes, for each mode of `loss`."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch

MODES = ("token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm")
Gradients = dict[str, dict[str, torch.Tensor]]


@pytest.fixture(scope="module")
def gradients(tmp_path_factory: pytest.TempPathFactory, forked_python: Path) -> dict[int, Gradients]:
    """Gradients by number of processes, mode and division; see `one_update.py`. One of four responses is not in the loss."""
    folder = tmp_path_factory.mktemp("update")
    variables = os.environ | {"VERL_ENGINE_DEVICE": "cuda", "VERL_ENGINE_VENDOR": "tenfold"}
    command = [forked_python, Path(__file__).with_name("one_update.py"), folder]
    ended = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return {
        world: {
            mode: {way: torch.tensor(values) for way, values in ways.items()}
            for mode, ways in json.loads((folder / f"{world}.json").read_text()).items()
        }
        for world in (1, 2)
    }


def same(first: torch.Tensor, second: torch.Tensor) -> bool:
    """True if two gradients are equal except for float32 rounding of sums in another order."""
    return bool((first - second).norm() <= 1e-4 * second.norm())


@pytest.mark.parametrize("mode", MODES)
def test_an_update_does_not_depend_on_micro_batches(gradients: dict[int, Gradients], mode: str) -> None:
    whole = gradients[1][mode]["4 per micro-batch"]
    assert whole.norm() > 0
    for way in ("1 per micro-batch", "2 per micro-batch", "dynamic"):
        assert same(gradients[1][mode][way], whole), way


@pytest.mark.parametrize("mode", MODES)
def test_a_response_out_of_the_loss_is_not_counted(gradients: dict[int, Gradients], mode: str) -> None:
    """The update equals that without the response, in one process and in two."""
    without = gradients[1][mode]["without the truncated response"]
    assert same(gradients[1][mode]["4 per micro-batch"], without)
    for way, found in gradients[2][mode].items():
        assert same(found, without), way
