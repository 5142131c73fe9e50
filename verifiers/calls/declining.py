"""Distinguishes a response that declines to call a function from one that calls in an invalid form.

Invalid forms are prose, other XML and broken JSON.

A response declines if it calls nothing in any form. It may name the functions, describe what they need or ask for it, as long
as it does not say that it calls one of them.
"""

import contextlib
import re
from collections.abc import Sequence

from ..disguises import folded, visible
from . import formats
from .call import Malformed

MAX_SENTENCE = 400
"""Number of characters of a sentence that are read."""
MAX_NAMES = 200
"""Number of functions that are searched for, those with the longest names."""

_TAGGED = re.compile(
    r"</?(?:[\w-]{1,20}:)?(?:tool|function|call|invoke|action|api|plugin|command)s?(?:[_-]?(?:calls?|use|name|request|input))?"
    r"(?:\s[^<>]{0,300})?/?>",
    re.IGNORECASE,
)
"""A tag that occurs only in calls, in any schema."""
_REFUSES = re.compile(
    r"\b(?:not|no|none|never|neither|nor|cannot|unable|without|lacks?|lacking|missing|impossible|unavailable|unsupported|only"
    r"|instead|but|however|irrelevant|unrelated|insufficient|need|needs|require[sd]?|requires|please|if|would|could|unless"
    r"|which|what|neither|doesn|isn|aren|won)\b|n['’]t\b|[?？]|不能|无法|没有|不支持|需要|请",
    re.IGNORECASE,
)
"""If a sentence that names a function has one of these words, it declines, asks or supposes, and is not a call."""
_CALLING = (
    r"call|calling|use|using|invoke|invoking|run|running|execute|executing|apply|applying|trigger|triggering|query|querying"
)
_ANNOUNCES = re.compile(
    rf"(?:\b(?:i|we)(?:['’](?:ll|m|re)|\s+(?:will|am|are|shall|now|just|have|going to|can now))\s*"
    rf"(?:now\s+|then\s+|just\s+|going to\s+)*"
    rf"|\blet(?:['’]s|\s+(?:me|us))\s+(?:now\s+|just\s+)?|^\W*(?:now\s+|then\s+|first,?\s+|next,?\s+|finally,?\s+|so\s+)?)"
    rf"(?:called|used|invoked|{_CALLING})\b|调用|使用|执行",
    re.IGNORECASE,
)
"""Announces a call."""
_ASKS_TO_CALL = re.compile(rf"\b(?:{_CALLING}|called|calls|used|invoked)\b", re.IGNORECASE)
_GIVEN = re.compile(r"\b(?:with|where|for|on|given|passing|arguments?|parameters?|inputs?)\b|[:=(]", re.IGNORECASE)
_VALUE = re.compile(r"\d|[\"“'`][^\"”'`\n]{1,80}[\"”'`]|=\s*\S|:\s*\S")
_ARGUMENT = re.compile(r"=\s*\S|:\s*[\d\"“]")
"""A value for a parameter."""
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|\n+")


def declines(text: str, names: Sequence[str]) -> bool:
    """True if a response contains text and calls nothing.

    Args:
        text: the response, without its reasoning.
        names: the declared functions.
    """
    text = visible(text).strip()
    return bool(text) and not _calls(text, names) and not (not text.isascii() and _calls(folded(text), names))


def _calls(text: str, names: Sequence[str]) -> bool:
    empty_list = False  # an empty list between marks calls nothing, but the text outside of the marks may
    with contextlib.suppress(Malformed):
        empty_list = formats.read_marked(text, {}) == []
    if not empty_list and (formats.MARKS.search(text) or _TAGGED.search(text)):
        return True
    either = "|".join(map(re.escape, sorted(names, key=len, reverse=True)[:MAX_NAMES]))
    return bool(either) and (_in_a_form(text, either) or _in_prose(text, either))


def _in_a_form(text: str, either: str) -> bool:
    """True if a declared name is written as in a call: with arguments in brackets, in JSON, in a tag or with a label."""
    return (
        re.search(
            rf"(?<![A-Za-z0-9_.])(?:{either})[`*\"']{{0,4}}\s{{0,9}}(?:\(\s{{0,9}}(?:\w{{1,80}}\s{{0,9}}[=:]|[\"'\d\[{{)-])"
            rf"|\{{\s{{0,9}}[\"'\w]|\[\s{{0,9}}\w{{1,80}}\s{{0,9}}=)"
            rf"|[\"'](?:name|function|tool|tool_name|action|api|method|call)[\"']\s{{0,9}}:\s{{0,9}}[\"'](?:{either})[\"']"
            rf"|<[^<>]{{0,200}}(?<![\w.])(?:{either})(?![\w.])[^<>]{{0,400}}>"
            rf"|<(?:[\w-]{{0,30}})>\s{{0,9}}(?:{either})\s{{0,9}}</"
            rf"|^[ \t>*_`#-]{{0,20}}(?:function|tool|name|action|call|api|method|tool[ _]name|function[ _](?:call|name))"
            rf"[`*_\"']{{0,4}}\s{{0,9}}[:=][`*_\"'\s]{{0,20}}(?:{either})(?![\w.])(?!\s{{1,9}}(?:is|are|can|does|has|was|needs|cannot)\b)",
            text,
            re.IGNORECASE | re.MULTILINE,
        )
        is not None
    )


def _in_prose(text: str, either: str) -> bool:
    """True if a sentence announces a call of a function or gives values for it, and does not decline or ask."""
    named = re.compile(rf"(?<![\w.])(?:{either})(?!\w)", re.ASCII)  # Chinese has no spaces between words
    for sentence in _SENTENCE.split(text):
        text_read = sentence[:MAX_SENTENCE]
        found = named.search(text_read)
        if found is None or _REFUSES.search(named.sub(" ", text_read)):
            continue
        before, after = text_read[: found.start()], text_read[found.end() :]
        given = _GIVEN.search(after)
        if given and _VALUE.search(after[given.start() :]) and _ASKS_TO_CALL.search(text_read):
            return True
        if given and not before.strip(" `*>-#\t") and _ARGUMENT.search(after[given.start() :]):
            return True
        if _ANNOUNCES.search(before):
            return True
    return False
