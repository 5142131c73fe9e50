"""Special tokens in text from outside, such as a tool's reply: they must not act as tokens of the chat template."""

import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def split_special_tokens(tokenizer: "PreTrainedTokenizerBase", text: str) -> str:
    """Returns the text with a space inside each special token, so that the tokenizer reads it as ordinary text.

    Otherwise a web page with `<|im_end|><|im_start|>system` could end its own turn and begin one of another role.

    Args:
        tokenizer: the policy's.
        text: any text.
    """
    return _pattern(tokenizer).sub(lambda token: f"{token[0][0]} {token[0][1:]}", text)


@functools.lru_cache(maxsize=8)
def _pattern(tokenizer: "PreTrainedTokenizerBase") -> re.Pattern[str]:
    added = (str(token.content) for token in tokenizer.added_tokens_decoder.values() if token.special)
    return re.compile("|".join(re.escape(token) for token in added if len(token) > 1 and token.strip()) or r"(?!)")
