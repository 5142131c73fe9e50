"""A server of vLLM whose parser of tool calls turns a policy's text into `tool_calls`."""

import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

import tenfold
from tenfold.core import Message, Sampling, message_text
from tenfold.policies.models.learned_tokenizer import learned_tokenizer

from . import serving

TEMPLATE = """{%- if tools %}<|system|>{{ tools | tojson }}<|end|>{% endif %}
{%- for message in messages %}<|{{ message.role }}|>{{ message.content or '' }}
{%- for call in message.tool_calls or [] %}<tool_call>
{{ {"name": call.function.name, "arguments": call.function.arguments} | tojson }}
</tool_call>{% endfor %}<|end|>{% endfor %}
{%- if add_generation_prompt %}<|assistant|>{% endif %}"""
LAMP = {
    "type": "function",
    "function": {"name": "lamp", "parameters": {"type": "object", "properties": {"on": {"type": "boolean"}}}},
}
ASKED = Message(role="user", content="Light, please.")
QUESTION = Message(role="user", content="Light, please.", tools=[LAMP])
CALL = Message(
    role="assistant",
    content="",
    tool_calls=[{"id": "call00001", "type": "function", "function": {"name": "lamp", "arguments": {"on": True}}}],
)
RESULT = Message(role="tool", content="lit", name="lamp", tool_call_id="call00001")
ANSWER = "The lamp is on."


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an SFT stage whose policy calls a function and then answers."""
    folder = tmp_path_factory.mktemp("caller")
    row = {"messages": [ASKED, CALL, RESULT, Message(role="assistant", content=ANSWER)], "tools": [LAMP]}
    (folder / "calls.jsonl").write_text(json.dumps(row) + "\n")
    texts = [json.dumps([LAMP]), TEMPLATE, QUESTION["content"], message_text(CALL), ANSWER]
    learned_tokenizer(texts, 400, TEMPLATE).save_pretrained(folder / "tokenizer")
    stage = {
        **{"kind": "sft", "name": "sft", "problems": f"jsonl:{folder / 'calls.jsonl'}", "steps": 150, "batch_size": 4},
        "learning_rate": 5e-3,
    }
    policy = f"micro:?hidden=64&layers=2&heads=2&tokenizer={folder / 'tokenizer'}"
    (folder / "calls.yaml").write_text(json.dumps({"name": "calls", "policy": policy, "stages": [stage]}))
    tenfold.run(folder / "calls.yaml", folder / "out", quiet=True)
    return folder / "out/sft"


@pytest.fixture(scope="module")
def server(caller: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of the trained policy on a server that parses calls."""
    log = tmp_path_factory.mktemp("server") / "log"
    yield from serving.served(caller / "policy", log, "--enable-auto-tool-choice --tool-call-parser hermes")


def test_calls_and_their_results_have_the_same_form_as_with_transformers(server: str, caller: Path) -> None:
    greedy = Sampling(temperature=0, max_tokens=60)
    policies = [tenfold.load_policy(uri) for uri in (server, f"stage:{caller}")]
    called, own = (policy.generate([[QUESTION]], 1, greedy)[0][0].text for policy in policies)
    assert called == own == message_text(CALL)
    asked = [QUESTION, Message(role="assistant", content=called), Message(role="tool", content="lit")]
    assert [policy.generate([asked], 1, greedy)[0][0].text for policy in policies] == [ANSWER, ANSWER]


def test_the_server_returns_calls_as_data(server: str) -> None:
    client = openai.OpenAI(base_url=server.partition("base_url=")[2], api_key="none")
    reply = client.chat.completions.create(model="micro", messages=[ASKED], tools=[LAMP], temperature=0, max_tokens=60)  # type: ignore[list-item]
    (call,) = reply.choices[0].message.tool_calls or []
    assert (call.function.name, json.loads(call.function.arguments)) == ("lamp", {"on": True})  # type: ignore[union-attr]
    assert not reply.choices[0].message.content
