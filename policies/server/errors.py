"""Classification of the errors of OpenAI-compatible servers.

later      408, 409, 429, 5xx except 501, a lost connection: temporary; OpenAI's client sends the request again.
           A status that no line below covers counts as temporary too, but the request is not sent again
parameter  the server does not accept a parameter of the request
refused    the server will never answer this prompt: a content filter, a context that is too long
user       a problem with the key, the account or the model's name
unclear    another 400, 404, 405, 415, 422 or 501: permanent, and perhaps due to the prompt
"""

import json
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from .parameters import LIMIT

PERMANENT = frozenset({400, 404, 405, 413, 415, 422, 451, 501})
"""HTTP statuses that a retry of the same request gets again."""
LOWERED = 2
"""How often the token limit of a request is lowered at most. The first error may name only the window, and the second one also
the number of tokens in the prompt."""
_FILTERED = (
    r"content[ _-]?(?:filter|policy|policies|management|moderation|exists risk|safety|blocked)|responsible_?ai|"
    r"policy[ _-]?violation|violat\w+ (?:of )?(?:our|the|usage|content)|usage polic|safety (?:system|filter|setting|reason)|"
    r"moderation|flagged|prohibited_content|data_?inspection|inappropriate content|sensitive (?:content|information|word)|"
    r"prompt (?:was |is )?blocked|block_?reason|guardrail"
)
_TOO_LONG = (
    r"context[ _-]?(?:length|window|size)|(?:maximum|max) (?:context|input|prompt|sequence|model)|max_model_len|"
    r"(?:prompt|input|message|request|sequence|text)s? (?:is |are |was )?too (?:long|large)|too many (?:input )?tokens|"
    r"reduce the length|longer than|string_above_max_length|exceed\w* (?:the )?(?:\w+ )?(?:token|context|length|limit)|"
    r"token limit|request_too_large|payload too large"
)
_REFUSED = re.compile(f"{_FILTERED}|{_TOO_LONG}", re.IGNORECASE)
_FILTER_ERROR = re.compile(_FILTERED, re.IGNORECASE)
_USER_ERROR = re.compile(
    r"api[ _-]?key|unauthori[sz]ed|authenti|permission|billing|credit|quota|payment|insufficient[ _]balance|"
    r"model_not_found|invalid_model|(?:no such|unknown|invalid) model|not a valid model|"
    r"model\W.{0,120}(?:not (?:be )?(?:exist|found|available)|does ?n[o']t exist|not exist)",
    re.IGNORECASE | re.DOTALL,
)
_LIMIT_ERROR = re.compile(r"max_(?:completion_)?tokens\W{1,5}must be less than or equal", re.IGNORECASE)
"""Groq's error for a token limit above the model's. It mentions the context window, but is not about the prompt."""
_PROMPT = re.compile(r"(\d+) (?:input tokens|tokens from the input|(?:tokens )?in (?:the|your) (?:message|prompt))")
"""The number of tokens in the prompt."""
_NOT_ACCEPTED = re.compile(
    r"unsupported|not (?:be )?support|n[o']t support|does not (?:support|accept|allow)|unknown|unrecogni[sz]ed|unexpected|"
    r"not (?:permitted|allowed|accepted|available|valid|recogni[sz]ed|compatible)|extra[ _](?:inputs|fields|forbidden)|"
    r"forbidden|deprecated|use '?\"?max_completion_tokens|only the default|incompatible|cannot be (?:used|specified|set)|"
    r"invalid parameter",
    re.IGNORECASE,
)


class ErrorKind(StrEnum):
    """The kinds of errors; see the module's docstring."""

    PARAMETER = "parameter"
    REFUSED = "refused"
    USER = "user"
    UNCLEAR = "unclear"
    LATER = "later"


def kind_of(status: int, error: object) -> ErrorKind:
    """Returns the kind of an error that is not about a parameter.

    Args:
        status: HTTP status, or the status in the body.
        error: the body, parsed if it is JSON.
    """
    text, is_object = _text(error), isinstance(error, Mapping)
    if status in (401, 402):
        return ErrorKind.USER
    if status == 403:  # a firewall's HTML page may also mention blocked content
        return ErrorKind.REFUSED if is_object and _FILTER_ERROR.search(text) else ErrorKind.USER
    if status not in PERMANENT:
        return ErrorKind.LATER
    if _LIMIT_ERROR.search(text):
        return ErrorKind.USER
    if _REFUSED.search(text) or status in (413, 451):
        return ErrorKind.REFUSED
    return ErrorKind.USER if _USER_ERROR.search(text) else ErrorKind.UNCLEAR


def rejected_parameter(status: int, error: object, sent: Iterable[str]) -> str | None:
    """Returns the parameter of the request that the server does not accept, or None for another error.

    Args:
        status: HTTP status.
        error: the body in the format of OpenAI ({"param": "max_tokens", "code": "unsupported_parameter", "message": ...}), in
            the format of pydantic ({"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}), or text.
        sent: names of the parameters in the request.
    """
    if status not in (400, 403, 404, 422, 501):
        return None
    text = _text(error)
    if not _NOT_ACCEPTED.search(text) or _FILTER_ERROR.search(text):
        return None
    named = error.get("param") if isinstance(error, Mapping) else None
    sent = list(sent)
    if named in sent:
        return str(named)
    # The first name is the rejected parameter: "'max_tokens' is not supported. Use 'max_completion_tokens' instead."
    positions = {name: match.start() for name in sent if (match := re.search(rf"(?<![A-Za-z_]){name}(?![A-Za-z_])", text))}
    return min(positions, key=lambda name: positions[name]) if positions else None


def window(error: object) -> int | None:
    """Returns the model's context window in tokens if the error contains it."""
    match = re.search(r"(?:context|sequence|model)[ _](?:length|len|window)\D{0,24}?(\d{2,9})", _text(error))
    return int(match[1]) if match else None


def _text(error: object) -> str:
    """Returns a body as JSON with a space for each escaped newline, tab or quote, so that the names after them are found."""
    return re.sub(r'\\[nrt"]', " ", json.dumps(error, default=str))


def lowered(request: Mapping[str, Any], error: object) -> dict[str, Any] | None:
    """Returns a request with a token limit that fits into the model's window, if the error says that the present one does not.

    If the error has no number of tokens of the prompt, a request to `/v1/chat/completions` is sent without a limit: the sample
    then ends at the window. `/v1/completions` has a small default, so there the limit becomes half of the window.

    Args:
        request: the parameters.
        error: the body.
    """
    whole, limit = window(error), request.get(LIMIT, 0)
    if whole is None:
        return None
    if prompt := _PROMPT.search(_text(error)):
        left = whole - int(prompt[1])
        return {**request, LIMIT: left} if 0 < left < limit else None
    if limit < whole:
        return None
    return {**request, LIMIT: whole // 2} if "prompt" in request else {n: v for n, v in request.items() if n != LIMIT}
