"""Which key goes to which server: a setting of the user's, never of a recipe or of a URI.

A URI names a server (`base_url=`) and may name the variable that holds its key (`api_key_env=`). Whether the key goes there is
said in the variable TENFOLD_KEYS, or in the file `keys` of the user's settings (~/.config/tenfold/keys), a line each:

    export TENFOLD_KEYS="OPENAI_API_KEY=llm.lab.org LAB_KEY=judge.lab.org:8000,127.0.0.1:8000"

A host without a port stands for all of its ports; https://HOST for that scheme and its own port. Without a word from the user,
OPENAI_API_KEY goes to https://api.openai.com and to the server that he names himself in OPENAI_BASE_URL, and no other variable
is read. A redirection takes no key to a host that may not have it.
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
"""What a parameter of an address is called that holds a key."""


class Server(NamedTuple):
    """Where a request goes."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS.get(self.scheme) else f"{host}:{self.port}"


class Bound(NamedTuple):
    """A server as a user writes it; None: any."""

    scheme: str | None
    host: str
    port: int | None

    def covers(self, server: Server) -> bool:
        """Whether it is that server."""
        return self.host == _name(server.host) and self.scheme in (None, server.scheme) and self.port in (None, server.port)


def may_have(variable: str, server: Server) -> bool:
    """Whether the user lets the key in a variable go to a server.

    Raises:
        UserError: his settings cannot be read.
    """
    return any(bound.covers(server) for bound in _bound(variable))


def key(variable: str, server: Server) -> str | None:
    """The key in a variable, for a server; None where the variable is not set.

    Raises:
        UserError: it may not go there.
    """
    if not may_have(variable, server):
        raise UserError(f"the key in {variable} does not go to {server}: {advice(variable, server)}")
    return os.environ.get(variable) or None


def advice(variable: str, server: Server) -> str:
    """How a user lets a key go to a server."""
    line = f"{variable}={server}"
    return f'if it may, say so with export {VARIABLE}="{line}", or with the line {line} in {settings_folder.path(FILE)}'


def server_of(address: str) -> Server:
    """The server of an address of the plainest form; of no other, so that nobody reads the host in another way.

    Raises:
        UserError: it is not of the form http(s)://HOST or http(s)://HOST:PORT, a path behind it or not.
    """
    found = re.fullmatch(r"(https?)://([\w.-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?(?:/[\w./~-]*)?", address)
    if not found:
        raise UserError(f"an address is of the form http(s)://HOST:PORT, not {address!r}")
    scheme, host, port = found.groups()
    return Server(scheme, _name(host), int(port) if port else PORTS[scheme])


def refuse_in(uri: str) -> None:
    """Refuses a URI with a key in it: they are stored, shown and shared.

    Args:
        uri: of a policy or of anything else; percent signs are read as in URIs.

    Raises:
        UserError: an address in it holds a name, a password or a key, or the URI of a server's policy does.
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
                f"{uri}: no names, passwords or keys in an address; put the key in an environment variable, name that with "
                f"api_key_env=, and say in {VARIABLE} which host it may go to"
            )


_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?://|\\\\)[^\s'\"<>]*")


def _bound(variable: str) -> Iterator[Bound]:
    """Where a user lets the key in a variable go."""
    if variable == OPENAI:
        yield Bound("https", "api.openai.com", 443)
        with contextlib.suppress(UserError):  # what it is wrong with is said where it is used
            own = server_of(os.environ.get("OPENAI_BASE_URL", "").strip())
            yield Bound(own.scheme, own.host, own.port)
    for entry in _entries():
        name, sign, hosts = entry.partition("=")
        if not sign or not name.isidentifier() or not hosts:
            raise UserError(f"{VARIABLE} and {settings_folder.path(FILE)} hold NAME=HOST,HOST ..., not {entry!r:.60}")
        if name == variable:
            yield from map(_read, hosts.split(","))


def _entries() -> list[str]:
    try:
        lines = settings_folder.path(FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {settings_folder.path(FILE)}: {error}") from None
    return " ".join([*(line.partition("#")[0] for line in lines), os.environ.get(VARIABLE, "")]).split()


def _read(host: str) -> Bound:
    scheme, sign, rest = host.rpartition("://")
    try:
        parts = urlsplit(f"//{rest.rstrip('/')}")
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    plain = re.fullmatch(r"[\w.-]+|[0-9a-f:.]*:[0-9a-f:.]*", parts.hostname or "")
    if not plain or parts.path or parts.query or parts.username is not None or (sign and scheme not in PORTS):
        raise UserError(f"{VARIABLE}: {host!r} is no HOST, HOST:PORT or https://HOST")
    return Bound(scheme or None, _name(parts.hostname or ""), port or PORTS.get(scheme))


def _name(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()
