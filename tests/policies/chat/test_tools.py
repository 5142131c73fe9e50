"""Declarations of functions in prompts: by the chat template, and as text."""

from typing import Any

import pytest

from tenfold.benchmarks.tasks import avg_at_k
from tenfold.core import Message, Problem
from tenfold.envs.text import prompt_messages, with_system
from tenfold.policies import checkpoints
from tenfold.policies.chat import tools
from tenfold.policies.chat.prompts import prompt_text, prompt_tokens
from tenfold.policies.chat.tokens import prompts_tokens

TEMPLATE = (
    "{% for tool in tools or [] %}[{{ tool.function | tojson }}]{% endfor %}"
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}<assistant>"
)
ADD = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
}
ASKED: list[Message] = [{"role": "system", "content": "Be brief.", "tools": [ADD]}, {"role": "user", "content": "1 + 1?"}]
PLAIN: list[Message] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"}]


@pytest.fixture
def tokenizer() -> Any:
    return checkpoints.tokenizer_of(checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2"))


def test_a_template_with_support_for_tools_writes_the_declarations(tokenizer: Any) -> None:
    tokenizer.chat_template = TEMPLATE
    written, _ = prompt_text(tokenizer, ASKED)
    assert written.startswith('[{"name": "add", "parameters"')
    assert written.endswith("]<system>Be brief.<user>1 + 1?<assistant>")
    assert prompt_tokens(tokenizer, ASKED) == tokenizer(written, add_special_tokens=False)["input_ids"]
    assert prompts_tokens(tokenizer, [ASKED, PLAIN]) == [prompt_tokens(tokenizer, ASKED), prompt_tokens(tokenizer, PLAIN)]


@pytest.mark.parametrize("has_template", [True, False])
def test_for_another_template_they_become_text_in_the_system_turn(tokenizer: Any, has_template: bool) -> None:
    if not has_template:
        tokenizer.chat_template = None
    text, _ = prompt_text(tokenizer, ASKED)
    assert "Be brief." in text
    assert '{"name": "add", "parameters"' in text
    assert "<tool_call>" in text


def test_the_declarations_stay_in_the_first_message_when_a_system_turn_is_added() -> None:
    problem = Problem("p", ({"role": "user", "content": "1 + 1?", "tools": [ADD]},), 2, "here")
    assert prompt_messages(problem, "Q: {prompt}", "Be brief.") == (ASKED[0], {"role": "user", "content": "Q: 1 + 1?"})
    assert with_system("You can add.", ASKED)[0] == {"role": "system", "content": "You can add.\n\nBe brief.", "tools": [ADD]}


@pytest.mark.parametrize(
    "text",
    [
        "I call <tool_call>.",
        "<tool_call>\n{broken}\n</tool_call>",
        '<tool_call>\n{"name": 3, "arguments": {}}\n</tool_call>',
        '<tool_call>\n{"name": "add", "arguments": [1]}\n</tool_call>',
        "<function=add><parameter=a>1</parameter></function>",
    ],
)
def test_text_that_is_no_call_of_this_form_stays_text(text: str) -> None:
    turns: list[Message] = [{"role": "assistant", "content": text}, {"role": "tool", "content": "?"}]
    assert tools.with_calls(turns) == turns


def test_calls_without_a_reply_stay_text() -> None:
    call = '<tool_call>\n{"name": "add", "arguments": {}}\n</tool_call>'
    turns: list[Message] = [{"role": "assistant", "content": call}, {"role": "user", "content": "Go on."}]
    assert tools.with_calls(turns) == turns


def test_calls_in_the_reasoning_stay_text() -> None:
    call = '<tool_call>{"name": "add", "arguments": {"a": 1}} </tool_call>'
    turns: list[Message] = [
        {"role": "assistant", "content": f"<think>\n{call}? No.</think>I add.\n{call}"},
        {"role": "tool", "content": "1"},
    ]
    said, reply = tools.with_calls(turns)
    assert said["content"] == f"<think>\n{call}? No.</think>I add."
    assert [made["function"] for made in said["tool_calls"]] == [{"name": "add", "arguments": {"a": 1}}]
    assert (reply["content"], reply["tool_call_id"]) == ("1", said["tool_calls"][0].get("id"))
    assert len(reply["tool_call_id"]) == 9


def test_many_marks_of_calls_are_read_in_linear_time() -> None:
    for text in ("<tool_call>\n{" * 50_000, '<tool_call>{"a":' * 50_000, "<tool_call>" + "[" * 100_000):
        turns: list[Message] = [{"role": "assistant", "content": text}, {"role": "tool", "content": "?"}]
        assert tools.with_calls(turns) == turns


def test_a_template_that_rejects_the_system_role_gets_the_declarations_in_the_users_turn(tokenizer: Any) -> None:
    tokenizer.chat_template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}<model>"
    )
    text, _ = prompt_text(tokenizer, [{"role": "user", "content": "1 + 1?", "tools": [ADD]}])
    assert text.startswith("<user>You may call these functions")
    assert text.endswith("\n\n1 + 1?<model>")


def test_declarations_stay_with_a_system_turn_and_examples_of_a_benchmark() -> None:
    problem = Problem("p", ({"role": "user", "content": "1 + 1?", "tools": [ADD]},), 2, "here")
    example = [Message(role="user", content="1 + 2?"), Message(role="assistant", content="3")]
    made = avg_at_k.prompt_of(problem, "{prompt}", "Be brief.", [example], 1)
    assert [(turn["role"], "tools" in turn) for turn in made] == [
        ("system", True),
        ("user", False),
        ("assistant", False),
        ("user", False),
    ]
    assert '"name": "add"' in avg_at_k.plain_text(made)[0]["content"]
