"""Registers the trainer of `trainer.py` in verl's registry.

verl imports this module in each of its processes (VERL_USE_EXTERNAL_MODULES), during its own import. Therefore the trainer is
imported later, after the trainer of verl from which it derives.
"""

from types import ModuleType

from ....envs.after_import import after_import


def _register(module: ModuleType) -> None:
    from . import trainer  # noqa: F401 - registers itself


after_import("verl.trainer.ppo.v1.trainer_separate_async", _register)
