"""A training over several GPUs: as many processes, which torch joins, with FSDP2 by accelerate.

accelerate launch ... -m tenfold.pipelines.spread FOLDER       trains what the settings in a stage's folder say
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch.distributed

from .. import disk
from ..core import UserError
from .cluster import Cluster, check_nodes
from .context import Context, Metrics, Settings
from .rl import supervise

PROGRESS, TRAINED = "progress.json", "trained.json"
"""What the first of the processes leaves for the one that started them: how far it is, and at last the metrics."""
VARIABLES = {"RAY_IGNORE_UNHANDLED_ERRORS": "1", "PYTHONFAULTHANDLER": "1"}
"""Of the processes. The second has one that crashes say where."""
STALL_SECONDS = 1800.0
"""Without a word for so long, the processes of a training are taken for dead."""


def train(settings: Settings, context: Context) -> Metrics:
    """Trains a stage in as many processes as the cluster has GPUs, and waits for them.

    Raises:
        UserError: a node lacks something, or the processes ended without an end; with their cause.
    """
    folder = context.folder.resolve()  # processes of Ray's are elsewhere
    if context.cluster.nodes > 1:
        check_nodes(context.cluster, folder, {})
        command = [sys.executable, "-m", "tenfold.pipelines.spread_nodes", str(folder)]
    else:
        command = launch(context.cluster, folder)
    said, log = folder / PROGRESS, folder / "train.log"
    said.unlink(missing_ok=True)  # of a run that was killed

    def sign_of_life() -> object:
        if not said.is_file():
            return log.stat().st_size
        told = said.read_text()
        done, total, figures = json.loads(told)
        context.progress(done, total, **figures)
        return told

    log.touch()
    try:
        supervise.follow(command, VARIABLES, log, sign_of_life, STALL_SECONDS)
    except supervise.Stopped as stopped:
        raise UserError(f"{settings.name}: {stopped}") from None
    return disk.record(folder / TRAINED, "run again")


def launch(cluster: Cluster, folder: Path, node: int = 0, meeting: tuple[str, int] | None = None) -> list[str]:
    """The command that starts a node's processes.

    Args:
        cluster: whose GPUs they train on.
        folder: of the stage.
        node: which of the nodes.
        meeting: address and port on the first node, where the processes of all find one another; None where it is the only one.
    """
    address, port = meeting or ("127.0.0.1", 0)  # any port that is free
    return [
        *(sys.executable, "-m", "accelerate.commands.launch", "--num_processes", str(cluster.world)),
        *("--num_machines", str(cluster.nodes), "--machine_rank", str(node)),
        *("--main_process_ip", address, "--main_process_port", str(port)),
        *("--use_fsdp", "--fsdp_version", "2", "--fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP"),
        # Which would leave zeros in every model but what is trained, so in a teacher.
        *("--fsdp_cpu_ram_efficient_loading", "false"),
        *("-m", "tenfold.pipelines.spread", str(folder)),
    ]


def main(folder: Path) -> None:
    """Trains as one of several processes, which end when the one that started them does."""
    supervise.die_with_parent()
    from . import distill, pretrain, reward_model, sft  # which use this module

    record = json.loads((folder / "settings.json").read_text())
    kinds: dict[str, tuple[type[Settings], Any]] = {
        "pretrain": (pretrain.Pretrain, pretrain.train),
        "sft": (sft.SFT, sft.train),
        "distill": (distill.Distill, distill.train),
        "reward_model": (reward_model.RewardModel, reward_model.train),
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
        disk.write(folder / TRAINED, json.dumps(metrics))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    torch.distributed.destroy_process_group()  # while Python is whole: its threads would crash a process that is ending
