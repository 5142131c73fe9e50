"""The inputs that determine an environment's rewards: the settings of its registration, and digests of the data they name.

    of_environment("lab/Units-v0")
    # {"entry_point": "tenfold.envs.text:TextEnv", "problems": "jsonl:units.jsonl", "problems content": "5f3c…",
    #  "verifier": "tenfold.verifiers.math:verify"}

If two identities are equal, equal responses get equal rewards. Inputs that an identity does not cover are listed at the end. An
identity covers

    problems       id, prompt, answer and further fields of each problem that the URI now refers to; for a large source
                   (`problems/sources.py`) the content of its files and the options; for problems of reasoning-gym the URI and
                   the version of reasoning-gym, because they are generated when they are read
    verifiers      the name, the options, and the source text if it is not of this package; the URI and the weights of a judge
    models         the weights, the tokenizer and the chat template of a reward model that is a checkpoint
    environments   those that a mixture or a wrapper names, with their arguments
    classes        the source text of an environment that is not of this package
    neighbours     what an environment of another package says of itself (`identity` of its class), such as versions and data
    files          if an argument is the path of a file, its content; if it is the path of a folder, the names and sizes of its
                   files; a text without a letter or digit, such as "." or "/", is not read as a path

It does not cover versions of packages, tenfold included: a stage records them and reports changes. It also does not cover the
kind of sandbox, files that the user's code reads, or what an MCP server does, which is covered by its name alone.
"""

import dataclasses
import functools
import importlib.metadata
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeGuard, cast

import gymnasium
from gymnasium.envs.registration import EnvSpec

from .. import digests, verifiers
from ..core import Problem, UserError
from ..policies import SAMPLERS, checkpoints
from ..policies import identity as policies
from ..version import __version__
from . import registry
from .interop import neighbours
from .problems import sources as problem_sources
from .problems.reasoning_gym import GeneratedProblems
from .problems.stored.problems import IndexedProblems
from .text import as_problems

Identity = dict[str, str]
"""Inputs by name. The values are settings as text, or digests."""

POLICIES = frozenset(
    "policy judge reward_model teacher writers reviser chain_writer example_writer statement_writer annotator "
    "user_policy".split()
)
"""Names of settings whose value is the URI of a policy."""
_URI = re.compile(r"[a-z][a-z0-9_+]{1,30}:")
"""Start of a URI of problems or of a policy."""
_NAMED = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_][\w.]*")
"""An object of a module: "package.module:name"."""
_ID_WITH_MODULE = re.compile(r"[A-Za-z_][\w.]*:[\w/.-]+-v\d+")
"""An environment id with the module that registers it."""
_LONGEST_PATH = 1_000
"""Characters."""

CACHE_SIZE = 16
"""Number of cached digests; equal to the number of problem lists that `sources.load` caches."""
_digests: dict[str, tuple[Sequence[Problem], str]] = {}
"""The problems of a URI and their digest, by URI."""


VERDICT_PACKAGES = (
    *("math-verify", "latex2sympy2_extended", "sympy", "mpmath", "pint", "reasoning-gym", "lm-eval", "langdetect", "pandas"),
    *("bfcl-eval", "rank-bm25", "html2text", "beautifulsoup4", "sentence-transformers", "lxml"),
    *("tree-sitter", "tree-sitter-java", "tree-sitter-javascript"),
)
"""Packages that may change a verdict when their version changes."""


def versions(packages: Iterable[str] = VERDICT_PACKAGES) -> dict[str, str]:
    """Returns the versions of this package and of installed `packages`, and the kind of sandbox.

    They may affect verdicts. They are recorded but not compared; see the module's docstring.
    """
    found = {name: version for name in packages if (version := _installed(name))}
    return {"tenfold": __version__} | found | {"sandbox": os.environ.get("TENFOLD_SANDBOX", "local")}


@functools.cache
def _installed(package: str) -> str | None:
    """Returns a package's version, or None if it is not installed. Cached in the process."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def of_environment(id: str, options: Mapping[str, object] | None = None) -> Identity:
    """Returns the identity of a registered environment.

    Args:
        id: see `registry.make`.
        options: keyword arguments of the environment.

    Raises:
        UserError: there is no such environment, or its registration names data that does not exist.
    """
    spec = registry.find(id)
    return _of_entry(spec.entry_point, registry.arguments(spec, options or {})) | _of_wrappers(spec)


def store_settings(id: str, options: Mapping[str, object] | None = None) -> dict[str, object]:
    """Returns the settings that stored episodes of an environment must have; see `of_environment`.

    Returns:
        The keyword arguments under `options`, and the identity under `rewards`.
    """
    return {"options": dict(options or {}), "rewards": of_environment(id, options)}


def of_verifier(verifier: verifiers.VerifierLike) -> Identity:
    """Returns the identity of a verifier. The key "" contains the verifier's name.

    Raises:
        UserError: there is no such verifier, or its judge's URI is invalid.
    """
    if isinstance(verifier, list | tuple):
        verifiers.find(verifier)  # checks the parts together
        return {"": "weighted", **{key: value for part in verifier for key, value in _of_part(part).items()}}
    found = verifiers.find(verifier)
    name = verifier["name"] if isinstance(verifier, Mapping) else verifier
    options = _of_arguments(found.options)
    if not isinstance(name, str):
        return {"": digests.name_of(name), "source": digests.of(name), **options}
    target = verifiers.BUILT_IN_VERIFIERS.get(name, name)
    source = digests.of_source(target.partition(":")[0])
    return {"": target, **({"source": source} if source else {}), **options}


def _of_part(declaration: object) -> Identity:
    """Returns the identity of one part of a weighted verifier."""
    part = verifiers.weighted_part(declaration)
    given = declaration if isinstance(declaration, Mapping) else {"name": declaration}
    rest = {key: value for key, value in given.items() if key not in ("weight", "part")}
    verifier = rest if len(rest) > 1 and isinstance(rest["name"], str) else rest["name"]
    found = of_verifier(cast(verifiers.VerifierLike, verifier)) | _of_arguments(part.verifier.options)
    return _with_prefix(part.name, {"weight": str(part.weight), **found})


def of_problems(uri: str) -> str:
    """Returns the digest of all problems of a URI, in order; see the module's docstring.

    Raises:
        UserError: see `sources.load`.
    """
    problems = problem_sources.load(uri)
    cached = _digests.get(uri)
    if cached is None or cached[0] is not problems:  # the file has changed and was read again
        if len(_digests) == CACHE_SIZE:
            del _digests[next(iter(_digests))]  # the entry keeps its problems in memory
        _digests[uri] = cached = (problems, _of_list(problems))
    return cached[1]


def loads_model(found: Identity) -> bool:
    """True if the process that computes the rewards loads a checkpoint: a reward model, or a judge.

    Args:
        found: the identity of an environment or of a verifier.
    """
    uris = (value for key, value in found.items() if key.rpartition(" ")[2] in POLICIES)
    return any(uri.partition(":")[0].rpartition("+")[2] in checkpoints.SOURCES for uri in uris)


def of_argument(name: str, value: object) -> Identity:
    """Returns the identity of an argument. The key "" contains the argument's own value.

    Args:
        name: name of the argument: `problems`, `verifier`, a name of `POLICIES`, or any other.
        value: a text (a URI, an environment id, a path, "module:name" or plain words), nested data of such texts, or an object.

    Raises:
        UserError: the argument names data that does not exist.
    """
    if name in ("verifier", "rules") and value is not None:
        return of_verifier(cast(verifiers.VerifierLike, value))
    if name in ("problems", "held_out") and isinstance(value, list | tuple):
        return {"content": _of_list(as_problems(value))}  # rows are data: no text in them is read as a URI or a name
    if isinstance(value, str):
        return {"": value, **_of_text(name, value)}
    if isinstance(value, list | tuple | Mapping) and not value:
        return {"": "[]" if isinstance(value, list | tuple) else "{}"}  # an empty value may differ from an absent one
    if isinstance(value, Mapping):
        if _is_environment(value.get("id")):
            rest = {key: item for key, item in value.items() if key != "id"}
            return {"": value["id"], **of_environment(value["id"], rest)}
        return _of_arguments(value)
    if isinstance(value, IndexedProblems):
        return {"content": _of_list(value)}
    if isinstance(value, Sequence) and value and all(isinstance(item, Problem) for item in value):
        return {"content": _of_list(cast(Sequence[Problem], value))}
    if isinstance(value, list | tuple):
        parts = [of_argument(name, item) for item in value]
        return {key: item for place, part in enumerate(parts) for key, item in _with_prefix(str(place), part).items()}
    if value is None or isinstance(value, bool | int | float):
        return {"": str(value)}
    return {"": digests.name_of(value), "content": digests.of(value)}


def _of_entry(entry_point: object, arguments: Mapping[str, object]) -> Identity:
    """Returns the identity of an environment from its entry point and its arguments."""
    inner = arguments.get("environment")
    found = {"entry_point": entry_point if isinstance(entry_point, str) else digests.name_of(entry_point)}
    if (source := digests.of_source(found["entry_point"].partition(":")[0])) is not None:
        found["entry_point source"] = source
    elif not isinstance(entry_point, str):
        found["entry_point content"] = digests.of(entry_point)
    if isinstance(inner, str) and _is_environment(inner):
        # A wrapper of an environment, possibly with other problems than the environment's own.
        other = {"problems": arguments["problems"]} if arguments.get("problems") else {}
        rest = {name: value for name, value in arguments.items() if name not in ("environment", *other)}
        return found | _with_prefix("environment", {"": inner, **of_environment(inner, other)}) | _of_arguments(rest)
    return found | _of_arguments(arguments) | _with_prefix("neighbour", neighbours.identity(entry_point, arguments))


def _of_wrappers(spec: EnvSpec) -> Identity:
    """Returns the identity of the wrappers that the registration asks Gymnasium to add."""
    found = {} if spec.max_episode_steps is None else {"max_episode_steps": str(spec.max_episode_steps)}
    if wrappers := [dataclasses.asdict(each) for each in spec.additional_wrappers if each != registry.TEXT_SPACES]:
        found["additional_wrappers"] = digests.of(wrappers)
    return found


def _of_arguments(arguments: Mapping[str, object]) -> Identity:
    found: Identity = {}
    for name, value in arguments.items():
        found |= _with_prefix(str(name), of_argument(str(name), value))
    return found


def _of_text(name: str, text: str) -> Identity:
    """Returns the digests of the data that a text names."""
    scheme = text.partition(":")[0]
    if name in POLICIES:
        return policies.files(text) if _URI.match(text) else {}
    if _is_environment(text):
        return of_environment(text)
    if _URI.match(text) and scheme in problem_sources.SOURCES and (name == "problems" or scheme != "hf"):
        return _of_problem_uri(name, text)
    if _URI.match(text) and scheme.rpartition("+")[2] in {*checkpoints.SOURCES, *SAMPLERS} - {"hf"}:  # hf: may be a data set
        try:
            return policies.files(text)
        except UserError:  # the text only resembles the URI of a policy
            return {}
    if named := _NAMED.fullmatch(text):
        source = digests.of_source(named[1])
        return {"source": source} if source else {}
    return _of_path(text)


def _of_problem_uri(name: str, uri: str) -> Identity:
    try:
        return {"content": of_problems(uri)}
    except UserError:
        found = _of_path(uri.partition("?")[0].partition(":")[2])  # rows in a form that only the environment can read
        if name == "problems" and not found:
            raise
        return found


def _of_path(text: str) -> Identity:
    if not any(map(str.isalnum, text)) or len(text) > _LONGEST_PATH or "\n" in text or "\0" in text:
        return {}
    path = Path(os.path.expanduser(text))  # `Path.expanduser` fails for "~20 words"
    try:
        if path.is_file():
            return {"content": digests.of_file(path)}
        return {"content": digests.of_folder(path)} if path.is_dir() else {}
    except OSError:
        return {}


def _of_list(problems: Sequence[Problem]) -> str:
    if isinstance(problems, GeneratedProblems):
        return digests.of([problems[0].source, _installed("reasoning-gym")])
    if isinstance(problems, IndexedProblems):
        return problems.digest()
    return digests.of_all([problem.id, problem.prompt, problem.answer, problem.meta] for problem in problems)


def _is_environment(text: object) -> TypeGuard[str]:
    return isinstance(text, str) and (text in gymnasium.registry or _ID_WITH_MODULE.fullmatch(text) is not None)


def _with_prefix(name: str, found: Identity) -> Identity:
    """Returns the identity with a prefix before each name."""
    return {f"{name} {inner}".strip(): value for inner, value in found.items()}
