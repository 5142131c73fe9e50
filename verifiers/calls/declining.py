"""Does a response that makes no call decline, or does it call in a form that is none: in prose, XML of its own, broken JSON?

A response declines where it calls nothing in any form. It may name the functions, say what they need or ask for it, as long as
it does not say that it calls one of them.
"""

import contextlib
import re
from collections.abc import Sequence

from ..disguises import folded, visible
from . import formats
from .call import Malformed

MAX_SENTENCE = 400
"""Characters of a sentence that are read."""
MAX_NAMES = 200

_TAGGED = re.compile(
    r"</?(?:[\w-]{1,20}:)?(?:tool|function|call|invoke|action|api|plugin|command)s?(?:[_-]?(?:calls?|use|name|request|input))?"
    r"(?:\s[^<>]{0,300})?/?>",
    re.IGNORECASE,
)
"""A tag that only calls have, whatever its schema."""
_REFUSES = re.compile(
    r"\b(?:not|no|none|never|neither|nor|cannot|unable|without|lacks?|lacking|missing|impossible|unavailable|unsupported|only"
    r"|instead|but|however|irrelevant|unrelated|insufficient|need|needs|require[sd]?|requires|please|if|would|could|unless"
    r"|which|what|neither|doesn|isn|aren|won)\b|n['’]t\b|[?？]|不能|无法|没有|不支持|需要|请",
    re.IGNORECASE,
)
"""What makes a sentence that names a function one that refuses, asks or supposes."""
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
"""Who says so calls."""
_ASKS_TO_CALL = re.compile(rf"\b(?:{_CALLING}|called|calls|used|invoked)\b", re.IGNORECASE)
_GIVEN = re.compile(r"\b(?:with|where|for|on|given|passing|arguments?|parameters?|inputs?)\b|[:=(]", re.IGNORECASE)
_VALUE = re.compile(r"\d|[\"“'`][^\"”'`\n]{1,80}[\"”'`]|=\s*\S|:\s*\S")
_ARGUMENT = re.compile(r"=\s*\S|:\s*[\d\"“]")
"""A value that is given to a parameter."""
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|\n+")


def declines(text: str, names: Sequence[str]) -> bool:
    """Whether a response, without its reasoning, says something and calls nothing.

    Args:
        text: the response.
        names: the declared functions.
    """
    text = visible(text).strip()
    return bool(text) and not _calls(text, names) and not (not text.isascii() and _calls(folded(text), names))


def _calls(text: str, names: Sequence[str]) -> bool:
    with contextlib.suppress(Malformed):
        if formats.marked(text, {}) == []:
            return False
    if formats.MARKS.search(text) or _TAGGED.search(text):
        return True
    either = "|".join(map(re.escape, sorted(names, key=len, reverse=True)[:MAX_NAMES]))
    return bool(either) and (_in_a_form(text, either) or _in_prose(text, either))


def _in_a_form(text: str, either: str) -> bool:
    """Whether a declared name stands as calls are written: with arguments in brackets, in JSON, in a tag, a label."""
    return (
        re.search(
            rf"(?<![\w.])(?:{either})[`*\"']{{0,4}}\s{{0,9}}(?:\(\s{{0,9}}(?:\w{{1,80}}\s{{0,9}}[=:]|[\"'\d\[{{)-])"
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
    """Whether a sentence says that it calls one of the functions, or with which values, and does not refuse or ask."""
    named = re.compile(rf"(?<![\w.])(?:{either})(?!\w)")
    for sentence in _SENTENCE.split(text):
        said = sentence[:MAX_SENTENCE]
        found = named.search(said)
        if found is None or _REFUSES.search(named.sub(" ", said)):
            continue
        before, behind = said[: found.start()], said[found.end() :]
        given = _GIVEN.search(behind)
        if given and _VALUE.search(behind[given.start() :]) and _ASKS_TO_CALL.search(said):
            return True
        if given and not before.strip(" `*>-#\t") and _ARGUMENT.search(behind[given.start() :]):
            return True
        if _ANNOUNCES.search(before):
            return True
    return False
