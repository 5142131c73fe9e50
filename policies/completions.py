"""What a policy's tokens say: how a turn that was sampled becomes a text that is judged.

Every path to a verdict goes through `completion`: the transformers and vLLM policies (and with them the filter, rollouts and
benchmarks), and GRPO's agent loop. So the same tokens get the same verdict, whoever drew them.
"""

import functools
import re
from collections.abc import Collection, Sequence
from typing import Any

from ..core import Completion
from ..responses import without_thinking
from .checkpoints import opened

_KEPT = re.compile(r"</?tool_call>|<\|(?:channel|message)\|>")
"""Special tokens that a text shows, beside those that open or close reasoning: of tool calls, and of gpt-oss's channels."""


def completion(
    tokenizer: Any,
    prompt: Sequence[int],
    tokens: Sequence[int],
    stop_ids: Collection[int],
    stop: Sequence[str] = (),
    logprobs: Sequence[float] = (),
) -> Completion:
    """One turn of a policy, from its tokens.

    Whether the turn was cut is told by its tokens alone: it was, unless it ends with a token of `stop_ids` or holds a stop
    string. Engines do not agree on this: where the last token allowed ends the turn, some say "stop" and some "length", and
    verl's servers say "completed" of both.

    Args:
        tokenizer: the policy's.
        prompt: the tokens that the turn follows. Where they open the reasoning, so does the text.
        tokens: of the turn, as sampled.
        stop_ids: tokens that end a turn; see `initial.stop_ids`.
        stop: strings that end a turn; the text ends before the first of them.
        logprobs: log-probability of each token, where they are known.
    """
    ended = bool(tokens) and tokens[-1] in stop_ids
    text = text_of(tokenizer, tokens[:-1] if ended else tokens)
    places = [place for string in stop if (place := text.find(string)) >= 0]
    # A stop string may be a special token, which the text does not show.
    ended = ended or bool(places) or (bool(stop) and any(string in tokenizer.decode(list(tokens)) for string in stop))
    text = text[: min(places)] if places else text
    return Completion(opened(tokenizer, prompt) + text, "stop" if ended else "length", tuple(tokens), tuple(logprobs))


def text_of(tokenizer: Any, tokens: Sequence[int]) -> str:
    """The text of tokens, without special ones but for those that mark reasoning or a tool call: verdicts depend on them.

    Spaces are left as they are: some tokenizers would join " ." to the word before, in programs as well.
    """
    hidden = _hidden(tokenizer)
    shown = [token for token in tokens if token not in hidden] if hidden is not None else list(tokens)
    return tokenizer.decode(shown, skip_special_tokens=hidden is None, clean_up_tokenization_spaces=False)


@functools.lru_cache(maxsize=8)
def _hidden(tokenizer: Any) -> frozenset[int] | None:
    """The special tokens that a text does not show; None where it shows none of them."""
    special = {token: str(added.content) for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    marks = {token for token, text in special.items() if _KEPT.fullmatch(text) or without_thinking(text) != text}
    return frozenset((special.keys() | set(tokenizer.all_special_ids)) - marks) if marks else None
