"""Servers of this package: the address that they listen on, the names that they accept, and tokens.

A server listens on the loopback address by default. A page of the web must not reach it through the user's browser: the Host
header must be a name of the address, because a page with another name may resolve to it ("DNS rebinding"). On another address
every request needs a token.
"""

import hmac
import ipaddress
import secrets
import socket

from ...core import UserError

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    """True if a host is this machine's loopback address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_any(host: str) -> bool:
    """True if a host stands for all addresses of this machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def new_token() -> str:
    """Returns a token of 256 random bits, which nobody can guess."""
    return secrets.token_urlsafe(32)


def token(host: str, demanded: bool) -> str:
    """Returns a new token, or an empty text if requests need none.

    Args:
        host: name or address that the server listens on. All but the loopback address need a token.
        demanded: whether requests need a token also on the loopback address.
    """
    return new_token() if demanded or not is_loopback(host) else ""


def is_equal(text: str, token: str) -> bool:
    """True if a text is the token. The time does not depend on where they differ."""
    return hmac.compare_digest(text.encode(), token.encode())


def allowed_names(host: str) -> frozenset[str]:
    """Returns the names that the Host header may have, besides IP addresses if the server listens on all."""
    own = {host.lower()}
    if is_loopback(host):
        own |= LOOPBACK_NAMES
    if is_any(host):
        own |= LOOPBACK_NAMES | {socket.gethostname().lower(), socket.getfqdn().lower()}
    return frozenset(own)


def is_named(header: str, names: frozenset[str], any_address: bool) -> bool:
    """True if a Host header names a server. The port may differ, as behind a tunnel of ssh.

    Args:
        header: the Host header.
        names: see `allowed_names`.
        any_address: the server listens on all addresses, so that every IP address is a name.
    """
    name, bracket, _ = header.removeprefix("[").partition("]") if header.startswith("[") else (header, "", "")
    name = (name if bracket else header.rsplit(":", 1)[0] if ":" in header else header).lower().rstrip(".")
    return name in names or (any_address and _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def bound(host: str, port: int) -> socket.socket:
    """Returns a socket that is bound to an address and listens.

    Args:
        host: name or address.
        port: port; 0: a free one.

    Raises:
        UserError: the address is not this machine's, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(128)  # a client may ask as soon as the URL is printed
    except (OSError, OverflowError, TypeError, ValueError) as error:  # the latter two: a name that has no encoding
        found.close()
        raise UserError(f"cannot listen on {host}:{port}: {error}; choose another --port or --host") from None
    return found


def url(host: str, listening: socket.socket) -> str:
    """Returns the URL of a server, without a path.

    Args:
        host: name or address that it listens on.
        listening: its socket.
    """
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listening.getsockname()[1]}"
