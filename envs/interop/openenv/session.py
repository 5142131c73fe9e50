"""The sessions of `tenfold serve`: a client of OpenEnv plays one environment, whose calls run in the session's own thread.

A session answers one message after another. It reads one message ahead, so that it notices during a long call that the client
has gone. Reading further is left to the client's connection, whose buffers are bounded.
"""

import asyncio
import dataclasses
import functools
import json
import logging
import math
import queue
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, cast

import gymnasium
from starlette.websockets import WebSocket

from .... import faults
from ....core import Completion, Function, Info, Message, ToolCall, UserError, message_text
from ....disk import storable
from ....policies.chat import tools
from ....policies.play.games import environment_error
from ....policies.store import verdict_to_json
from ....texts import without_secrets, without_surrogates
from ...spaces import MAX_CHARACTERS

Environment = gymnasium.Env[str, str]
Data = Mapping[str, Any]
"""The field `data` of a message."""
ACTION_FIELDS = frozenset({"text", "finish_reason", "metadata"})
CALL_FIELDS = frozenset({"type", "tool_name", "arguments", "metadata"})
SEND_SECONDS = 60.0
"""Time limit for sending an answer to a client that does not read. Our choice."""
INVALID_JSON, UNKNOWN_TYPE, INVALID, FAILED, FULL, LATE = (
    *("INVALID_JSON", "UNKNOWN_TYPE", "VALIDATION_ERROR", "EXECUTION_ERROR", "CAPACITY_REACHED", "SESSION_ERROR"),
)
"""OpenEnv's codes of errors."""
GOING_AWAY, INTERNAL_ERROR, TRY_AGAIN_LATER = 1001, 1011, 1013
"""Codes with which a WebSocket is closed (RFC 6455)."""
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a server. The defaults are our choice."""

    sessions: int = 256
    """Number of sessions. An abandoned call counts until it ends."""
    idle: float = 600.0
    """Seconds without a message after which a session is closed."""
    step: float = 600.0
    """Seconds of one call of the environment. The session is closed after a longer one."""
    message: int = 4 << 20
    """Bytes of a message from a client."""
    memory: int | None = None
    """Bytes of resident memory of the server above which it accepts no further session."""


class Refused(Exception):
    """A message that cannot be answered; the episode goes on."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


class Environments:
    """Environments of one id. One whose episode has ended is used again, because making another may read all problems."""

    def __init__(self, make: Callable[[], Environment]):
        """Makes the first environment.

        Args:
            make: creates an environment.

        Raises:
            UserError: it cannot be created.
        """
        self._make, self._lock, self._making = make, threading.Lock(), threading.Lock()
        self._free = [make()]
        self._closed = False

    @property
    def first(self) -> Environment:
        """The first environment, before it is taken."""
        return self._free[0]

    def take(self) -> Environment:
        """Returns an environment for one session."""
        with self._lock:
            if self._free:
                return self._free.pop()
        with self._making:  # one at a time, so that the problems are read once
            return self._make()

    def give_back(self, environment: Environment) -> None:
        """Takes an environment back, between two episodes."""
        with self._lock:
            if not self._closed:
                self._free.append(environment)
                return
        environment.close()

    def close(self) -> None:
        """Closes the environments that no session has. Those of sessions are closed when they are given back."""
        with self._lock:
            free, self._free, self._closed = self._free, [], True
        for environment in free:
            _close(environment)


def _close(environment: Environment) -> None:
    try:
        environment.close()
    except Exception as error:  # an environment that has failed may fail here again
        LOG.warning("an environment cannot be closed: %s", faults.described(error))


class Worker:
    """A thread that makes blocking calls one after another. Python does not wait for it at its end."""

    def __init__(self) -> None:
        """Starts the thread."""
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, daemon=True, name="tenfold: session")
        self.thread.start()

    def submit(self, call: Callable[[], Any]) -> "Future[Any]":
        """Starts a call after the earlier ones."""
        future: Future[Any] = Future()
        self._calls.put((future, call))
        return future

    def end(self) -> None:
        """Ends the thread after the calls."""
        self._calls.put(None)

    def _run(self) -> None:
        while (item := self._calls.get()) is not None:
            future, call = item
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:
                    future.set_exception(error)


class Player:
    """One client's episodes. The methods block; they run in the session's thread."""

    def __init__(self, environments: Environments):
        """Begins without an environment, which the first reset takes."""
        self.environments = environments
        self.environment: Environment | None = None
        self.playing = False
        self.state: dict[str, object] = {"episode_id": None, "step_count": 0}
        self.tools: tools.Tools = ()

    def reset(self, data: Data) -> dict[str, object]:
        """Starts an episode, and returns the observation.

        Args:
            data: `seed`, `index` (the problem's), `sample` and `episode_id`, all optional. Other entries are ignored, as
                OpenEnv's own server does.

        Raises:
            Refused: an entry is invalid, or there is no such problem.
        """
        seed, index, sample = (_integer(data, name) for name in ("seed", "index", "sample"))
        episode = data.get("episode_id")
        if episode is not None and not (isinstance(episode, str) and len(episode) <= 255):
            raise Refused(INVALID, "episode_id: expected a text of at most 255 characters")
        given = {"problem": index, "sample": sample}
        options = {name: value for name, value in given.items() if value is not None}
        self._leave()
        self.environment = self.environments.take()
        try:
            text, raw_info = self.environment.reset(seed=seed, options=options)
        except UserError as error:
            raise Refused(INVALID, str(error)) from None
        except Exception:
            self._drop()
            raise
        info = cast(Info, raw_info)
        messages = info.get("messages")
        self.tools = tools.split(messages)[0] if messages else ()
        problem = _some(info, "problem_id", "index")
        self.playing = True
        self.state = {"episode_id": episode or uuid.uuid4().hex, "step_count": 0, "done": False, **problem}
        return _observation({"text": text, "role": "user", "messages": messages, **problem}, None, False)

    def step(self, data: Data) -> dict[str, object]:
        """Passes an action to the environment, and returns the observation.

        Args:
            data: {"text": the policy's turn}, with `finish_reason` "length" if it is cut; or one of OpenEnv's actions
                {"type": "call_tool", "tool_name": NAME, "arguments": {…}} and {"type": "list_tools"}.

        Raises:
            Refused: the action is invalid, or no episode is in play.
        """
        if data.get("type") == "list_tools":
            return _observation({"tools": [_tool(each) for each in self.tools]}, None, False)
        tool = data.get("type") == "call_tool"
        action = _call(data) if tool else _text(data)
        if not self.playing or self.environment is None:
            raise Refused(FAILED, "no episode is in play: send reset first")
        try:
            text, reward, terminated, truncated, raw_info = self.environment.step(action)
            info, reward, done = cast(Info, raw_info), float(reward), bool(terminated or truncated)
        except Exception:
            self._drop()
            raise
        self.playing = not done
        self.state |= {"step_count": cast(int, self.state["step_count"]) + 1, "done": done}
        verdict = info.get("verdict")
        kept = _some(info, "problem_id", "tool_calls", "invalid_actions")
        content: dict[str, object] = {"text": text, "role": info.get("role", "user"), "truncated": bool(truncated), **kept}
        if verdict is not None:
            content["verdict"] = {**verdict_to_json(verdict), "judge_messages": ()}  # those may contain the gold answer
        if tool:
            content |= {"tool_name": data["tool_name"], "result": text, "error": None}
        is_scored = math.isfinite(reward) and (verdict is None or verdict.score is not None)
        return _observation(content, reward if is_scored else None, done)

    def close(self) -> None:
        """Gives the environment back, or closes it within an episode."""
        self._leave()

    def _leave(self) -> None:
        if self.playing:
            self._drop()
        elif self.environment is not None:
            self.environments.give_back(self.environment)
        self.environment = None

    def _drop(self) -> None:
        """Closes the environment, which has failed or is within an episode."""
        self.playing = False
        if self.environment is not None:
            _close(self.environment)
        self.environment = None


def _some(info: Info, *names: str) -> dict[str, object]:
    """Returns the named entries of an environment's `info` that exist."""
    found = {name: value for name, value in info.items() if name in names}
    return {**found, "problem_id": str(found["problem_id"])} if "problem_id" in found else found


def _integer(data: Data, name: str) -> int | None:
    value = data.get(name)
    if value is None or (type(value) is int and 0 <= value < 1 << 64):
        return value
    raise Refused(INVALID, f"{name}: expected an integer from 0 to 2**64 - 1")


def _text(data: Data) -> str:
    """Returns the part of a turn that is judged."""
    text, reason = data.get("text"), data.get("finish_reason", "stop")
    if unknown := data.keys() - ACTION_FIELDS:
        raise Refused(INVALID, f"the action has no field {min(unknown)[:80]!r}; its fields are text and finish_reason")
    if not isinstance(text, str) or len(text) > MAX_CHARACTERS:
        raise Refused(INVALID, f"text: expected a text of at most {MAX_CHARACTERS:,} characters")
    if reason not in ("stop", "length"):
        raise Refused(INVALID, "finish_reason: expected stop or length")
    return Completion(without_surrogates(text), reason).scorable_text


def _call(data: Data) -> str:
    """Returns a call of a tool as a turn of the policy."""
    name, arguments = data.get("tool_name"), data.get("arguments", {})
    if data.keys() - CALL_FIELDS or not isinstance(name, str) or not isinstance(arguments, dict):
        raise Refused(INVALID, "call_tool: expected tool_name, a text, and arguments, an object")
    call = ToolCall(type="function", function=Function(name=name, arguments=arguments))
    try:
        text = message_text(Message(role="assistant", content="", tool_calls=[call]))
    except RecursionError:
        raise Refused(INVALID, "call_tool: the arguments are nested too deeply") from None
    if len(text) > MAX_CHARACTERS:
        raise Refused(INVALID, f"call_tool: expected at most {MAX_CHARACTERS:,} characters")
    return without_surrogates(text)


def _tool(declared: Mapping[str, Any]) -> dict[str, object]:
    """Returns a declaration in the form of OpenEnv's `Tool`."""
    function = declared.get("function", declared)
    return {
        "name": function.get("name", ""),
        "description": function.get("description", ""),
        "input_schema": function.get("parameters", {}),
    }


def _observation(content: Data, reward: float | None, done: bool) -> dict[str, object]:
    return {"type": "observation", "data": {"observation": {**content, "metadata": {}}, "reward": reward, "done": done}}


def error(code: str, message: str, **further: object) -> dict[str, object]:
    """Returns an error as a message to the client."""
    return {"type": "error", "data": {"message": without_secrets(message), "code": code, **further}}


def encoded(answer: object) -> str:
    """Returns an answer as JSON. Lone surrogates become U+FFFD."""
    return json.dumps(storable(answer), ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str)


class Session:
    """The conversation with one client."""

    def __init__(self, websocket: WebSocket, player: Player, worker: Worker, limits: Limits):
        """Prepares a session with an accepted connection."""
        self.websocket, self.player, self.worker, self.limits = websocket, player, worker, limits
        self.ahead = asyncio.ensure_future(websocket.receive())
        """The next message."""

    async def run(self) -> None:
        """Answers messages until the client closes the session, is silent for too long, or a call takes too long."""
        try:
            while True:
                await asyncio.wait({self.ahead}, timeout=self.limits.idle)
                if not self.ahead.done():
                    await self._close(GOING_AWAY, f"no message for {self.limits.idle:g} s")
                    return
                message = self.ahead.result()
                if message["type"] == "websocket.disconnect":
                    return
                self.ahead = asyncio.ensure_future(self.websocket.receive())
                answer, goes_on = await self._answer(message.get("text") or message.get("bytes") or "")
                if answer is not None:
                    await asyncio.wait_for(self.websocket.send_text(answer), SEND_SECONDS)
                if not goes_on:
                    await self._close(1000 if answer is None else INTERNAL_ERROR, "")
                    return
        finally:
            self.ahead.cancel()

    async def _close(self, code: int, reason: str) -> None:
        await asyncio.wait_for(self.websocket.close(code, reason), SEND_SECONDS)

    async def _answer(self, text: str | bytes) -> tuple[str | None, bool]:
        """Returns the answer to a message, as JSON, and false if the session ends after it."""
        try:
            asked = json.loads(text)
        except (ValueError, RecursionError) as wrong:
            return encoded(error(INVALID_JSON, f"invalid JSON: {wrong}")), True
        kind, data = (asked.get("type"), asked.get("data")) if isinstance(asked, dict) else (None, None)
        if kind == "close":
            return None, False
        if kind == "state":
            return encoded({"type": "state", "data": self.player.state}), True
        if kind not in ("reset", "step"):
            return encoded(error(UNKNOWN_TYPE, f"expected the type reset, step, state or close, got {str(kind)[:80]!r}")), True
        if not isinstance(data, dict) and not (data is None and kind == "reset"):
            return encoded(error(INVALID, f"{kind}: data: expected an object")), True
        call = self.player.reset if kind == "reset" else self.player.step
        return await self._called(functools.partial(_encoded_answer, call, data or {}))

    async def _called(self, call: Callable[[], str]) -> tuple[str | None, bool]:
        """Makes a call in the session's thread, and returns its result, and whether the session goes on."""
        called = asyncio.wrap_future(self.worker.submit(call))
        waited: set[asyncio.Future[Any]] = {called, self.ahead}
        end = time.monotonic() + self.limits.step
        while not called.done() and (left := end - time.monotonic()) > 0:
            await asyncio.wait(waited, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if self.ahead.done():
                if self.ahead.result()["type"] == "websocket.disconnect":
                    called.cancel()  # the call itself goes on
                    return None, False
                waited = {called}
        if called.done():
            return called.result(), True
        called.cancel()
        return _fault(TimeoutError(f"a call took longer than {self.limits.step:g} s")), False


def _encoded_answer(call: Callable[[Data], dict[str, object]], data: Data) -> str:
    """Returns the answer of a player as JSON. An exception of the environment is an error, with the verdict of a fault."""
    try:
        return encoded(call(data))
    except Refused as refused:
        return encoded(error(refused.code, str(refused)))
    except Exception as failed:
        return _fault(failed)


def _fault(failed: Exception) -> str:
    """Returns the answer about an exception of the environment: an error with the verdict that a rollout records."""
    verdict = environment_error(failed)
    verdict = dataclasses.replace(verdict, reason=without_secrets(verdict.reason))
    LOG.warning("fault: %s", verdict.reason)
    return encoded(error(FAILED, verdict.reason, verdict=verdict_to_json(verdict)))
