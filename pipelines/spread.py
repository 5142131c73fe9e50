"""A training over all GPUs of a node: as many processes, which torch joins, with FSDP2 by accelerate.

accelerate launch ... -m tenfold.pipelines.spread FOLDER       trains what the settings in a stage's folder say
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from ..core import UserError
from .cluster import Cluster
from .context import Context, Metrics, Settings
from .rl import supervise

PROGRESS, TRAINED = "progress.json", "trained.json"
"""What the first of the processes leaves for the one that started them: how far it is, and at last the metrics."""
STALL_SECONDS = 1800.0
"""Without a word for so long, the processes of a training are taken for dead."""


def train(settings: Settings, context: Context) -> Metrics:
    """Trains a stage in as many processes as this node has GPUs, and waits for them.

    Raises:
        UserError: several nodes are asked for, or the processes ended without an end; with their cause.
    """
    if context.cluster.nodes > 1:
        raise UserError(f"{settings.name}: training spreads over the GPUs of one node so far: set cluster.nodes to 1")
    command = [
        *(sys.executable, "-m", "accelerate.commands.launch", "--num_processes", str(context.cluster.gpus)),
        *("--use_fsdp", "--fsdp_version", "2", "--fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP"),
        *("--mixed_precision", "bf16", "-m", __name__, str(context.folder)),
    ]
    said = context.folder / PROGRESS

    def sign_of_life() -> object:
        if not said.is_file():
            return log.stat().st_size
        done, total, figures = json.loads(said.read_text())
        context.progress(done, total, **figures)
        return done

    log = context.folder / "train.log"
    log.touch()
    try:
        supervise.follow(command, {}, log, sign_of_life, STALL_SECONDS)
    except supervise.Stopped as stopped:
        raise UserError(f"{settings.name}: {stopped} (log: {log})") from None
    metrics: Metrics = json.loads((context.folder / TRAINED).read_text())
    return metrics


def main(folder: Path) -> None:
    """Trains as one of several processes."""
    from . import distill, pretrain, sft  # which use this module

    record = json.loads((folder / "settings.json").read_text())
    kinds: dict[str, tuple[type[Settings], Any]] = {
        "pretrain": (pretrain.Pretrain, pretrain.train),
        "sft": (sft.SFT, sft.train),
        "distill": (distill.Distill, distill.train),
    }
    kind, trains = kinds[record["stage"]["kind"]]
    settings, cluster = kind.model_validate(record["stage"]), Cluster.model_validate(record["cluster"])
    first = os.environ.get("RANK", "0") == "0"

    def progress(done: int, total: int, **figures: Any) -> None:
        if first:
            whole = folder / f"{PROGRESS}.partial"
            whole.write_text(json.dumps([done, total, figures]))
            whole.rename(folder / PROGRESS)

    metrics = trains(settings, Context(folder, record["policy"], record["seed"], {}, progress, cluster))
    if first:
        (folder / TRAINED).write_text(json.dumps(metrics))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
