"""Names under which verl and Ray import modules of this package."""

ROLLOUT = "tenfold_cpu"
"""Name of the rollout of `cpu_rollout.py` in verl's registry."""
ENGINE_VENDOR = "tenfold"
"""Vendor of `engine.py` in verl's registry of engines."""
ENGINE, CPU, CPU_VLLM, DATASET, REPLAY, FORK_SERVER, RAY_PATHS = (
    f"{__package__}.{module}" for module in ("engine", "cpu", "cpu_vllm", "dataset", "replay", "fork_server", "ray_paths")
)
"""Names of modules."""
