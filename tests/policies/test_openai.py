import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import tenfold
from tenfold import cli
from tenfold.benchmarks.result import results
from tenfold.core import Message, Sampling, SamplingIncomplete, UserError
from tenfold.policies.openai import OpenAIPolicy


class Server(ThreadingHTTPServer):
    """A chat completions server that replies with the seed. The first `failures` requests fail."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.failures: list[int] = []
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.gate: threading.Barrier | None = None
        self.guard = threading.Lock()
        self.thinking: str | None = None
        self.silent = False
        self.strict_tools = False
        """Reject replies of tools that answer no call, as OpenAI's server does."""
        self.tool_error: tuple[int, str] | None = None
        """Status and message of an error of each request with tools."""
        self.no_tools = False
        """Reject the parameter `tools`, as vLLM's server does unless it is started with a parser of calls."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.gate:
            self.server.gate.wait()
        with self.server.guard:
            status = self.server.failures.pop() if self.server.failures else 200
            self.server.requests.append(request)
            error = "not now"
            if self.server.no_tools and "tools" in request:
                status = 400
                error = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
            unnamed = [turn for turn in request["messages"] if turn["role"] == "tool" and "tool_call_id" not in turn]
            if self.server.strict_tools and unnamed:
                status = 400
                error = (
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
                )
            if self.server.tool_error and "tools" in request:
                status, error = self.server.tool_error
            self.server.keys.append(self.headers["Authorization"])
        choice = {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": None if self.server.silent else f"{request['messages'][-1]['content']} {request['seed']}",
                "reasoning_content": self.server.thinking,
            },
            "finish_reason": "length" if request["max_tokens"] < 3 else "stop",
            "logprobs": {"content": [{"token": "a", "logprob": -0.5, "bytes": None, "top_logprobs": []}]},
        }
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        reply = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": request["model"],
            "choices": [choice],
            "usage": usage,
        }
        body = json.dumps(reply if status == 200 else {"error": {"message": error}}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status != 200:
            self.send_header("retry-after-ms", "1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


ASKED = [[{"role": "user", "content": text}] for text in ("one", "two", "three")]


def test_every_sample_is_a_request_with_its_own_seed(server: Server) -> None:
    policy = tenfold.load_policy(f"openai:small?base_url={server.url}")
    sampled = policy.generate(ASKED, 4, Sampling(0.6, 0.95, 16, seed=1, stop=("END",)), ["a", "b", "c"])
    assert [len(row) for row in sampled] == [4, 4, 4]
    assert len({completion.text for row in sampled for completion in row}) == 12
    assert all(completion.text.startswith("two ") for completion in sampled[1])
    assert sampled[0][0].logprobs == (-0.5,)
    request = server.requests[0]
    assert (request["model"], request["temperature"], request["top_p"], request["stop"]) == ("small", 0.6, 0.95, ["END"])
    assert "top_k" not in request, "OpenAI's API does not have it"
    assert policy.generate(ASKED[:1], 4, Sampling(0.6, 0.95, 16, seed=1), ["a"])[0] == sampled[0]


def test_top_k_is_a_field_of_the_requests(server: Server, lab: Path) -> None:
    command = ["bench", "chain_sum", "--policy", f"openai:small?base_url={server.url}", "--limit", "1", "--samples", "2"]
    assert cli.main([*command, "--top-k", "20", "--out", "b"]) == 0
    assert [request["top_k"] for request in server.requests] == [20, 20]
    assert results("b")[0].settings["sampling"]["top_k"] == 20


def test_requests_are_concurrent(server: Server) -> None:
    server.gate = threading.Barrier(12)  # opens only if twelve requests wait at the same time
    OpenAIPolicy("small", server.url, batch_size=12, max_retries=0).generate(ASKED, 4, Sampling())
    assert len(server.requests) == 12


def test_a_failed_request_is_retried(server: Server) -> None:
    server.failures = [429, 500, 503]
    sampled = OpenAIPolicy("small", server.url, batch_size=1).generate(ASKED, 1, Sampling())
    assert len(sampled) == 3
    assert len(server.requests) == 6


def test_a_truncated_sample_has_the_finish_reason_length(server: Server) -> None:
    assert OpenAIPolicy("small", server.url).generate(ASKED[:1], 1, Sampling(max_tokens=2))[0][0].finish_reason == "length"


def test_an_authentication_error_is_one_line_without_the_key(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY", "sk-secret")
    monkeypatch.setenv("TENFOLD_KEYS", f"LAB_KEY=127.0.0.1:{server.server_port}")
    server.failures = [401]
    with pytest.raises(UserError, match="401") as error:
        tenfold.load_policy(f"openai:small?base_url={server.url}&api_key_env=LAB_KEY").generate(ASKED[:1], 1, Sampling())
    assert server.keys == ["Bearer sk-secret"]
    assert "secret" not in str(error.value)


def test_an_unreachable_server_gives_a_one_line_error() -> None:
    with pytest.raises(UserError, match="does not answer"):
        OpenAIPolicy("small", "http://127.0.0.1:9/v1", max_retries=0).generate(ASKED[:1], 1, Sampling())


def test_a_policy_needs_a_key_or_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        tenfold.load_policy("openai:small")


def test_separate_reasoning_is_part_of_the_text(server: Server) -> None:
    policy = OpenAIPolicy("m", base_url=server.url)
    server.thinking = "so and so"
    [[whole]] = policy.generate([[{"role": "user", "content": "hi"}]], 1, Sampling())
    assert whole.text.startswith("<think>\nso and so\n</think>\nhi ")
    server.silent = True
    [[truncated]] = policy.generate([[{"role": "user", "content": "hi"}]], 1, Sampling(max_tokens=2))
    assert (truncated.text, truncated.finish_reason) == ("<think>\nso and so", "length")


def test_samples_before_a_failure_are_returned(server: Server) -> None:
    policy = OpenAIPolicy("m", base_url=server.url, max_retries=0, batch_size=1)
    server.failures = [200, 500, 200]
    with pytest.raises(SamplingIncomplete, match="500") as stopped:
        policy.generate([[{"role": "user", "content": "hi"}]], 3, Sampling())
    assert [sample is None for sample in stopped.value.completions[0]] == [False, True, False]


@pytest.mark.parametrize("task", ["chain_sum", "env:tenfold/ChainSum-v0"])
def test_a_benchmark_sends_thinking_to_the_server_and_records_it(server: Server, lab: Path, task: str) -> None:
    command = ["bench", task, "--policy", f"openai:small?base_url={server.url}", "--limit", "1", "--samples", "2"]
    sent = {}
    for thinking in ("on", "off", ""):
        server.requests.clear()
        assert cli.main([*command, "--out", f"bench{thinking}", *(["--thinking", thinking] if thinking else [])]) == 0
        (result,) = results(f"bench{thinking}")
        assert result.settings.get("thinking", "") == thinking
        sent[thinking] = [request.get("chat_template_kwargs") for request in server.requests]
    assert sent == {"on": [{"enable_thinking": True}] * 2, "off": [{"enable_thinking": False}] * 2, "": [None] * 2}


def test_replies_of_tools_become_turns_of_the_user_if_the_server_rejects_them(server: Server) -> None:
    call = '<tool_call>{"name": "python", "arguments": {"code": "1 + 1"}}</tool_call>'
    turns = [
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "content": call},
        {"role": "tool", "content": "2"},
    ]
    policy = OpenAIPolicy("m", base_url=server.url)
    assert policy.generate([turns], 1, Sampling())[0][0].text.startswith("2 ")
    assert server.requests[-1]["messages"][-1]["role"] == "tool"
    server.strict_tools = True
    server.requests.clear()
    with pytest.warns(UserWarning, match='rejects the role "tool"'):
        sampled = policy.generate([turns], 8, Sampling())[0]  # several requests at once are rejected
    assert all(sample.text.startswith("2 ") for sample in sampled)
    asked = len(server.requests)
    assert policy.generate([turns], 1, Sampling())[0][0].text.startswith("2 ")
    assert len(server.requests) == asked + 1  # it is not tried again
    assert server.requests[-1]["messages"] == [*turns[:2], {"role": "user", "content": "2"}]


def test_declared_functions_and_calls_are_sent_as_data_and_as_text_to_a_server_that_rejects_them(server: Server) -> None:
    add = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}

    def call(a: int) -> str:
        return f'<tool_call>\n{{"name": "add", "arguments": {{"a": {a}, "b": "</tool_call>"}}}}\n</tool_call>'

    turns: list[Message] = [
        {"role": "user", "content": "1 + 1, 2 + 2?", "tools": [add]},
        {"role": "assistant", "content": f"Let me see.\n{call(1)}\n{call(2)}"},
        {"role": "tool", "content": "2\n4"},
    ]
    policy = OpenAIPolicy("m", base_url=server.url)
    server.strict_tools = True
    policy.generate([turns], 1, Sampling())
    (request,) = server.requests
    assert request["tools"] == [add]
    assert request["messages"][0] == {"role": "user", "content": "1 + 1, 2 + 2?"}
    said, *replies = request["messages"][1:]
    assert (said["content"], len(said["tool_calls"])) == ("Let me see.", 2)
    assert json.loads(said["tool_calls"][1]["function"]["arguments"]) == {"a": 2, "b": "</tool_call>"}
    assert [turn["content"] for turn in replies] == ["2", "4"]
    assert [turn["tool_call_id"] for turn in replies] == [made["id"] for made in said["tool_calls"]]
    server.no_tools, server.strict_tools = True, False
    with pytest.warns(UserWarning, match="rejects the parameter tools"):
        policy.generate([turns], 4, Sampling())
    asked = len(server.requests)
    policy.generate([turns], 1, Sampling())
    assert len(server.requests) == asked + 1  # it is not tried again
    system, *others = server.requests[-1]["messages"]
    assert "tools" not in server.requests[-1]
    assert json.dumps(add["function"]) in system["content"]
    assert others == [{"role": "user", "content": "1 + 1, 2 + 2?"}, *turns[1:]]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "tool call validation failed: attempted to call tool 'g' which was not in request.tools"),
        (401, "You must have the correct role in your organization to use tools"),
        (400, "maximum context length is 10 tokens; reduce the length of the messages or tools"),
    ],
)
def test_errors_that_do_not_reject_tools_change_nothing(server: Server, status: int, message: str) -> None:
    add = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
    policy = OpenAIPolicy("m", base_url=server.url, max_retries=0)
    asked: list[Message] = [{"role": "user", "content": "1 + 1?", "tools": [add]}]
    server.tool_error = (status, message)
    with contextlib.suppress(UserError):
        policy.generate([asked], 1, Sampling())
    server.tool_error = None
    policy.generate([asked], 1, Sampling())
    assert server.requests[-1]["tools"] == [add]


def test_a_server_that_rejects_the_role_of_a_reply_still_gets_the_tools(server: Server) -> None:
    add = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
    turns: list[Message] = [
        {"role": "user", "content": "1 + 1?", "tools": [add]},
        {"role": "assistant", "content": "[add(a=1, b=1)]"},
        {"role": "tool", "content": "2"},
    ]
    server.strict_tools = True
    policy = OpenAIPolicy("m", base_url=server.url)
    with pytest.warns(UserWarning, match='rejects the role "tool"'):
        policy.generate([turns], 1, Sampling())
    assert server.requests[-1]["tools"] == [add]
    assert server.requests[-1]["messages"][-1]["role"] == "user"
