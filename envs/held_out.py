"""Problems on which an environment is measured: those that it holds out from training.

    held_out_arguments("lab/Units-v0")
    # ({"problems": "jsonl:test.jsonl"}, True)

An environment is measured on the first of these that exists:

    1. `problems` among the given options
    2. `held_out` of the registration (`registry.register`)
    3. the environment's own problem URI with `part=held_out` instead of `part=train`
    4. the same for the environment that a wrapper names, and for each environment of a mixture
    5. all problems. They may be training problems.

The option `problems` may also be "?NAME=VALUE". It then changes the environment's own problem URI, or that of the environment
that a wrapper names, and `held_out` of the registration is not used. If it sets no `part`, the held-out part of the changed URI
is used if there is one.
"""

import inspect
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from gymnasium.envs.registration import EnvSpec

from ..core import UserError
from . import mixture, registry

_TRAIN = re.compile(r"(?<=[?&])part=train(?=&|$)")


def held_out_arguments(id: str, options: Mapping[str, object] | None = None) -> tuple[dict[str, Any], bool]:
    """Returns the keyword arguments that give an environment its held-out problems.

    Args:
        id: see `registry.make`.
        options: further keyword arguments of the environment.

    Returns:
        The arguments for `registry.make`, `options` included; and False if there are no held-out problems.

    Raises:
        UserError: there is no such environment, or its registration has `held_out`, but it takes no problems.
    """
    spec, options = registry.find(id), dict(options or {})
    settings = {**spec.kwargs, **options}
    if "problems" in options:
        changes = options["problems"]
        if not (isinstance(changes, str) and changes.startswith("?")):
            return options, True
        changed, found = _changed_problems(spec, changes)
        return {**options, "problems": changed}, found
    if (registered := registry.held_out_of(spec.id)) is not None:
        if not _takes_problems(spec):
            raise UserError(f"{id}: held_out is set, but its entry point has no argument problems; add one, or remove held_out")
        return {**options, "problems": registered}, True
    if isinstance(problems := settings.get("problems"), str):
        uri = held_out_uri(problems)
        return (options, False) if uri is None else ({**options, "problems": uri}, True)
    if problems is None and isinstance(inner := settings.get("environment"), str) and _takes_problems(spec):
        arguments, found = held_out_arguments(inner)
        return ({**options, **arguments}, True) if found and arguments.keys() == {"problems"} else (options, False)
    if "environments" in settings:
        try:
            parts = mixture.declarations(settings["environments"])
        except UserError:  # an environment of another kind has an argument of this name
            return options, False
        ids = [part.pop("id") for part in parts]
        held = [held_out_arguments(inner, part) for inner, part in zip(ids, parts, strict=True)]
        found = all(known for _, known in held)
        new = [{"id": inner, **arguments} for inner, (arguments, _) in zip(ids, held, strict=True)]
        return ({**options, "environments": new}, True) if found else (options, False)
    return options, False


def held_out_uri(uri: str) -> str | None:
    """Returns the URI of problems with `part=held_out` instead of `part=train`, or None if it has no such part."""
    held_out = _TRAIN.sub("part=held_out", uri)
    return None if held_out == uri else held_out


def _takes_problems(spec: EnvSpec) -> bool:
    """True if the environment's class or function has an argument `problems`, or takes arbitrary keyword arguments."""
    parameters = inspect.signature(registry.constructor(spec)).parameters
    return "problems" in parameters or any(value.kind == value.VAR_KEYWORD for value in parameters.values())


def _changed_problems(spec: EnvSpec, changes: str) -> tuple[str, bool]:
    """Returns the problem URI for `problems="?NAME=VALUE"`, and False if no part is named and there is no held-out part.

    The changes apply to the URI of the registration, or of the environment that it wraps. Unless they name a part, the held-out
    part of that URI is taken if there is one.
    """
    while "problems" not in spec.kwargs and isinstance(inner := spec.kwargs.get("environment"), str):
        spec = registry.find(inner)
    uri = str(registry.arguments(spec, {"problems": changes})["problems"])
    if "part" in dict(parse_qsl(changes[1:], keep_blank_values=True)):
        return uri, True
    held_out = held_out_uri(uri)
    return (uri, False) if held_out is None else (held_out, True)
