"""tenfold: small language models that reason like models ten times their size.

    import tenfold

    env = tenfold.make("tenfold/ChainSum-v0")
    tenfold.register("lab/Units-v0", problems="jsonl:units.jsonl", verifier="math")
    tenfold.verify(gold="1/2", response="The answer is 0.5")
    policy = tenfold.load_policy("smollm2:")
    episodes = tenfold.rollout("lab/Units-v0", policy, samples=16)
    tenfold.run("quickstart", out="runs/quickstart")

Importing the package has Gymnasium know its environments; everything else is loaded when first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from . import gymnasium_hook
from .version import __version__

if TYPE_CHECKING:
    from .core import Episode, Problem, Sampling, Status, Verdict
    from .envs.registry import make, register
    from .envs.rollout import rollout
    from .pipelines.recipe import run
    from .policies import load_policy
    from .verifiers import verify

_HOME = {
    "Episode": "core",
    "Problem": "core",
    "Sampling": "core",
    "Status": "core",
    "Verdict": "core",
    "make": "envs.registry",
    "register": "envs.registry",
    "verify": "verifiers",
    "load_policy": "policies",
    "rollout": "envs.rollout",
    "run": "pipelines.recipe",
}

__all__ = [
    "Episode",
    "Problem",
    "Sampling",
    "Status",
    "Verdict",
    "__version__",
    "load_policy",
    "make",
    "register",
    "rollout",
    "run",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


gymnasium_hook.install()
