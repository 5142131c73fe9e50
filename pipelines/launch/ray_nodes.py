"""A training over the GPUs of several nodes: a task of Ray on each node starts its processes, which find one another.

    python -m tenfold.pipelines.launch.ray_nodes FOLDER       trains what the settings in a stage's folder say

All nodes see the folder. What the processes of a node say is in its `train-NODE.log`.
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
from . import supervise
from .processes import VARIABLES, launch

PATHS = ("PYTHONPATH", "PYTHONSAFEPATH")


def main(folder: Path) -> None:
    """Starts the tasks and waits for them; the first that fails ends all."""
    cluster = Cluster.model_validate(json.loads((folder / "settings.json").read_text())["cluster"])
    ray_paths.keep_folder_out()
    ray.init(cluster.address, log_to_driver=False, logging_level="error")
    print(f"waiting for {cluster.nodes} nodes with {cluster.gpus} free GPUs each", flush=True)
    group = placement_group([{"GPU": cluster.gpus, "CPU": 1}] * cluster.nodes, strategy="STRICT_SPREAD")
    ray.get(group.ready())
    on = [PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=node) for node in range(cluster.nodes)]
    meeting = ray.get(ray.remote(num_cpus=1)(free_address).options(scheduling_strategy=on[0]).remote())
    task = ray.remote(num_cpus=1, num_gpus=cluster.gpus, max_retries=0)(train_on_node)
    # Processes of a Ray that was started before do not inherit ours.
    ours = {name: value for name, value in os.environ.items() if name.startswith("TENFOLD_") or name in PATHS}
    variables = VARIABLES | ours
    given = (cluster, folder, os.getcwd(), variables, meeting)
    waiting = {task.options(scheduling_strategy=on[node]).remote(node, *given): node for node in range(cluster.nodes)}
    while waiting:
        (done,), _ = ray.wait([*waiting])
        try:
            ray.get(done)
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or f"the node's task ended ({type(error).__name__})"
            sys.exit(f"node {waiting[done]}: {' '.join(str(cause).split())}")
        del waiting[done]


def free_address() -> tuple[str, int]:
    """This node's address, and a port that is free there."""
    with socket.socket() as found:
        found.bind(("", 0))
        return ray.util.get_node_ip_address(), found.getsockname()[1]


def train_on_node(
    node: int, cluster: Cluster, folder: Path, start: str, variables: dict[str, str], meeting: tuple[str, int]
) -> None:
    """Runs the processes of one node to their end. The first node's progress is the stage's, which is watched by whoever
    started it.

    Args:
        node: which of the nodes.
        cluster: all of them.
        folder: of the stage.
        start: where the run was started: policies, files and modules may be named from there.
        variables: of the environment there.
        meeting: see `processes.launch`.
    """
    os.chdir(start)
    log = folder / f"train-{node}.log"
    supervise.follow(launch(cluster, folder, node, meeting), variables, log, lambda: None, math.inf)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
