"""The server of `tenfold serve`: an environment for clients of OpenEnv, over WebSocket and HTTP.

    GET  /health               {"status": "healthy"}; the only address that needs no token
    GET  /schema               JSON schemas of actions, observations and states
    GET  /metadata             the environment's id
    GET  /list_environments    the environment's name in the addresses of OpenEnv's Task API
    GET  /NAME/splits          one split, "all"
    POST /NAME/num_tasks       {"split": "all"}: the number of problems
    WS   /ws                   a session: reset, step, state and close

A session has an environment and a thread of its own; see `session.py`.
"""

import contextlib
import functools
import json
import re
import resource
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from ....policies.play.games import count_problems
from ....policies.server import listening
from ....version import __version__
from ... import registry
from . import session as sessions
from .session import Environments, Limits, Player, Session, Worker

TITLE = "TenfoldObservation"
"""Title of the schema of observations, by which `environment.py` knows a server of this package."""
SPLIT = "all"
CLOSE_SECONDS = 10.0
"""Time limit for calls that are not done when the server ends. Our choice."""
BODY = 10_000
"""Largest body of a request, in bytes. Our choice."""
TEXT = {"type": "string"}
SCHEMA = {
    "action": {
        "title": "TenfoldAction",
        "type": "object",
        "properties": {
            "text": {**TEXT, "description": "the policy's turn"},
            "finish_reason": {"enum": ["stop", "length"], "default": "stop", "description": "length: the turn is cut"},
        },
        "required": ["text"],
    },
    "observation": {
        "title": TITLE,
        "type": "object",
        "properties": {
            "text": {**TEXT, "description": "the prompt, or the reply to the action"},
            "role": {**TEXT, "description": "the role of the reply, such as user or tool"},
            "messages": {"type": "array", "description": "the prompt as messages, with the declared tools in the first"},
            "problem_id": TEXT,
            "index": {"type": "integer"},
            "verdict": {"type": "object", "description": "status, score, method and reason, at the end of an episode"},
            "tool_calls": {"type": "integer"},
            "invalid_actions": {"type": "integer"},
            "truncated": {"type": "boolean"},
        },
    },
    "state": {
        "title": "TenfoldState",
        "type": "object",
        "properties": {"episode_id": TEXT, "step_count": {"type": "integer"}, "done": {"type": "boolean"}},
    },
}


class Server:
    """An environment and its sessions."""

    def __init__(self, id: str, options: Mapping[str, object], limits: Limits):
        """Makes the first environment.

        Args:
            id: id of the environment; see `registry.make`.
            options: its keyword arguments.
            limits: the limits.

        Raises:
            UserError: it cannot be made.
        """
        self.id, self.limits = id, limits
        self.name = re.sub(r"[^A-Za-z0-9.-]+", "_", id).strip("_")
        self.environments = Environments(functools.partial(registry.make, id, **options))
        self.problems = count_problems(self.environments.first)
        self._lock = threading.Lock()
        self._workers: set[Worker] = set()

    async def session(self, websocket: WebSocket) -> None:
        """Plays with a client until it leaves."""
        await websocket.accept()
        worker = self._worker()
        if isinstance(worker, str):
            with contextlib.suppress(Exception):  # the client may have gone
                await websocket.send_text(sessions.encoded(sessions.error(sessions.FULL, worker)))
                await websocket.close(sessions.TRY_AGAIN_LATER, worker)
            return
        player = Player(self.environments)
        try:
            await Session(websocket, player, worker, self.limits).run()
        except (TimeoutError, RuntimeError, WebSocketDisconnect):  # the client has gone, or does not read
            pass
        finally:
            worker.submit(player.close)
            worker.submit(functools.partial(self._left, worker))
            worker.end()

    def _worker(self) -> Worker | str:
        """Returns the thread of a new session, or why there can be none."""
        with self._lock:
            if len(self._workers) >= self.limits.sessions:
                return f"the server has {len(self._workers)} sessions, which is its limit (--sessions); try again later"
            if self.limits.memory is not None and resident_memory() > self.limits.memory:
                return "the server has no memory left for another session; try again later"
            worker = Worker()
            self._workers.add(worker)
            return worker

    def _left(self, worker: Worker) -> None:
        with self._lock:
            self._workers.discard(worker)

    def close(self) -> None:
        """Closes all environments. Waits for calls that are not done, for at most `CLOSE_SECONDS`."""
        end = time.monotonic() + CLOSE_SECONDS
        with self._lock:
            workers = [*self._workers]
        for worker in workers:
            worker.thread.join(max(0.0, end - time.monotonic()))
        self.environments.close()

    async def _num_tasks(self, request: Request) -> JSONResponse:
        split = await _split(request)
        if request.path_params["name"].lower() != self.name.lower():
            return _refusal("there is no such environment", 404)
        if split != SPLIT:
            return _refusal(f"split: expected {SPLIT}", 400)
        if self.problems is None:
            return _refusal("the environment has no list of problems", 501)
        return JSONResponse({"num_tasks": self.problems})

    async def _splits(self, request: Request) -> JSONResponse:
        if request.path_params["name"].lower() != self.name.lower():
            return _refusal("there is no such environment", 404)
        return JSONResponse([{"name": SPLIT, "type": "train"}])

    def application(self, host: str = "127.0.0.1", token: str = "") -> ASGIApp:
        """Returns the server as an ASGI application.

        Args:
            host: name or address that it listens on.
            token: secret that each request must have; empty for none.
        """
        described = {"name": self.id, "description": f"The environment {self.id} of tenfold.", "version": __version__}
        routes = [
            WebSocketRoute("/ws", self.session),
            *(_constant(path, content) for path, content in (("/schema", SCHEMA), ("/metadata", described))),
            _constant("/health", {"status": "healthy"}),
            _constant("/list_environments", [self.name]),
            Route("/{name}/splits", self._splits),
            Route("/{name}/num_tasks", self._num_tasks, methods=["POST"]),
        ]
        return Guard(Starlette(routes=routes), host, token)


def _constant(path: str, content: object) -> Route:
    async def answer(request: Request) -> JSONResponse:
        return JSONResponse(content)

    return Route(path, answer)


async def _split(request: Request) -> object:
    """Returns the split that a request names; None if it names none."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY:
            return None
    try:
        asked: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return asked.get("split") if isinstance(asked, dict) else None


class Guard:
    """ASGI middleware: refuses requests that are not allowed.

    A browser's request for a page of another site has the header Origin, also where it opens a WebSocket. Clients that are no
    browsers do not send it.
    """

    def __init__(self, app: ASGIApp, host: str, token: str = ""):
        """Wraps an application.

        Args:
            app: the application.
            host: name or address that the server listens on.
            token: secret that requests must have; empty if none is needed.
        """
        self.app, self.token = app, token
        self.names, self.any_address = listening.allowed_names(host), listening.is_any(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        refusal = self._refusal(scope) if scope["type"] in ("http", "websocket") else None
        await (refusal or self.app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if not listening.is_named(headers.get(b"host", ""), self.names, self.any_address):
            return _refusal("the Host header is not a name of this server", 421)
        if b"origin" in headers or headers.get(b"sec-fetch-site", "none") != "none":
            return _refusal("a page of another site may not ask", 403)
        if not self.token or scope["path"] == "/health":
            return None
        kind, _, given = headers.get(b"authorization", "").partition(" ")
        if kind.lower() == "bearer" and listening.is_equal(given.strip(), self.token):
            return None
        return _refusal("this server needs the token that it printed, in the header Authorization: Bearer TOKEN", 403)


def _refusal(text: str, status: int) -> JSONResponse:
    return JSONResponse({"error": text, "detail": text}, status)


def resident_memory() -> int:
    """Returns the resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def serve(server: Server, host: str, port: int, with_token: bool, show: Callable[[str, str], None]) -> None:
    """Serves until it is interrupted, then closes all environments.

    Args:
        server: the environment.
        host: name or address to listen on.
        port: port; 0: a free one.
        with_token: whether requests need a token also on the loopback address.
        show: called with the URL and the token, which is empty if there is none.

    Raises:
        UserError: the address is not free.
    """
    token = listening.token(host, with_token)
    try:
        with listening.bound(host, port) as bound:
            web = web_server(server, host, token)
            show(listening.url(host, bound), token)
            with contextlib.suppress(KeyboardInterrupt):  # uvicorn ends, and then raises the signal again
                web.run(sockets=[bound])
    finally:
        server.close()


def web_server(server: Server, host: str = "127.0.0.1", token: str = "") -> uvicorn.Server:
    """Returns uvicorn's server of an environment.

    Args:
        server: the environment.
        host: name or address that it listens on.
        token: secret that each request must have; empty for none.
    """
    options = uvicorn.Config(
        server.application(host, token),
        ws="websockets-sansio",  # reads no further message before the session asks for it
        ws_max_size=server.limits.message,
        ws_per_message_deflate=False,
        log_level="critical",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        lifespan="off",
        proxy_headers=False,
    )
    options.load()  # here, so that a missing package is an error before the URL is shown
    return uvicorn.Server(options)
