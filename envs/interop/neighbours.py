"""Ids of environments that other packages or servers hold: SCHEME:ADDRESS, such as "openenv:http://localhost:8000".

`registry.find` gives such an id a registration of its own, so that it is used like any other id: in filters, GRPO, benchmarks.
"""

import pkgutil
import re
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from gymnasium.envs.registration import EnvSpec

from ...core import UserError

ENTRY_POINTS = {
    "inspect": "tenfold.envs.interop.inspect:Inspect",
    "nemo_gym": "tenfold.envs.interop.nemo_gym:NemoGym",
    "openenv": "tenfold.envs.interop.openenv:OpenEnv",
    "verifiers": "tenfold.envs.interop.verifiers:Verifiers",
}
"""For each scheme, the class of its environments. Its first argument is the address."""


def spec(id: str) -> EnvSpec | None:
    """Returns the registration of an id with one of the schemes, or None for other ids.

    Args:
        id: SCHEME:ADDRESS. The address becomes the argument `address` of the environment, and a part of the registration's id.
    """
    scheme, colon, address = id.partition(":")
    if not colon or scheme not in ENTRY_POINTS:
        return None
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", address).strip("_") or "_"
    return EnvSpec(
        f"{scheme}/{name}-v0",
        ENTRY_POINTS[scheme],
        kwargs={"address": address},
        order_enforce=False,
        disable_env_checker=True,
    )


@runtime_checkable
class SupportsIdentity(Protocol):
    """A class of environments that says what determines their rewards besides the arguments, such as versions and data."""

    def identity(self, **arguments: object) -> dict[str, str]:
        """Returns the inputs by name; a static method, called with the arguments of the environment."""
        ...


def identity(entry_point: object, arguments: Mapping[str, object]) -> dict[str, str]:
    """Returns what the class of an environment says of its identity; empty for other entry points.

    Args:
        entry_point: the entry point of a registration.
        arguments: the arguments of the environment.

    Raises:
        UserError: the class cannot be imported, or what it names does not exist.
    """
    if entry_point not in ENTRY_POINTS.values():
        return {}
    try:
        kind = pkgutil.resolve_name(str(entry_point))
    except ImportError as error:
        raise UserError(f"cannot import {entry_point} ({error})") from None
    return kind.identity(**arguments) if isinstance(kind, SupportsIdentity) else {}
