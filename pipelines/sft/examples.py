"""Training examples from problems with worked answers. The loss is on the assistant's turns alone.

A problem's worked answer is the assistant's last turn. Assistant's turns in the prompt, as in a conversation with tools, are
also trained on, except one that begins the conversation. Tool calls have the form of the model's chat template
(`tool_turns.py`). `meta["thinking"]` goes before the answer, in <think> tags or in the form of a thinking template.
"""

import itertools
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from ...core import Message, Problem, UserError
from ...envs.problems import cells
from ...envs.text import prompt_messages
from ...policies import checkpoints
from ...policies.chat_tokens import conversation_tokens
from ...texts import without_surrogates
from ..trainer.trainer import IGNORED
from . import tool_turns

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Example = dict[str, list[int]]
"""Token ids (input_ids) and labels, (tokens,) each."""
THINKING = "<think>\n{thinking}\n</think>\n\n{answer}"
"""Default form of thinking and answer, for models with reasoning tags."""


def worked(problem: Problem, answer: str = "{answer}") -> str:
    """Returns the worked answer of a problem without thinking: its solution if it has one, else its gold answer."""
    solution = problem.meta.get("solution")
    return answer.replace("{answer}", str(problem.answer if cells.is_missing(solution) else solution))


def example(
    problem: Problem,
    tokenizer: "PreTrainedTokenizerBase",
    template: str,
    system: str | None,
    answer: str,
    thinking_template: str | None,
) -> Example:
    """Returns the training example of a problem with its worked answer.

    Args:
        problem: the problem; see the module for the meta data that it may have.
        tokenizer: the policy's tokenizer.
        template: template of the prompt, with {prompt}.
        system: system prompt, or None.
        answer: template of the worked answer, with {answer}. In a turn with tool calls, it applies to the text next to the
            calls.
        thinking_template: template of thinking and answer, with {thinking} and {answer}. "" leaves the thinking out. None
            stands for `THINKING`, if the model has reasoning tags.

    Raises:
        UserError: the problem has thinking, thinking_template is None and the model has no reasoning tags; or the model's chat
            template cannot write the tool calls.
    """
    final = cast(Message | None, problem.meta.get("final_turn"))
    target = answer.replace("{answer}", final["content"]) if final else worked(problem, answer)
    if not cells.is_missing(thinking := problem.meta.get("thinking")):
        if thinking_template is None and not has_reasoning_tags(tokenizer):
            raise UserError(
                f"{problem.id} has thinking, but the model has no <think> tags; "
                f"set thinking_template, for example to {THINKING!r}, or leave it out with thinking_template: ''"
            )
        form = THINKING if thinking_template is None else thinking_template or "{answer}"
        values = {"{thinking}": str(thinking), "{answer}": target}
        # All at once, because the thinking may contain "{answer}".
        target = re.sub(r"\{(?:thinking|answer)\}", lambda found: values[found[0]], form)
    messages: list[Message] = [
        *prompt_messages(problem, template, system),
        Message(role="assistant", content=without_surrogates(target)),
    ]
    if final and "tool_calls" in final:
        messages[-1]["tool_calls"] = final["tool_calls"]
    tools = cast(Sequence[Mapping[str, object]], problem.meta.get("tools", ()))
    if tool_turns.has_tools(messages, tools):
        written = tool_turns.written(tokenizer, messages, tools, problem.id)
        if isinstance(written, tool_turns.Written):
            return _labelled(*tool_turns.tokens(tokenizer, written, problem.id))
        messages = written
    places = [place for place, turn in enumerate(messages) if turn["role"] == "assistant" and place]  # the first has no prompt
    texts = [messages[place]["content"] for place in places]
    turns = [_turn_tokens(tokenizer, text) for text in texts]
    opened = checkpoints.opened_reasoning(tokenizer, checkpoints.prompt_tokens(tokenizer, messages[: places[0]]))
    if opened:  # the prompt already contains the opening tag of each turn's reasoning
        turns = [_turn_tokens(tokenizer, text.removeprefix(opened)) for text in texts]
    return _labelled(*conversation_tokens(tokenizer, messages, turns))


def is_trainable(problem: Problem) -> bool:
    """True if a problem has a prompt and an answer. Rows may lack either."""
    has_prompt = any(turn["content"].strip() or "tool_calls" in turn for turn in problem.prompt)
    return has_prompt and not (problem.answer is None and cells.is_missing(problem.meta.get("solution")))


def _labelled(ids: list[int], mask: list[int]) -> Example:
    return {"input_ids": ids, "labels": [token if by_policy else IGNORED for token, by_policy in zip(ids, mask, strict=True)]}


def has_reasoning_tags(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """True if the model's chat template or vocabulary contains <think>."""
    return "<think>" in (tokenizer.chat_template or "") or "<think>" in tokenizer.get_vocab()


def _turn_tokens(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    return [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]


def in_shares(lengths: Sequence[Sequence[int]], shares: Sequence[float], count: int, seed: int) -> list[tuple[int, int]]:
    """Returns an order of examples in which each source has its share of the tokens at every point.

    The next example comes from the source with the fewest tokens relative to its share. Each source passes through its examples
    repeatedly, in a new order each time.

    Args:
        lengths: tokens of each example, by source.
        shares: shares of the sources; they sum to 1.
        count: number of examples to return.
        seed: seed of the orders.

    Returns:
        `count` pairs of (source, example).
    """
    totals = [0] * len(shares)
    orders = [_passes(len(of_source), f"{seed}/{source}") for source, of_source in enumerate(lengths)]
    chosen = []
    for _ in range(count):
        source = min(range(len(shares)), key=lambda source: totals[source] / shares[source])
        number = next(orders[source])
        totals[source] += lengths[source][number]
        chosen.append((source, number))
    return chosen


def _passes(size: int, seed: str) -> Iterator[int]:
    for number in itertools.count():
        yield from random.Random(f"{seed}/{number}").sample(range(size), size)
