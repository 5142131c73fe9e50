"""The policy that stages sample from: in this process, or several engines as Ray actors on all nodes of the cluster.

Each actor loads the checkpoint with the same backend as one process does (transformers or vLLM). vLLM's own data parallelism is
not used, because its engines start and end together, so a dead one could not be replaced.
"""

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ... import cpu_threads, policies
from ...core import Policy, UserError
from ...policies import checkpoints
from ...policies.identity import checkpoint_of
from ...policies.play.async_engine import EngineDied
from ...policies.play.engines import AHEAD, EnginePool, Job, LikelihoodPool, run, run_async
from ..cluster import Cluster
from ..stage import Context
from . import nodes

Load = Callable[[], Policy]


def load_policy(uri: str, *, cluster: Cluster, batch_size: int) -> Policy:
    """Loads the policy that filters, benchmarks and other stages sample from.

    See `Cluster.rollout` for the backend, and `Cluster.engines` for the number of copies.

    Args:
        uri: URI of the policy.
        cluster: hardware to load it on.
        batch_size: samples that a copy generates together.

    Raises:
        UserError: there is no such policy, or an engine does not start.
    """
    if uri.partition(":")[0] not in checkpoints.SOURCES:
        return policies.load_policy(uri, batch_size=batch_size)
    options: dict[str, Any] = {"batch_size": batch_size}
    if vllm := cluster.uses_vllm():
        options |= {
            "tensor_parallel_size": cluster.tensor_parallel,
            "gpu_memory_utilization": cluster.gpu_memory_utilization,
        }
        uri = f"vllm+{uri}"
    else:
        options |= {"device": "cpu" if cluster.on_cpu() else None}
    load = functools.partial(policies.load_policy, uri, **options)
    if cluster.copies == 1:
        return load()
    checkpoint = checkpoint_of(uri)
    tokenizer = checkpoints.tokenizer_of(checkpoint)
    kind = EnginePool if vllm else LikelihoodPool
    return kind(
        on_ray(load, cluster, concurrency=AHEAD * batch_size if vllm else 1),
        cluster.copies,
        batch_size,
        tokenizer,
        checkpoints.stop_ids(checkpoint, tokenizer),
        checkpoints.window(checkpoint),
        one_by_one=vllm,
    )


def load_for(context: Context, uri: str, batch_size: int) -> Policy:
    """Shows that a stage waits for a policy to load, and loads it; see `load_policy`."""
    context.waits(f"for {uri} to load")
    return load_policy(uri, cluster=context.cluster, batch_size=batch_size)


def check_policy(uri: str) -> None:
    """Checks that a policy exists, without loading its weights.

    Raises:
        UserError: the URI is invalid, or names no policy.
    """
    policies.check_uri(uri)
    if uri.partition(":")[0] in policies.SAMPLERS:
        policies.load_policy(uri)
    else:
        checkpoint_of(uri)


class Actor:
    """An engine in a process of its own."""

    def __init__(self, load: Load, folder: str):
        """Loads the policy.

        Args:
            load: loads it.
            folder: working folder of the run, to which relative paths refer.
        """
        os.chdir(folder)
        self.policy = load()

    def compute(self, job: Job, items: Sequence[Any]) -> list[Any]:
        """See `policies/play/engines.run`."""
        return run(self.policy, job, items)


class AsyncActor:
    """An engine in a process of its own, whose policy has `loop.SupportsSubmit`. Calls join those that are computed."""

    def __init__(self, load: Load, folder: str):
        """Loads the policy.

        Args:
            load: see `Actor`.
            folder: see `Actor`.
        """
        os.chdir(folder)
        with ThreadPoolExecutor(1) as thread:  # in Ray's event loop, the policy's engine would use that loop instead of its own
            self.policy = thread.submit(load).result()

    async def compute(self, job: Job, items: Sequence[Any]) -> list[Any]:
        """See `policies/play/engines.run_async`."""
        return await run_async(self.policy, job, items)


class RayEngine:
    """An actor as an engine of a pool."""

    def __init__(self, actor: Any):
        """Takes an actor of the class `Actor` or `AsyncActor`."""
        self.actor = actor

    def start(self, job: Job, items: Sequence[Any]) -> "Future[list[Any]]":
        """See `policies/play/engines.Engine`."""
        import ray

        found: Future[list[Any]] = Future()

        def ended(reply: "Future[list[Any]]") -> None:
            error = reply.exception()
            if isinstance(error, ray.exceptions.RayTaskError):
                found.set_exception(cause_of(error))
            elif error:
                reason = last_line(error)
                # An actor that could not load its policy would fail again if it were replaced.
                found.set_exception(UserError(reason) if "creation task" in str(error) else EngineDied(reason))
            else:
                found.set_result(reply.result())

        self.actor.compute.remote(job, items).future().add_done_callback(ended)
        return found


def cause_of(error: Any) -> BaseException:
    """Returns the exception that an actor's method raised."""
    cause = error.cause
    return cause if isinstance(cause, Exception) else UserError(last_line(error))


def last_line(error: BaseException) -> str:
    """Returns the last line of Ray's message, which has the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].removeprefix("tenfold.core.UserError: ")[:300] if lines else type(error).__name__


@nodes.own_sigterm()
def on_ray(load: Load, cluster: Cluster, *, concurrency: int = 1) -> Callable[[int], RayEngine]:
    """Returns a function that starts the engine with a given number. Starts or joins Ray.

    Args:
        load: loads the policy in an actor's process.
        cluster: where the actors run. Ray chooses their nodes.
        concurrency: largest number of batches that an engine has at once. Above 1, the policy has `loop.SupportsSubmit`.

    Raises:
        UserError: Ray cannot be reached, or has too few GPUs.
    """
    import ray

    if not ray.is_initialized():  # the pool of another policy may have initialized it
        own = {} if cluster.address else {"num_cpus": max(cluster.copies, os.cpu_count() or 1), "include_dashboard": False}
        nodes.connect(cluster.address or "local", **own)
    cpu = cluster.on_cpu()
    gpus = 0 if cpu else cluster.tensor_parallel
    if (found := ray.cluster_resources().get("GPU", 0)) < gpus * cluster.copies:
        raise UserError(f"cluster: engines={cluster.copies} need {gpus * cluster.copies} GPUs, but Ray has {found:g}")
    kind = Actor if concurrency == 1 else AsyncActor
    actor = ray.remote(num_cpus=1, num_gpus=gpus, max_concurrency=concurrency)(kind)
    threads = {cpu_threads.THREADS: str(cluster.threads or cpu_threads.share(cluster.copies))} if cpu else {}
    variables = {"env_vars": nodes.inherited() | threads}
    return lambda number: RayEngine(actor.options(runtime_env=variables).remote(load, os.getcwd()))
