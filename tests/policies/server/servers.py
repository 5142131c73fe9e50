"""An OpenAI-compatible server with replies that a test sets."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

Request = dict[str, Any]


class Reply(NamedTuple):
    """A reply of the server."""

    body: Any = None
    """Sent as JSON unless it is bytes."""
    status: int = 200
    content_type: str = "application/json"
    missing: int = 0
    """Number of bytes by which Content-Length exceeds the body, so that the reply ends early."""


def answer(content: Any, finish_reason: Any = "stop", **more: Any) -> dict[str, Any]:
    """Returns a chat completion. `more` overrides its fields; the fields of `message` are added to the message."""
    message = {"role": "assistant", "content": content} | more.pop("message", {})
    choice = {"index": 0, "message": message, "finish_reason": finish_reason} | more.pop("choice", {})
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage} | more


def error(message: str, **fields: Any) -> dict[str, Any]:
    """Returns the body of an error in OpenAI's format."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None} | fields}


class Server(ThreadingHTTPServer):
    """Replies with `reply(request)`, and records the requests."""

    def __init__(self, reply: Callable[[Request], Reply]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply, self.guard = reply, threading.Lock()
        self.requests: list[Request] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.guard:
            self.server.requests.append(request)
            reply = self.server.reply(request)
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(body) + reply.missing))
        if reply.status != 200:
            self.send_header("retry-after-ms", "1")
        self.end_headers()
        self.wfile.write(body)
        if reply.missing:
            self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(reply: Callable[[Request], Reply]) -> Iterator[Server]:
    """Runs a server for the duration of the block."""
    server = Server(reply)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
