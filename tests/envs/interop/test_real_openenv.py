"""OpenEnv's own client plays our servers, and we play its servers. Its package is in an environment of its own.

TENFOLD_OPENENV_PYTHON names the Python of that environment; without it one is made with pip's configured index.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette")
pytest.importorskip("websockets")
import tenfold
from tenfold.core import Episode, Status
from tenfold.policies.scripted import ScriptedPolicy

from .served import Judged, served

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
ROWS = [
    {"question": "What is 6 times 7?", "answer": 42, "id": "six"},
    {"question": "What is 2 plus 2?", "answer": 4, "id": "two"},
]
tenfold.register("lab/RealSums-v0", problems=ROWS)
tenfold.register("lab/RealPython-v0", entry_point="tenfold.envs.tools:with_python", environment="lab/RealSums-v0")
tenfold.register("lab/RealJudged-v0", entry_point=Judged)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Returns the Python of an environment with OpenEnv's package."""
    if given := os.environ.get("TENFOLD_OPENENV_PYTHON"):
        return given
    folder = tmp_path_factory.mktemp("openenv")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin/python", "-m", "pip", "install", "--quiet", "openenv==0.10.0"], check=True)
    return str(folder / "bin/python")


@pytest.mark.usefixtures("sandboxed")
def test_openenvs_client_plays_200_sessions_several_turns_tools_and_faults(python: str) -> None:
    with served("lab/RealSums-v0") as sums, served("lab/RealJudged-v0") as judged, served("lab/RealPython-v0") as tools:
        command = [python, str(HERE / "real_openenv_client.py"), sums, judged, tools]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    right = [(42, 4, 5)[number % 3] == (42, 4)[number % 2] for number in range(200)]
    assert found["rewards"] == [*map(float, right)]
    assert found["several"] == [[0.25, 0.25, 0.5], [False, False, True], 3]
    assert found["faults"] == {
        "fault": [None, True, "the judge is down"],
        "undecided": [None, True, "the gold answer is unreadable"],
        "raise": "Server error: RuntimeError: the machine is on fire",
        "after": 1.0,
    }
    assert found["tools"] == [[], "tool", False, 1.0, True]


@pytest.fixture
def start(python: str) -> Iterator[Callable[[str], str]]:
    """Starts servers of OpenEnv's package."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(kind: str) -> str:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        started.append(subprocess.Popen([python, str(HERE / "real_openenv_server.py"), kind, str(port)]))
        url = f"http://127.0.0.1:{port}"
        while True:  # until it answers; a server that has ended is an error
            assert started[-1].poll() is None
            try:
                with urllib.request.urlopen(f"{url}/health"):
                    return url
            except OSError:
                time.sleep(0.1)

    yield begin
    for server in started:
        server.terminate()
        server.wait()


def played(url: str, *turns: str) -> list[Episode]:
    tenfold.register("lab/RealOther-v0", entry_point="tenfold.envs.interop.openenv:OpenEnv", address=url, problems=3)
    policy = ScriptedPolicy(lambda conversation, _: turns[sum(turn["role"] == "assistant" for turn in conversation)])
    return tenfold.rollout("lab/RealOther-v0", policy, 2, max_turns=3)


def test_a_server_of_openenvs_package_is_an_environment_here(start: Callable[[str], str]) -> None:
    url = start("echo")
    episodes = played(url, "b", "ab")
    assert [episode.verdict.score for episode in episodes] == [0.5] * 6
    assert [turn["content"] for turn in episodes[-1].messages[::2]] == ["Seed 2.", "2: b"]
    assert {(episode.verdict.status, "it broke" in episode.verdict.reason) for episode in played(url, "raise")} == {
        (Status.FAULT, True)
    }


def test_the_tools_of_openenvs_package_are_called(start: Callable[[str], str]) -> None:
    call = '<tool_call>{"name": "add", "arguments": {"a": 2, "b": 3}}</tool_call>'
    episodes = played(start("adding"), call, call)
    assert [episode.verdict.score for episode in episodes] == [1.0] * 6
    assert [(turn["role"], turn["content"]) for turn in episodes[0].messages[2:3]] == [("tool", "5")]
