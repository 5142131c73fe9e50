"""Runs tasks of the core, and tasks that need an extra; prints the result of each as JSON.

python light_core.py [MODULE ...]        hides these modules, as if they were not installed

Only the core is imported, so that the file runs where nothing else is installed.
"""

import contextlib
import http.server
import importlib.abc
import io
import json
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any


class Hidden(importlib.abc.MetaPathFinder):
    """Hides the given modules."""

    def __init__(self, names: Sequence[str]):
        self.names = frozenset(names)

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


class Server(http.server.BaseHTTPRequestHandler):
    """A chat completions server that always sends the same reply."""

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        message = {"role": "assistant", "content": "```python\nx\n```"}
        choices = [{"index": number, "message": message, "finish_reason": "stop"} for number in range(request.get("n") or 1)]
        body = {"id": "0", "object": "chat.completion", "created": 0, "model": "m", "choices": choices}
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Logs nothing."""


CODE = {"entry_point": "f", "test": "def check(candidate):\n    assert candidate(1) == 2"}
PROGRAM = "```python\ndef f(x):\n    return x + 1\n```"
FUNCTION = {"name": "f", "parameters": {"properties": {"a": {"type": "long"}}, "required": ["a"]}}
ONE = {"functions": [FUNCTION], "calls": [{"f": {"a": [5]}}], "language": "java"}
TWO = {"functions": [FUNCTION], "calls": [{"f": {"a": [5]}}, {"f": {"a": [6]}}]}
CALL = '<tool_call>{"name": "f", "arguments": {"a": "5L"}}</tool_call>'


def python() -> dict[str, str]:
    """Returns the result of calls in Python: their return value, or the `UserError`."""
    import gymnasium

    import tenfold
    from tenfold.envs.problems import sources

    def score(gold: object, response: str, verifier: str = "math") -> Callable[[], float | None]:
        return lambda: tenfold.verify(gold, response, verifier).score

    paths: dict[str, Callable[[], object]] = {
        "a number": score("1/2", "so it is 0.5"),
        "an integral": score(r"\int_0^1 x dx", r"$\boxed{\frac12}$"),
        "a program": score(CODE, PROGRAM, "code"),
        "calls": score(TWO, "[f(a=6), f(a=5)]", "function_calls"),
        "calls of Java": score(ONE, CALL, "function_calls"),
        "instructions": score({"instructions": ["x"]}, "y", "instructions"),
        "reasoning_gym": score("1", "1", "reasoning_gym"),
        "everything by its name": lambda: all(hasattr(tenfold, name) for name in {*tenfold.__all__} - {"evaluate"}),
        "tenfold.run": lambda: tenfold.run("quickstart"),
        "gymnasium.make": lambda: gymnasium.make("tenfold/SmallFunctions-v0").reset(seed=0)[1]["problem_id"],
    }
    for name in ("SmallFunctions", "HumanEval", "HumanEvalTurns", "ChainSum", "Math", "GSM8K"):
        paths[name] = lambda id=f"tenfold/{name}-v0": tenfold.make(id).reset(seed=0)[1]["problem_id"]  # type: ignore[misc]
    for uri in ("scripted:x", "openai:m?base_url=http://localhost:1/v1", "micro:", "hf:a/b", "vllm+path:."):
        paths[uri] = lambda uri=uri: type(tenfold.load_policy(uri)).__name__  # type: ignore[misc]
    for uri in ("parquet:a.parquet", "hf:a/b", "reasoning_gym:chain_sum", "champ:"):
        paths[f"problems {uri}"] = lambda uri=uri: len(sources.load(uri))  # type: ignore[misc]
    return {name: _came_to(path) for name, path in paths.items()}


def _came_to(path: Callable[[], object]) -> str:
    from tenfold.core import UserError

    try:
        return str(path())
    except UserError as error:
        return f"UserError: {error}"


def commands(address: str) -> dict[str, list[Any]]:
    """Returns the result of commands: the exit code, stdout and stderr."""
    small = ["rollout", "tenfold/SmallFunctions-v0", "--problems", "2", "--samples", "2", "--policy"]
    return {
        " ".join(command).replace(address, "URL"): _ran(command)
        for command in (
            ["--help"],
            ["env", "list"],
            ["env", "check", "tenfold/SmallFunctions-v0"],
            ["env", "check", "tenfold/ChainSum-v0"],
            ["verify", "--gold", "1/2", "--response", "so it is 0.5"],
            ["verify", "--audit", "built-in", "--limit", "3"],
            [*small, f"openai:m?base_url={address}"],
            [*small, "micro:"],
            ["run", "quickstart"],
            ["run", "quickstart", "--dry-run"],
            ["bench", "chain_sum_avg8", "--policy", "scripted:x"],
            ["synthesize", "human_eval:"],
            ["view", "."],
            ["serve", "tenfold/SmallFunctions-v0"],
        )
    }


def _ran(command: list[str]) -> list[Any]:
    from tenfold import cli

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code: object = cli.main(command)
        except SystemExit as end:
            code = end.code
    return [code, out.getvalue(), err.getvalue()]


def main() -> None:
    """Hides the modules, runs all tasks in a temporary folder, and prints the results."""
    sys.meta_path.insert(0, Hidden(sys.argv[1:]))
    import tenfold  # noqa: F401

    light = sorted({"gymnasium", "numpy"} & sys.modules.keys())
    server = http.server.ThreadingHTTPServer(("localhost", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("a.parquet").touch()
        found = {
            "imported": light,
            "python": python(),
            "commands": commands(f"http://localhost:{server.server_address[1]}/v1"),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
