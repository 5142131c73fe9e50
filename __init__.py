"""Environments, verifiers and an RL recipe for small language models.

    import tenfold

    env = tenfold.make("tenfold/ChainSum-v0")
    tenfold.register("lab/Units-v0", problems="jsonl:units.jsonl", verifier="math")
    tenfold.verify(gold="1/2", response="The answer is 0.5")
    policy = tenfold.load_policy("smollm2:")
    episodes = tenfold.rollout("lab/Units-v0", policy, samples=16)
    tenfold.run("quickstart", out="runs/quickstart")
    result = tenfold.evaluate("gsm8k", policy, limit=100)

`import tenfold` registers the environments with Gymnasium. All other modules are imported on first use.
"""

import importlib
from typing import TYPE_CHECKING

from . import extras
from .envs import gymnasium_hook
from .version import __version__

if TYPE_CHECKING:
    from .benchmarks.evaluate import evaluate
    from .core import Completion, Episode, Policy, Problem, Sampling, Status, UserError, Verdict, Verifier
    from .envs.registry import make, register
    from .envs.rollout import rollout
    from .envs.text import TextEnv
    from .pipelines.recipe import run
    from .pipelines.stage import Context, Stage
    from .policies import load_policy
    from .verifiers import verify

_MODULE_OF = {
    "Completion": "core",
    "Context": "pipelines.stage",
    "Episode": "core",
    "Policy": "core",
    "Problem": "core",
    "Sampling": "core",
    "Stage": "pipelines.stage",
    "Status": "core",
    "TextEnv": "envs.text",
    "UserError": "core",
    "Verdict": "core",
    "Verifier": "core",
    "evaluate": "benchmarks.evaluate",
    "load_policy": "policies",
    "make": "envs.registry",
    "register": "envs.registry",
    "rollout": "envs.rollout",
    "run": "pipelines.recipe",
    "verify": "verifiers",
}

_EXTRA_OF = {"evaluate": "bench"}
"""The optional dependencies ("extra") of each name that needs one."""

__all__ = [
    "Completion",
    "Context",
    "Episode",
    "Policy",
    "Problem",
    "Sampling",
    "Stage",
    "Status",
    "TextEnv",
    "UserError",
    "Verdict",
    "Verifier",
    "__version__",
    "evaluate",
    "load_policy",
    "make",
    "register",
    "rollout",
    "run",
    "verify",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with extras.required_by(f"tenfold.{name}", _EXTRA_OF.get(name, "")):
        return getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


gymnasium_hook.install()
