"""One of the processes that train a stage together; `launch/processes.py` starts them.

accelerate launch ... -m tenfold.pipelines.recipe.worker FOLDER       trains what the settings in a stage's folder say
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch.distributed

from ... import disk
from ..cluster import Cluster
from ..launch import supervise
from ..launch.processes import PROGRESS, TRAINED
from ..stage import Context
from ..stages import KINDS


def main(folder: Path) -> None:
    """Trains. The process ends when the one that started it does."""
    supervise.die_with_parent()
    record = json.loads((folder / "settings.json").read_text())
    stage = KINDS[record["stage"]["kind"]].model_validate(record["stage"])
    cluster = Cluster.model_validate(record["cluster"])
    first = os.environ.get("RANK", "0") == "0"

    def progress(done: int, total: int, **figures: Any) -> None:
        if first:
            whole = folder / f"{PROGRESS}.partial"
            whole.write_text(json.dumps([done, total, figures]))
            whole.rename(folder / PROGRESS)

    metrics = stage.train(Context(folder, record["policy"], record["seed"], {}, progress, cluster))
    if first:
        disk.write(folder / TRAINED, json.dumps(metrics))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    torch.distributed.destroy_process_group()  # while Python is whole: its threads would crash a process that is ending
