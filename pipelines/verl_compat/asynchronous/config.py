"""verl's settings of asynchronous rollouts: the trainer, the processes that only sample, and how they get the weights."""

from ...cluster import Cluster
from ..names import TRAINER, WEIGHTS, WEIGHTS_MODULE


def settings(max_staleness: int, cluster: Cluster) -> dict[str, object]:
    """Returns verl's settings by dotted name.

    Args:
        max_staleness: number of batches that are sampled ahead.
        cluster: cluster to train on; its `rollout_gpus` of each node sample, and the others train.
    """
    cpu = cluster.on_cpu()
    rollout = "actor_rollout_ref.rollout"
    weights = {"backend": WEIGHTS, "custom_backend_module": WEIGHTS_MODULE} if cpu else {"backend": "nccl"}
    return {
        "actor_rollout_ref.hybrid_engine": False,  # the processes that train do not sample
        f"{rollout}.nnodes": cluster.nodes,
        f"{rollout}.n_gpus_per_node": 1 if cpu else cluster.rollout_gpus,
        **{f"{rollout}.checkpoint_engine.{name}": value for name, value in weights.items()},
        "trainer.n_gpus_per_node": 1 if cpu else cluster.gpus - cluster.rollout_gpus,
        "trainer.v1.trainer_mode": TRAINER,
        "trainer.v1.separate_async.num_warmup_batches": max_staleness,
        "trainer.v1.separate_async.parameter_sync_step": 1,
    }
