"""A training over several GPUs: as many processes, which torch joins, with FSDP2 by accelerate.

accelerate launch ... -m tenfold.pipelines.recipe.worker FOLDER       trains what the settings in a stage's folder say
"""

import json
import sys
from pathlib import Path

from ... import disk
from ...core import UserError
from ..cluster import Cluster
from ..stage import Context, Metrics, Stage
from . import supervise
from .nodes import check_nodes

PROGRESS, TRAINED = "progress.json", "trained.json"
"""What the first of the processes leaves for the one that started them: how far it is, and at last the metrics."""
VARIABLES = {"RAY_IGNORE_UNHANDLED_ERRORS": "1", "PYTHONFAULTHANDLER": "1"}
"""Of the processes. The second has one that crashes say where."""
STALL_SECONDS = 1800.0
"""Without a word for so long, the processes of a training are taken for dead."""


def trained(stage: Stage, context: Context) -> Metrics:
    """Calls the stage's method `train` here, or in as many processes as the cluster has GPUs, and waits for them.

    Raises:
        UserError: a node lacks something, or the processes ended without an end; with their cause.
    """
    if context.cluster.world == 1:
        return stage.train(context)
    folder = context.folder.resolve()  # processes of Ray's are elsewhere
    if context.cluster.nodes > 1:
        check_nodes(context.cluster, folder, {})
        command = [sys.executable, "-m", "tenfold.pipelines.launch.ray_nodes", str(folder)]
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
        raise UserError(f"{stage.name}: {stopped}") from None
    return disk.read_object(folder / TRAINED, "run again")


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
        *("-m", "tenfold.pipelines.recipe.worker", str(folder)),
    ]
