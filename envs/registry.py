"""Environments by id: one call registers one, and Gymnasium's own registry holds it.

A plug-in package brings its environments by naming a function that registers them, in its pyproject.toml:

    [project.entry-points."gymnasium.envs"]
    lab = "lab.environments:register"
"""

import contextlib
import inspect
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from .. import named_code
from ..core import Problem, UserError
from ..verifiers import VerifierLike
from . import built_in

TEXT_ENV = "tenfold.envs.text:TextEnv"
ENTRY_POINTS = (
    TEXT_ENV,
    "tenfold.envs.mixture:Mixture",
    "tenfold.envs.preference:PreferenceEnv",
    "tenfold.envs.tools:with_python",
    "tenfold.envs.tools:with_tests",
)
"""Environments of this package. A recipe may name no others but those of its modules."""

_ids: dict[str, None] = {}
"""Ids registered through this module, in order; the environments themselves are in Gymnasium's registry."""
_of_recipes: dict[str, named_code.Limits] = {}
"""Ids that a recipe of this process has declared, with what it may name."""
_loaded_plugins: set[str] = set()
_MAKE_TAKES = frozenset(inspect.signature(gymnasium.make).parameters)
"""Arguments that are `gymnasium.make`'s own, not the environment's."""


def register(
    id: str,
    *,
    problems: str | Sequence[Problem] | None = None,
    verifier: VerifierLike | None = None,
    entry_point: str | type | None = None,
    **kwargs: Any,
) -> None:
    """Registers an environment under an id such as "lab/Units-v0".

    Either declare it, with `problems` (a URI) and `verifier` (and `template`, `system`: see `TextEnv`), or give the
    `entry_point` of any `gymnasium.Env` whose observations and actions are text. Further keyword arguments go to the
    environment, and with an entry point those two as well. An RL stage rebuilds the environment in other processes: for that,
    use names ("module:Class", "module:verifier", {"name": "judge", "policy": URI}, URIs), not objects.

    Raises:
        UserError: neither `problems` nor `entry_point` is given, or the id is malformed.
    """
    if problems is None and entry_point is None:
        raise UserError(f"to register {id!r}, give problems= (and verifier=) or entry_point=")
    if problems is not None:
        kwargs |= {"problems": problems}
    if entry_point is None or verifier is not None:
        kwargs |= {"verifier": verifier or "math"}
    try:
        gymnasium.register(id=id, entry_point=entry_point or TEXT_ENV, kwargs=kwargs)  # type: ignore[arg-type]
    except gymnasium.error.Error as error:
        raise UserError(f"cannot register {id!r}: {error}") from None
    _ids[id] = None
    _of_recipes.pop(id, None)


def make(id: str, **kwargs: Any) -> "gymnasium.Env[str, str]":
    """The environment of that id, as `gymnasium.make`; "module:id" imports the module first.

    Raises:
        UserError: no environment has that id (the message lists those there are), or it does not take these arguments.
    """
    spec = find(id)
    if spec.id not in _of_recipes or named_code.is_limited():
        return _made(id, spec, kwargs)
    with named_code.limited(_of_recipes[spec.id]):
        return _made(id, spec, kwargs)


def _made(id: str, spec: EnvSpec, kwargs: dict[str, Any]) -> "gymnasium.Env[str, str]":
    assert spec.entry_point is not None  # Gymnasium's registry takes none without
    constructor = creator(spec)
    taken = inspect.signature(constructor)
    own = {name: value for name, value in kwargs.items() if name not in _MAKE_TAKES}
    try:
        taken.bind(**(spec.kwargs | own))
    except TypeError as error:
        raise UserError(f"{id}: {error}; it takes {', '.join(taken.parameters)}") from None
    return gymnasium.make(spec, **kwargs)


def creator(spec: EnvSpec) -> Any:
    """What makes the environment of a registration.

    Raises:
        UserError: it cannot be imported, or a recipe names it and may not.
    """
    if not isinstance(spec.entry_point, str):
        return spec.entry_point
    for wrapper in spec.additional_wrappers:
        _imported(spec.id, wrapper.entry_point)
    return _imported(spec.id, spec.entry_point)


def _imported(id: str, name: str) -> Any:
    try:
        return named_code.resolve(name, ENTRY_POINTS)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{id}: cannot import {name!r} ({error})") from None


def find(id: str) -> EnvSpec:
    """The registration of that id; "module:id" imports the module first.

    Raises:
        UserError: there is none; the message lists those there are.
    """
    module, _, name = id.rpartition(":")
    try:
        if module:
            named_code.import_module(module)
        if name not in gymnasium.registry:
            load_plugins()
        return gymnasium.spec(name)
    except (gymnasium.error.Error, ImportError) as error:
        if waiting := named_code.not_imported():
            raise named_code.NotImported(
                f"{name} may be of {named_code.describe(waiting[0])}, which a dry run does not import"
            ) from None
        raise UserError(f"no environment {id!r} ({error}); there are {', '.join(_ids)}") from None


def ids() -> list[str]:
    """Ids of every environment registered through tenfold or brought by a plug-in package."""
    load_plugins()
    return [id for id in _ids if id in gymnasium.registry]


def exported() -> list[str]:
    """The registrations that a process which imports tenfold would lack, as JSON; those that hold objects are left out."""
    told = []
    for id in ids():
        if id not in _OURS:
            with contextlib.suppress(ValueError, TypeError):
                told.append(gymnasium.spec(id).to_json())
    return told


def named() -> Iterator[str]:
    """Names of code that are the user's own: in the variable TENFOLD_JUDGE, in his registrations and in those of the plug-in
    packages that he has installed.

    Gymnasium's environments are none for text, and do not count.
    """
    load_plugins()
    yield from named_code.names_in(os.environ.get("TENFOLD_JUDGE", ""))
    for spec in gymnasium.registry.values():
        if spec.id not in _of_recipes and not str(spec.entry_point).startswith(("gymnasium.", "shimmy.")):
            wrappers = [wrapper.entry_point for wrapper in spec.additional_wrappers]
            texts = [one for one in (spec.entry_point, *wrappers) if isinstance(one, str)]
            yield from named_code.names_in([*texts, dict(spec.kwargs)])


@contextlib.contextmanager
def declared(environments: Mapping[str, Mapping[str, Any]], limits: named_code.Limits) -> Iterator[None]:
    """Registers a recipe's environments; after the block those that took another's id give it back.

    The others stay: whoever makes one later makes it within the recipe's limits.

    Args:
        environments: by id, the arguments of `register`.
        limits: what the recipe may name.

    Raises:
        UserError: see `register`; or a declaration has an argument that it does not take.
    """
    before = {id: gymnasium.registry[id] for id in environments if id in gymnasium.registry and id not in _of_recipes}
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
        gymnasium.registry.update(before)
        for id in before:
            _of_recipes.pop(id, None)


def load_plugins() -> None:
    """Calls the registering function of every installed plug-in package, once. One that fails is left out, with a warning."""
    import importlib.metadata  # slow to import

    for plugin in importlib.metadata.entry_points(group="gymnasium.envs"):
        if plugin.value in _loaded_plugins:
            continue
        _loaded_plugins.add(plugin.value)
        known = set(gymnasium.registry)
        try:
            plugin.load()()
        except Exception as error:
            warnings.warn(f"the environments of {plugin.value} are left out: {type(error).__name__}: {error}", stacklevel=2)
        _ids.update(dict.fromkeys(id for id in gymnasium.registry if id not in known))


for _id, _declaration in built_in.ENVIRONMENTS.items():
    register(_id, **_declaration)
_OURS = frozenset(_ids)
"""Ids that every process knows which imports this module."""
