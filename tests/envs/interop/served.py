"""Servers of OpenEnv for the tests, in threads: those of `tenfold serve`, and others that are written out."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gymnasium
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.sync.client import ClientConnection, connect

from tenfold.core import Status, Verdict
from tenfold.envs.interop.openenv import server as openenv_server
from tenfold.envs.interop.openenv.session import Limits
from tenfold.envs.text import Text
from tenfold.policies.server import listening


@contextlib.contextmanager
def running(web: uvicorn.Server) -> Iterator[str]:
    """Runs a server in a thread; yields its URL."""
    with listening.bound("127.0.0.1", 0) as bound:
        thread = threading.Thread(target=web.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        yield listening.url("127.0.0.1", bound)
        web.should_exit = True
        thread.join()


@contextlib.contextmanager
def served(id: str, limits: Limits | None = None, token: str = "", host: str = "127.0.0.1", **options: object) -> Iterator[str]:
    """Serves an environment as `tenfold serve` does; yields the URL."""
    server = openenv_server.Server(id, options, limits or Limits())
    with running(openenv_server.web_server(server, host, token)) as url:
        yield url
    server.close()


class Client:
    """A client that sends messages as they are."""

    def __init__(self, url: str, **options: Any):
        opening = connect(f"ws{url.removeprefix('http')}/ws", max_size=None, **options)
        self.socket: ClientConnection = contextlib.ExitStack().enter_context(opening)

    def ask(self, message: object) -> Any:
        """Sends a message, and returns the answer."""
        self.send(message)
        return self.answer()

    def send(self, message: object) -> None:
        self.socket.send(message if isinstance(message, str) else json.dumps(message))

    def answer(self) -> Any:
        return json.loads(self.socket.recv(30))

    def reset(self, **data: object) -> Any:
        return self.ask({"type": "reset", "data": data})

    def step(self, text: str, **data: object) -> Any:
        return self.ask({"type": "step", "data": {"text": text, **data}})


class Judged(gymnasium.Env[str, str]):
    """Judges a response by its words: "fault", "undecided", "raise", "nan", "wait", or a number as the score."""

    release = threading.Event()
    """Ends the waiting."""
    waiting = threading.Event()
    """Set while an environment waits."""
    closed = 0

    def __init__(self) -> None:
        self.observation_space, self.action_space = Text(), Text()
        self.problems = range(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        if seed == 13:
            raise RuntimeError("no reset with seed 13")
        return "Say something.", {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        verdicts = {
            "fault": Verdict(Status.FAULT, None, "judge", "the judge is down"),
            "undecided": Verdict(Status.UNDECIDED, None, "exact", "the gold answer is unreadable"),
        }
        if action == "raise":
            raise RuntimeError("the machine is on fire; http://user:secret@host/ says more")
        if action == "more":
            return "Go on.", 0.25, False, False, {}
        if action == "wait":
            type(self).waiting.set()
            type(self).release.wait(60)
            return "", 1.0, True, False, {}
        if action in verdicts:
            return "", float("nan"), True, False, {"verdict": verdicts[action]}
        return "", float(action), True, False, {}

    def close(self) -> None:
        type(self).closed += 1


Answers = Callable[[dict[str, Any]], Sequence[object] | object]


def other_server(answers: Answers, schema: dict[str, Any], tasks: int | None = None) -> uvicorn.Server:
    """Returns a server of OpenEnv that is not of this package.

    Args:
        answers: returns the answer to a message; None closes the connection, a text is sent as it is.
        schema: the schema of actions.
        tasks: number of problems of its Task API; None: it has none.
    """

    async def session(websocket: WebSocket) -> None:
        await websocket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            while (asked := json.loads(await websocket.receive_text()))["type"] != "close":
                if (answer := answers(asked)) is None:
                    break
                await websocket.send_text(answer if isinstance(answer, str) else json.dumps(answer))
            await websocket.close()

    async def schemas(request: Request) -> Response:
        return JSONResponse({"action": schema, "observation": {"title": "EchoObservation"}, "state": {}})

    async def names(request: Request) -> Response:
        return JSONResponse(["echo"] if tasks is not None else {"detail": "Not Found"}, 200 if tasks is not None else 404)

    async def splits(request: Request) -> Response:
        return JSONResponse([{"name": "train", "type": "train"}, {"name": "test", "type": "test"}])

    async def count(request: Request) -> Response:
        return JSONResponse({"num_tasks": tasks if (await request.json())["split"] == "train" else 1})

    routes = [
        WebSocketRoute("/ws", session),
        Route("/schema", schemas),
        Route("/list_environments", names),
        Route("/echo/splits", splits),
        Route("/echo/num_tasks", count, methods=["POST"]),
    ]
    return of_application(Starlette(routes=routes))


def of_application(application: ASGIApp) -> uvicorn.Server:
    return uvicorn.Server(uvicorn.Config(application, ws="websockets-sansio", log_level="critical", lifespan="off"))
