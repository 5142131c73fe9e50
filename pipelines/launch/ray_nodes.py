"""Training on several nodes: on each node, a Ray task starts the training processes.

    python -m tenfold.pipelines.launch.ray_nodes FOLDER       FOLDER is a stage's folder with processes.json

All nodes share the folder. The output of a node's processes is in `train-NODE.log`.
"""

import json
import math
import os
import socket
import sys
from pathlib import Path

import ray
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from ..cluster import Cluster
from ..verl_compat import ray_paths
from . import nodes, supervise
from .processes import START, VARIABLES, launch, threads_of


def main(folder: Path) -> None:
    """Starts the tasks and waits for them. The first failure ends all tasks.

    Args:
        folder: the stage's folder.
    """
    cluster = Cluster.model_validate(json.loads((folder / START).read_text())["cluster"])
    ray_paths.keep_folder_out()
    ray.init(cluster.address, log_to_driver=False, logging_level="error")
    print(f"waiting for {cluster.nodes} nodes with {cluster.gpus} free GPUs each", flush=True)
    group = placement_group([{"GPU": cluster.gpus, "CPU": 1}] * cluster.nodes, strategy="STRICT_SPREAD")
    ray.get(group.ready())
    on = [PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=node) for node in range(cluster.nodes)]
    rendezvous = ray.get(ray.remote(num_cpus=1)(free_address).options(scheduling_strategy=on[0]).remote())
    task = ray.remote(num_cpus=1, num_gpus=cluster.gpus, max_retries=0)(train_on_node)
    variables = VARIABLES | nodes.inherited() | threads_of(cluster)
    arguments = (cluster, folder, os.getcwd(), variables, rendezvous)
    waiting = {task.options(scheduling_strategy=on[node]).remote(node, *arguments): node for node in range(cluster.nodes)}
    while waiting:
        (done,), _ = ray.wait([*waiting])
        try:
            ray.get(done)
        except ray.exceptions.RayError as error:
            sys.exit(f"node {waiting[done]}: {cause_of(error)}")
        del waiting[done]


def cause_of(error: ray.exceptions.RayError) -> str:
    """Returns why a task failed, in one line."""
    cause = getattr(error, "cause", None) or f"the node's task ended ({type(error).__name__})"
    return " ".join(str(cause).split())


def free_address() -> tuple[str, int]:
    """Returns this node's address and a free port."""
    with socket.socket() as bound:
        bound.bind(("", 0))
        return ray.util.get_node_ip_address(), bound.getsockname()[1]


def train_on_node(
    node: int, cluster: Cluster, folder: Path, start: str, variables: dict[str, str], rendezvous: tuple[str, int]
) -> None:
    """Runs the processes of one node to their end, without a stall limit, because the parent watches rank 0's progress.

    Args:
        node: number of the node, from 0.
        cluster: all nodes.
        folder: the stage's folder.
        start: working folder of the run, to which relative paths and modules refer.
        variables: environment variables for the processes.
        rendezvous: see `processes.launch`.
    """
    os.chdir(start)
    log = folder / f"train-{node}.log"
    supervise.follow(launch(cluster, folder, node, rendezvous), variables, log, lambda: None, math.inf)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
