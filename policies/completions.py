"""Conversion of sampled tokens to the text that is judged.

All code that samples tokens calls `completion`: the transformers and vLLM policies (and so the filter, rollouts and
benchmarks), and GRPO's agent loop. Equal tokens therefore get equal verdicts.
"""

import functools
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from ..core import Completion
from ..responses import without_thinking
from ..verifiers.calls import formats
from .chat.prompts import opened_reasoning

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CHANNEL = "<|channel|>"
_VISIBLE_WITH_CHANNELS = ("<|start|>", "<|end|>", _CHANNEL, "<|message|>")
"""Special tokens of gpt-oss that stay in the text. Only together they show where its reasoning ends."""


def completion(
    tokenizer: "PreTrainedTokenizerBase",
    prompt: Sequence[int],
    tokens: Sequence[int],
    stop_ids: Collection[int],
    stop: Sequence[str] = (),
    logprobs: Sequence[float] = (),
) -> Completion:
    """Returns the completion of one sampled turn.

    The finish reason depends on the tokens alone: "stop" if they end with a token of `stop_ids` or contain a stop string, else
    "length". The engines' own finish reasons differ: if the last allowed token ends the turn, some return "stop" and some
    "length", and verl's servers return "completed" in both cases.

    Args:
        tokenizer: the policy's.
        prompt: tokens before the turn. If they open reasoning, the text starts with that mark.
        tokens: sampled tokens of the turn.
        stop_ids: tokens that end a turn; see `checkpoints.stop_ids`.
        stop: strings that end a turn; the text ends before the first of them.
        logprobs: log-probability of each token, if known.
    """
    ended = bool(tokens) and tokens[-1] in stop_ids
    text = text_of(tokenizer, tokens[:-1] if ended else tokens)
    stops = [start for string in stop if (start := text.find(string)) >= 0]
    ended = ended or bool(stops) or has_stop(tokenizer, tokens, stop)
    text = text[: min(stops)] if stops else text
    return Completion(opened_reasoning(tokenizer, prompt) + text, "stop" if ended else "length", tuple(tokens), tuple(logprobs))


def has_stop(tokenizer: "PreTrainedTokenizerBase", tokens: Sequence[int], stop: Sequence[str]) -> bool:
    """True if the tokens contain a stop string, in their text or as a special token that the text leaves out.

    Args:
        tokenizer: the policy's.
        tokens: sampled tokens of the turn.
        stop: strings that end a turn.
    """
    if not stop:
        return False
    texts = text_of(tokenizer, tokens), tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False)
    return any(string in text for string in stop for text in texts)


def room(limits: Sequence[int], prompts: Sequence[Sequence[int]], window: int | None) -> list[int]:
    """Returns the number of tokens that may follow each prompt; 0 if the prompt fills the model's window.

    Args:
        limits: token limit of each sample.
        prompts: tokens of each prompt.
        window: the model's context window in tokens; None if unknown.
    """
    if window is None:
        return list(limits)
    return [max(0, min(limit, window - len(prompt))) for limit, prompt in zip(limits, prompts, strict=True)]


def text_of(tokenizer: "PreTrainedTokenizerBase", tokens: Sequence[int]) -> str:
    """Returns the text of tokens.

    Special tokens are removed, except the marks of reasoning and tool calls, which verdicts need. Spaces are not cleaned up,
    because some tokenizers would remove the space of " ." in programs, too.
    """
    hidden = _hidden(tokenizer)
    visible = [token for token in tokens if token not in hidden] if hidden is not None else list(tokens)
    return tokenizer.decode(visible, skip_special_tokens=hidden is None, clean_up_tokenization_spaces=False)


@functools.lru_cache(maxsize=8)
def _hidden(tokenizer: "PreTrainedTokenizerBase") -> frozenset[int] | None:
    """Returns the special tokens to remove from the text, or None to remove all of them."""
    special = {token: str(added.content) for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    channels = _VISIBLE_WITH_CHANNELS if _CHANNEL in special.values() else ()
    marks = {
        token for token, text in special.items() if text in channels or formats.is_mark(text) or without_thinking(text) != text
    }
    return frozenset((special.keys() | set(tokenizer.all_special_ids)) - marks) if marks else None
