"""One of two processes that train with FSDP2 over gloo, one stage after the other: those whose folders appear in a queue.

    accelerate launch ... two_processes.py QUEUE

accelerate shards a model among GPUs only, so it takes these processes for some that have one each.
"""

import itertools
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

from tenfold.pipelines.launch import supervise
from tenfold.pipelines.recipe import worker
from tenfold.pipelines.trainer import trainer

prepare = PartialState.__init__


def as_on_gpus(self: PartialState, *arguments: Any, **options: Any) -> None:
    """What accelerate finds out of its surroundings, but for the kind of the processes."""
    prepare(self, *arguments, **options)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


if __name__ == "__main__":
    supervise.die_with_parent()
    PartialState.__init__ = as_on_gpus  # type: ignore[method-assign]
    for number in itertools.count():
        while not (folder := Path(sys.argv[1], str(number))).exists():
            time.sleep(0.05)
        folder = folder.resolve()
        os.chdir(folder.parent)  # a test's own, which its record may name files of
        told = folder / "precision"  # that of a GPU, where a test asks for it
        dtype = getattr(torch, told.read_text()) if told.exists() else torch.float32
        trainer.precision = lambda cluster, dtype=dtype: dtype
        worker.main(folder)
        AcceleratorState._reset_state()  # or the next one would have this one's
        if PartialState().is_main_process:
            (folder / "done").touch()
