"""Training on several GPUs: one process per GPU, started by accelerate, with FSDP2.

accelerate launch ... -m tenfold.pipelines.recipe.worker FOLDER       FOLDER is a stage's folder with processes.json
"""

import json
import sys
from pathlib import Path

from ... import cpu_threads, disk
from ...core import UserError
from ..cluster import Cluster
from ..stage import Context, Metrics, Stage
from . import supervise
from .nodes import check_nodes

START = "processes.json"
"""File that the parent writes for the processes: stage, policy, seed and cluster."""
PROGRESS, TRAINED = "progress.json", "trained.json"
"""Files that the process with rank 0 writes for the parent: its progress, and at the end the metrics."""
VARIABLES = {"RAY_IGNORE_UNHANDLED_ERRORS": "1", "PYTHONFAULTHANDLER": "1"}
"""Environment variables of the processes. The second prints the stack of a process that crashes."""
STALL_SECONDS = 1800.0
"""Seconds without progress after which the processes are stopped. Our choice."""


def train_in_processes(stage: Stage, context: Context) -> Metrics:
    """Runs the stage's method `train` in this process, or in one process per GPU of the cluster; returns its metrics.

    Raises:
        UserError: a node fails a check, or a process fails; the message has the cause.
    """
    if context.cluster.world == 1:
        return stage.train(context)
    folder = context.folder.resolve()  # Ray's processes have other working folders
    start = {"stage": stage.model_dump(mode="json"), "policy": context.policy, "seed": context.seed}
    disk.write(folder / START, json.dumps(start | {"cluster": context.cluster.model_dump(mode="json")}))
    if context.cluster.nodes > 1:
        check_nodes(context.cluster, folder, {})
        command = [sys.executable, "-m", "tenfold.pipelines.launch.ray_nodes", str(folder)]
    else:
        command = launch(context.cluster, folder)
    progress, log = folder / PROGRESS, folder / "train.log"
    progress.unlink(missing_ok=True)  # a killed run may have left it

    def progress_marker() -> object:
        if not progress.is_file():
            return log.stat().st_size
        text = progress.read_text()
        done, total, values = json.loads(text)
        context.progress(done, total, **values)
        return text

    log.touch()
    try:
        supervise.follow(command, VARIABLES | threads_of(context.cluster), log, progress_marker, STALL_SECONDS)
    except supervise.Stopped as stopped:
        raise UserError(f"{stage.name}: {stopped}") from None
    return disk.read_object(folder / TRAINED, "run again")


def threads_of(cluster: Cluster) -> dict[str, str]:
    """Returns the environment variables about threads for training processes on GPUs. By default each has one thread."""
    number = {cpu_threads.THREADS: str(cluster.threads)} if cluster.threads else {}
    return number | cpu_threads.waiting()


def launch(cluster: Cluster, folder: Path, node: int = 0, rendezvous: tuple[str, int] | None = None) -> list[str]:
    """Returns the command that starts the processes of one node.

    Args:
        cluster: cluster to train on.
        folder: the stage's folder.
        node: number of the node, from 0.
        rendezvous: address and port on the first node, for torch.distributed; None for a single node.
    """
    address, port = rendezvous or ("127.0.0.1", 0)  # 0: any free port
    return [
        *(sys.executable, "-m", "accelerate.commands.launch", "--num_processes", str(cluster.world)),
        *("--num_machines", str(cluster.nodes), "--machine_rank", str(node)),
        *("--main_process_ip", address, "--main_process_port", str(port)),
        *("--use_fsdp", "--fsdp_version", "2", "--fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP"),
        # With this option on, a model that is not trained, such as a teacher, would have zero weights on ranks above 0.
        *("--fsdp_cpu_ram_efficient_loading", "false"),
        *("-m", "tenfold.pipelines.recipe.worker", str(folder)),
    ]
