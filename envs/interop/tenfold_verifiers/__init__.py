"""The taskset of `tenfold.envs.interop.verifiers_taskset` under the name of a package, as verifiers wants it."""

from tenfold.envs.interop.verifiers_taskset import TenfoldEnv, TenfoldTaskset

__all__ = ["TenfoldEnv", "TenfoldTaskset"]
