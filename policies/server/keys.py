"""Rules for sending API keys to servers. Only the user can allow this, not a recipe or a URI.

A URI names a server (`base_url=`) and may name the environment variable with its key (`api_key_env=`). The user lists
the servers that may receive the key of each such variable, in TENFOLD_KEYS or in the file `keys` of the user's settings
(~/.config/tenfold/keys, one entry on each line):

    export TENFOLD_KEYS="OPENAI_API_KEY=llm.lab.org LAB_KEY=judge.lab.org:8000,127.0.0.1:8000"

A host without a port allows all of its ports; https://HOST allows this scheme and its default port. By default, OPENAI_API_KEY
is sent to https://api.openai.com and to the server in OPENAI_BASE_URL, and no other variable is read. After a redirection to a
server that is not allowed, no key is sent.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from ... import settings_folder
from ...core import UserError

VARIABLE, FILE = "TENFOLD_KEYS", "keys"
OPENAI = "OPENAI_API_KEY"
PORTS = {"http": 80, "https": 443}
SECRET = re.compile(
    r"(?:.*[_.-])?(?:(?:api)?[_-]?key|token|secret|password|passwd|passphrase|pwd|auth|authorization|signature|sig|credentials?)",
    re.IGNORECASE,
)
"""Names of URL parameters that contain a secret."""


class Server(NamedTuple):
    """The server of a request."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS.get(self.scheme) else f"{host}:{self.port}"


class AllowedServer(NamedTuple):
    """A server in the user's settings; None matches any value."""

    scheme: str | None
    host: str
    port: int | None

    def matches(self, server: Server) -> bool:
        """True if the entry matches the server."""
        return self.host == _name(server.host) and self.scheme in (None, server.scheme) and self.port in (None, server.port)


def may_receive(variable: str, server: Server) -> bool:
    """True if the user allows sending the key in a variable to a server.

    Raises:
        UserError: the user's settings cannot be read.
    """
    return any(allowed.matches(server) for allowed in _allowed_servers(variable))


def key(variable: str, server: Server) -> str | None:
    """Returns the key in a variable for a server, without spaces around it, or None if the variable is not set.

    Raises:
        UserError: the server may not receive the key, or an HTTP header cannot contain it.
    """
    if not may_receive(variable, server):
        raise UserError(f"the key in {variable} is not sent to {server}: {advice(variable, server)}")
    value = os.environ.get(variable, "").strip()
    if not (value.isascii() and value.isprintable()):  # the HTTP client's error would contain the key
        raise UserError(f"the key in {variable} has a line break or a character that is not ASCII: set it again")
    return value or None


def advice(variable: str, server: Server) -> str:
    """Returns instructions for allowing a server to receive a key."""
    line = f"{variable}={server}"
    return f'to allow it, use export {VARIABLE}="{line}", or the line {line} in {settings_folder.path(FILE)}'


def server_of(address: str) -> Server:
    """Returns the server of a URL.

    Only the simplest form is accepted, because different programs parse other forms differently.

    Raises:
        UserError: the URL is not http(s)://HOST or http(s)://HOST:PORT, with or without a path.
    """
    match = re.fullmatch(r"(https?)://([\w.-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?(?:/[\w./~-]*)?", address)
    if not match:
        raise UserError(f"expected a URL of the form http(s)://HOST:PORT, got {address!r}")
    scheme, host, port = match.groups()
    return Server(scheme, _name(host), int(port) if port else PORTS[scheme])


def check_base_url(url: str) -> None:
    """Checks that a URL has http or https, a host and a valid port.

    The HTTP client would retry a request to an invalid URL as if the server were down.

    Raises:
        UserError: the URL lacks one of these.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise UserError(f"expected a base URL such as http://localhost:8000/v1, got {url!r}")


def reject_keys_in(uri: str) -> None:
    """Rejects a URI that contains a key, because URIs are stored, printed and shared.

    Args:
        uri: any URI; percent-encoding is decoded.

    Raises:
        UserError: the URI contains a user name, a password or a key.
    """
    for text in {uri, unquote(uri), unquote(unquote(uri))}:
        queries = [text.partition("?")[2]] if text.startswith("openai:") else []
        for address in _ADDRESS.findall(text):
            before, _, query = address.partition("?")
            queries.append(query)
            if "@" in re.split(r"[/\\#]", before.partition(":")[2].lstrip("/\\"), maxsplit=1)[0]:
                queries.append("password=")
        if any(SECRET.fullmatch(name) for query in queries for name, _ in parse_qsl(query.replace("#", "&"), True)):
            raise UserError(
                f"{uri}: a URL must not contain user names, passwords or keys; put the key in an environment variable, name it "
                f"with api_key_env=, and allow the host in {VARIABLE}"
            )


_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?://|\\\\)[^\s'\"<>]*")


def _allowed_servers(variable: str) -> Iterator[AllowedServer]:
    """Yields the servers that may receive the key in a variable."""
    if variable == OPENAI:
        yield AllowedServer("https", "api.openai.com", 443)
        with contextlib.suppress(UserError):  # the error is reported where the URL is used
            own = server_of(os.environ.get("OPENAI_BASE_URL", "").strip())
            yield AllowedServer(own.scheme, own.host, own.port)
    for entry in _entries():
        name, sign, hosts = entry.partition("=")
        if not sign or not name.isidentifier() or not hosts:
            raise UserError(f"{VARIABLE} and {settings_folder.path(FILE)} must contain NAME=HOST,HOST ..., got {entry!r:.60}")
        if name == variable:
            yield from map(_parse, hosts.split(","))


def _entries() -> list[str]:
    try:
        lines = settings_folder.path(FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {settings_folder.path(FILE)}: {error}") from None
    return " ".join([*(line.partition("#")[0] for line in lines), os.environ.get(VARIABLE, "")]).split()


def _parse(host: str) -> AllowedServer:
    scheme, sign, rest = host.rpartition("://")
    try:
        parts = urlsplit(f"//{rest.rstrip('/')}")
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    plain = re.fullmatch(r"[\w.-]+|[0-9a-f:.]*:[0-9a-f:.]*", parts.hostname or "")
    if not plain or parts.path or parts.query or parts.username is not None or (sign and scheme not in PORTS):
        raise UserError(f"{VARIABLE}: expected HOST, HOST:PORT or https://HOST, got {host!r}")
    return AllowedServer(scheme or None, _name(parts.hostname or ""), port or PORTS.get(scheme))


def _name(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()
