"""NeMo Gym both ways, by the messages of its protocol. Its own classes are tried in tests/interop."""

import json
import math
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import tenfold
from tenfold.core import Problem, Status, UserError, Verdict
from tenfold.envs.interop import nemo_gym_server
from tenfold.envs.interop.nemo_gym_server import NoScore, Sessions, rows

Answer = Callable[[str, Any], tuple[int, bytes]]
SUM = {"responses_create_params": {"input": [{"role": "user", "content": "1 + 1 = ?"}]}, "uuid": "sum", "expected_answer": "2"}


def response(text: str, cut: bool = False) -> dict[str, Any]:
    """Returns an object of the Responses API, with reasoning as an item of its own."""
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text, "annotations": []}]}
    return {
        "output": [{"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "41 or 42"}]}, said],
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
    }


def text_of(body: Any) -> str:
    """Returns the text that a request to /verify or /step judges."""
    found: str = body["response"]["output"][-1]["content"][0]["text"]
    return found


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts a server that answers requests by a function; returns the id of its environment."""
    servers = []

    def start(answer: Answer, *paths: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.reply(200, json.dumps({"paths": {path: {} for path in paths}}).encode())

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.reply(*answer(self.path, body | {"cookie": self.headers.get("Cookie")}))

            def reply(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Set-Cookie", "session=s1")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        file = tmp_path / "rows.jsonl"
        file.write_text(json.dumps(SUM) + "\n")
        return f"nemo_gym:http://127.0.0.1:{server.server_port}?rows={file}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def play(id: str, *turns: str) -> tuple[float, Verdict, list[str]]:
    """Plays the only problem; returns the sum of the rewards, the verdict and the texts that the policy got."""
    environment = tenfold.make(id)
    text, _ = environment.reset(options={"problem": 0})
    texts, total = [text], 0.0
    for turn in turns:
        text, reward, _, _, info = environment.step(turn)
        texts.append(text)
        total += float(reward)
    return total, info["verdict"], texts


def test_a_server_judges_the_text_after_the_reasoning_in_the_session_that_it_began(serve: Callable[..., str]) -> None:
    asked = []

    def answer(path: str, body: Any) -> tuple[int, bytes]:
        asked.append((path, body["expected_answer"], body["cookie"]))
        if path == "/seed_session":
            return 200, b"{}"
        return 200, json.dumps({"reward": float(text_of(body) == "2"), "extracted_answer": text_of(body)}).encode()

    id = serve(answer, "/seed_session", "/verify")
    assert play(id, "<think>3?</think>2")[:2] == (1.0, Verdict(Status.SCORED, 1.0, "nemo_gym", "2"))
    assert play(id, "3")[0] == 0
    assert asked[:2] == [("/seed_session", "2", None), ("/verify", "2", "session=s1")]


@pytest.mark.parametrize(
    ("status", "body", "expected", "reason"),
    [
        (200, b'{"reward": 0.0, "mask_sample": true, "failure_reason": "no judge"}', Status.FAULT, "no judge"),
        (200, b'{"reward": 0.0, "mask_sample": true, "failure_kind": "tenfold:undecided"}', Status.UNDECIDED, "masks"),
        (200, b'{"reward": NaN}', Status.FAULT, "no finite number"),
        (200, b'{"reward": true}', Status.FAULT, "no finite number"),
        (200, b"{}", Status.FAULT, "no finite number"),
        (200, b"[1]", Status.FAULT, "no JSON object"),
        (200, b"<html>", Status.FAULT, "no JSON data"),
        (500, b"out of memory", Status.FAULT, "status 500 out of memory"),
        (302, b"", Status.FAULT, "status 302"),
    ],
)
def test_what_a_server_masks_or_cannot_answer_is_no_score(
    serve: Callable[..., str], status: int, body: bytes, expected: Status, reason: str
) -> None:
    reward, verdict, _ = play(
        serve(lambda path, _: (200, b"{}") if path == "/seed_session" else (status, body), "/verify"), "2"
    )
    assert math.isnan(reward)
    assert (verdict.status, verdict.score) == (expected, None)
    assert reason in verdict.reason


def test_a_server_with_steps_plays_several_turns(serve: Callable[..., str]) -> None:
    def answer(path: str, body: Any) -> tuple[int, bytes]:
        if path == "/reset":
            return 200, b'{"observation": "Be brief.", "info": {}}'
        ended = text_of(body) == "2"
        told = {"observation": None if ended else "No, again.", "reward": 0.5, "terminated": ended}
        return 200, json.dumps(told).encode()

    total, verdict, texts = play(serve(answer, "/reset", "/step"), "3", "2")
    assert (total, verdict.score) == (1.0, 1.0)
    assert texts == ["1 + 1 = ?\n\nBe brief.", "No, again.", ""]


def test_what_cannot_be_used_is_said_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(SUM))
    for id, message in (
        ("nemo_gym:http://localhost:1", "name the data file of the server"),
        (f"nemo_gym:localhost?rows={file}", "expected the address of a server"),
        (f"nemo_gym:http://127.0.0.1:1?rows={file}", "start the server"),
        (f"nemo_gym:http://127.0.0.1:1?rows={tmp_path / 'none'}", "JSONL file"),
    ):
        with pytest.raises(UserError, match=message):
            tenfold.make(id)
    file.write_text('{"responses_create_params": {"input": "1 + 1 = ?", "tools": [{"type": "function"}]}}')
    with pytest.raises(UserError, match="the row has tools"):
        tenfold.make(f"nemo_gym:http://127.0.0.1:1?rows={file}")
    file.write_text('{"question": "1 + 1 = ?"}')
    with pytest.raises(UserError, match=r"rows\.jsonl:1: expected"):
        tenfold.make(f"nemo_gym:http://127.0.0.1:1?rows={file}")


def verdict_on(problem: Problem, said: str) -> Verdict:
    """Judges a sum; fails for the word "fault"."""
    if "fault" in said:
        raise ValueError("no judge")
    if "unknown" in said:
        return Verdict(Status.UNDECIDED, None, "sum", "no gold")
    return Verdict(Status.SCORED, float(said.strip() == problem.answer), "sum", said)


@pytest.fixture
def sums() -> str:
    """An environment of one turn."""
    tenfold.register("nemo/Sums-v0", problems=[{"question": "40 + 2 = ?", "answer": "42"}], verifier=verdict_on)
    return "nemo/Sums-v0"


def test_a_resources_server_gives_the_reward_or_masks_the_sample(sums: str) -> None:
    (row,) = rows(sums, agent="sums_agent")
    assert row["responses_create_params"] == {"input": [{"role": "user", "content": "40 + 2 = ?"}]}
    assert row["agent_ref"] == {"type": "responses_api_agents", "name": "sums_agent"}
    sessions = Sessions(sums)
    assert [sessions.verify(row, response(text))["reward"] for text in ("42", "41")] == [1.0, 0.0]
    assert sessions.verify(row, response("42"))["mask_sample"] is False
    masked = sessions.verify(row, response("fault"))
    assert (masked["mask_sample"], masked["failure_kind"]) == (True, "tenfold:fault")
    assert "no judge" in str(masked["failure_reason"])
    assert sessions.verify(row, response("unknown"))["failure_kind"] == "tenfold:undecided"
    assert sessions.verify(row, response("42", cut=True))["reward"] == 0.0  # it might have gone on as 421
    with pytest.raises(NoScore, match="tenfold_problem"):
        sessions.verify({}, response("42"))


def test_a_resources_server_of_several_turns_keeps_the_episodes_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nemo_gym_server, "MAX_SESSIONS", 2)
    id = "tenfold/GuessNumber-v0"
    first = next(rows(id))
    environment = tenfold.make(id)
    environment.reset(seed=0, options={"problem": 0})
    sessions = Sessions(id)
    for session in ("a", "b"):
        sessions.reset(session, first)
    expected = environment.step("\\boxed{900}")[0]
    assert sessions.step("a", response("\\boxed{900}"))[:3] == (expected, 0.0, False)
    assert sessions.step("b", response("\\boxed{900}"))[:3] == (expected, 0.0, False)
    low, high = (901, 964) if "higher" in expected else (865, 899)
    for _ in range(7):
        text, reward, ended, _ = sessions.step("a", response(f"\\boxed{{{(low + high) // 2}}}"))
        if ended:
            break
        low, high = ((low + high) // 2 + 1, high) if "higher" in str(text) else (low, (low + high) // 2 - 1)
    assert (reward, ended) == (1.0, True)
    with pytest.raises(NoScore, match="no such episode"):
        sessions.step("a", response("50"))
    sessions.reset("c", first)
    sessions.reset("d", first)  # the third episode: b is closed
    with pytest.raises(NoScore, match="no such episode"):
        sessions.step("b", response("50"))


def test_one_answer_does_not_verify_several_turns() -> None:
    id = "tenfold/GuessNumber-v0"
    masked = Sessions(id).verify(next(rows(id)), response("\\boxed{1}"))
    assert (masked["mask_sample"], masked["failure_kind"]) == (True, "tenfold:turns")
