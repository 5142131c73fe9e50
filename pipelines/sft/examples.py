"""Training examples from problems with worked answers. The loss is on the assistant's turns alone.

A problem's worked answer is the assistant's last turn. Assistant's turns in the prompt, as in a conversation with tools, are
also trained on, except one that begins the conversation. Tool calls have the form of the model's chat template
(`tool_turns.py`). `meta["thinking"]` goes before the answer, in <think> tags or in the form of a thinking template.
"""

import itertools
import random
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy

from ...core import Message, Problem, UserError, Verifier
from ...envs.problems import cells
from ...envs.text import prompt_messages
from ...policies.chat.prompts import opened_reasoning
from ...policies.chat.tokens import conversation_tokens, prompts_tokens, texts_tokens
from ...texts import without_surrogates
from ..trainer.data.tokenized import IGNORED, Example, Tokens
from . import tool_turns

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BATCH = 128
"""Problems whose texts are tokenized together. The rate does not depend on it between 32 and 1,024."""
TOO_LONG, NO_TARGET, INCORRECT = "too long", "no target within max_tokens", "incorrect"
"""Reasons why a problem is left out."""
CUT = "cut"
"""Reason of an example that is truncated at max_tokens."""

THINKING = "<think>\n{thinking}\n</think>\n\n{answer}"
"""Default form of thinking and answer, for models with reasoning tags."""


class Form(NamedTuple):
    """The settings of a stage that decide which example a problem becomes; see `SFT`."""

    template: str
    system: str | None
    target_template: str
    thinking_template: str | None
    max_tokens: int
    truncate: bool


class Turns(NamedTuple):
    """A conversation without tools, whose turns are tokenized one by one."""

    messages: list[Message]
    first: int
    """Index of the first turn in the loss. The turns before it are the prompt."""

    @property
    def prompt(self) -> list[Message]:
        """The turns before the first one in the loss."""
        return self.messages[: self.first]

    @property
    def texts(self) -> list[str]:
        """The texts in the loss."""
        return [turn["content"] for turn in self.messages[self.first :] if turn["role"] == "assistant"]


def each(
    problems: Iterable[Problem],
    tokenizer: "PreTrainedTokenizerBase",
    form: Form,
    verify: Verifier | None = None,
    batch: int = BATCH,
) -> Iterator[tuple[Tokens | None, str]]:
    """Yields the example of each problem, or None, with the reason why it is left out or truncated ("" for neither).

    Args:
        problems: the problems.
        tokenizer: the policy's tokenizer.
        form: the form of the examples.
        verify: verifier of the worked answers; None: all are correct.
        batch: problems that are tokenized together.

    Raises:
        UserError: see `example`.
    """
    waiting = iter(problems)
    while group := list(itertools.islice(waiting, batch)):
        reasons = [_unusable(problem, form, verify) for problem in group]
        usable = [problem for problem, reason in zip(group, reasons, strict=True) if not reason]
        tokens = iter(_tokens([_conversation(problem, tokenizer, form) for problem in usable], tokenizer))
        for reason in reasons:
            yield (None, reason) if reason else _within(next(tokens), form)


def _unusable(problem: Problem, form: Form, verify: Verifier | None) -> str:
    """Returns why a problem makes no example; empty if it makes one."""
    if not is_trainable(problem):
        return "without an answer"
    if verify:
        verdict = verify(problem, worked(problem, form.target_template))
        if verdict.score is None:
            return f"without a score ({verdict.status.value})"
        if verdict.score < 1:
            return INCORRECT
    return ""


def _within(tokens: Tokens, form: Form) -> tuple[Tokens | None, str]:
    """Returns an example of at most `max_tokens`, or None, with the reason."""
    ids, mask = tokens
    if len(ids) <= form.max_tokens:
        return tokens, ""
    mask = mask[: form.max_tokens]
    reason = TOO_LONG if not form.truncate else CUT if 1 in mask else NO_TARGET
    return ((ids[: form.max_tokens], mask) if reason == CUT else None), reason


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
    """Returns the training example of a problem with its worked answer, of any length.

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
    form = Form(template, system, answer, thinking_template, 0, False)
    ((ids, mask),) = _tokens([_conversation(problem, tokenizer, form)], tokenizer)
    return {"input_ids": ids, "labels": [token if by_policy else IGNORED for token, by_policy in zip(ids, mask, strict=True)]}


def _conversation(problem: Problem, tokenizer: "PreTrainedTokenizerBase", form: Form) -> Turns | Tokens:
    """Returns a problem's conversation; its tokens if the model's chat template writes its tools."""
    final = cast(Message | None, problem.meta.get("final_turn"))
    target = form.target_template.replace("{answer}", final["content"]) if final else worked(problem, form.target_template)
    if not cells.is_missing(thinking := problem.meta.get("thinking")):
        if form.thinking_template is None and not has_reasoning_tags(tokenizer):
            raise UserError(
                f"{problem.id} has thinking, but the model has no <think> tags; "
                f"set thinking_template, for example to {THINKING!r}, or leave it out with thinking_template: ''"
            )
        template = THINKING if form.thinking_template is None else form.thinking_template or "{answer}"
        values = {"{thinking}": str(thinking), "{answer}": target}
        # All at once, because the thinking may contain "{answer}".
        target = re.sub(r"\{(?:thinking|answer)\}", lambda found: values[found[0]], template)
    messages: list[Message] = [
        *prompt_messages(problem, form.template, form.system),
        Message(role="assistant", content=without_surrogates(target)),
    ]
    if final and "tool_calls" in final:
        messages[-1]["tool_calls"] = final["tool_calls"]
    if tool_turns.has_tools(messages):
        written = tool_turns.written(tokenizer, messages, problem.id)
        if isinstance(written, tool_turns.Written):
            return tool_turns.tokens(tokenizer, written, problem.id)
        messages = written
    # A first turn has no prompt.
    return Turns(messages, next(place for place, turn in enumerate(messages) if turn["role"] == "assistant" and place))


def _tokens(conversations: Sequence[Turns | Tokens], tokenizer: "PreTrainedTokenizerBase") -> Iterator[Tokens]:
    """Yields the tokens of each conversation. The texts of all of them are tokenized together."""
    turns = [each for each in conversations if isinstance(each, Turns)]
    prompts = prompts_tokens(tokenizer, [each.prompt for each in turns])
    # The prompt may already contain the opening tag of each turn's reasoning.
    opened = [opened_reasoning(tokenizer, prompt) for prompt in prompts]
    texts = [[text.removeprefix(opening) for text in each.texts] for each, opening in zip(turns, opened, strict=True)]
    answers = iter(texts_tokens(tokenizer, list(itertools.chain(*texts))))
    given = iter(prompts)
    for conversation in conversations:
        if isinstance(conversation, Turns):
            ends = [[*next(answers), tokenizer.eos_token_id] for _ in conversation.texts]
            yield conversation_tokens(tokenizer, conversation.messages, ends, next(given))
        else:
            yield conversation


def is_trainable(problem: Problem) -> bool:
    """True if a problem has a prompt and an answer. Rows may lack either."""
    has_prompt = any(turn["content"].strip() or "tool_calls" in turn for turn in problem.prompt)
    return has_prompt and not (problem.answer is None and cells.is_missing(problem.meta.get("solution")))


def has_reasoning_tags(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """True if the model's chat template or vocabulary contains <think>."""
    return "<think>" in (tokenizer.chat_template or "") or "<think>" in tokenizer.get_vocab()


def in_shares(
    lengths: Sequence[Sequence[int] | numpy.ndarray], shares: Sequence[float], count: int, seed: int
) -> numpy.ndarray:
    """Returns an order of examples in which each source has its share of the tokens at every point.

    The next example comes from the source with the fewest tokens relative to its share. Each source passes through its examples
    repeatedly, in a new order each time.

    Args:
        lengths: tokens of each example, by source.
        shares: shares of the sources; they sum to 1.
        count: number of examples to return.
        seed: seed of the orders.

    Returns:
        Source and example, (count, 2).
    """
    totals = [0] * len(shares)
    orders = [_passes(len(of_source), f"{seed}/{source}") for source, of_source in enumerate(lengths)]
    chosen = numpy.empty((count, 2), numpy.int64)
    for place in range(count):
        source = min(range(len(shares)), key=lambda source: totals[source] / shares[source])
        number = next(orders[source])
        totals[source] += int(lengths[source][number])
        chosen[place] = source, number
    return chosen


def _passes(size: int, seed: str) -> Iterator[int]:
    """Yields the numbers below `size` in a random order, then in another one, and so on.

    The orders are those of `Random.sample(range(size), size)`. This function holds 8 bytes for each number, and `sample` 48.
    """
    for number in itertools.count():
        random_number = random.Random(f"{seed}/{number}").randrange
        left = array("q", range(size))
        for count in range(size, 0, -1):
            place = random_number(count)
            yield left[place]
            left[place] = left[count - 1]
