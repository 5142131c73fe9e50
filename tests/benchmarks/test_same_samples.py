"""Equal results for equal model, task and seed: in batches of 1, 8 and 32, and through a server with seeds."""

import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tenfold.benchmarks import evaluate
from tenfold.benchmarks.result import Options
from tenfold.core import Sampling
from tenfold.policies import checkpoints
from tenfold.policies.chat.prompts import prompt_tokens
from tenfold.policies.openai import OpenAIPolicy
from tenfold.policies.transformers import TransformersPolicy, sample

OPTIONS = Options(limit=6, samples=4, max_tokens=6)


class Handler(BaseHTTPRequestHandler):
    """A server of chat completions that samples with the request's seed and drops every second request."""

    policy: TransformersPolicy
    guard = threading.Lock()
    count: Any = None

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.guard:
            if next(self.count) % 2:
                self.close_connection = True
                return
            model, tokenizer = self.policy.model, self.policy.tokenizer
            sampling = Sampling(request["temperature"], request["top_p"], request["max_tokens"])
            prompt = prompt_tokens(tokenizer, request["messages"])
            [sampled] = sample(model, [prompt], [request["seed"]], sampling, self.policy.stop_ids)
        text = tokenizer.decode(sampled.tokens, skip_special_tokens=True)
        message = {"role": "assistant", "content": text}
        reply = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": "micro",
            "choices": [{"index": 0, "message": message, "finish_reason": sampled.finish_reason, "logprobs": None}],
            "usage": {"prompt_tokens": 1, "completion_tokens": len(sampled.tokens), "total_tokens": 1 + len(sampled.tokens)},
        }
        body = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def checkpoint() -> Path:
    return checkpoints.checkpoint("micro:?hidden=32&layers=2&heads=2")


@pytest.fixture
def server(checkpoint: Path) -> Iterator[str]:
    handler = type("Drops", (Handler,), {"policy": TransformersPolicy(checkpoint), "count": itertools.count()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()


def samples_of(folder: Path) -> set[tuple[str, int, str, int]]:
    rows = [json.loads(line) for line in (folder / "chain_sum.samples.jsonl").read_text().splitlines()[1:]]
    assert len(rows) == 24
    return {(row["request"], row["sample"], row["text"], row["tokens"]) for row in rows}


def test_batch_sizes_and_backends_give_the_same_samples(checkpoint: Path, server: str, tmp_path: Path) -> None:
    results, samples = [], []
    for size in (1, 8, 32):
        policy = TransformersPolicy(checkpoint, batch_size=size)
        results.append(evaluate.run_task("chain_sum", policy, OPTIONS, folder=tmp_path / str(size)))
        samples.append(samples_of(tmp_path / str(size)))
    served = OpenAIPolicy("micro", base_url=server, batch_size=4)
    results.append(evaluate.run_task("chain_sum", served, OPTIONS, folder=tmp_path / "served"))
    samples.append(samples_of(tmp_path / "served"))
    for others in samples[1:]:  # one sample may differ by rounding, as in tests/policies/test_transformers.py
        assert len(samples[0] - others) <= 1
    assert len({(result.score, result.hash) for result in results}) == 1
    assert len({text for _, _, text, _ in samples[0]}) > 12  # the k samples differ
