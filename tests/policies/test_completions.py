"""Calls of tools whose marks are special tokens of the policy's tokenizer."""

import re

import pytest

from tenfold.policies import checkpoints
from tenfold.policies.chat.prompts import opened_reasoning
from tenfold.policies.completions import completion, text_of
from tenfold.verifiers.calls import formats

CALL = '{"name": "area", "arguments": {"base": 10}}'
CALLS = {
    "Mistral": '[TOOL_CALLS]area[CALL_ID]123456789[ARGS]{"base": 10}',
    "Mistral, older": f"[TOOL_CALLS][{CALL}][/TOOL_CALLS]",
    "Llama": f"<|python_tag|>{CALL}<|eom_id|>",
    "Granite": f"<|tool_call|>[{CALL}]",
    "DeepSeek": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>area<｜tool▁sep｜>"
    '{"base": 10}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    "Kimi": '<|tool_calls_section_begin|><|tool_call_begin|>area<|tool_call_argument_begin|>{"base": 10}<|tool_call_end|>',
    "Command A": f"<|START_ACTION|>[{CALL}]<|END_ACTION|>",
    "gpt-oss": '<|channel|>commentary to=functions.area <|constrain|>json<|message|>{"base": 10}<|call|>',
    "gpt-oss after reasoning": "<|channel|>analysis<|message|>I must call area.<|end|><|start|>assistant<|channel|>commentary "
    'to=functions.area <|constrain|>json<|message|>{"base": 10}<|call|>',
    "gpt-oss with the name first": "<|channel|>analysis<|message|>I must call.<|end|><|start|>assistant to=functions.area"
    '<|channel|>commentary json<|message|>{"base": 10}<|call|>',
}


@pytest.mark.parametrize("model", CALLS)
def test_calls_are_parsed_if_their_marks_are_special_tokens(model: str) -> None:
    response = CALLS[model]
    tokenizer = checkpoints.learned_tokenizer(["call the function area"], 300)
    marks = re.findall(r"<[|｜][^<>]+[|｜]>|\[/?[A-Z_]+\]", response)
    tokenizer.add_special_tokens({"additional_special_tokens": [*marks, "<|eot_id|>"]})
    tokens = tokenizer(f"{response}<|eot_id|>")["input_ids"]
    sampled = completion(tokenizer, [], tokens, {tokenizer.convert_tokens_to_ids("<|eot_id|>")})
    assert [(call.name, call.arguments) for call in formats.read(sampled.text, {})] == [("area", {"base": 10})]


def test_the_longest_mark_of_reasoning_is_found_at_the_end_of_a_prompt() -> None:
    tokenizer = checkpoints.learned_tokenizer(["call the function area"], 300)
    mark = "<|channel|>commentary<|message|>"
    assert opened_reasoning(tokenizer, tokenizer(f"Hello. {mark}")["input_ids"]) == f"{mark}\n"


def test_other_special_tokens_are_removed_besides_marks_of_calls() -> None:
    tokenizer = checkpoints.learned_tokenizer(["call the function area"], 300)
    tokenizer.add_special_tokens({"additional_special_tokens": ["[TOOL_CALLS]", "<|start|>", "<|fim|>"]})
    tokens = tokenizer("<|start|>a<|fim|>b[TOOL_CALLS]c<|end|>")["input_ids"]
    assert text_of(tokenizer, tokens) == "ab[TOOL_CALLS]c"
