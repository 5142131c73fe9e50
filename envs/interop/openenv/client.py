"""A connection to a server of OpenEnv, and the checks of its answers. What a server says is data."""

import contextlib
import http.client
import json
import math
import socket
import struct
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .... import extras
from ....core import Part, Status, UserError, Verdict
from ....policies.play.games import Raised
from ....policies.server import keys
from ....texts import without_surrogates
from ...spaces import MAX_CHARACTERS

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

Row = Mapping[str, Any]
TOKEN = "OPENENV_TOKEN"
"""Environment variable with the token of a server, unless another one is named."""
CONNECT_SECONDS, CLOSE_SECONDS = 10.0, 2.0
"""Time limits for the start and for the end of a connection. Our choice."""
MAX_BYTES, MAX_SCHEMA = 32 << 20, 4 << 20
"""Largest answer of a server over WebSocket and over HTTP. Our choice."""
MAX_REASON, MAX_PARTS = 2_000, 100
"""Characters of a text in a verdict, and number of its parts. Our choice."""


class ServerError(Exception):
    """A server's answer is an error, or is no answer of the protocol."""


class Connection:
    """A session on a server. It begins with the first message, and again with the first one after it was lost."""

    def __init__(self, address: str, seconds: float, token_env: str | None):
        """Takes the address.

        Args:
            address: http://HOST:PORT, with or without a path.
            seconds: time limit of an answer.
            token_env: environment variable with the token; default: `TOKEN` if the server may receive it.

        Raises:
            UserError: the address is invalid or has a key, or the server may not receive the token.
        """
        with extras.required_by("an environment of a server of OpenEnv"):
            import websockets.sync.client  # noqa: F401
        keys.reject_keys_in(address)
        keys.check_base_url(address)
        self.address, self.seconds = address.rstrip("/"), seconds
        server = keys.server_of(self.address)
        self._headers: dict[str, str] = {}
        if token_env or keys.may_receive(TOKEN, server):
            token = keys.key(token_env or TOKEN, server)
            if token is None and token_env:
                raise UserError(f"openenv: set ${token_env} to the token of {self.address}")
            if token:
                self._headers = {"Authorization": f"Bearer {token}"}
        self._socket: ClientConnection | None = None
        self._ends = contextlib.ExitStack()
        """Closes the connection."""

    def get(self, path: str, body: object = None) -> Any:
        """Returns the JSON at a path; None if the server has nothing there.

        Args:
            path: the path.
            body: sent as JSON by POST; without it the request is GET.

        Raises:
            UserError: the server does not answer, or refuses the token.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {**self._headers, "Content-Type": "application/json"}
        request = urllib.request.Request(self.address + path, data, headers)
        try:
            with _OPENER.open(request, timeout=CONNECT_SECONDS) as reply:
                return json.loads(_read(reply))
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (401, 403, 421):
                raise UserError(
                    f"openenv: {self.address} refuses the request ({error.code}); if it needs a token, set ${TOKEN}, and "
                    f"{keys.advice(TOKEN, keys.server_of(self.address))}"
                ) from None
            return None
        except (ValueError, RecursionError):
            return None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise UserError(
                f"openenv: no server answers at {self.address}: {reason}; start it, or correct the address"
            ) from None

    def ask(self, kind: str, data: Row) -> Row:
        """Sends a message, and returns the field `data` of the answer. After any error the next message begins a new session.

        Raises:
            Raised: the environment raised an exception on a server of this package.
            UserError: a server of this package rejects the problem.
            ServerError, ConnectionError, TimeoutError: the server has failed.
        """
        from websockets.exceptions import ConnectionClosed, WebSocketException

        try:
            connection = self._socket = self._socket or self._connected()
            with contextlib.suppress(ConnectionClosed):  # a server that is full says so before it closes
                connection.send(json.dumps({"type": kind, "data": data}))
            answer = json.loads(connection.recv(self.seconds))
        except TimeoutError:
            self.close()
            raise TimeoutError(f"{self.address} did not answer within {self.seconds:g} s") from None
        except (OSError, WebSocketException) as error:
            self.close()
            raise ConnectionError(f"the connection to {self.address} was lost: {_line(error)}") from None
        except (ValueError, RecursionError):
            self.close()
            raise ServerError(f"{self.address} sent no JSON") from None
        found = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(found, dict) or answer.get("type") not in ("observation", "error"):
            self.close()
            raise ServerError(f"{self.address} sent no observation")
        if answer["type"] == "error":
            self._raise(found)
        return found

    def _raise(self, error: Row) -> None:
        code, message = _line(error.get("code", "")), _line(error.get("message", ""))
        verdict = error.get("verdict")
        if isinstance(verdict, dict) and verdict.get("status") == Status.FAULT:
            raise Raised(message)
        if code == "CAPACITY_REACHED":
            self.close()
        if code == "VALIDATION_ERROR":
            raise Rejected(f"{self.address}: {message}")
        raise ServerError(f"{self.address}: {message} ({code})")

    def _connected(self) -> "ClientConnection":
        from websockets.sync.client import connect

        parts = urlsplit(self.address)
        assert parts.hostname  # `check_base_url`
        found = socket.create_connection((parts.hostname, parts.port or keys.PORTS[parts.scheme]), CONNECT_SECONDS)
        self._ends.callback(found.close)
        # A server that does not read must not hold up this process: the socket's own limit, because the library has none.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", math.ceil(self.seconds), 0))
        opening = connect(  # with a socket of ours it follows no redirection, and so sends the token to no other server
            f"ws{self.address.removeprefix('http')}/ws",
            sock=found,
            additional_headers=self._headers,
            compression=None,
            open_timeout=CONNECT_SECONDS,
            close_timeout=CLOSE_SECONDS,
            max_size=MAX_BYTES,
        )
        return self._ends.enter_context(opening)

    def close(self) -> None:
        """Ends the session."""
        connection, self._socket = self._socket, None
        if connection is not None:
            with contextlib.suppress(Exception):  # it may have been lost
                connection.send('{"type":"close"}')
        with contextlib.suppress(Exception):
            self._ends.close()


def _read(reply: http.client.HTTPResponse) -> bytes:
    """Returns the content of a reply, within limits of size and time.

    Raises:
        OSError: it exceeds a limit.
    """
    end, content = time.monotonic() + CONNECT_SECONDS, b""
    while part := reply.read1(MAX_SCHEMA):
        content += part
        if len(content) > MAX_SCHEMA or time.monotonic() > end:
            raise OSError("its reply is too long or too slow")
    return content


class Rejected(UserError):
    """A server says that a message is invalid."""


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    """Follows no redirection, which could send the token to another server."""

    def redirect_request(self, *arguments: object) -> None:
        """Returns nothing, so that the redirection is an error."""


_OPENER = urllib.request.build_opener(_NoRedirection, urllib.request.ProxyHandler({}))


def _line(value: object) -> str:
    """Returns a text of a server in one line, without an end that is too long."""
    return without_surrogates(" ".join(str(value).split())[:MAX_REASON])


def text_of(value: object, name: str) -> str:
    """Returns a text that a server has sent.

    Raises:
        ServerError: it is no text, or is too long.
    """
    if not isinstance(value, str) or len(value) > MAX_CHARACTERS:
        raise ServerError(f"{name}: expected a text of at most {MAX_CHARACTERS:,} characters")
    return without_surrogates(value)


def number_of(value: object, name: str) -> float:
    """Returns a reward or a score that a server has sent. NaN is one; the verdict is then a fault.

    Raises:
        ServerError: it is no number, or is infinite.
    """
    if isinstance(value, int | float) and not math.isinf(value):
        return float(value)
    raise ServerError(f"{name}: expected a number, got {value!r:.80}")


def verdict_of(row: object) -> Verdict:
    """Returns the verdict that a server of this package has sent.

    Raises:
        ServerError: it has another form.
    """
    try:
        return _verdict(row)
    except (LookupError, TypeError, ValueError, AttributeError):
        raise ServerError("verdict: expected a status with a score, a method and a reason") from None


def _verdict(row: Any) -> Verdict:
    status, listed = Status(row["status"]), row.get("parts", ())
    score = None if row["score"] is None else number_of(row["score"], "score")
    if (score is None) != (status in (Status.UNDECIDED, Status.FAULT)) or len(listed) > MAX_PARTS:
        raise ValueError
    parts = (
        Part(
            _line(part["name"]),
            None if part["score"] is None else number_of(part["score"], "score"),
            number_of(part["weight"], "weight"),
            _line(part.get("method", "")),
            _line(part.get("reason", "")),
        )
        for part in listed
    )
    return Verdict(status, score, _line(row["method"]), _line(row["reason"]), parts=tuple(parts))
