"""Labels of conversations with tools, for chat templates of several kinds."""

import json
from pathlib import Path
from typing import Any

import pytest

from tenfold.core import Message, Problem, UserError
from tenfold.envs.problems import sources
from tenfold.envs.services.environment import ToolsEnv
from tenfold.envs.services.solutions import solved
from tenfold.pipelines.sft import examples
from tenfold.pipelines.trainer.data.tokenized import IGNORED
from tenfold.policies import checkpoints
from tenfold.policies.chat.prompts import prompt_tokens

from .chat_templates import DEEPSEEK, LLAMA, MARKED, MISTRAL, QWEN, QWEN3, THINKS

SPECIAL = ["<|im_start|>", "<|im_end|>", "<|eot_id|>", "</s>", "<|start_header_id|>", "<|end_header_id|>"]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells it.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    found = checkpoints.tokenizer_of(checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2"))
    found.add_special_tokens({"additional_special_tokens": SPECIAL})
    return found


def with_template(tokenizer: Any, template: str, end: str) -> Any:
    tokenizer.chat_template, tokenizer.eos_token, tokenizer.bos_token = template, end, "<|im_start|>"
    return tokenizer


def call(city: str, id: str | None = "a1") -> dict[str, Any]:
    made = {"type": "function", "function": {"name": "weather", "arguments": json.dumps({"city": city})}}
    return made | ({"id": id} if id else {})


ASK = {"role": "user", "content": "Weather in Paris?"}
CALL = {"role": "assistant", "content": None, "tool_calls": [call("Paris")]}
REPLY = {"role": "tool", "tool_call_id": "a1", "content": "18"}
SAID = {"role": "assistant", "content": "It is 18."}


def text_and_labels(folder: Path, tokenizer: Any, row: dict[str, Any]) -> tuple[str, list[str]]:
    """Returns the whole text of a row's example, and the parts of it that have labels."""
    (folder / "rows.jsonl").write_text(json.dumps(row) + "\n")
    (problem,) = sources.load(f"jsonl:{folder}/rows.jsonl")
    made = examples.example(problem, tokenizer, "{prompt}", None, "{answer}", None)
    parts: list[list[int]] = [[]]
    for token, label in zip(made["input_ids"], made["labels"], strict=True):
        assert label in (token, IGNORED)
        parts[-1].append(token) if label == token else parts.append([])
    return tokenizer.decode(made["input_ids"]), [tokenizer.decode(tokens) for tokens in parts if tokens]


def rendered(tokenizer: Any, turns: list[dict[str, Any]], tools: Any = None) -> str:
    """Returns the conversation as the template writes it, with arguments as objects."""
    copies = json.loads(json.dumps(turns))
    for turn in copies:
        turn["content"] = turn["content"] or ""
        for tool_call in turn.get("tool_calls", ()):
            tool_call["function"]["arguments"] = json.loads(tool_call["function"]["arguments"])
    text: str = tokenizer.apply_chat_template(copies, tools=tools, tokenize=False)
    return text


QWEN_CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call><|im_end|>'
LLAMA_CALL = '{"name": "weather", "parameters": {"city": "Paris"}}<|eot_id|>'


@pytest.mark.parametrize(
    ("template", "end", "parts"),
    [
        (QWEN, "<|im_end|>", [QWEN_CALL, "It is 18.<|im_end|>"]),
        (QWEN3, "<|im_end|>", [QWEN_CALL, "<think>\n\n</think>\n\nIt is 18.<|im_end|>"]),
        (LLAMA, "<|eot_id|>", [LLAMA_CALL, "It is 18.<|eot_id|>"]),
    ],
    ids=["qwen2.5", "qwen3", "llama3.1"],
)
def test_labels_cover_calls_as_the_template_writes_them_and_not_replies(
    tmp_path: Path, tokenizer: Any, template: str, end: str, parts: list[str]
) -> None:
    with_template(tokenizer, template, end)
    turns = [ASK, CALL, REPLY, SAID]
    whole, found = text_and_labels(tmp_path, tokenizer, {"messages": turns, "tools": [TOOL]})
    assert found == parts
    assert whole == rendered(tokenizer, turns, [TOOL]).rstrip("\n")
    assert '"description": "Tells it."' in whole


def test_a_template_that_requires_ids_gets_them(tmp_path: Path, tokenizer: Any) -> None:
    with_template(tokenizer, MISTRAL, "</s>")
    later = [{"role": "user", "content": "And in Rome?"}, {"role": "assistant", "content": "Warmer."}]
    whole, found = text_and_labels(tmp_path, tokenizer, {"messages": [ASK, CALL, REPLY, SAID, *later], "tools": [TOOL]})
    called = '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Paris"}, "id": "call00001"}]</s>'
    assert found == [called, " It is 18.</s>", " Warmer.</s>"]
    assert '"call_id": "call00001"' in whole
    assert whole.index("[AVAILABLE_TOOLS]") > whole.index("It is 18."), "this template writes it before the last user turn"


def test_a_template_that_requires_arguments_as_text_and_no_content_gets_them(tmp_path: Path, tokenizer: Any) -> None:
    with_template(tokenizer, DEEPSEEK, "<|im_end|>")
    whole, found = text_and_labels(tmp_path, tokenizer, {"messages": [ASK, CALL, REPLY, SAID], "tools": [TOOL]})
    assert found == ['<|call|>weather\n```json\n{"city": "Paris"}\n```<|im_end|>', "It is 18.<|im_end|>"]
    assert '"description": "Tells it."' in whole, "declared in the system turn, because the template has no declarations"


def test_labels_follow_the_templates_marks_and_include_the_end_of_a_turn(tmp_path: Path, tokenizer: Any) -> None:
    with_template(tokenizer, MARKED, "<|im_end|>")
    for template in (MARKED, MARKED.replace("{% endgeneration %}<|im_end|>\n", "<|im_end|>\n{% endgeneration %}")):
        tokenizer.chat_template = template
        _, found = text_and_labels(tmp_path, tokenizer, {"messages": [ASK, CALL, REPLY, SAID]})
        assert found[0].startswith('<tool_call>{"name": "weather"')
        assert found[0].endswith("</tool_call><|im_end|>")
        assert found[1] == "It is 18.<|im_end|>"


@pytest.mark.parametrize("template", [None, "micro"])
def test_a_template_without_support_for_tools_gets_them_as_text(tmp_path: Path, template: str | None) -> None:
    tokenizer = checkpoints.tokenizer_of(checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2"))
    tokenizer.chat_template = tokenizer.chat_template if template else None
    whole, found = text_and_labels(tmp_path, tokenizer, {"messages": [ASK, CALL, REPLY, SAID], "tools": [TOOL]})
    assert found == [
        '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call><|end|>',
        "It is 18.<|end|>",
    ]
    assert '"description": "Tells it."' in whole
    assert "None" not in whole


def test_a_template_without_a_system_turn_gets_declarations_in_the_user_turn(tmp_path: Path, tokenizer: Any) -> None:
    rejecting = (
        "{% for message in messages %}{% if message.role not in ('user', 'assistant') %}{{ raise_exception('No.') }}{% endif %}"
    )
    rejecting += "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{% endfor %}"
    rejecting += "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    with_template(tokenizer, rejecting, "<|im_end|>")
    whole, found = text_and_labels(tmp_path, tokenizer, {"messages": [ASK, CALL, REPLY, SAID], "tools": [TOOL]})
    assert whole.startswith("<|im_start|>user\nYou may call these functions")
    assert found == [QWEN_CALL, "It is 18.<|im_end|>"]


def test_turns_whose_reasoning_is_removed_later_are_located(tmp_path: Path, tokenizer: Any) -> None:
    with_template(tokenizer, THINKS, "<|im_end|>")
    called = {"role": "assistant", "content": "I look.", "tool_calls": [call("Paris")]}
    turns = [ASK, called, REPLY, SAID, {"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes."}]
    whole, found = text_and_labels(tmp_path, tokenizer, {"messages": turns})
    assert whole == rendered(tokenizer, turns).rstrip("\n")
    assert found == ["I look.\n" + QWEN_CALL, "It is 18.<|im_end|>", "\n</think>\n\nYes.<|im_end|>"]


@pytest.mark.parametrize("template", [QWEN, QWEN3, THINKS])
def test_all_turns_of_a_repeated_exchange_have_labels(tmp_path: Path, tokenizer: Any, template: str) -> None:
    exchange = [ASK, CALL | {"content": "Looking."}, REPLY, SAID]
    row = {"messages": [{"role": "assistant", "content": "Hello."}, *exchange * 3], "tools": [TOOL]}
    parts = text_and_labels(tmp_path, with_template(tokenizer, template, "<|im_end|>"), row)[1]
    assert [("Looking." in part, "It is 18." in part) for part in parts] == [(True, False), (False, True)] * 3


def test_a_turn_may_have_several_calls_with_their_replies(tmp_path: Path, tokenizer: Any) -> None:
    both = {"role": "assistant", "content": "I look.", "tool_calls": [call("Paris", "a"), call("Rome", "b")]}
    replies = [{"role": "tool", "tool_call_id": id, "content": reply} for id, reply in (("a", "18"), ("b", "25"))]
    turns = [ASK, both, *replies, SAID]
    with_template(tokenizer, QWEN, "<|im_end|>")
    whole, found = text_and_labels(tmp_path, tokenizer, {"messages": turns})
    assert whole == rendered(tokenizer, turns).rstrip("\n")
    assert len(found) == 2
    assert found[0].startswith("I look.\n<tool_call>")
    with_template(tokenizer, MISTRAL, "</s>")
    whole, _ = text_and_labels(tmp_path, tokenizer, {"messages": turns})
    assert '18, "call_id": "call00001"' in whole
    assert '25, "call_id": "call00002"' in whole
    with_template(tokenizer, LLAMA, "<|eot_id|>")
    with pytest.raises(UserError, match=r"rows/0: .*only supports single tool-calls") as error:
        text_and_labels(tmp_path, tokenizer, {"messages": turns})
    assert "\n" not in str(error.value)


def test_the_next_turn_is_opened_once_after_several_replies(tmp_path: Path) -> None:
    tokenizer = checkpoints.tokenizer_of(checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2"))
    both = {"role": "assistant", "content": "", "tool_calls": [call("Paris", "a"), call("Rome", "b")]}
    replies = [{"role": "tool", "content": "18"}, {"role": "tool", "content": "25"}]
    whole, found = text_and_labels(tmp_path, tokenizer, {"messages": [ASK, both, *replies, SAID]})
    assert whole.endswith("<|tool|>18<|end|><|tool|>25<|end|><|assistant|>It is 18.<|end|>")
    assert len(found) == 2


@pytest.mark.parametrize("after", [[], [REPLY]])
def test_a_conversation_may_end_in_a_call_or_a_reply(tmp_path: Path, tokenizer: Any, after: list[dict[str, Any]]) -> None:
    with_template(tokenizer, QWEN, "<|im_end|>")
    whole, found = text_and_labels(tmp_path, tokenizer, {"messages": [ASK, CALL, *after]})
    assert found == [QWEN_CALL]
    assert whole.endswith(QWEN_CALL)


SHAREGPT = [
    {"from": "human", "value": "Weather in Paris?"},
    {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "Paris"}}'},
    {"from": "observation", "value": "18"},
    {"from": "gpt", "value": "It is 18."},
]
LEGACY = [
    ASK,
    {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": '{"city": "Paris"}'}},
    {"role": "function", "name": "weather", "content": "18"},
    SAID,
]
OBJECTS = [
    {"role": "user", "content": [{"type": "text", "text": "Weather in "}, {"type": "text", "text": "Paris?"}]},
    {"role": "assistant", "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Paris"}}}], "content": []},
    {"role": "tool", "content": [{"type": "text", "text": "18"}], "tool_calls": None},
    {"role": "assistant", "content": [{"type": "text", "text": "It is 18."}], "tool_calls": None},
]
DECLARED = TOOL["function"]


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": SHAREGPT, "tools": json.dumps([DECLARED])},
        {"conversations": json.dumps(SHAREGPT), "tools": [json.dumps(TOOL)]},
        {"messages": LEGACY, "functions": [DECLARED]},
        {"messages": OBJECTS, "tools": [TOOL]},
        {"messages": json.dumps([ASK, CALL, REPLY, SAID]), "tools": json.dumps([TOOL])},
        {"prompt": [ASK, CALL, REPLY], "answer": "It is 18.", "tools": [TOOL]},
    ],
    ids=["sharegpt", "sharegpt as JSON", "function_call", "parts", "JSON", "an answer apart"],
)
def test_all_forms_of_a_conversation_give_the_same_example(tmp_path: Path, tokenizer: Any, row: dict[str, Any]) -> None:
    with_template(tokenizer, QWEN, "<|im_end|>")
    expected = text_and_labels(tmp_path, tokenizer, {"messages": [ASK, CALL, REPLY, SAID], "tools": [TOOL]})
    other = tmp_path / "other"
    other.mkdir()
    assert text_and_labels(other, tokenizer, row) == expected


def test_sharegpts_system_column_becomes_the_system_turn(tmp_path: Path, tokenizer: Any) -> None:
    with_template(tokenizer, QWEN, "<|im_end|>")
    whole, _ = text_and_labels(tmp_path, tokenizer, {"conversations": SHAREGPT, "system": "Be brief."})
    assert whole.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user")


def test_calls_from_a_table_have_only_their_own_arguments(tmp_path: Path, tokenizer: Any) -> None:
    import pandas

    other = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "time", "arguments": {"zone": "CET"}}}]}
    mine = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Paris"}}}],
    }
    rows = [{"messages": [ASK, turn]} for turn in (mine, other)]
    pandas.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")
    first, second = sources.load(f"parquet:{tmp_path}/rows.parquet")
    assert first.meta["final_turn"]["tool_calls"][0]["function"] == {"name": "weather", "arguments": {"city": "Paris"}}
    assert second.meta["final_turn"]["tool_calls"][0]["function"] == {"name": "time", "arguments": {"zone": "CET"}}


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        ({"tool_calls": [{"function": {"name": "weather", "arguments": "{city"}}]}, "the arguments of weather cannot be read"),
        ({"tool_calls": [{"function": {"name": "weather", "arguments": [1]}}]}, "the arguments of weather are not an object"),
        ({"tool_calls": [{"function": {"arguments": {}}}]}, "a tool call has no name"),
        ({"content": [{"type": "image_url", "image_url": {"url": "x"}}]}, "'image_url'; only text is supported"),
        ({"content": [{"type": "text", "text": "see"}, {"type": "image"}]}, "'image'; only text is supported"),
    ],
)
def test_an_invalid_turn_is_an_error_with_its_row(tmp_path: Path, tokenizer: Any, turn: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"row 1: .*{message}") as error:
        text_and_labels(tmp_path, tokenizer, {"messages": [ASK, {"role": "assistant", "content": None} | turn]})
    assert "\n" not in str(error.value)


def test_a_turn_without_text_or_calls_is_empty_and_not_the_word_none(tmp_path: Path, tokenizer: Any) -> None:
    with_template(tokenizer, QWEN, "<|im_end|>")
    row = {
        "messages": [
            {"role": "system", "content": None},
            ASK,
            {"role": "assistant", "content": "", "tool_calls": []},
            ASK,
            SAID,
        ]
    }
    whole, found = text_and_labels(tmp_path, tokenizer, row)
    assert "None" not in whole
    assert found == ["<|im_end|>", "It is 18.<|im_end|>"]


def test_equal_text_in_a_prompt_gets_no_labels(tmp_path: Path, tokenizer: Any) -> None:
    """Prompt, tool's reply and answer may have the same text."""
    with_template(tokenizer, QWEN3, "<|im_end|>")
    turns = [{"role": "user", "content": "18"}, CALL, REPLY, {"role": "assistant", "content": "18"}]
    turns += [{"role": "user", "content": "18"}, {"role": "assistant", "content": "18"}]
    whole, found = text_and_labels(tmp_path, tokenizer, {"messages": turns})
    assert found == [QWEN_CALL, "18<|im_end|>", "<think>\n\n</think>\n\n18<|im_end|>"]
    assert whole == rendered(tokenizer, turns).rstrip("\n")


def test_the_prompt_template_applies_to_the_user_turn_and_not_to_a_tools_reply() -> None:
    from tenfold.envs.text import prompt_messages

    prompt = (Message(role="user", content="2+2?"), Message(role="assistant", content="add"), Message(role="tool", content="4"))
    for turns in range(1, 4):
        posed = prompt_messages(Problem("p", prompt[:turns], "4", "here"), "{prompt} Box it.")
        assert [turn["content"] for turn in posed] == ["2+2? Box it.", "add", "4"][:turns]
    posed = prompt_messages(Problem("p", prompt[1:], "4", "here"), "{prompt} Box it.")
    assert [turn["content"] for turn in posed] == ["add Box it.", "4"], "without a user turn the template is not lost"


@pytest.mark.parametrize(("template", "end"), [(QWEN, "<|im_end|>"), (LLAMA, "<|eot_id|>")], ids=["qwen2.5", "llama3.1"])
def test_gold_conversations_with_tools_of_the_template_start_with_the_prompt_of_the_environment(
    tokenizer: Any, template: str, end: str
) -> None:
    with_template(tokenizer, template, end)
    uri = "generate:tenfold.envs.services.problems:problems?size=3&turns=2"
    env = ToolsEnv(uri, describe="template")
    for index, problem in enumerate(solved(uri, describe="template")):
        _, info = env.reset(options={"problem": index})
        prompt = prompt_tokens(tokenizer, info["messages"])
        made = examples.example(problem, tokenizer, "{prompt}", None, "{answer}", None)
        assert made["input_ids"][: len(prompt)] == prompt
        assert set(made["labels"][: len(prompt)]) == {IGNORED}
        if calls := [turn["tool_calls"] for turn in problem.prompt if "tool_calls" in turn]:
            name = calls[0][0]["function"]["name"]
            learnt = tokenizer.decode([label for label in made["labels"] if label != IGNORED])
            assert f'"name": "{name}"' in learnt
            assert learnt.count(end) == len([turn for turn in problem.prompt if turn["role"] == "assistant"]) + 1
