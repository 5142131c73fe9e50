"""What decides the rewards of an environment, by name: the settings of its registration, and digests of what they refer to.

    of_environment("lab/Units-v0")
    # {"entry_point": "tenfold.envs.text:TextEnv", "problems": "jsonl:units.jsonl", "problems content": "5f3c…",
    #  "verifier": "tenfold.verifiers.math:verify"}

Two identities are equal where an episode with the same responses has the same reward, as far as can be told. Covered are

    problems       id, prompt, answer and further fields of each problem, as the URI gives them now
    verifiers      the name, the options, and the source text of one that is not of this package; of a judge its URI and weights
    models         the weights, the tokenizer and the chat template of a reward model that is a checkpoint
    environments   those that a mixture or a wrapper names, with the arguments given for them
    classes        the source text of an environment that is not of this package
    files          the content of a file, the names and sizes of a folder's files, where an argument is a path

Not covered are versions of packages, this one among them: a stage records them, and says so when they change. Neither is the
kind of the sandbox, nor what a program of the user's reads by itself.
"""

import dataclasses
import functools
import importlib.metadata
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from .. import digests, verifiers
from ..core import Problem, UserError
from ..policies import identity as policies
from ..version import __version__
from . import registry
from .problems import sources as problem_sources

Identity = dict[str, str]
"""What decides, by name. Values are texts as they were given, or digests."""

POLICIES = frozenset("policy judge reward_model teacher writers reviser chain annotator".split())
"""Names of settings that are URIs of policies."""
_URI = re.compile(r"[a-z][a-z0-9_+]{1,30}:")
"""How a URI of problems or of a policy begins."""
_NAMED = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_][\w.]*")
"""Something in a module: "package.module:name"."""
_IN_A_MODULE = re.compile(r"[A-Za-z_][\w.]*:[\w/.-]+-v\d+")
"""An id with the module that registers it."""
_MODELS = ("stage", "path", "micro", "config", "smollm2", "call", "scripted", "openai")
"""Schemes that only policies have; `hf:` may also be a data set."""
_LONGEST_PATH = 1_000

KEPT = 16
"""Digests that are kept, as many as `problems.load` keeps lists of problems."""
_digests: dict[str, tuple[Sequence[Problem], str]] = {}
"""Digests of problems by their URI, with the problems that they were taken of."""


VERDICTS = ("math-verify", "latex2sympy2_extended", "sympy", "mpmath", "pint", "reasoning-gym", "lm-eval", "langdetect")
"""Packages that may change a verdict when their version changes."""


def versions(packages: Iterable[str] = VERDICTS) -> dict[str, str]:
    """Versions of this package and of others, where they are installed, and the kind of the sandbox that programs run in.

    They may change a verdict, too. They are recorded, not compared: see the module's docstring.
    """
    found = {name: version for name in packages if (version := _installed(name))}
    return {"tenfold": __version__} | found | {"sandbox": os.environ.get("TENFOLD_SANDBOX", "local")}


@functools.cache
def _installed(package: str) -> str | None:
    """A package's version, read once a process; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def of_environment(id: str, options: Mapping[str, Any] | None = None) -> Identity:
    """What decides the rewards of a registered environment.

    Args:
        id: as `registry.make` takes it.
        options: keyword arguments that it is made with.

    Raises:
        UserError: there is no such environment, or what its registration refers to is not there.
    """
    spec = registry.find(id)
    return _of_entry(spec.entry_point, {**spec.kwargs, **(options or {})}) | _of_wrappers(spec)


def made_with(id: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What stored episodes of an environment must have been made with; see `of_environment`.

    Returns:
        The keyword arguments under `options`, and what decides the rewards under `rewards`.
    """
    return {"options": dict(options or {}), "rewards": of_environment(id, options)}


def of_verifier(verifier: verifiers.VerifierLike) -> Identity:
    """What decides the verdicts of a verifier; its own name is the empty one.

    Raises:
        UserError: there is no such verifier, or its judge's URI leads nowhere.
    """
    found = verifiers.find(verifier)
    name = verifier["name"] if isinstance(verifier, Mapping) else verifier
    options = _of_arguments(found.options)
    if not isinstance(name, str):
        return {"": digests.name_of(name), "source": digests.of(name), **options}
    target = verifiers.NAMES.get(name, name)
    source = digests.of_source(target.partition(":")[0])
    return {"": target, **({"source": source} if source else {}), **options}


def of_problems(uri: str) -> str:
    """The digest of all problems that a URI names, in their order.

    Raises:
        UserError: see `problems.load`.
    """
    problems = problem_sources.load(uri)
    known = _digests.get(uri)
    if known is None or known[0] is not problems:  # it was read again: its file has changed
        if len(_digests) == KEPT:
            del _digests[next(iter(_digests))]  # which keeps its problems in memory
        _digests[uri] = known = (problems, _of_list(problems))
    return known[1]


def of_argument(name: str, value: Any) -> Identity:
    """What an argument refers to; the argument itself has the empty name.

    Args:
        name: of the argument: `problems`, `verifier`, a name of `POLICIES`, or any other.
        value: a text (a URI, an id of an environment, a path, "module:name" or just words), or data of such texts, or objects.

    Raises:
        UserError: it refers to what is not there.
    """
    if name in ("verifier", "rules") and value is not None:
        return of_verifier(value)
    if isinstance(value, str):
        return {"": value, **_of_text(name, value)}
    if isinstance(value, Mapping):
        if _is_environment(value.get("id")):
            rest = {key: item for key, item in value.items() if key != "id"}
            return {"": value["id"], **of_environment(value["id"], rest)}
        return _of_arguments(value)
    if isinstance(value, Sequence) and value and all(isinstance(item, Problem) for item in value):
        return {"content": _of_list(value)}
    if isinstance(value, list | tuple):
        parts = [of_argument(name, item) for item in value]
        return {key: item for place, part in enumerate(parts) for key, item in _below(str(place), part).items()}
    if value is None or isinstance(value, bool | int | float):
        return {"": str(value)}
    return {"": digests.name_of(value), "content": digests.of(value)}


def _of_entry(entry_point: Any, arguments: Mapping[str, Any]) -> Identity:
    """An environment by what makes it and the arguments that it is made with."""
    inner = arguments.get("environment")
    found = {"entry_point": entry_point if isinstance(entry_point, str) else digests.name_of(entry_point)}
    if (source := digests.of_source(found["entry_point"].partition(":")[0])) is not None:
        found["entry_point source"] = source
    elif not isinstance(entry_point, str):
        found["entry_point content"] = digests.of(entry_point)
    if isinstance(inner, str) and _is_environment(inner):
        # A wrapper of the environment, perhaps with other problems than the environment's own.
        other = {"problems": arguments["problems"]} if arguments.get("problems") else {}
        rest = {name: value for name, value in arguments.items() if name not in ("environment", *other)}
        return found | _below("environment", {"": inner, **of_environment(inner, other)}) | _of_arguments(rest)
    return found | _of_arguments(arguments)


def _of_wrappers(spec: EnvSpec) -> Identity:
    """What Gymnasium puts around the environment, where the registration says so."""
    found = {} if spec.max_episode_steps is None else {"max_episode_steps": str(spec.max_episode_steps)}
    if spec.additional_wrappers:
        found["additional_wrappers"] = digests.of([dataclasses.asdict(wrapper) for wrapper in spec.additional_wrappers])
    return found


def _of_arguments(arguments: Mapping[str, Any]) -> Identity:
    found: Identity = {}
    for name, value in arguments.items():
        found |= _below(str(name), of_argument(str(name), value))
    return found


def _of_text(name: str, text: str) -> Identity:
    """Digests of what a text refers to."""
    scheme = text.partition(":")[0]
    if name in POLICIES:
        return policies.files(text) if _URI.match(text) else {}
    if _is_environment(text):
        return of_environment(text)
    if _URI.match(text) and scheme in problem_sources.SOURCES and (name == "problems" or scheme != "hf"):
        return _of_problem_uri(name, text)
    if _URI.match(text) and scheme.rpartition("+")[2] in _MODELS:
        try:
            return policies.files(text)
        except UserError:  # it only looks like a policy
            return {}
    if named := _NAMED.fullmatch(text):
        source = digests.of_source(named[1])
        return {"source": source} if source else {}
    return _of_path(text)


def _of_problem_uri(name: str, uri: str) -> Identity:
    try:
        return {"content": of_problems(uri)}
    except UserError:
        found = _of_path(uri.partition("?")[0].partition(":")[2])  # rows in a form that only the environment knows
        if name == "problems" and not found:
            raise
        return found


def _of_path(text: str) -> Identity:
    if not text or len(text) > _LONGEST_PATH or "\n" in text or "\0" in text:
        return {}
    path = Path(text).expanduser()
    try:
        if path.is_file():
            return {"content": digests.of_file(path)}
        return {"content": digests.of_folder(path)} if path.is_dir() else {}
    except OSError:
        return {}


def _of_list(problems: Sequence[Problem]) -> str:
    return digests.of_all([problem.id, problem.prompt, problem.answer, problem.meta] for problem in problems)


def _is_environment(text: Any) -> bool:
    return isinstance(text, str) and (text in gymnasium.registry or _IN_A_MODULE.fullmatch(text) is not None)


def _below(name: str, found: Identity) -> Identity:
    """The same identity with a name put before each of its names."""
    return {f"{name} {inner}".strip(): value for inner, value in found.items()}
