"""What the error of an OpenAI-compatible server means: whose it is, and whether asking again can help.

later      408, 409, 429, 5xx, a lost connection: OpenAI's client sends the request again
parameter  the server does not take one of the request's parameters
refused    this prompt will never be answered: a content filter, a context that is too long
user       a key, a bill, a model's name
unclear    another 400, 404 or 422: for good, and nobody says whether it is the prompt's
"""

import json
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

FOR_GOOD = frozenset({400, 404, 405, 413, 415, 422, 451, 501})
"""Statuses that the same request will have each time."""
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
_FILTERS = re.compile(_FILTERED, re.IGNORECASE)
_USERS = re.compile(
    r"api[ _-]?key|unauthori[sz]ed|authenti|permission|billing|credit|quota|payment|insufficient[ _]balance|"
    r"model_not_found|invalid_model|(?:no such|unknown|invalid) model|not a valid model|"
    r"model\W.{0,120}(?:not (?:be )?(?:exist|found|available)|does ?n[o']t exist|not exist)",
    re.IGNORECASE | re.DOTALL,
)
_NOT_TAKEN = re.compile(
    r"unsupported|not (?:be )?support|n[o']t support|does not (?:support|accept|allow)|unknown|unrecogni[sz]ed|unexpected|"
    r"not (?:permitted|allowed|accepted|available|valid|recogni[sz]ed|compatible)|extra[ _](?:inputs|fields|forbidden)|"
    r"forbidden|deprecated|use '?\"?max_completion_tokens|only the default|incompatible|cannot be (?:used|specified|set)|"
    r"invalid parameter",
    re.IGNORECASE,
)


class ErrorKind(StrEnum):
    """What an error means."""

    PARAMETER = "parameter"
    REFUSED = "refused"
    USER = "user"
    UNCLEAR = "unclear"
    LATER = "later"


def meaning(status: int, error: Any) -> ErrorKind:
    """What an error means that is not about a parameter.

    Args:
        status: of HTTP, or the one that the error itself names.
        error: its body, parsed where it is JSON.
    """
    text, told = json.dumps(error, default=str), isinstance(error, Mapping)
    if status in (401, 402):
        return ErrorKind.USER
    if status == 403:  # a page of a firewall speaks of blocked content, too
        return ErrorKind.REFUSED if told and _FILTERS.search(text) else ErrorKind.USER
    if status not in FOR_GOOD:
        return ErrorKind.LATER
    if _REFUSED.search(text) or status in (413, 451):
        return ErrorKind.REFUSED
    return ErrorKind.USER if _USERS.search(text) else ErrorKind.UNCLEAR


def refused_parameter(status: int, error: Any, sent: Iterable[str]) -> str | None:
    """The parameter of the request that the server does not take; None where the error is another one.

    Args:
        status: of HTTP.
        error: the body, as OpenAI has it ({"param": "max_tokens", "code": "unsupported_parameter", "message": ...}), as
            pydantic has it ({"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}), or text.
        sent: names of the parameters that were sent.
    """
    if status not in (400, 403, 404, 422, 501):
        return None
    text = json.dumps(error, default=str)
    if not _NOT_TAKEN.search(text) or _FILTERS.search(text):
        return None
    named = error.get("param") if isinstance(error, Mapping) else None
    sent = list(sent)
    if named in sent:
        return str(named)
    # The first one named is what is refused: "'max_tokens' is not supported. Use 'max_completion_tokens' instead."
    places = {name: found.start() for name in sent if (found := re.search(rf"(?<![A-Za-z_]){name}(?![A-Za-z_])", text))}
    return min(places, key=lambda name: places[name]) if places else None


def window(error: Any) -> int | None:
    """The model's window in tokens, where an error about it says so."""
    found = re.search(r"(?:context|sequence|model) (?:length|len|window)\D{0,20}?(\d{2,9})", json.dumps(error, default=str))
    return int(found[1]) if found else None
