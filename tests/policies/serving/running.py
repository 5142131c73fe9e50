"""A policy server in a thread of the tests."""

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping

import httpx
import uvicorn
from starlette.applications import Starlette

from tenfold.core import Policy
from tenfold.policies.server import listening
from tenfold.policies.serving import server
from tenfold.policies.serving.batching import Batches

NAME = "small"
_SERVERS: dict[str, Batches] = {}


@contextlib.contextmanager
def serving(policy: Policy, token: str = "", host: str = "127.0.0.1") -> Iterator[str]:
    """Serves a policy, and yields the URL without /v1."""
    with listening.bound("127.0.0.1", 0) as bound:
        app = server.application(policy, NAME, host, token)
        running = server.Server(uvicorn.Config(app, log_level="critical", lifespan="on", timeout_graceful_shutdown=2))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        url = listening.url("127.0.0.1", bound)
        assert isinstance(app, server.Guard)
        assert isinstance(app.app, Starlette)
        _SERVERS[url] = app.app.state.batches
        try:
            yield url
        finally:
            running.should_exit = True
            thread.join()


def batches_of(url: str) -> Batches:
    """Returns the batches of a server."""
    return _SERVERS[url]


def post(url: str, path: str, body: object, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """Sends a request of the form that clients use."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(
        f"{url}{path}", content=content, headers={"content-type": "application/json", **(headers or {})}, timeout=60
    )
