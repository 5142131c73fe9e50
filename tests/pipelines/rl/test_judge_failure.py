"""A judge's server that fails during a run and returns later."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

import tenfold
from tenfold.core import UserError

ANSWERS = range(11, 19)
"""The gold answers. Few of the judge's control answers, which are random numbers of two digits, are among them."""


class Judge(BaseHTTPRequestHandler):
    """Decides that two gold answers are equivalent if both are odd or both are even. Shuts down after `max_replies` replies."""

    answered, max_replies = 0, 10**9
    guard = threading.Lock()

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with Judge.guard:
            Judge.answered += 1
            if Judge.answered > Judge.max_replies:
                threading.Thread(target=shut_down, args=[self.server]).start()
                self.connection.close()
                return
        shown = request["messages"][1]["content"].splitlines()[1:]
        reference, candidate = (int("0" + re.sub(r"\D", "", line)) for line in shown[:2])
        same = reference in ANSWERS and candidate in ANSWERS and reference % 2 == candidate % 2
        content = f"So it is.\nVERDICT: {'EQUIVALENT' if same else 'DIFFERENT'}"
        choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        reply = {"id": "1", "object": "chat.completion", "created": 0, "model": "judge", "choices": [choice]}
        body = json.dumps(reply | {"usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Logs nothing."""


def shut_down(server: ThreadingHTTPServer) -> None:
    """Closes the server, so that further connections are refused."""
    server.shutdown()
    server.server_close()


def serve(port: int = 0) -> ThreadingHTTPServer:
    ThreadingHTTPServer.allow_reuse_address = True
    server = ThreadingHTTPServer(("127.0.0.1", port), Judge)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.mark.slow
def test_a_run_stops_when_the_judge_fails_and_resumes_later(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"question": f"{answer - 1} + 1 = ?", "answer": str(answer)} for answer in ANSWERS]
    (lab / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    learns = {
        "kind": "sft",
        "name": "sft",
        "problems": "jsonl:sums.jsonl",
        "steps": 150,
        "batch_size": 8,
        "learning_rate": 5e-3,
    }
    stage = {"kind": "grpo", "name": "grpo", "environment": "lab/Judged-v0", "steps": 4, "batch_size": 4, "samples": 4}
    stage |= {
        "max_prompt_tokens": 32,
        "max_response_tokens": 8,
        "save_steps": 1,
        "max_zero_variance_steps": 0,
        "min_reward_ratio": 0,
    }
    recipe = {"name": "judged", "seed": 1, "policy": "micro:?hidden=32&layers=2&heads=2", "stages": [learns, stage]}
    recipe["environments"] = {"lab/Judged-v0": {"problems": "jsonl:sums.jsonl", "verifier": "tenfold.policies.judge:verify"}}
    (lab / "judged.yaml").write_text(yaml.safe_dump(recipe))
    server = serve()
    monkeypatch.setenv("TENFOLD_JUDGE", f"openai:judge?base_url=http://127.0.0.1:{server.server_port}/v1")
    monkeypatch.setenv("TENFOLD_JUDGE_ALWAYS", "1")
    Judge.max_replies = 40  # about one and a half steps
    with pytest.raises(
        UserError, match=r"have no score, more than the share max_without_score=0\.5; the last: .*the last checkpoint"
    ):
        tenfold.run(lab / "judged.yaml", "out", quiet=True)
    server.server_close()
    Judge.max_replies = 10**9
    again = serve(server.server_port)
    metrics = tenfold.run(lab / "judged.yaml", "out", quiet=True)["grpo"]
    shut_down(again)
    assert metrics["steps"] == 4
    steps = [json.loads(line) for line in Path("out/grpo/steps.jsonl").read_text().splitlines()]
    assert [step["step"] for step in steps] == [1, 2, 3, 4]
    assert all(step["reward"] > 0 for step in steps), "a fault counts as a reward of 0"
