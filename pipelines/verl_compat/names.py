"""Names under which verl and Ray import modules of this package."""

ROLLOUT = "tenfold_cpu"
"""Name of the rollout of `cpu_rollout.py` in verl's registry."""
ENGINE_VENDOR = "tenfold"
"""Vendor of `engine.py` in verl's registry of engines."""
TRAINER = "tenfold_asynchronous"
"""Name of the trainer of `asynchronous/trainer.py` in verl's registry."""
WEIGHTS = "tenfold_gloo"
"""Name of the checkpoint engine of `asynchronous/weights.py` in verl's registry."""
ENGINE, CPU, CPU_VLLM, DATASET, REPLAY, FORK_SERVER, RAY_PATHS = (
    f"{__package__}.{module}" for module in ("engine", "cpu", "cpu_vllm", "dataset", "replay", "fork_server", "ray_paths")
)
"""Names of modules."""
TRAINER_PLUGIN, WEIGHTS_MODULE = (f"{__package__}.asynchronous.{module}" for module in ("plugin", "weights"))
"""Names of modules of asynchronous rollouts."""
