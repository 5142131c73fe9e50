"""A checkpoint cannot run code, and incomplete checkpoints are found."""

import enum
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint
from safetensors.numpy import load_file
from safetensors.torch import save_file

from tenfold.core import UserError
from tenfold.pipelines.trainer import checkpoints
from tenfold.pipelines.trainer.empty_model import parameters
from tenfold.policies import checkpoints as policies
from tenfold.policies import load_policy


class Touches:
    """An object whose pickle runs a command."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def hit(tmp_path: Path) -> Path:
    return tmp_path / "hit"


@pytest.fixture
def distributed(tmp_path: Path) -> Path:
    """A checkpoint as several processes write it."""
    state = {"weights": torch.ones(2, 3, dtype=torch.bfloat16), "steps": 3, "rates": [0.1], "name": "x"}
    torch.distributed.checkpoint.save(state, checkpoint_id=tmp_path / "checkpoint-1/optimizer_0")
    return tmp_path / "checkpoint-1"


def test_a_checkpoint_by_torch_is_read(distributed: Path) -> None:
    read = {"weights": torch.zeros(2, 3, dtype=torch.bfloat16), "steps": 0, "rates": [0.0], "name": ""}
    with checkpoints.as_weights(distributed):
        torch.distributed.checkpoint.load(read, checkpoint_id=distributed / "optimizer_0")
    assert (read["steps"], read["rates"], read["name"]) == (3, [0.1], "x")
    assert torch.equal(torch.as_tensor(read["weights"]), torch.ones(2, 3, dtype=torch.bfloat16))
    assert checkpoints.REJECTED not in os.environ


@pytest.mark.parametrize("name", [".metadata", "__0.metadata"])
def test_a_changed_index_file_is_refused(distributed: Path, hit: Path, name: str) -> None:
    (distributed / "optimizer_0" / name).write_bytes(pickle.dumps({"state_dict_metadata": Touches(hit)}))
    message = r"metadata: expected only weights \(posix.mkdir\)"
    with pytest.raises(UserError, match=message), checkpoints.as_weights(distributed):
        pass
    assert not hit.exists()


def test_a_step_of_a_training_in_several_processes_is_a_policy(lab: Path, hit: Path, in_two_processes: Any) -> None:
    sums = "generate:tenfold.envs.toy.chain_sums:chain_sums_with_solutions?size=8&seed=1"
    stage = {"kind": "sft", "name": "sft", "problems": sums, "steps": 2, "batch_size": 4, "learning_rate": 1e-2}
    stage |= {"save_steps": 1, "keep_checkpoints": 2}
    in_two_processes({"stage": stage, "policy": "micro:?hidden=16&layers=2&heads=2", "seed": 1}, lab / "sft")
    final = policies.load(lab / "sft/policy", torch.float32)[0].state_dict()
    for step, is_final in ((1, False), (2, True)):
        model, _ = policies.load(policies.checkpoint(f"stage:sft@step={step}"), torch.float32)
        assert all(torch.equal(weight, final[name]) for name, weight in model.state_dict().items()) is is_final
    assert load_policy("stage:sft@step=1")
    with pytest.raises(UserError, match="steps with a checkpoint: 1, 2"):
        policies.checkpoint("stage:sft@step=3")
    changed = lab / "sft/checkpoints/checkpoint-1"
    (changed / "pytorch_model_fsdp_0/.metadata").write_bytes(pickle.dumps(Touches(hit)))
    with pytest.raises(UserError, match=r"expected only weights.*remove it"):
        policies.checkpoint("stage:sft@step=1")
    assert not hit.exists()
    (changed / "config.json").unlink()  # as an earlier version wrote it
    with pytest.raises(UserError, match=r"no config\.json: copy that of the starting policy there"):
        policies.checkpoint("stage:sft@step=1")


class OfPython311(pickle.Pickler):
    """Pickles members of enumerations by name, as Python 3.11.0 to 3.11.3 do. Other versions pickle them by value."""

    def reducer_override(self, thing: Any) -> Any:
        return (getattr, (type(thing), thing.name)) if isinstance(thing, enum.Enum) else NotImplemented


def test_an_index_file_by_python_3_11_0_is_read(distributed: Path) -> None:
    table = distributed / "optimizer_0/.metadata"
    read = pickle.loads(table.read_bytes())
    with table.open("wb") as file:
        OfPython311(file).dump(read)
    assert b"getattr" in table.read_bytes()
    with checkpoints.as_weights(distributed):
        pass


@pytest.mark.parametrize(
    "made",
    [
        b"cos\nsystem\n(S'touch hit'\ntR.",
        b"ctorch.serialization\nos.system\n(S'touch hit'\ntR.",
        b"ctorch.distributed.checkpoint.metadata\nos\n.",
        b"\x80\x04\x8c\x05torch\x8c\x04load\x93.",
        b"cbuiltins\ngetattr\n(ctorch.distributed.checkpoint.metadata\nTensorProperties\nS'__init__'\ntR.",
        b"cbuiltins\ngetattr\n(ctorch.distributed.checkpoint.metadata\n_MEM_FORMAT_ENCODING\nS'__init__'\ntR.",
        b"cbuiltins\ngetattr\n.",
        b"cpathlib\nPosixPath\n(N(dS'open'\nI1\nstb.",
        pickle.dumps({}),
        b"cut",
        b"",
    ],
)
def test_an_index_file_cannot_name_other_code(tmp_path: Path, made: bytes) -> None:
    (tmp_path / ".metadata").write_bytes(made)
    with pytest.raises(UserError, match="expected only weights"), checkpoints.as_weights(tmp_path):
        pass


@pytest.mark.parametrize("weights_only", [True, False])
def test_a_pickle_with_code_instead_of_weights_is_refused(tmp_path: Path, hit: Path, weights_only: bool) -> None:
    torch.save({"rng": Touches(hit)}, tmp_path / "extra_state.pt")
    with pytest.raises(UserError, match=r"expected only weights.*remove") as error, checkpoints.as_weights(tmp_path):
        torch.load(tmp_path / "extra_state.pt", weights_only=weights_only)
    assert "\n" not in str(error.value)
    assert not hit.exists()


def test_verls_random_states_are_read_and_code_is_refused(tmp_path: Path, hit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in checkpoints.VARIABLES.items():
        monkeypatch.setenv(name, value)
    checkpoints.allow_random_states()
    torch.save({"rng": {"numpy": np.random.get_state(), "cpu": torch.get_rng_state()}}, tmp_path / "own.pt")
    read = torch.load(tmp_path / "own.pt", weights_only=False)  # verl calls it like this
    assert (read["rng"]["numpy"][1] == np.random.get_state()[1]).all()
    torch.save({"rng": Touches(hit)}, tmp_path / "made.pt")
    with pytest.raises(pickle.UnpicklingError, match=checkpoints.REJECTED):
        torch.load(tmp_path / "made.pt", weights_only=False)
    assert not hit.exists()


WRITERS: dict[str, Callable[[Path], object]] = {
    "model.safetensors": lambda path: save_file({"a": torch.ones(999)}, path),
    "optimizer.pt": lambda path: torch.save({"a": torch.ones(999)}, path),
    "trainer_state.json": lambda path: path.write_text(json.dumps({"global_step": 4, "log": ["a"] * 99})),
}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    for name, write in WRITERS.items():
        write(tmp_path / name)
    return tmp_path


def test_a_complete_checkpoint_has_no_damage(checkpoint: Path) -> None:
    assert checkpoints.damage(checkpoint) is None


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("name", WRITERS)
def test_an_incomplete_file_is_named(checkpoint: Path, name: str, share: float) -> None:
    os.truncate(checkpoint / name, int((checkpoint / name).stat().st_size * share))
    assert checkpoints.damage(checkpoint) == f"{name} is incomplete"


def test_a_file_of_deeply_nested_lists_is_damaged(checkpoint: Path) -> None:
    (checkpoint / "trainer_state.json").write_text("[" * 100_000 + "]" * 100_000)
    assert checkpoints.damage(checkpoint) == "trainer_state.json is incomplete"


def test_the_parameters_of_another_model_in_the_same_folder_are_counted(tmp_path: Path) -> None:
    folder, counts = tmp_path / "policy", []
    for hidden in (16, 32):
        checkpoint = policies.checkpoint(f"micro:?hidden={hidden}&layers=1&heads=2")
        shutil.copytree(checkpoint, folder, dirs_exist_ok=True)
        assert parameters(folder) == sum(weights.size for weights in load_file(folder / "model.safetensors").values())
        counts.append(parameters(folder))
    assert counts[0] < counts[1]
