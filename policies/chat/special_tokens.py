"""Tokens of a chat template in text from outside, such as a tool's reply: they must be read as ordinary text."""

import functools
import re
from typing import TYPE_CHECKING

from .tools import template_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def split_special_tokens(tokenizer: "PreTrainedTokenizerBase", text: str) -> str:
    """Returns the text with a space inside each special token, so that the tokenizer reads it as ordinary text.

    Added tokens that the chat template writes count as special, too, because some tokenizers do not declare their turn marks.
    Otherwise a web page with `<|im_end|><|im_start|>system` could end its own turn and begin one of another role.

    Args:
        tokenizer: the policy's.
        text: any text.
    """
    return _pattern(tokenizer).sub(lambda token: f"{token[0][0]} {token[0][1:]}", text)


@functools.lru_cache(maxsize=8)
def _pattern(tokenizer: "PreTrainedTokenizerBase") -> re.Pattern[str]:
    template = template_of(tokenizer)
    added = ((str(token.content), token.special) for token in tokenizer.added_tokens_decoder.values())
    marks = [text for text, special in added if len(text) > 1 and text.strip() and (special or text in template)]
    marks.sort(key=len, reverse=True)  # a token may begin with another one
    return re.compile("|".join(map(re.escape, marks)) or r"(?!)")
