"""Environments with the tools of a real MCP server, as a program and over HTTP."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import tenfold
from tenfold import UserError
from tenfold.envs.mcp import MCPToolsWrapper

pytest.importorskip("mcp")

SERVER = '''
import os, sys, time
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("notes")
NOTES = {"shopping": "milk"}

@server.tool()
def read_note(name: str) -> str:
    """Returns a note."""
    if name not in NOTES:
        raise ToolError(f"there is no note {name}")
    return NOTES[name]

@server.tool()
def write_note(name: str, text: str) -> str:
    """Writes a note."""
    NOTES[name] = text
    return "written"

@server.tool()
def add(first: int, second: int) -> int:
    """Adds two numbers."""
    return first + second

@server.tool()
def wait(seconds: float) -> str:
    """Waits."""
    time.sleep(seconds)
    return "over"

@server.tool()
def end() -> str:
    """Ends the server."""
    os._exit(3)

if sys.argv[1:]:
    server.run("streamable-http", port=int(sys.argv[1]))
else:
    server.run()
'''
QUESTIONS = [{"question": "What is 17 + 25?", "answer": 42}]


@pytest.fixture
def config(lab: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that names the servers."""
    (lab / "notes.py").write_text(SERVER)
    (lab / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    path = lab / "mcp.json"
    servers = {
        "notes": {"command": sys.executable, "args": ["notes.py"]},
        "missing": {"command": str(lab / "no_such_program")},
        "silent": {"command": sys.executable, "args": ["-c", "pass"]},
        "wrong": {"args": []},
        "nobody": {"url": "http://127.0.0.1:9/mcp"},
    }
    path.write_text(json.dumps({"mcpServers": servers}))
    monkeypatch.setenv("TENFOLD_MCP_CONFIG", str(path))
    tenfold.register("lab/Sums-v0", problems="jsonl:questions.jsonl", verifier="math")
    return path


@pytest.fixture
def environment(config: Path) -> Iterator[gymnasium.Env[str, str]]:
    tenfold.register("lab/SumsMCP-v0", entry_point="tenfold.envs.mcp:with_mcp", environment="lab/Sums-v0", server="notes")
    env = tenfold.make("lab/SumsMCP-v0")
    yield env
    env.close()


def call(tool: str, /, **arguments: Any) -> str:
    return f"<tool_call>\n{json.dumps({'name': tool, 'arguments': arguments})}\n</tool_call>"


def test_tools_of_a_server_are_described_called_and_the_answer_is_judged(environment: gymnasium.Env[str, str]) -> None:
    prompt, info = environment.reset()
    assert '"name": "add", "description": "Adds two numbers."' in prompt
    assert info["messages"][0]["role"] == "system"
    reply, reward, terminated, _, info = environment.step(call("add", first=17, second=25))
    assert (reply, reward, terminated, info["role"], info["tool_calls"]) == ("42", 0.0, False, "tool", 1)
    _, reward, terminated, _, info = environment.step("It is 42.")
    assert (reward, terminated) == (1, True)


def test_tools_of_a_server_can_be_declared_as_tools_of_the_chat_template(config: Path) -> None:
    tenfold.register(
        "lab/SumsByTemplate-v0",
        entry_point="tenfold.envs.mcp:with_mcp",
        environment="lab/Sums-v0",
        server="notes",
        tools=["add"],
        describe="template",
    )
    env = tenfold.make("lab/SumsByTemplate-v0")
    observation, info = env.reset()
    (declared,) = info["messages"][0]["tools"]
    assert (declared["function"]["name"], '"name": "add"' in observation) == ("add", True)
    assert "add" not in info["messages"][0]["content"]
    assert env.step(call("add", first=17, second=25))[0] == "42"
    env.close()


def test_each_episode_has_a_server_of_its_own(environment: gymnasium.Env[str, str]) -> None:
    environment.reset()
    assert environment.step(call("write_note", name="shopping", text="bread"))[0] == "written"
    assert environment.step(call("read_note", name="shopping"))[0] == "bread"
    environment.reset()
    assert environment.step(call("read_note", name="shopping"))[0] == "milk"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (call("read_note", name="diary"), "there is no note diary"),
        (call("read_note"), "error"),
        (call("add", first="x", second=1), "error"),
        (call("no_such_tool"), "there is no tool no_such_tool"),
        ('<tool_call>{"name": "add", </tool_call>', "the call cannot be read"),
    ],
)
def test_errors_of_a_call_are_shown_to_the_policy(environment: gymnasium.Env[str, str], text: str, words: str) -> None:
    environment.reset()
    reply, _, terminated, _, info = environment.step(text)
    assert words in json.loads(reply)["error"] or words in reply
    assert (terminated, info["role"]) == (False, "tool")
    assert environment.step("42")[1] == 1


def test_a_slow_call_is_an_error_and_a_dead_server_is_a_fault(config: Path) -> None:
    env = MCPToolsWrapper(tenfold.make("lab/Sums-v0"), "notes", seconds=0.5)
    env.reset()
    assert "error" in env.step(call("wait", seconds=60))[0]
    env.reset()
    with pytest.raises(Exception, match="closed"):
        env.step(call("end"))
    env.close()


def test_an_answer_that_looks_like_a_call_of_another_function_is_judged(environment: gymnasium.Env[str, str]) -> None:
    environment.reset()
    assert environment.step("f(42)")[2]


def test_only_named_tools_can_be_called(config: Path) -> None:
    env = MCPToolsWrapper(tenfold.make("lab/Sums-v0"), "notes", tools=["add"], max_calls=1)
    prompt, _ = env.reset()
    assert "read_note" not in prompt
    assert "there is no tool read_note" in env.step(call("read_note", name="shopping"))[0]
    assert env.step(call("add", first=1, second=1))[2]  # the second call is judged as the response
    env.close()
    with pytest.raises(UserError, match="has no tool fly; its tools are read_note"):
        MCPToolsWrapper(tenfold.make("lab/Sums-v0"), "notes", tools=["fly"]).reset()


def test_a_server_over_http(config: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "notes.py", str(port)], stderr=subprocess.DEVNULL)
    try:
        config.write_text(json.dumps({"mcpServers": {"web": {"url": f"http://127.0.0.1:{port}/mcp"}}}))
        env = MCPToolsWrapper(tenfold.make("lab/Sums-v0"), "web")
        for _ in range(600):
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        env.reset()
        assert env.step(call("add", first=17, second=25))[0] == "42"
        env.close()
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("server", "words"),
    [
        ("other", "names no MCP server 'other'"),
        ("wrong", "wrong: expected command and args, or url"),
        ("missing", "the MCP server missing cannot be used"),
        ("silent", "the MCP server silent cannot be used"),
        ("nobody", "the MCP server nobody cannot be used"),
    ],
)
def test_servers_that_cannot_be_used_are_one_line(config: Path, server: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as raised:
        MCPToolsWrapper(tenfold.make("lab/Sums-v0"), server).reset()
    assert "\n" not in str(raised.value)


def test_the_file_of_servers_must_be_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TENFOLD_MCP_CONFIG")
    with pytest.raises(UserError, match="set TENFOLD_MCP_CONFIG"):
        MCPToolsWrapper(tenfold.make("lab/Sums-v0"), "notes")


def test_unusual_arguments_do_not_end_the_connection(environment: gymnasium.Env[str, str]) -> None:
    environment.reset()
    for text in (
        '<tool_call>{"name": "read_note", "arguments": {"name": "\\ud800"}}</tool_call>',
        "<tool_call>[read_note(name={1, 2})]</tool_call>",
        '<tool_call>[read_note(name=b"x")]</tool_call>',
    ):
        assert "error" in environment.step(text)[0]
    assert environment.step(call("add", first=1, second=2))[0] == "3"


def test_a_process_ends_although_an_environment_is_not_closed(config: Path, lab: Path) -> None:
    program = (
        "import tenfold; from tenfold.envs.mcp import MCPToolsWrapper\n"
        "tenfold.register('lab/Open-v0', problems='jsonl:questions.jsonl', verifier='math')\n"
        "env = MCPToolsWrapper(tenfold.make('lab/Open-v0'), 'notes'); env.reset(); print('reset')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "reset\n"
