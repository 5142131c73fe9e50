"""The samples in flight in a checkpoint: those of the batches that are ahead of the trainer.

verl stores them with TransferQueue's own functions, which write and read plain pickles. A run's folder may come from someone
else, so a checkpoint is never read in a way that runs code. Here the file has tensors and plain data only.

The replay buffer's module imports this module in the trainer's process. verl calls the two functions that are replaced here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transfer_queue
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from ..dataset import StepDataset

PARTITION = "train"
"""The part of TransferQueue that has the samples to train on."""
FILE = "samples.pt"

Row = dict[str, Any]


def save(checkpoint_dir: str | Path, *, metadata: object = None, **options: object) -> None:
    """Stores the prompts that have not been trained on yet, and the samples of each prompt whose samples are all finished.

    After a resume, verl samples the other prompts again. Replaces `transfer_queue.save_checkpoint`.

    Args:
        checkpoint_dir: folder for the file.
        metadata: not used.
        options: not used.
    """
    found = tags()
    prompts = [key for key, tag in found.items() if tag.get("is_prompt")]
    ended = {key for key in prompts if found[key]["status"] in ("finished", "failure")}
    samples = [key for key in found if key not in ended and key.split("_")[0] in ended]
    stored = [[(key, found[key], row) for key, row in zip(keys, _rows(keys), strict=True)] for keys in (prompts, samples)]
    folder = Path(checkpoint_dir)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(stored, folder / f"{FILE}.partial")
    (folder / f"{FILE}.partial").rename(folder / FILE)


def load(checkpoint_dir: str | Path) -> None:
    """Puts the prompts and samples back. Replaces `transfer_queue.load_checkpoint`."""
    path = Path(checkpoint_dir) / FILE
    if not path.is_file():
        return
    for stored in torch.load(path, weights_only=True):
        if stored:
            keys, tags, rows = zip(*stored, strict=True)
            fields = list_of_dict_to_tensordict(list(rows))
            transfer_queue.kv_batch_put(keys=list(keys), partition_id=PARTITION, fields=fields, tags=list(tags))
            StepDataset.restored += sum(bool(tag.get("is_prompt")) for tag in tags)


def tags() -> dict[str, Row]:
    """Returns the tags of the prompts and samples to train on, by key."""
    return (transfer_queue.kv_list(PARTITION) or {}).get(PARTITION, {})


def _rows(keys: Sequence[str]) -> list[Row]:
    """Returns the fields of each key."""
    if not keys:
        return []
    found = transfer_queue.kv_batch_get(keys=list(keys), partition_id=PARTITION)
    columns = {name: _column(found.get(name), len(keys)) for name in found.keys()}  # noqa: SIM118 - a TensorDict
    return [{name: column[row] for name, column in columns.items()} for row in range(len(keys))]


def _column(values: Any, rows: int) -> list[Any]:
    """Returns the values of a field, one for each row."""
    if isinstance(values, torch.Tensor):
        return [value.clone() for value in values.unbind()]  # without a copy, torch would store the whole batch for each row
    given = values.tolist() if hasattr(values, "tolist") else [values.data] * rows
    return [_plain(value) for value in (given if isinstance(given, list) else [given] * rows)]


def _plain(value: Any) -> Any:
    """Returns a value without numpy's types, which `torch.load` rejects."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


transfer_queue.save_checkpoint, transfer_queue.load_checkpoint = save, load
