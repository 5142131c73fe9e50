"""The HTTP server of `tenfold view`: the page, and its API in JSON. All answers only read."""

import asyncio
import json
import math
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from ... import disk
from ...core import UserError
from ...extras import explain
from ...policies.server import listening
from . import queries, results, schema, security, steps
from .folders import Folders, NotFoundError, stage_folder
from .parameters import InvalidRequestError, whole
from .queries import Answer
from .runs import WAIT, Runs
from .watch import SECONDS, Watcher

STATIC = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
PING = 15.0
"""Seconds after which an event stream without events sends a comment."""
Query = Mapping[str, str]


def answer(runs: Runs, path: str, query: Query) -> Answer:
    """Returns the answer to a request.

    Args:
        runs: the runs that are shown.
        path: the request's path, such as "/api/runs/r0".
        query: its parameters.

    Raises:
        NotFoundError, InvalidRequestError, UserError: there is no such thing, a parameter is invalid, or a file is damaged.
    """
    match path.removeprefix("/api/").split("/"):
        case ["runs"]:
            return runs.listing()
        case ["runs", id]:
            return runs.run(id)
        case ["compare"]:
            return _compare(runs, query)
        case ["runs", id, "stages", stage, view] if view in VIEWS:
            return VIEWS[view](runs, id, stage, query)
        case ["runs", id, "stages", stage, "episodes", number]:
            return _from_index(runs, id, stage, lambda db, found: queries.episode(db, found, _number(number)), {})
    raise NotFoundError("there is no such address")


def _number(text: str) -> int:
    found = whole({"number": text}, "number")
    if found is None:
        raise InvalidRequestError("expected the number of an episode")
    return found


def _steps(runs: Runs, id: str, name: str, query: Query) -> Answer:
    entry, stage = runs.stage(id, name)
    return {**steps.read(entry.folder, stage.folder)}


def _results(runs: Runs, id: str, name: str, query: Query) -> Answer:
    entry, stage = runs.stage(id, name)
    return results.scores(entry.folder, stage.folder, stage.source)


def _tables(runs: Runs, id: str, name: str, query: Query) -> Answer:
    return runs.tables(id, name)


def _from_index(
    runs: Runs, id: str, name: str, ask: Callable[[sqlite3.Connection, queries.Stage], Answer], empty: Answer
) -> Answer:
    """Returns an answer out of a stage's index, which is first extended for at most `WAIT` seconds."""
    entry, stage = runs.stage(id, name)
    index = runs.indexer.ask(entry.folder, stage.folder, WAIT)
    with schema.reader(index.path) as db:
        if db is None and not empty:
            raise NotFoundError(index.error or "the episodes are not indexed yet; ask again")
        found = empty if db is None else ask(db, stage)
        return {**found, "incomplete": True} if index.progress < 1 and not index.error else found


def _indexed(
    ask: Callable[[sqlite3.Connection, queries.Stage, Query], Answer], empty: Answer
) -> Callable[[Runs, str, str, Query], Answer]:
    def view(runs: Runs, id: str, name: str, query: Query) -> Answer:
        return _from_index(runs, id, name, lambda db, stage: ask(db, stage, query), empty)

    return view


VIEWS: dict[str, Callable[[Runs, str, str, Query], Answer]] = {
    "steps": _steps,
    "results": _results,
    "corpus": _tables,
    "episodes": _indexed(
        queries.episodes, {"total": 0, "facets": {"status": {}, "finish": {}}, "sources": [], "broken": 0, "rows": []}
    ),
    "groups": _indexed(queries.groups, {"step": None, "steps": [], "total": 0, "rows": []}),
    "problems": _indexed(queries.problems, {"total": 0, "rows": []}),
    "histogram": _indexed(queries.histogram, {"edges": [], "counts": []}),
}
"""The views of a stage."""


def _compare(runs: Runs, query: Query) -> Answer:
    sides = []
    for side in ("a", "b"):
        id, _, name = query.get(side, "").partition("/")
        entry, stage = runs.stage(id, name)
        sides.append((entry.folder, stage_folder(entry, name), stage.source))
    return results.compare(sides[0], sides[1], query.get("task", ""))


def encoded(value: object) -> bytes:
    """Returns JSON in UTF-8: numbers that are not finite are null, and lone surrogates become U+FFFD."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:  # also a text that UTF-8 cannot encode
        return json.dumps(disk.storable(_finite(value)), ensure_ascii=False, separators=(",", ":")).encode()


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [*map(_finite, value)] if isinstance(value, list | tuple) else value


def failure(error: Exception) -> tuple[str, int] | None:
    """Returns the text and the status of an answer about an error; None for an error of the program."""
    if isinstance(error, InvalidRequestError):
        return str(error), 400
    if isinstance(error, sqlite3.OperationalError):
        slow = "interrupted" in str(error)
        return ("the search takes too long; use more filters" if slow else f"the index cannot be read: {error}"), 400
    if isinstance(error, sqlite3.DatabaseError):
        return "the index is damaged and is made again; ask again", 404
    if isinstance(error, RecursionError):
        return "a file of the run is nested too deeply", 404
    if isinstance(error, OSError):
        return f"a file of the run cannot be read: {error.strerror}", 404
    if isinstance(error, NotFoundError | UserError):
        return str(error), 404
    missing = explain(error, "this view")
    return (missing, 404) if missing else None


def application(runs: Runs, host: str = "127.0.0.1", token: str = "") -> ASGIApp:
    """Returns the server as an ASGI application.

    Args:
        runs: the runs to show.
        host: name or address that it listens on.
        token: secret that each request must have; empty for none.
    """
    files = {f"/static/{path.name}": path for path in sorted(STATIC.iterdir()) if path.suffix in TYPES}
    files["/"] = STATIC / "index.html"
    watcher = Watcher(runs.states)

    async def api(request: Request) -> Response:
        try:
            content = await run_in_threadpool(lambda: encoded(answer(runs, request.scope["path"], request.query_params)))
        except Exception as error:
            if (found := failure(error)) is None:
                raise
            return JSONResponse({"error": " ".join(found[0].split())}, found[1])
        return Response(content, media_type="application/json")

    async def static(request: Request) -> Response:
        path = files.get(request.scope["path"])
        if path is None:
            return JSONResponse({"error": "there is no such file"}, 404)
        return Response(await run_in_threadpool(path.read_bytes), media_type=TYPES[path.suffix])

    async def events(request: Request) -> Response:
        listener = watcher.listen()
        if listener is None:
            return JSONResponse({"error": "too many pages listen; close one"}, 503)
        return StreamingResponse(_events(watcher, listener), media_type="text/event-stream")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        watcher.close()
        await run_in_threadpool(runs.close)

    async def fault(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": f"the server has a fault ({type(error).__name__}); its terminal says more"}, 500)

    routes = [Route("/api/events", events), Route("/api/{path:path}", api), Route("/{path:path}", static)]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={Exception: fault})
    app.state.watcher = watcher
    return security.Guard(app, host, token)


async def _events(watcher: Watcher, listener: int) -> AsyncIterator[bytes]:
    """Yields the changes of files as server-sent events."""
    try:
        yield b": tenfold\n\n"
        silent = 0.0
        while (changes := watcher.changes(listener)) is not None:
            for run, stage in changes:
                yield b"data: " + encoded({"run": run, "stage": stage}) + b"\n\n"
            silent = 0.0 if changes else silent + SECONDS / 4
            if silent >= PING:
                silent = 0.0
                yield b": still here\n\n"
            await asyncio.sleep(SECONDS / 4)
    finally:
        watcher.leave(listener)


def serve(folders: Sequence[str], host: str, port: int, with_token: bool, show: Callable[[str], None]) -> None:
    """Serves until it is interrupted.

    Args:
        folders: runs, folders of runs, and benchmark folders.
        host: name or address to listen on.
        port: port; 0: a free one.
        with_token: whether requests need a token also on the loopback address.
        show: called with the URL to open, which is that of the run if there is one run.

    Raises:
        UserError: a folder does not exist, or the address is not free.
    """
    runs = Runs(Folders(folders))
    entries = runs.folders.entries()
    token = listening.token(host, with_token)
    with listening.bound(host, port) as bound:
        page = f"?token={token}" if token else f"#/{entries[0].id}" if len(entries) == 1 else ""
        show(f"{listening.url(host, bound)}/{page}")
        runs.kinds.get(0)
        options = uvicorn.Config(
            application(runs, host, token),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
            lifespan="on",
            limit_concurrency=200,
            ws="none",
            proxy_headers=False,
        )
        with suppress(KeyboardInterrupt):  # uvicorn ends, and then raises the signal again
            Server(options).run(sockets=[bound])


class Server(uvicorn.Server):
    """uvicorn's server. An event stream does not keep it from ending."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends the event streams first."""
        guard = self.config.app
        if isinstance(guard, security.Guard) and isinstance(guard.app, Starlette):
            guard.app.state.watcher.close()
        await super().shutdown(sockets)
