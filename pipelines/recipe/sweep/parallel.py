"""Several runs of a sweep at once, each in a process of its own.

On a CPU the processes run on this machine and share its processors. With GPUs or a Ray address each run is a Ray task that
needs the recipe's number of GPUs (`cluster.gpus`): Ray chooses the node, and starts the run when the GPUs are free. All nodes
must share the sweep's folder. Runs that use several nodes each (`cluster.nodes`) start on this machine, and their stages wait
for free nodes.

Two runs have the stages before the first different stage in common. A run waits while another run is at one of these stages.
Then the stage is linked (`sharing.py`). The output of a run is in `run.log` in its folder.
"""

import dataclasses
import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from .... import cpu_threads, disk
from ...cluster import Cluster
from ...launch import nodes, supervise
from ...stage import RECORD
from ..plan import Selection
from ..recipe import Recipe
from . import sharing

START, LOG = "sweep_run.json", "run.log"
"""Files in a run's folder: what the worker process reads, and its output."""
POLL_SECONDS = 0.5
"""Seconds between two looks at the running processes. Our choice."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Arguments of `runner.run` that all runs of a sweep have in common."""

    selection: Selection
    inexact: bool
    trust: bool


def run(
    recipes: Mapping[str, Recipe], folder: Path, options: Options, jobs: int, show: Callable[[str], None]
) -> dict[str, str]:
    """Runs recipes, several at once, and returns the errors of failed runs by name.

    Args:
        recipes: the recipe of each run, by name.
        folder: folder of the sweep.
        options: arguments of all runs.
        jobs: number of runs at the same time.
        show: called with a line for each start and end of a run.
    """
    cluster = next(iter(recipes.values())).cluster
    if not uses_ray(cluster):
        return _run_with(_here, recipes, folder, options, jobs, show)
    with nodes.own_sigterm():
        try:
            return _run_with(_on_ray(cluster, folder), recipes, folder, options, jobs, show)
        finally:
            nodes.release()


def _run_with(
    follow: Callable[[Path, threading.Event], None],
    recipes: Mapping[str, Recipe],
    folder: Path,
    options: Options,
    jobs: int,
    show: Callable[[str], None],
) -> dict[str, str]:
    """See `run`. `follow` runs one run until its end or until the event is set, and raises `supervise.Stopped` if it fails."""
    waiting, running, failed = dict(recipes), dict[str, tuple[Future[None], float]](), dict[str, str]()
    digests = {name: sharing.stage_digests(each, folder / name) for name, each in recipes.items()}
    stop = threading.Event()
    with ThreadPoolExecutor(jobs) as threads:
        try:
            while waiting or running:
                for name in [*waiting]:
                    if len(running) < jobs and not any(
                        _in_common(digests[name], digests[other], folder / other) for other in running
                    ):
                        finished: dict[str, Path] = {}
                        for other, stages in digests.items():
                            finished |= sharing.finished_stages(stages, folder / other)
                        (folder / name).mkdir(parents=True, exist_ok=True)
                        sharing.link(waiting[name], digests[name], folder / name, finished)
                        _write_start(waiting.pop(name), folder / name, options)
                        show(f"{name}: started (log: {folder / name / LOG})")
                        running[name] = threads.submit(follow, folder / name, stop), time.monotonic()
                time.sleep(POLL_SECONDS)
                for name, (ended, since) in [*running.items()]:
                    if not ended.done():
                        continue
                    del running[name]
                    error = ended.exception()
                    if error is not None and not isinstance(error, supervise.Stopped):
                        raise error
                    if error is not None:
                        failed[name] = str(error).removeprefix("tenfold.core.UserError: ")
                    state = f"failed: {failed[name]}" if error is not None else "finished"
                    left = len(waiting) + len(running)
                    show(f"{name}: {state} after {time.monotonic() - since:.0f} s; {left} runs left")
        finally:
            stop.set()
    return failed


def uses_ray(cluster: Cluster) -> bool:
    """True if Ray places the runs: each needs one node, and there are GPUs or a Ray cluster."""
    return cluster.nodes == 1 and (bool(cluster.address) or not cluster.on_cpu())


def _in_common(own: Mapping[str, str], other: Mapping[str, str], other_folder: Path) -> bool:
    """True if two runs begin with common stages, and the other run has not finished all of them."""
    for name, digest in own.items():
        if other.get(name) != digest:
            return False
        if not (other_folder / name / RECORD).is_file():
            return True
    return False


def _write_start(recipe: Recipe, folder: Path, options: Options) -> None:
    """Writes what the worker process of a run reads."""
    content = {
        "name": recipe.name,
        "content": recipe.content,
        "settings": recipe.user_settings,
        "cluster": {"threads": recipe.cluster.threads} | ({"ray_address": None} if uses_ray(recipe.cluster) else {}),
        "options": dataclasses.asdict(options),
    }
    disk.write(folder / START, json.dumps(content, default=str))


def _follow(folder: Path, variables: dict[str, str], stop: Callable[[], bool]) -> None:
    """Runs a run's process to its end, or until `stop` returns true."""

    def marker() -> None:
        if stop():
            raise supervise.Stopped("the sweep was stopped")

    command = [sys.executable, "-m", "tenfold.pipelines.recipe.sweep.worker", str(folder)]
    supervise.follow(command, variables, folder / LOG, marker, math.inf)


def _here(folder: Path, stop: threading.Event) -> None:
    """Runs one run on this machine."""
    _follow(folder, {}, stop.is_set)


def _on_ray(cluster: Cluster, folder: Path) -> Callable[[Path, threading.Event], None]:
    """Connects to Ray, and returns a function that runs one run as a task of Ray."""
    import ray

    from ...launch import ray_nodes
    from ...verl_compat import ray_paths

    inherited = nodes.inherited() | cpu_threads.waiting()
    if cluster.address:
        nodes.check_nodes(cluster, folder.resolve(), inherited)
    ray_paths.keep_folder_out()
    ray.init(cluster.address, log_to_driver=False, logging_level="error")
    gpus = 0 if cluster.on_cpu() else cluster.gpus
    task = ray.remote(num_cpus=cluster.threads or 1, num_gpus=gpus, max_retries=0)(_on_node)

    def follow(run: Path, stop: threading.Event) -> None:
        running = task.remote(run.resolve(), os.getcwd(), inherited)
        while not ray.wait([running], timeout=POLL_SECONDS)[0]:
            if stop.is_set():
                ray.cancel(running, force=True)
                raise supervise.Stopped("the sweep was stopped")
        try:
            ray.get(running)
        except ray.exceptions.RayError as error:
            raise supervise.Stopped(ray_nodes.cause_of(error)) from None

    return follow


def _on_node(folder: Path, start: str, variables: dict[str, str]) -> None:
    """Runs one run on a node of a Ray cluster, with the GPUs that Ray gave the task.

    Args:
        folder: the run's folder.
        start: working folder of the sweep, to which relative paths and modules refer.
        variables: environment variables of the sweep that the run needs.
    """
    os.chdir(start)
    os.environ.pop("RAY_ADDRESS", None)  # the run's stages start a Ray of their own
    _follow(folder, variables, lambda: False)
