"""One of two processes that train stages with FSDP2 over gloo. The stages' folders appear as links in a queue.

    accelerate launch ... two_processes.py QUEUE

accelerate shards a model over GPUs only, so these processes are presented to it as processes with a GPU each.
"""

import itertools
import os
import sys
import time
from pathlib import Path
from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

from tenfold.pipelines.launch import supervise
from tenfold.pipelines.recipe import worker
from tenfold.pipelines.trainer import attention, limited_logits

prepare, max_logits = PartialState.__init__, limited_logits.MAX_LOGITS
min_scores = attention.MIN_SCORES["cpu"]


def as_on_gpus(self: PartialState, *arguments: Any, **options: Any) -> None:
    """Initializes accelerate's state as usual, and replaces the type of the processes."""
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
        os.chdir(folder.parent)  # the test's folder, to which the record's paths refer
        limit = folder / "max_logits"  # a test writes this file to train with the loss of large batches
        limited_logits.MAX_LOGITS = int(limit.read_text()) if limit.exists() else max_logits
        # A test writes this file to train without masks also for short rows.
        attention.MIN_SCORES["cpu"] = 0 if (folder / "without_masks").exists() else min_scores
        worker.main(folder)
        AcceleratorState._reset_state()  # else the next stage would inherit this state
        if PartialState().is_main_process:
            (folder / "done").touch()
