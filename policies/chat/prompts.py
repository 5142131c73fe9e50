"""Prompts: the tokens of a conversation up to the policy's turn, as the model's chat template writes them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...core import TEXT, Conversation, UserError, message_text
from ...disk import storable
from ...responses import opened_thinking
from . import tools

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OPENING_TOKENS = 40
"""Number of tokens at the end of a prompt that are searched for a mark that opens reasoning. The longest mark has 32 bytes."""


def prompt_tokens(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> list[int]:
    """Returns the token ids of a conversation, up to the start of the policy's turn.

    The chat template writes declarations of functions if it supports them. Without a chat template (a base model), turns are
    joined by newlines as plain text. A single turn of the role "text" is used as plain text with any model. Lone surrogates,
    which tokenizers reject, become U+FFFD.
    """
    written = _written(tokenizer, conversation)
    if isinstance(written, str):
        return tokenizer(written)["input_ids"]
    turns, render = written
    return render(turns, add_generation_prompt=True, tokenize=True, return_dict=False)


def prompt_text(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> tuple[str, bool]:
    """Returns the text whose tokens `prompt_tokens` returns, and whether the tokenizer adds its special tokens to it."""
    written = _written(tokenizer, conversation)
    if isinstance(written, str):
        return written, True
    turns, render = written
    return render(turns, add_generation_prompt=True), False


def _written(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> tuple[list[tools.Turn], tools.Render] | str:
    """Returns the turns that a chat template writes, and a function that applies it; or a plain text; see `prompt_tokens`."""
    declared, conversation = tools.split(storable(list(conversation)))
    if [message["role"] for message in conversation] == [TEXT]:
        return conversation[0]["content"]
    if declared and not tools.writes_tools(tokenizer, declared):
        text = tools.as_text(tools.joined(declared, conversation))
        declared, conversation = (), tools.accepted(tokenizer, text)
    if not tokenizer.chat_template:
        return "\n".join(map(message_text, conversation)) + "\n"
    has_calls = "tool_calls" in tools.template_of(tokenizer)  # else the template would drop the calls
    turns = [dict(turn) if has_calls else {**turn, "content": message_text(turn)} for turn in conversation]
    return turns, tools.renderer(tokenizer, declared)


def choice_tokens(tokenizer: "PreTrainedTokenizerBase", options: Sequence[str]) -> tuple[list[int], list[int]]:
    """Returns the tokens that all options start with, and for each option the next token, in which all options differ.

    Raises:
        UserError: two options have the same next token, or one has none.
    """
    rows = [tokenizer(option, add_special_tokens=False)["input_ids"] for option in options]
    for index, tokens in enumerate(zip(*rows, strict=False)):
        if len(set(tokens)) == len(options):
            return rows[0][:index], list(tokens)
        if len(set(tokens)) > 1:
            break
    raise UserError(f"the options {', '.join(options)} do not differ in one token; choose others")


def opened_reasoning(tokenizer: "PreTrainedTokenizerBase", prompt: Sequence[int]) -> str:
    """Returns the mark that opens reasoning, with a newline, if the prompt ends with it; else "".

    Some chat templates open the reasoning, so that the sampled text only closes it. Without the mark, a response that is
    truncated during its reasoning could not be distinguished from an answer.
    """
    mark = opened_thinking(tokenizer.decode(list(prompt[-OPENING_TOKENS:])))
    return f"{mark}\n" if mark else ""
