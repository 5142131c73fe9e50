"""The token of a policy server."""

import os

from ...core import UserError
from ..server import listening

VARIABLE = "TENFOLD_POLICY_TOKEN"
"""Environment variable with the token that requests must have."""


def token(host: str, demanded: bool) -> tuple[str, bool]:
    """Returns the token that requests must have, and whether it is a new one. It is empty if none is needed.

    Args:
        host: name or address that the server listens on. All but the loopback address need a token.
        demanded: whether requests need a token also on the loopback address.

    Raises:
        UserError: the user's token is not text that a header can have.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if not (given.isascii() and given.isprintable() and " " not in given):
        raise UserError(f"${VARIABLE} may only have ASCII characters without spaces")
    if given:
        return given, False
    new = listening.token(host, demanded)
    return new, bool(new)
