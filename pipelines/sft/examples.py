"""A worked answer as tokens to learn: what the policy says is learnt, what others say to it is only read.

A problem's answer is its policy's last turn; turns of the assistant's in its prompt, as a conversation with tools has them, are
learnt as well. Tool calls are learnt as the model's chat template writes them (`tool_turns.py`). `meta["thinking"]` goes before
the answer, in the words that the model's chat template thinks in.
"""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from ...core import Message, Problem, UserError, without_surrogates
from ...envs.text import prompt_messages
from ...policies import checkpoints
from ...policies.chat_tokens import conversation_tokens
from ..trainer.trainer import IGNORED
from . import tool_turns

Example = dict[str, list[int]]
THINKING = "<think>\n{thinking}\n</think>\n\n{answer}"
"""How models that have a slot for thinking are taught to think, unless a recipe says otherwise."""


def worked(problem: Problem, answer: str = "{answer}") -> str:
    """The worked answer of a problem, without thinking: its solution where it has one."""
    return answer.replace("{answer}", str(problem.meta.get("solution", problem.answer)))


def example(
    problem: Problem, tokenizer: Any, template: str, system: str | None, answer: str, thinking_as: str | None
) -> Example:
    """Token ids and labels of one problem with its worked answer.

    Args:
        problem: see the module.
        tokenizer: the policy's.
        template, system: how it is posed.
        answer: how its worked answer is worded; of a turn that calls tools, what is said beside the calls.
        thinking_as: how thinking and answer are written, with {thinking} and {answer}; "": the thinking is left out; None: as
            THINKING has it, where the model has a slot for it.

    Raises:
        UserError: there is thinking, thinking_as is None, and the model has no slot for it; or its chat template cannot write
            the tool calls.
    """
    final = cast(Message | None, problem.meta.get("final_turn"))
    said = answer.replace("{answer}", final["content"]) if final else worked(problem, answer)
    if thinking := problem.meta.get("thinking"):
        if thinking_as is None and not has_slot(tokenizer):
            raise UserError(
                f"{problem.id} has thinking, and the model's chat template has no slot for it: say how it is written with "
                f"thinking_as, as in {THINKING!r}, or leave it out with thinking_as: ''"
            )
        form = THINKING if thinking_as is None else thinking_as or "{answer}"
        said = form.replace("{thinking}", str(thinking)).replace("{answer}", said)
    messages: list[Message] = [
        *prompt_messages(problem, template, system),
        Message(role="assistant", content=without_surrogates(said)),
    ]
    if final and "tool_calls" in final:
        messages[-1]["tool_calls"] = final["tool_calls"]
    tools = cast(Sequence[Mapping[str, object]], problem.meta.get("tools", ()))
    if tool_turns.has_tools(messages, tools):
        written = tool_turns.written(tokenizer, messages, tools, problem.id)
        if isinstance(written, tool_turns.Written):
            return _labelled(*tool_turns.learnt(tokenizer, written, problem.id))
        messages = written
    earlier = [turn["content"] for turn in messages if turn["role"] == "assistant"]
    turns = [_said(tokenizer, text) for text in earlier]
    first = next(place for place, turn in enumerate(messages) if turn["role"] == "assistant")
    opened = checkpoints.opened_reasoning(tokenizer, checkpoints.prompt_tokens(tokenizer, messages[:first]))
    if opened:  # the prompt has already said so, before each turn
        turns = [_said(tokenizer, text.removeprefix(opened)) for text in earlier]
    return _labelled(*conversation_tokens(tokenizer, messages, turns))


def can_be_learnt(problem: Problem) -> bool:
    """Whether a problem has a prompt and an answer to it: rows may lack either."""
    asked = any(turn["content"].strip() or "tool_calls" in turn for turn in problem.prompt)
    return asked and not (problem.answer is None and problem.meta.get("solution") is None)


def _labelled(ids: list[int], mask: list[int]) -> Example:
    return {"input_ids": ids, "labels": [token if by_policy else IGNORED for token, by_policy in zip(ids, mask, strict=True)]}


def has_slot(tokenizer: Any) -> bool:
    """Whether a model knows thinking: by its chat template, or by a token of its own."""
    return "<think>" in (tokenizer.chat_template or "") or "<think>" in tokenizer.get_vocab()


def _said(tokenizer: Any, text: str) -> list[int]:
    return [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]


def in_shares(lengths: Sequence[Sequence[int]], shares: Sequence[float], count: int, seed: int) -> list[tuple[int, int]]:
    """Which examples are learnt, in order, so that each source has its share of the tokens from beginning to end.

    Next comes the source that lags furthest behind. Each goes through its examples pass by pass, every pass in an order of its
    own.

    Args:
        lengths: tokens of each example, by source.
        shares: of the sources; they sum to 1.
        count: examples in all.
        seed: of the orders.

    Returns:
        (source, example), `count` times.
    """
    given = [0] * len(shares)
    orders = [_passes(len(of_source), f"{seed}/{source}") for source, of_source in enumerate(lengths)]
    chosen = []
    for _ in range(count):
        source = min(range(len(shares)), key=lambda source: given[source] / shares[source])
        number = next(orders[source])
        given[source] += lengths[source][number]
        chosen.append((source, number))
    return chosen


def _passes(size: int, seed: str) -> Iterator[int]:
    for number in itertools.count():
        yield from random.Random(f"{seed}/{number}").sample(range(size), size)
