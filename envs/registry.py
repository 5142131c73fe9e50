"""Registration of environments under ids, in Gymnasium's registry.

In its pyproject.toml, a plug-in package names a function that registers its environments:

    [project.entry-points."gymnasium.envs"]
    lab = "lab.environments:register"
"""

import contextlib
import dataclasses
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

import gymnasium
from gymnasium.envs.registration import EnvSpec, WrapperSpec

from .. import faults, named_code
from ..core import Problem, UserError
from ..verifiers import VerifierLike
from ..verifiers import find as find_verifier
from . import built_in, spaces
from .interop import neighbours

TEXT_ENV = "tenfold.envs.text:TextEnv"
MAKE = "tenfold.envs.registry:make"
ENTRY_POINTS = (
    TEXT_ENV,
    MAKE,
    "tenfold.envs.mixture:Mixture",
    "tenfold.envs.preference:PreferenceEnv",
    "tenfold.envs.mcp:with_mcp",
    "tenfold.envs.bfcl.memory:BFCLMemory",
    "tenfold.envs.bfcl.multi_turn:BFCLMultiTurn",
    "tenfold.envs.bfcl.web_search:BFCLWebSearch",
    "tenfold.envs.services.environment:ToolsEnv",
    "tenfold.envs.tau2.environment:Tau2",
    "tenfold.envs.tools:with_python",
    "tenfold.envs.tools:with_tests",
    "tenfold.envs.spaces:TextSpaces",
    "tenfold.envs.games.guess_number:GuessNumber",
    "tenfold.envs.games.hangman:Hangman",
    "tenfold.envs.games.mastermind:Mastermind",
    "tenfold.envs.games.nim:Nim",
    "tenfold.envs.games.twenty_questions:TwentyQuestions",
    *neighbours.ENTRY_POINTS.values(),
)
"""Entry points of this package that a recipe may name, in addition to those of its own modules."""

TEXT_SPACES = WrapperSpec("TextSpaces", "tenfold.envs.spaces:TextSpaces", {})
"""Wrapper of environments that are not this package's; also applied by `gymnasium.make` and `gymnasium.make_vec`."""

_ids: dict[str, None] = {}
"""Ids registered through this module, in order."""
_of_recipes: dict[str, named_code.Limits] = {}
"""Ids that a recipe of this process has declared, with the recipe's limits."""
_held_out: dict[str, str | Sequence[Problem | Mapping[str, object]]] = {}
"""Problems held out from training, by id."""
_loaded_plugins: set[str] = set()
_of_plugins: dict[str, EnvSpec] = {}
"""Registrations of plug-in packages, by id. Each process that imports this module has them."""
_MAKE_PARAMETERS = frozenset(inspect.signature(gymnasium.make).parameters)
"""Arguments of `gymnasium.make` itself, not of the environment."""


def register(
    id: str,
    *,
    problems: str | Sequence[Problem | Mapping[str, object]] | None = None,
    verifier: VerifierLike | None = None,
    entry_point: str | Callable[..., object] | None = None,
    held_out: str | Sequence[Problem | Mapping[str, object]] | None = None,
    max_episode_steps: int | None = None,
    **kwargs: Any,
) -> None:
    """Registers an environment under an id such as "lab/Units-v0".

    Give either `problems` and `verifier`, which create a `TextEnv`, or the `entry_point` of any `gymnasium.Env` whose
    observations and actions are text. An RL stage creates the environment again in other processes. For that, either call
    `register` in a module and name the environment "module:id", or use names ("module:Class", "module:verifier",
    {"name": "judge", "policy": URI}, URIs) instead of objects.

    Args:
        id: NAMESPACE/NAME-vVERSION.
        problems: a problem URI (see `envs/problems/sources.py`), or the problems as `Problem`s or rows.
        verifier: name of a verifier, "module:name", {"name": NAME, OPTION: VALUE}, a list of weighted verifiers
            (`verifiers/rewards/weighted.py`), a `Verifier`, or a function (`verifiers/rewards/calling.py`). Default: "math".
        entry_point: class or function that creates the environment, or its name "module:name". `problems` and `verifier` are
            passed to it if given.
        held_out: problems on which the environment is measured (`tenfold bench env:ID`), in the form of `problems`. Training
            does not use them. An `entry_point` receives them as its argument `problems`.
        max_episode_steps: limit of the policy's turns in an episode, as in Gymnasium; default: 16.
        **kwargs: keyword arguments of the environment, such as `template` and `system` of `TextEnv`.

    Raises:
        UserError: neither `problems` nor `entry_point` is given, `held_out` is equal to `problems`, or the id is malformed.
    """
    if problems is None and entry_point is None:
        raise UserError(f"register({id!r}): problems= and entry_point= are both missing; give one of them")
    if held_out is not None and held_out == problems:
        raise UserError(f"register({id!r}): held_out= names the training problems; name other problems, or omit it")
    if problems is not None:
        kwargs |= {"problems": problems}
    if entry_point is None or verifier is not None:
        if verifier is not None and not isinstance(verifier, str | Mapping | Sequence):
            find_verifier(verifier)  # names are looked up when the environment is made: their modules may not be complete yet
        kwargs |= {"verifier": "math" if verifier is None else verifier}
    is_own = entry_point is None or str(entry_point).startswith("tenfold.")
    wrappers = () if is_own else (TEXT_SPACES,)
    try:
        gymnasium.register(
            id,
            entry_point or TEXT_ENV,  # type: ignore[arg-type]
            kwargs=kwargs,
            additional_wrappers=wrappers,
            max_episode_steps=max_episode_steps,
        )
    except gymnasium.error.Error as error:
        raise UserError(f"cannot register {id!r}: {error}") from None
    _ids[id] = None
    _of_recipes.pop(id, None)
    _held_out.pop(id, None)
    if held_out is not None:
        _held_out[id] = held_out


def make(id: str, **kwargs: Any) -> "gymnasium.Env[str, str]":
    """Creates the environment with the given id, like `gymnasium.make`. "module:id" imports the module first.

    Args:
        id: id of the environment.
        **kwargs: arguments that differ from those of the registration. `problems="?part=held_out&size=100"` changes options of
            the registered problem URI.

    Raises:
        UserError: no environment has that id (the message lists the ids), or it does not accept these arguments.
    """
    spec = find(id)
    if spec.id not in _of_recipes or named_code.is_limited():
        return _made(id, spec, kwargs)
    with named_code.limited(_of_recipes[spec.id]):
        return _made(id, spec, kwargs)


def _made(id: str, spec: EnvSpec, kwargs: dict[str, Any]) -> "gymnasium.Env[str, str]":
    assert spec.entry_point is not None  # Gymnasium requires one
    signature = inspect.signature(constructor(spec))
    own = {name: value for name, value in kwargs.items() if name not in _MAKE_PARAMETERS}
    merged = arguments(spec, own)
    try:
        signature.bind(**merged)
    except TypeError as error:
        raise UserError(f"{id}: {error}; the arguments are {', '.join(signature.parameters)}") from None
    # Gymnasium rejects an entry point that returns a wrapper if the registration names a different wrapper. Therefore
    # `TextSpaces` is added below.
    wrappers = tuple(wrapper for wrapper in spec.additional_wrappers if wrapper != TEXT_SPACES)
    bare = dataclasses.replace(spec, additional_wrappers=wrappers)
    try:
        environment = gymnasium.make(bare, **(kwargs | {name: merged[name] for name in own}))
    except TypeError as error:
        cause = error.__cause__ if isinstance(error.__cause__, TypeError) else error  # without the text that Gymnasium adds
        if own and spec.entry_point in ENTRY_POINTS and faults.place(cause) is None:
            given = ", ".join(f"{name}={value!r:.80}" for name, value in own.items())
            raise UserError(f"{id}: it cannot be made with {given}: {cause}") from None
        raise cause from None
    if wrappers != spec.additional_wrappers:
        return spaces.TextSpaces(environment)
    spaces.widen(environment)
    return environment


def arguments(spec: EnvSpec, changes: Mapping[str, object]) -> dict[str, Any]:
    """Returns the arguments of an environment: those of its registration with changes.

    Args:
        spec: the registration.
        changes: other values by name. A value of `problems` that starts with "?" changes options of the registered URI.

    Raises:
        UserError: `problems` starts with "?", but the registration has no problem URI.
    """
    merged = {**spec.kwargs, **changes}
    changed = changes.get("problems")
    if isinstance(changed, str) and changed.startswith("?"):
        uri = spec.kwargs.get("problems")
        if isinstance(uri, str):
            address, _, query = uri.partition("?")
            options = dict(parse_qsl(query, keep_blank_values=True)) | dict(parse_qsl(changed[1:], keep_blank_values=True))
            merged["problems"] = f"{address}?{urlencode(options)}"
        elif "environment" not in spec.kwargs:  # a wrapper passes the options on to the environment that it wraps
            raise UserError(f"{spec.id}: problems={changed!r}: the environment has no problem URI whose options can change")
    return merged


def held_out_of(id: str) -> str | Sequence[Problem | Mapping[str, object]] | None:
    """Returns the problems that a registration holds out from training, or None; see `register` and `held_out.py`."""
    return _held_out.get(id)


def declaration(environment: "gymnasium.Env[str, str]", id: str, options: Mapping[str, object]) -> str:
    """Returns a registration as JSON, from which another process can make the environment.

    This is the environment's own registration, unless that holds objects, such as functions. In that case another registration
    is returned, which calls `make` with the id. The other process then registers the environment again: it imports the module
    that the id names, or loads the plug-in package.

    Args:
        environment: the environment.
        id: the id that it was made with.
        options: the keyword arguments that it was made with.

    Raises:
        UserError: the registration holds objects, and the id names neither a module nor an environment of a plug-in package, or
            the options are no JSON data.
    """
    assert environment.spec is not None
    module, _, name = id.rpartition(":")
    try:
        return environment.spec.to_json()
    except (ValueError, TypeError) as error:
        if module in ("", "__main__") and _of_plugins.get(name) is not gymnasium.registry[name]:
            raise UserError(
                f"{id} cannot be made in another process ({error}): put its registration into a module, and write "
                f'MODULE:{name} for the id; or register it with names ("module:Class", "module:verifier", problem URIs)'
            ) from None
    by_id = EnvSpec(name, MAKE, order_enforce=False, disable_env_checker=True, kwargs={"id": id, **options})
    try:
        return by_id.to_json()
    except (ValueError, TypeError) as error:
        raise UserError(f"{id} cannot be made in another process with these options: {error}; use numbers and texts") from None


def constructor(spec: EnvSpec) -> Callable[..., object]:
    """Returns the class or function that creates the environment of a registration.

    Raises:
        UserError: it cannot be imported, or a recipe is not allowed to name it.
    """
    if not isinstance(spec.entry_point, str):
        assert spec.entry_point is not None  # Gymnasium requires one
        return spec.entry_point
    for wrapper in spec.additional_wrappers:
        _imported(spec.id, wrapper.entry_point)
    return _imported(spec.id, spec.entry_point)


def _imported(id: str, name: str) -> Callable[..., object]:
    try:
        target: Callable[..., object] = named_code.resolve(name, ENTRY_POINTS)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{id}: cannot import {name!r} ({named_code.import_failure(error)})") from None
    return target


def find(id: str) -> EnvSpec:
    """Returns the registration with the given id. "module:id" imports the module first.

    An id such as "openenv:http://localhost:8000" has a registration of its own (`interop/neighbours.py`).

    Raises:
        UserError: no environment has that id (the message lists the ids), or the module cannot be imported.
    """
    if foreign := neighbours.spec(id):
        return foreign
    module, _, name = id.rpartition(":")
    try:
        if module:
            named_code.import_module(module)
        if name not in gymnasium.registry:
            load_plugins()
        return gymnasium.spec(name)
    except (gymnasium.error.Error, ImportError) as error:
        if modules := named_code.not_imported():
            raise named_code.NotImported(
                f"{name} may be registered by {named_code.describe(modules[0])}, which a dry run does not import"
            ) from None
        if module and isinstance(error, ImportError):
            raise UserError(f"no environment {id!r}: cannot import {module} ({named_code.import_failure(error)})") from None
        raise UserError(f"no environment {id!r} ({error}); the ids are {', '.join(_short_list())}") from None


def _short_list() -> list[str]:
    """Returns the ids, with one entry for all ids of reasoning-gym's generators."""
    own = {*built_in.REASONING_GYM}
    return [id for id in _ids if id not in own] + [f"{built_in.REASONING_GYM_PREFIX}GENERATOR-v0"]


def ids() -> list[str]:
    """Returns the ids of all environments registered through tenfold or by a plug-in package."""
    load_plugins()
    return [id for id in _ids if id in gymnasium.registry]


def registrations() -> list[str]:
    """Returns the registrations of `ids` that are not built in, as JSON. Those with objects are skipped."""
    specs = []
    for id in ids():
        if id not in _BUILT_IN:
            with contextlib.suppress(ValueError, TypeError):
                specs.append(gymnasium.spec(id).to_json())
    return specs


def registered() -> list[EnvSpec]:
    """Returns all registrations except those of Gymnasium and of this package, also those with objects.

    An environment of this package is included if it has been registered again.
    """
    load_plugins()
    others = (spec for spec in gymnasium.registry.values() if _BUILT_IN.get(spec.id) is not spec)
    return [spec for spec in others if not str(spec.entry_point).startswith(("gymnasium.", "shimmy."))]


def user_code_names() -> Iterator[str]:
    """Yields the names of code that the user has given: in TENFOLD_JUDGE, in registrations, and by installing plug-in packages.

    Gymnasium's own environments are skipped, because they are not text environments.
    """
    load_plugins()
    yield from named_code.names_in(os.environ.get("TENFOLD_JUDGE", ""))
    for spec in gymnasium.registry.values():
        if spec.id not in _of_recipes and not str(spec.entry_point).startswith(("gymnasium.", "shimmy.")):
            wrappers = [wrapper.entry_point for wrapper in spec.additional_wrappers]
            texts = [name for name in (spec.entry_point, *wrappers) if isinstance(name, str)]
            yield from named_code.names_in([*texts, arguments_without_rows(spec)])


def arguments_without_rows(spec: EnvSpec) -> dict[str, object]:
    """Returns the arguments of a registration that may name code. Rows of problems are data: texts in them name no code."""
    return {name: value for name, value in spec.kwargs.items() if name != "problems" or isinstance(value, str)}


@contextlib.contextmanager
def recipe_environments(environments: Mapping[str, Mapping[str, Any]], limits: named_code.Limits) -> Iterator[None]:
    """Registers a recipe's environments. After the block, environments that they replaced are registered again.

    The other environments of the recipe stay registered, and are created under the recipe's limits.

    Args:
        environments: arguments of `register`, by id.
        limits: the code that the recipe may name.

    Raises:
        UserError: see `register`; or a declaration has an unknown argument.
    """
    replaced = {id: gymnasium.registry[id] for id in environments if id in gymnasium.registry and id not in _of_recipes}
    held_out = {id: _held_out[id] for id in replaced if id in _held_out}
    try:
        for id, declaration in environments.items():
            gymnasium.registry.pop(id, None)
            try:
                register(id, **declaration)
            except TypeError as error:
                raise UserError(f"environments.{id}: {error}") from None
            _of_recipes[id] = limits
        yield
    finally:
        gymnasium.registry.update(replaced)
        for id in replaced:
            _of_recipes.pop(id, None)
            _held_out.pop(id, None)
        _held_out.update(held_out)


def load_plugins() -> None:
    """Calls the registering function of each installed plug-in package once. A package that fails is skipped with a warning."""
    import importlib.metadata  # slow to import

    for plugin in importlib.metadata.entry_points(group="gymnasium.envs"):
        if plugin.value in _loaded_plugins or _is_being_imported(plugin.value.partition(":")[0]):
            continue
        _loaded_plugins.add(plugin.value)
        before = set(gymnasium.registry)
        try:
            plugin.load()()
        except Exception as error:
            warnings.warn(f"the environments of {plugin.value} are skipped: {type(error).__name__}: {error}", stacklevel=2)
        added = {id: spec for id, spec in gymnasium.registry.items() if id not in before}
        _ids.update(dict.fromkeys(added))
        _of_plugins.update(added)


def _is_being_imported(module: str) -> bool:
    """True if the import of a module or of a package around it has begun and not ended. Its functions cannot be called yet."""
    names = module.split(".")
    modules = (sys.modules.get(".".join(names[: length + 1])) for length in range(len(names)))
    return any(getattr(getattr(each, "__spec__", None), "_initializing", False) for each in modules)


for _id, _declaration in built_in.ENVIRONMENTS.items():
    register(_id, **_declaration)
_BUILT_IN = {_id: gymnasium.registry[_id] for _id in _ids}
"""Environments that are registered in every process that imports this module."""
load_plugins()
