"""Requests that get an error, requests that end early, floods, and who may ask."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

import tenfold
from tenfold.core import Completion, Conversation, Message, Sampling
from tenfold.policies.scripted import ScriptedPolicy
from tenfold.policies.serving.batching import Batches, Draw
from tenfold.policies.serving.errors import RequestError

from .running import NAME, batches_of, post, serving

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
ASKED = {"model": NAME, "messages": [{"role": "user", "content": "3 + 4"}]}
TURN: list[Message] = [{"role": "user", "content": "3 + 4"}]


@pytest.fixture(scope="module")
def micro() -> Iterator[str]:
    with serving(tenfold.load_policy("micro:")) as url:
        yield url


@pytest.fixture(scope="module")
def scripted() -> Iterator[str]:
    with serving(tenfold.load_policy("scripted:Seven.")) as url:
        yield url


@pytest.mark.parametrize(
    ("path", "body", "status", "param", "words"),
    [
        (CHAT, b"{", 400, None, "not JSON"),
        (CHAT, b"[" * 100_000, 400, None, "not JSON"),
        (CHAT, b"\xff\xfe", 400, None, "not JSON"),
        (CHAT, [], 400, None, "not a JSON object"),
        (CHAT, {"model": NAME}, 400, "messages", "required"),
        (CHAT, {**ASKED, "messages": []}, 400, "messages", "at least 1"),
        (CHAT, {**ASKED, "messages": [{"role": "text", "content": "x"}]}, 400, "messages", "role: expected one of"),
        (CHAT, {**ASKED, "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "messages", "type text"),
        (CHAT, {**ASKED, "messages": [{"role": "assistant", "tool_calls": [{}]}]}, 400, "messages", "tool_calls"),
        (CHAT, {**ASKED, "model": "other"}, 404, "model", "does not exist"),
        (CHAT, {**ASKED, "temperature": -1}, 400, "temperature", "greater than or equal to 0"),
        (CHAT, {**ASKED, "temperature": "hot"}, 400, "temperature", "number"),
        (CHAT, {**ASKED, "top_p": 0}, 400, "top_p", "greater than 0"),
        (CHAT, {**ASKED, "top_k": -7}, 400, "top_k", "1 or more"),
        (CHAT, {**ASKED, "n": 129}, 400, "n", "128"),
        (CHAT, {**ASKED, "max_tokens": 0}, 400, "max_tokens", "at least 1"),
        (CHAT, {**ASKED, "frequency_penalty": 0.5}, 400, "frequency_penalty", "not supported"),
        (CHAT, {**ASKED, "\ud800": 1}, 400, None, ""),
        (CHAT, {**ASKED, "reasoning_effort": "high"}, 400, "reasoning_effort", "not supported"),
        (CHAT, {**ASKED, "response_format": {"type": "json_object"}}, 400, "response_format", "not supported"),
        (CHAT, {**ASKED, "tool_choice": "required", "tools": []}, 400, "tool_choice", "auto"),
        (CHAT, {**ASKED, "tools": [{"type": "web_search"}]}, 400, "tools", "function"),
        (CHAT, {**ASKED, "logprobs": True}, 400, "logprobs", "no log-probabilities"),
        (TEXT, {"model": NAME, "prompt": []}, 400, "prompt", "empty"),
        (TEXT, {"model": NAME, "prompt": [1, 2]}, 400, "prompt", "no tokenizer"),
        (TEXT, {"model": NAME, "prompt": ["x"] * 1025}, 400, "prompt", "1024"),
        (TEXT, {"model": NAME, "prompt": ["x"] * 1024, "n": 128}, 400, None, "send several requests"),
        ("/v1/nothing", {}, 404, None, "there is no POST /v1/nothing"),
        ("/health", {}, 405, None, "there is no POST /health"),
    ],
)
def test_an_invalid_request_gets_openais_error(
    scripted: str, path: str, body: object, status: int, param: str | None, words: str
) -> None:
    reply = post(scripted, path, body)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (status, param)
    assert words in error["message"]
    assert error["type"] == ("not_found_error" if status == 404 else "invalid_request_error")


def test_parameters_that_change_nothing_are_accepted(scripted: str) -> None:
    harmless = {
        "user": "me",
        "metadata": {"a": "b"},
        "frequency_penalty": 0,
        "logit_bias": None,
        "best_of": 1,
        "response_format": {"type": "text"},
        "stop": ["", "x"],
        "top_k": -1,
        "unknown": None,
    }
    reply = post(scripted, CHAT, ASKED | harmless).json()
    assert reply["choices"][0]["message"] == {"role": "assistant", "content": "Seven."}
    assert reply["usage"] == {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"prompt": "3 + " * 600}, "maximum context length is 1024 tokens"),
        ({"prompt": [[5], [10**9]]}, "a token id is not between"),
        ({"prompt": [-1]}, "a token id is not between"),
        ({"prompt": ""}, "the prompt has no tokens"),
    ],
)
def test_a_prompt_that_the_model_cannot_read_is_refused(micro: str, body: dict[str, Any], words: str) -> None:
    reply = post(micro, TEXT, {"model": NAME, **body})
    assert reply.status_code == 400
    assert words in reply.json()["error"]["message"]


def test_our_openai_policy_refuses_only_the_prompt_that_is_too_long(micro: str) -> None:
    through = tenfold.load_policy(f"openai:{NAME}?base_url={micro}/v1")
    long: list[Message] = [{"role": "user", "content": "3 + " * 600}]
    rows = through.generate([TURN, long], 1, Sampling(max_tokens=2))
    assert [row[0].finish_reason for row in rows] == ["length", "refused"]


def test_a_sample_ends_at_the_window(micro: str) -> None:
    reply = post(micro, TEXT, {"model": NAME, "prompt": [5] * 1020, "max_tokens": 50}).json()
    assert reply["usage"]["completion_tokens"] <= 4


def test_a_request_that_is_too_large_is_refused_and_the_server_goes_on(scripted: str) -> None:
    large = {**ASKED, "messages": [{"role": "user", "content": "x" * (9 << 20)}]}
    assert post(scripted, CHAT, large).status_code == 413
    assert post(scripted, CHAT, ASKED).status_code == 200


def test_another_content_type_and_pages_of_other_sites_are_refused(scripted: str) -> None:
    assert post(scripted, CHAT, ASKED, {"content-type": "text/plain"}).status_code == 415
    assert post(scripted, CHAT, ASKED, {"sec-fetch-site": "cross-site"}).status_code == 403
    assert post(scripted, CHAT, ASKED, {"host": "evil.example"}).status_code == 421
    assert "access-control-allow-origin" not in post(scripted, CHAT, ASKED, {"origin": "http://evil.example"}).headers


def test_a_token_is_the_api_key() -> None:
    with serving(ScriptedPolicy("Seven."), token="a-secret") as url:
        refused = post(url, CHAT, ASKED, {"authorization": "Bearer other"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
        assert httpx.get(f"{url}/v1/models").status_code == 401
        assert httpx.get(f"{url}/health").json() == {"status": "ok"}
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="a-secret")
        assert [model.id for model in client.models.list()] == [NAME]


class Slow:
    """A policy whose samples wait for `go`; it notes the batches."""

    def __init__(self) -> None:
        self.go, self.began = threading.Event(), threading.Event()
        self.batches: list[int] = []

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        self.batches.append(len(conversations))
        self.began.set()
        self.go.wait()
        if any(turns[0]["content"] == "fail" for turns in conversations):
            raise ValueError("a fault")
        return [[Completion(turns[0]["content"], "stop", (0,))] for turns in conversations]


def asking(text: str) -> dict[str, Any]:
    return {**ASKED, "messages": [{"role": "user", "content": text}]}


def draw(text: str, **sampling: Any) -> Draw:
    return Draw([{"role": "user", "content": text}], [], Sampling(**sampling), 0)


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.01)


def test_draws_that_wait_form_one_batch_for_each_setting_and_a_fault_fails_only_its_own() -> None:
    policy = Slow()
    batches = Batches(policy)
    first, waiting = draw("first"), [draw("a"), draw("fail"), draw("b", temperature=0.5), draw("c")]
    batches.submit([first])
    policy.began.wait()
    batches.submit(waiting)
    policy.go.set()
    results = [one.result.exception() or one.result.result().text for one in (first, *waiting)]
    batches.close()
    assert [str(result) for result in results] == ["first", "a", "a fault", "b", "c"]
    assert policy.batches[:2] == [1, 3]  # then each of the three alone, and "b"


def test_a_fault_of_the_policy_is_an_error_of_the_server_and_the_server_goes_on() -> None:
    policy = Slow()
    policy.go.set()
    with serving(policy) as url:
        reply = post(url, CHAT, asking("fail"))
        assert (reply.status_code, reply.json()["error"]["type"]) == (500, "server_error")
        assert reply.json()["error"]["message"] == "the policy failed (ValueError: a fault)"
        assert '"server_error"' in post(url, CHAT, asking("fail") | {"stream": True}).text
        assert post(url, CHAT, asking("a")).json()["choices"][0]["message"]["content"] == "a"


def test_a_flood_is_refused_with_a_status_that_clients_retry() -> None:
    policy = Slow()
    batches = Batches(policy, most_waiting=2)
    batches.submit([draw("first")])
    policy.began.wait()
    batches.submit([draw("a"), (cancelled := draw("b"))])
    with pytest.raises(RequestError) as refused:
        batches.submit([draw("c")])
    assert refused.value.status == 429
    cancelled.result.cancel()
    batches.submit([last := draw("d")])
    policy.go.set()
    assert last.result.result().text == "d"
    batches.close()


class CancelsItself(list[int]):
    """The tokens of a draw that is cancelled at the fifth one."""

    def __init__(self, draw: Draw):
        self.draw = draw

    def append(self, token: int) -> None:
        super().append(token)
        if len(self) == 5:
            self.draw.result.cancel()


def test_a_sample_that_is_cancelled_ends_at_its_next_token_and_the_others_of_its_batch_do_not() -> None:
    batches = Batches(tenfold.load_policy("micro:"))
    works = [Draw(TURN, [5, 6], Sampling(max_tokens=12, temperature=1.0), seed) for seed in (1, 2)]
    works[0].tokens = CancelsItself(works[0])
    batches.submit(works)
    assert len(works[1].result.result().token_ids) == len(works[1].tokens) > 5
    assert (len(works[0].tokens), works[0].result.cancelled()) == (5, True)
    batches.close()


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_disconnects_cancels_its_draws_and_no_others(stream: bool) -> None:
    policy = Slow()
    with serving(policy) as url, ThreadPoolExecutor(2) as pool:
        running = pool.submit(post, url, CHAT, asking("first"))
        policy.began.wait()
        batches = batches_of(url)
        address = httpx.URL(url)
        body = json.dumps(asking("gone") | {"n": 3, "stream": stream}).encode()
        head = (
            f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((address.host, address.port)) as client:
            client.sendall(head.encode() + body)
            until(lambda: batches.waiting == 3)
        until(lambda: batches.waiting == 0)
        after = pool.submit(post, url, CHAT, asking("after"))
        until(lambda: batches.waiting == 1)
        policy.go.set()
        texts = [one.result().json()["choices"][0]["message"]["content"] for one in (running, after)]
    assert (texts, policy.batches) == (["first", "after"], [1, 1])


def test_a_server_that_ends_refuses_what_waits() -> None:
    policy = Slow()
    with ThreadPoolExecutor(2) as pool, serving(policy) as url:
        first = pool.submit(post, url, CHAT, asking("first"))
        policy.began.wait()
        second = pool.submit(post, url, CHAT, asking("second"))
        until(lambda: batches_of(url).waiting == 1)
        batches_of(url).close()
        assert second.result().status_code == 503
        assert post(url, CHAT, asking("third")).status_code == 503
        policy.go.set()
        assert first.result().status_code == 200
