"""`tenfold serve`: OpenEnv's protocol, verdicts without a score, clients that misbehave, limits, and who may ask."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("websockets")
from websockets.exceptions import ConnectionClosed, InvalidStatus

import tenfold
from tenfold import UserError
from tenfold.envs.interop.openenv import server as openenv_server
from tenfold.envs.interop.openenv.session import Limits

from .served import Client, Judged, served

ROWS = [
    {"question": "What is 6 times 7?", "answer": 42, "id": "six"},
    {"question": "What is 2 plus 2?", "answer": 4, "id": "two"},
]
TOKEN = "a token that nobody guesses"
tenfold.register("lab/OpenEnvJudged-v0", entry_point=Judged)
tenfold.register("lab/OpenEnvSums-v0", problems=ROWS)
JUDGED, SUMS = "lab/OpenEnvJudged-v0", "lab/OpenEnvSums-v0"


@pytest.fixture
def judged() -> Iterator[str]:
    Judged.release.clear()
    Judged.waiting.clear()
    with served(JUDGED) as url:
        yield url
        Judged.release.set()


def get(url: str, body: object = None, **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


PROMPT = [{"role": "user", "content": "What is 6 times 7?"}]
RECORDED = [
    (
        '{"type": "reset", "data": {"index": 0, "episode_id": "e1"}}',
        {
            "type": "observation",
            "data": {
                "observation": {
                    "text": "What is 6 times 7?",
                    "role": "user",
                    "messages": PROMPT,
                    "problem_id": "six",
                    "index": 0,
                    "metadata": {},
                },
                "reward": None,
                "done": False,
            },
        },
    ),
    (
        '{"type": "state"}',
        {
            "type": "state",
            "data": {"episode_id": "e1", "step_count": 0, "done": False, "problem_id": "six", "index": 0},
        },
    ),
    (
        '{"type": "step", "data": {"text": "<think>43?</think>So the answer is 42."}}',
        {
            "type": "observation",
            "data": {
                "observation": {
                    "text": "",
                    "role": "user",
                    "truncated": False,
                    "problem_id": "six",
                    "verdict": {"status": "scored", "score": 1.0, "method": "exact", "reason": "42", "judge_messages": []},
                    "metadata": {},
                },
                "reward": 1.0,
                "done": True,
            },
        },
    ),
    (
        '{"type": "step", "data": {"text": "42"}}',
        {"type": "error", "data": {"message": "no episode is in play: send reset first", "code": "EXECUTION_ERROR"}},
    ),
    (
        '{"type": "reset", "data": {"index": 7}}',
        {
            "type": "error",
            "data": {"message": "there is no problem 7: use an index from 0 to 1", "code": "VALIDATION_ERROR"},
        },
    ),
    (
        '{"type": "restart"}',
        {
            "type": "error",
            "data": {"message": "expected the type reset, step, state or close, got 'restart'", "code": "UNKNOWN_TYPE"},
        },
    ),
]
"""Messages as OpenEnv's GenericEnvClient 0.10 sends them, and the answers."""


def test_the_messages_of_openenvs_client_get_the_recorded_answers() -> None:
    with served(SUMS) as url:
        client = Client(url)
        for sent, answer in RECORDED:
            assert client.ask(sent) == answer
        client.send('{"type": "close"}')
        with pytest.raises(ConnectionClosed):
            client.answer()


def test_the_addresses_that_openenvs_clients_ask() -> None:
    with served(SUMS) as url:
        assert get(f"{url}/health") == (200, {"status": "healthy"})
        assert get(f"{url}/schema")[1].keys() == {"action", "observation", "state"}
        assert get(f"{url}/metadata")[1]["name"] == "lab/OpenEnvSums-v0"
        assert get(f"{url}/list_environments") == (200, ["lab_OpenEnvSums-v0"])
        assert get(f"{url}/lab_OpenEnvSums-v0/splits") == (200, [{"name": "all", "type": "train"}])
        assert get(f"{url}/lab_OpenEnvSums-v0/num_tasks", {"split": "all"}) == (200, {"num_tasks": 2})
        assert get(f"{url}/lab_OpenEnvSums-v0/num_tasks", {"split": "test"})[0] == 400
        assert get(f"{url}/other/num_tasks", {"split": "all"})[0] == 404


def test_a_cut_turn_is_judged_as_in_rollouts() -> None:
    with served(SUMS) as url:
        client = Client(url)
        scores = []
        for reason in ("stop", "length"):
            client.reset(index=1)
            scores.append(client.step("I add them. So the answer is 4", finish_reason=reason)["data"]["reward"])
    assert scores == [1.0, 0.0]  # the 4 of a cut turn may be the start of 42


@pytest.mark.parametrize("word", ["fault", "undecided", "nan"])
def test_a_verdict_without_a_score_has_no_reward(judged: str, word: str) -> None:
    client = Client(judged)
    client.reset()
    data = client.step(word)["data"]
    assert (data["reward"], data["done"]) == (None, True)
    if word != "nan":
        reasons = {"fault": "the judge is down", "undecided": "the gold answer is unreadable"}
        verdict = data["observation"]["verdict"]
        assert (verdict["status"], verdict["score"], verdict["reason"]) == (word, None, reasons[word])


def test_an_exception_is_an_error_for_this_client_only(judged: str) -> None:
    broken, other = Client(judged), Client(judged)
    for client in (broken, other):
        client.reset()
    error = broken.step("raise")["data"]
    assert error["code"] == "EXECUTION_ERROR"
    assert error["message"].startswith("RuntimeError: the machine is on fire; http://***@host/")
    assert (error["verdict"]["status"], error["verdict"]["score"]) == ("fault", None)
    assert "secret" not in json.dumps(error)
    assert broken.step("1")["data"]["code"] == "EXECUTION_ERROR"  # the episode is over
    assert broken.reset(seed=13)["data"]["verdict"]["status"] == "fault"
    assert other.step("more")["data"]["reward"] == 0.25
    assert other.step("0.5")["data"] == {
        "observation": {"text": "", "role": "user", "truncated": False, "metadata": {}},
        "reward": 0.5,
        "done": True,
    }
    broken.reset()
    assert broken.step("1")["data"]["reward"] == 1.0


def test_a_slow_verdict_does_not_hold_up_other_sessions(judged: str) -> None:
    slow, other = Client(judged), Client(judged)
    slow.reset()
    slow.send({"type": "step", "data": {"text": "wait"}})
    assert Judged.waiting.wait(30)
    for _ in range(3):
        other.reset()
        assert other.step("1")["data"]["reward"] == 1.0
    Judged.release.set()
    assert slow.answer()["data"]["reward"] == 1.0


@pytest.mark.parametrize(
    "message",
    [
        "no JSON",
        "[" * 100_000,
        "[]",
        '"reset"',
        "1" * 10_000,
        '{"type": "reset", "data": []}',
        '{"type": "reset", "data": {"seed": -1}}',
        '{"type": "reset", "data": {"seed": true}}',
        '{"type": "reset", "data": {"index": 1e3}}',
        '{"type": "reset", "data": {"episode_id": 5}}',
        '{"type": "step"}',
        '{"type": "step", "data": {}}',
        '{"type": "step", "data": {"text": ["1"]}}',
        '{"type": "step", "data": {"text": "1", "reward": 1}}',
        '{"type": "step", "data": {"text": "1", "finish_reason": "fault"}}',
        '{"type": "step", "data": {"type": "call_tool", "tool_name": 5}}',
        json.dumps({"type": "step", "data": {"text": "1" * 1_000_001}}),
    ],
)
def test_an_invalid_message_is_an_error_and_the_episode_goes_on(judged: str, message: str) -> None:
    client = Client(judged)
    client.reset()
    assert client.ask(message)["type"] == "error"
    assert client.step("1")["data"]["reward"] == 1.0


def test_a_client_that_breaks_off_floods_or_sends_ten_megabytes_loses_nobody_elses_episode(judged: str) -> None:
    other = Client(judged)
    other.reset()
    leaver, flooder, large = Client(judged), Client(judged), Client(judged)
    leaver.reset()
    leaver.send({"type": "step", "data": {"text": "wait"}})
    assert Judged.waiting.wait(30)
    leaver.socket.socket.close()  # without a closing handshake, while its step is judged
    for _ in range(5_000):
        flooder.send('{"type": "state"}')
    assert other.step("more")["data"]["reward"] == 0.25
    with pytest.raises(ConnectionClosed):
        large.ask({"type": "step", "data": {"text": "1" * 10_000_000}})
    assert other.step("0.5")["data"]["reward"] == 0.5
    assert [flooder.answer()["type"] for _ in range(5_000)] == ["state"] * 5_000


def test_the_number_of_sessions_is_limited() -> None:
    with served(JUDGED, Limits(sessions=2)) as url:
        first, second = Client(url), Client(url)
        first.reset()
        second.reset()
        third = Client(url)
        error = third.answer()["data"]
        assert error["code"] == "CAPACITY_REACHED"
        assert "2 sessions" in error["message"]
        first.send({"type": "close"})
        with pytest.raises(ConnectionClosed):
            first.answer()
        while True:  # until the place is free
            fourth = Client(url)
            if fourth.reset()["type"] == "observation":
                break
        assert second.step("1")["data"]["reward"] == 1.0


def test_a_server_without_memory_accepts_no_session() -> None:
    with served(JUDGED, Limits(memory=1)) as url:
        assert Client(url).answer()["data"]["code"] == "CAPACITY_REACHED"


def test_a_silent_session_ends() -> None:
    with served(JUDGED, Limits(idle=0.05)) as url:
        client = Client(url)
        client.reset()
        with pytest.raises(ConnectionClosed) as closed:
            client.answer()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.reason == "no message for 0.05 s"


def test_a_call_that_takes_too_long_is_a_fault_and_keeps_its_place_until_it_ends() -> None:
    Judged.release.clear()
    with served(JUDGED, Limits(step=0.2, sessions=1)) as url:
        client = Client(url)
        client.reset()
        error = client.step("wait")["data"]
        assert (error["verdict"]["status"], error["message"]) == ("fault", "TimeoutError: a call took longer than 0.2 s")
        with pytest.raises(ConnectionClosed):
            client.answer()
        assert Client(url).answer()["data"]["code"] == "CAPACITY_REACHED"
        Judged.release.set()
        while Client(url).reset()["type"] == "error":
            pass


def test_environments_are_closed_within_an_episode_and_used_again_after_one() -> None:
    Judged.closed = 0
    with served(JUDGED) as url:
        ended, left = Client(url), Client(url)
        for client in (ended, left):
            client.reset()
        ended.step("1")
        for client in (ended, left):
            client.socket.close()
    assert Judged.closed == 2
    with served(JUDGED) as url:
        for _ in range(3):
            client = Client(url)
            client.reset()
            client.step("1")
    assert Judged.closed <= 2 + 3


def test_a_server_with_a_token_answers_those_who_have_it() -> None:
    with served(JUDGED, token=TOKEN) as url:
        assert get(f"{url}/health")[0] == 200
        assert get(f"{url}/schema")[0] == 403
        assert get(f"{url}/schema", Authorization="Bearer wrong")[0] == 403
        assert get(f"{url}/schema", Authorization=f"Bearer {TOKEN}")[0] == 200
        for headers in ({}, {"Authorization": TOKEN}, {"Authorization": "Bearer é"}):
            with pytest.raises(InvalidStatus) as refused:
                Client(url, additional_headers=headers)
            assert refused.value.response.status_code == 403
        client = Client(url, additional_headers={"Authorization": f"Bearer {TOKEN}"})
        client.reset()
        assert client.step("1")["data"]["reward"] == 1.0


def test_pages_of_other_sites_may_not_ask() -> None:
    with served(JUDGED) as url:
        assert get(f"{url}/schema", Host="evil.example")[0] == 421
        assert get(f"{url}/schema", Origin="https://evil.example")[0] == 403
        assert get(f"{url}/schema", **{"Sec-Fetch-Site": "cross-site"})[0] == 403
        with pytest.raises(InvalidStatus) as refused:
            Client(url, origin="https://evil.example")
        assert refused.value.response.status_code == 403


PROGRAM = """
import pathlib, gymnasium, tenfold
from tenfold.envs.text import Text

class Closing(gymnasium.Env):
    def __init__(self):
        self.observation_space, self.action_space = Text(), Text()
    def reset(self, *, seed=None, options=None):
        return "Go.", {}
    def step(self, action):
        return "More.", 0.0, False, False, {}
    def close(self):
        pathlib.Path("closed").write_text("closed")

tenfold.register("lab/Closing-v0", entry_point=Closing)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_and_closes_its_environments(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "closing.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "tenfold.cli", "serve", "closing:lab/Closing-v0", "--token"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(tenfold.__file__).parents[1]), *sys.path[1:]])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment) as process:
        assert process.stdout is not None
        url, header = process.stdout.readline().split("  ")[0], process.stdout.readline().strip()
        name, _, value = header.partition(": ")
        client = Client(url, additional_headers={name: value})
        client.reset()
        client.step("x")
        process.send_signal(number)
        assert process.wait(60) == 0
    with pytest.raises(ConnectionClosed):
        client.answer()
    assert (tmp_path / "closed").exists()


def test_what_cannot_be_served_is_an_error_before_the_server_starts() -> None:
    with pytest.raises(UserError, match="no environment 'lab/Nothing-v0'"):
        openenv_server.Server("lab/Nothing-v0", {}, Limits())
    server = openenv_server.Server(JUDGED, {}, Limits())
    with pytest.raises(UserError, match=r"cannot listen on 192\.0\.2\.1:0"):
        openenv_server.serve(server, "192.0.2.1", 0, False, lambda url, token: None)
