"""What verl and Ray are told to import of this package, by name."""

ROLLOUT = "tenfold_cpu"
"""verl's name for the rollout of `cpu_rollout.py`."""
ENGINE_VENDOR = "tenfold"
"""The name of our training engine in verl's registry."""
ENGINE, CPU, DATASET, REPLAY, FORK_SERVER, RAY_PATHS = (
    f"{__package__}.{module}" for module in ("engine", "cpu", "dataset", "replay", "fork_server", "ray_paths")
)
"""Modules."""
