"""Environments with the tools of an MCP server (Model Context Protocol), through the official SDK.

    tenfold.register("lab/Files-v0", entry_point="tenfold.envs.mcp:with_mcp", environment="lab/Questions-v0", server="files")

The server is named in a file of the form that other MCP clients have. The environment variable TENFOLD_MCP_CONFIG is the path
of this file. So a recipe can name a server, but only the user can say which program or address it is:

    {"mcpServers": {"files": {"command": "python", "args": ["files_server.py"], "env": {"ROOT": "data"}},
                    "search": {"url": "http://localhost:8000/mcp"}}}

A server with a command is started anew for each episode. What a server says is data: it is shown to the policy and has no other
effect.
"""

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import gymnasium

from .. import extras
from ..core import Info, Message, UserError
from ..disk import storable
from ..policies.chat import tools as declarations
from ..texts import without_surrogates
from ..verifiers.calls import formats
from ..verifiers.calls.call import Malformed, ParsedCall
from .problems.parts import integer
from .services.environment import INSTRUCTION, RULE
from .text import observation, with_system
from .tools import make_inner

if TYPE_CHECKING:
    from mcp import StdioServerParameters
    from mcp.types import CallToolResult, Tool

VARIABLE = "TENFOLD_MCP_CONFIG"
"""Environment variable with the path of the file that names the servers."""
START_SECONDS, CLOSE_SECONDS = 30.0, 10.0
"""Time limits for the start and for the end of a server. Our choice."""
MAX_PAGES = 20
"""Limit of pages of a server's list of tools. Our choice."""


class MCPToolsWrapper(gymnasium.Wrapper[str, str, str, str]):
    """Adds the tools of an MCP server to a text environment. A turn without a call of such a tool is the response."""

    def __init__(
        self,
        environment: gymnasium.Env[str, str],
        server: str,
        tools: Sequence[str] | None = None,
        max_calls: int = 8,
        max_output: int = 4_000,
        seconds: float = 30.0,
        describe: str = "json",
        instruction: str | None = None,
    ):
        """Wraps an environment.

        Args:
            environment: the environment that contains the problem and judges the response.
            server: name of the server in the file that TENFOLD_MCP_CONFIG names.
            tools: names of the tools that the policy may call; all of the server's by default.
            max_calls: number of calls in an episode. A turn with further calls is judged as the response.
            max_output: limit of the results of a turn, in characters.
            seconds: time limit of a call. A call that exceeds it is an error that the policy sees.
            describe: form of the tools in the prompt: "json" or "template", as in `services/environment.py`.
            instruction: text of the system turn, before the tools; default: that of `services/environment.py`.

        Raises:
            UserError: an argument is invalid, or the file does not name the server.
        """
        super().__init__(environment)
        integer("max_calls", max_calls, 0)
        integer("max_output", max_output, 1)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
            raise UserError(f"seconds: expected a number above 0, got {seconds!r:.80}")
        self.server, self.tools, self.seconds = server, tools, float(seconds)
        if describe not in ("json", "template"):
            raise UserError(f"describe: expected json or template, got {describe!r:.80}")
        self.by_template = describe == "template"
        self.instruction = instruction if instruction is not None else RULE if self.by_template else INSTRUCTION
        self.max_calls, self.max_output = max_calls, max_output
        self.target = target_of(server)
        self.calls = 0
        self._connection: _Connection | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Connects to the server and poses the problem, with the tools in the system turn.

        Raises:
            UserError: the server cannot be reached, or has no tools.
        """
        self._disconnect()
        self.calls = 0
        text, info = self.env.reset(seed=seed, options=options)
        self._connection = _Connection(self.server, self.target, self.tools)
        declared = [storable(_declaration(tool)) for tool in self._connection.tools.values()]
        listed = "\n".join(json.dumps(declaration, ensure_ascii=False) for declaration in declared)
        system = without_surrogates(self.instruction if self.by_template else self.instruction + listed)
        prompt = with_system(system, info.get("messages") or (Message(role="user", content=text),))
        if self.by_template:
            inner, turns = declarations.split(prompt)
            prompt = tuple(declarations.joined([*inner, *declared], turns))
        return observation(prompt), info | {"messages": prompt}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Calls tools, or passes the response to the environment."""
        if self._connection is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        try:
            calls = formats.calls_in(action, self._connection.declared)
        except Malformed as error:
            calls = []
            if self.calls < self.max_calls:
                return self._reply([_error(f"the call cannot be read: {error}")])
        if not calls or self.calls + len(calls) > self.max_calls:
            text, reward, terminated, truncated, info = self.env.step(action)
            if terminated or truncated:
                self._disconnect()
            return text, float(reward), terminated, truncated, info
        return self._reply([self._connection.call(call, self.seconds) for call in calls])

    def close(self) -> None:
        """Ends the connection, and closes the environment."""
        self._disconnect()
        super().close()

    def _reply(self, results: Sequence[str]) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.calls += len(results)
        text = "\n".join(results)
        return text[: self.max_output], 0.0, False, False, dict(Info(role="tool", tool_calls=self.calls))

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def target_of(server: str) -> "StdioServerParameters | str":
    """Returns the program or the URL of a server.

    Raises:
        UserError: the variable is not set, or the file does not name the server in this form.
    """
    with extras.required_by("an environment with the tools of an MCP server"):
        from mcp import StdioServerParameters
    path = os.environ.get(VARIABLE)
    if not path:
        raise UserError(f"set {VARIABLE} to the path of a file that names MCP servers: {{'mcpServers': {{{server!r}: ...}}}}")
    try:
        named = json.loads(Path(path).read_text(encoding="utf-8"))["mcpServers"]
        entry = named[server]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path} ({VARIABLE}) names no MCP server {server!r} ({type(error).__name__})") from None
    if isinstance(entry, Mapping) and isinstance(entry.get("url"), str):
        return str(entry["url"])
    try:
        return StdioServerParameters(**{name: entry[name] for name in ("command", "args", "env", "cwd") if name in entry})
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {server}: expected command and args, or url ({type(error).__name__})") from None


class _Connection:
    """A connection to a server. Its event loop runs in a daemon thread, so that it does not keep a process from ending."""

    def __init__(self, name: str, target: "StdioServerParameters | str", wanted: Sequence[str] | None):
        """Connects, and lists the tools.

        Args:
            name: name of the server, for errors.
            target: see `target_of`.
            wanted: names of the tools to keep; None: all.

        Raises:
            UserError: the server cannot be reached, or lacks a tool.
        """
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._ready: Future[dict[str, Tool]] = Future()
        self._over = asyncio.run_coroutine_threadsafe(self._serve(target), self._loop)
        try:
            listed = self._ready.result(START_SECONDS)
        except Exception as error:  # of any type: the program does not start, the address does not answer, the protocol differs
            self.close()
            raise UserError(f"the MCP server {name} cannot be used: {_reason(error)}") from error
        if unknown := set(wanted or ()) - set(listed):
            self.close()
            raise UserError(f"the MCP server {name} has no tool {min(unknown)}; its tools are {', '.join(listed)}")
        self.tools: dict[str, Tool] = {tool: listed[tool] for tool in (listed if wanted is None else wanted)}
        self.declared = {
            tool: cast(Mapping[str, object], found.input_schema.get("properties") or {}) for tool, found in self.tools.items()
        }

    def call(self, call: ParsedCall, seconds: float) -> str:
        """Returns the result of a call as text: what the tool returns, or {"error": MESSAGE}.

        Args:
            call: the call.
            seconds: time limit.

        Raises:
            ConnectionError: the server has ended.
        """
        if call.name not in self.tools:
            return _error(f"there is no tool {call.name[:100]}")
        try:
            arguments = json.loads(without_surrogates(json.dumps(dict(call.arguments), allow_nan=False, ensure_ascii=False)))
        except (TypeError, ValueError, RecursionError):
            return _error("the arguments are not JSON data")
        called = asyncio.run_coroutine_threadsafe(self._client.call_tool(call.name, arguments, seconds), self._loop)
        try:
            result = called.result(seconds + START_SECONDS)
        except Exception as error:  # of any type: an error of the server, a result that is not of the tool's schema
            called.cancel()
            if self._over.done() or _is_closed(error):
                raise ConnectionError(f"the MCP server has ended: {_reason(error)}") from error
            return _error(_reason(error))
        text = _text(result)
        return _error(text) if result.is_error else text

    def close(self) -> None:
        """Ends the connection. A server that was started for it ends too."""
        if self._loop.is_closed():
            return
        self._over.cancel()
        with contextlib.suppress(Exception, CancelledError):  # the server may have ended already
            self._over.result(CLOSE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _serve(self, target: "StdioServerParameters | str") -> None:
        """Keeps the connection until it is cancelled."""
        from mcp import Client, stdio_client

        try:
            with open(os.devnull, "w") as log:  # else each server writes to this process's stderr
                transport = target if isinstance(target, str) else stdio_client(target, errlog=log)
                async with Client(transport, read_timeout_seconds=START_SECONDS) as self._client:
                    self._ready.set_result(await self._listed())
                    await asyncio.Event().wait()
        except Exception as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _listed(self) -> "dict[str, Tool]":
        found: dict[str, Tool] = {}
        cursor = None
        for _ in range(MAX_PAGES):
            page = await self._client.list_tools(cursor=cursor)
            found |= {tool.name: tool for tool in page.tools}
            cursor = page.next_cursor
            if cursor is None:
                break
        if not found:
            raise ValueError("it has no tools")
        return found


def _is_closed(error: Exception) -> bool:
    """True if the SDK reports that the connection has ended."""
    from mcp import MCPError
    from mcp.types import CONNECTION_CLOSED

    return isinstance(error, MCPError) and error.code == CONNECTION_CLOSED


def _text(result: "CallToolResult") -> str:
    """Returns the texts of a result; for other content, its kind."""
    parts = [block.text if block.type == "text" else f"[{block.type}]" for block in result.content]
    if not parts and result.structured_content is not None:
        parts = [json.dumps(result.structured_content, ensure_ascii=False)]
    return without_surrogates("\n".join(parts))


def _declaration(tool: "Tool") -> dict[str, object]:
    described = {"name": tool.name, "description": tool.description or "", "parameters": tool.input_schema}
    return {"type": "function", "function": described}


def _error(message: str) -> str:
    return json.dumps({"error": message}, ensure_ascii=False)


def _reason(error: BaseException) -> str:
    """Returns an error in one line. Of a group of errors it is the first."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return " ".join(str(error).split())[:300] or type(error).__name__


def with_mcp(environment: str, server: str, problems: str | None = None, **options: Any) -> MCPToolsWrapper:
    """Creates an environment with the tools of an MCP server.

    Args:
        environment: id of the environment to wrap.
        server: name of the server; see `MCPToolsWrapper`.
        problems: problem URI instead of the environment's own.
        **options: see `MCPToolsWrapper`.
    """
    return MCPToolsWrapper(make_inner(environment, problems), server, **options)
