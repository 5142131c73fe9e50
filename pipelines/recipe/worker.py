"""One of the processes that train a stage in parallel. `launch/processes.py` starts them:

accelerate launch ... -m tenfold.pipelines.recipe.worker FOLDER       FOLDER is a stage's folder with processes.json
"""

import json
import os
import sys
from pathlib import Path

import torch.distributed

from ... import disk
from ..cluster import Cluster
from ..launch import supervise
from ..launch.processes import PROGRESS, START, TRAINED
from ..stage import Context
from ..stages import KINDS


def main(folder: Path) -> None:
    """Trains a stage. The process ends when its parent ends.

    Args:
        folder: the stage's folder.
    """
    supervise.die_with_parent()
    record = json.loads((folder / START).read_text())
    stage = KINDS[record["stage"]["kind"]].model_validate(record["stage"])
    cluster = Cluster.model_validate(record["cluster"])
    first = os.environ.get("RANK", "0") == "0"

    last: dict[str, object] = {}

    def progress(done: int, total: int, **values: object) -> None:
        if first:
            # The values of earlier calls are kept, because the parent may not have read the file since those calls.
            last.update(values)
            partial = folder / f"{PROGRESS}.partial"
            partial.write_text(json.dumps([done, total, last]))
            partial.rename(folder / PROGRESS)

    metrics = stage.train(Context(folder, record["policy"], record["seed"], {}, progress, cluster))
    if first:
        disk.write(folder / TRAINED, json.dumps(metrics))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    torch.distributed.destroy_process_group()  # before Python shuts down, because the group's threads would crash then
