"""Replies in the form of OpenAI's API."""

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...core import Completion
from ...texts import without_surrogates
from ..likelihoods import TokenScore
from .errors import RequestError
from .messages import Said

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Fields = dict[str, object]
"""A JSON object."""
IMPOSSIBLE = -9999.0
"""The log-probability of a token that has none, as in OpenAI's API: JSON has no infinity."""


def head(kind: str, prefix: str, model: str) -> Fields:
    """Returns the fields that all replies have.

    Args:
        kind: OpenAI's name for the object.
        prefix: start of the id.
        model: name of the model.
    """
    return {"id": f"{prefix}-{secrets.token_hex(12)}", "object": kind, "created": int(time.time()), "model": model}


def usage(prompts: int, samples: int) -> Fields:
    """Returns the numbers of tokens of the prompts and of the samples."""
    return {"prompt_tokens": prompts, "completion_tokens": samples, "total_tokens": prompts + samples}


def checked(completion: Completion) -> Completion:
    """Returns a sample, or raises `RequestError` if the policy's own server failed."""
    if completion.finish_reason == "fault":
        raise RequestError(f"the policy's server: {completion.error or 'no response'}", 502)
    return completion


def finish_reason(completion: Completion, calls: bool = False) -> str:
    """Returns OpenAI's word for the end of a sample.

    Args:
        completion: the sample.
        calls: whether it has calls of tools.
    """
    if completion.finish_reason == "refused":
        return "content_filter"
    return "tool_calls" if calls and completion.finish_reason == "stop" else completion.finish_reason


def chat_choice(index: int, completion: Completion, said: Said, logprobs: Fields | None) -> Fields:
    """Returns a choice of `/v1/chat/completions`.

    Args:
        index: its number.
        completion: the sample.
        said: its parts.
        logprobs: see `chat_logprobs`; None if the request does not ask for them.
    """
    reason = finish_reason(completion, bool(said.calls))
    return {"index": index, "message": said.message, "logprobs": logprobs, "finish_reason": reason}


def text_choice(index: int, completion: Completion, before: str, logprobs: Fields | None) -> Fields:
    """Returns a choice of `/v1/completions`.

    Args:
        index: its number.
        completion: the sample.
        before: the prompt's text if the request asks for it.
        logprobs: see `text_logprobs`; None if the request does not ask for them.
    """
    reason = finish_reason(completion)
    return {"index": index, "text": before + completion.text, "logprobs": logprobs, "finish_reason": reason}


def texts(tokenizer: "PreTrainedTokenizerBase", tokens: Sequence[int]) -> list[str]:
    """Returns the text of each token, special tokens included."""
    return [without_surrogates(tokenizer.decode([token], clean_up_tokenization_spaces=False)) for token in tokens]


def chat_logprobs(tokenizer: "PreTrainedTokenizerBase", completion: Completion, scores: Sequence[TokenScore] | None) -> Fields:
    """Returns the log-probabilities of a sample for `/v1/chat/completions`.

    Args:
        tokenizer: the policy's.
        completion: the sample.
        scores: the most likely tokens, if the request asks for them.
    """

    def entry(token: int, text: str, logprob: float) -> Fields:
        return {"token": text, "logprob": _finite(logprob), "bytes": [*text.encode()]}

    listed = []
    for place, (token, text) in enumerate(zip(completion.token_ids, texts(tokenizer, completion.token_ids), strict=True)):
        top = scores[place].top if scores is not None else ()
        names = texts(tokenizer, [other for other, _ in top])
        own = completion.logprobs[place]
        tops = [entry(other, name, own if other == token else value) for (other, value), name in zip(top, names, strict=True)]
        listed.append({**entry(token, text, own), "top_logprobs": tops})
    return {"content": listed, "refusal": None}


def text_logprobs(
    tokenizer: "PreTrainedTokenizerBase",
    tokens: Sequence[int],
    logprobs: Sequence[float | None],
    top: Sequence[Sequence[tuple[int, float]] | None],
) -> Fields:
    """Returns the log-probabilities of tokens for `/v1/completions`.

    Args:
        tokenizer: the policy's.
        tokens: the tokens, with those of the prompt if the request asks for them.
        logprobs: the log-probability of each; None for the first one of a prompt.
        top: the most likely tokens in the place of each; None where there are none.
    """
    names = texts(tokenizer, tokens)
    offsets, length = [], 0
    for name in names:
        offsets.append(length)
        length += len(name)
    tops: list[Mapping[str, float] | None] = []
    for name, own, likely in zip(names, logprobs, top, strict=True):
        if likely is None or own is None:
            tops.append(None)
            continue
        found: dict[str, float] = {}
        for other, value in zip(texts(tokenizer, [token for token, _ in likely]), (value for _, value in likely), strict=True):
            found.setdefault(other, _finite(value))  # of two tokens with the same text, the more likely one
        found.setdefault(name, _finite(own))
        tops.append(found)
    return {
        "tokens": names,
        "token_logprobs": [None if own is None else _finite(own) for own in logprobs],
        "top_logprobs": tops,
        "text_offset": offsets,
    }


def _finite(logprob: float) -> float:
    return logprob if logprob > IMPOSSIBLE else IMPOSSIBLE  # also for NaN
