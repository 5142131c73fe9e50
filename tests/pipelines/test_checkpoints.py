import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tenfold.pipelines.checkpoints import damage

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


def test_a_whole_checkpoint_has_nothing_wrong(checkpoint: Path) -> None:
    assert damage(checkpoint) is None


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_was_not_written_to_its_end_is_named(checkpoint: Path, name: str, share: float) -> None:
    os.truncate(checkpoint / name, int((checkpoint / name).stat().st_size * share))
    assert damage(checkpoint) == f"{name} is cut short"
