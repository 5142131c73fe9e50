"""Environments, verifiers and an RL recipe for small language models.

    import tenfold

    tenfold.register("lab/Units-v0", problems="jsonl:units.jsonl", verifier="math")     declares an environment
    env = tenfold.make("tenfold/ChainSum-v0")                                           a gymnasium.Env with text
    tenfold.verify(gold="1/2", response="The answer is 0.5")                            the verdict of a response
    policy = tenfold.load_policy("smollm2:")                                            samples responses
    episodes = tenfold.rollout("lab/Units-v0", policy, samples=16)                      plays an environment
    tenfold.run("quickstart", out="runs/quickstart")                                    runs a recipe
    result = tenfold.evaluate("gsm8k", policy, limit=100)                               measures a policy

Types: Problem, Verdict, Status, Sampling, Completion, Episode. Protocols: Verifier, Policy. Base classes: TextEnv for
environments; Stage, with its Context, for stages of recipes. UserError is an error that the user can fix.

`help(tenfold.register)` describes one name. The command line is `tenfold --help`. `import tenfold` registers the environments
with Gymnasium. All other modules are imported on first use.
"""

import importlib
from typing import TYPE_CHECKING

from . import extras
from .envs.after_import import after_import
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

_MODULES = ("benchmarks", "core", "envs", "pipelines", "policies", "verifiers")
"""Modules of the package that its documentation names."""

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
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with extras.required_by(f"tenfold.{name}", _EXTRA_OF.get(name, "")):
        return getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted((*__all__, *_MODULES))


def _register_environments(gymnasium: object) -> None:
    """Registers the environments of this package and of installed plug-in packages."""
    importlib.import_module(".envs.registry", __name__)


after_import("gymnasium", _register_environments)
