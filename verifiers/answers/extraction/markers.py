"""Answer markers: phrases such as "the answer is", "Final answer:", "the best option is" or "答案是".

A marker is a noun and a verb or colon. It denies if the noun is denied ("the wrong answer is", "the least likely option is"),
or if the verb is denied ("isn't", "cannot be"). In "if the answer is", "the sum of the digits of the answer is" and "this
answer is correct" it states no answer, and counts as denied. The caller interprets a "not" after the verb.
"""

import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

from ...budget import check_time

MAX_MARKERS = 30
"""Maximum number of markers that are examined, from the last one."""
WRAPPED = 60
"""Maximum number of characters of the next line that a marker may include."""

_ADJECTIVE = (
    r"correct|right|best|true|only|likely|probable|suitable|appropriate|accurate|chosen|selected|plausible|consistent|matching|closest|nearest"
    r"|wrong|incorrect|false|worst|unlikely|invalid|valid"
)
_NOUN = (
    r"\b(?:answers?|antwort|respuesta|réponse|resposta|risposta|ответ)\b"
    r"(?:\s+(?:choice|option|answer|statement|letter|key|value|correcta|correcte|correta|corretta"
    r"|(?:to|for)\s(?:the|this|your)\s[a-z ]{1,30}?))?"
    rf"|\b(?:{_ADJECTIVE})\s+(?:choice|option|alternative|answer|statement|letter|selection|one)s?\b"
    r"|\b(?:my|our|final)\s+(?:choice|selection|pick|guess)\b|\bcorrect(?=\s{0,9}(?:is|are)\b)"
    r"|^\W{0,5}(?:choice|option|correct|selection)(?=\s{0,3}[:：])|答案?|答え|정답|(?<!\w)답"
)
_DENIED = (
    r"(?:is|are|was)n['’]t\b|can(?:not|['’]t| not) (?:\w+ )?be\b"
    r"|(?:could|should|must|will|would|may|might)(?:n['’]t| not) be\b|won['’]t be\b|不是|并非|不为"
)
_COPULA = (
    r"(?:is|are|equals|(?:should|must|would|will|has to) (?:therefore )?be|(?:comes|works|turns) out (?:to be|to|as|at|is)"
    r"|comes to"
    r"|becomes|(?:seems|appears) to be|seems|remains|ist|est|es|é|è)\b(?:[ \t]{0,9}[:：])?|->|=>|→|⇒|[:=：]|应该?是|是|为|為"
    r"|は|은"
)
_ADVERBS = (
    r"(?:\s{0,9}(?:therefore|thus|then|hence|indeed|simply|clearly|definitely|certainly|likely|probably|also|still|now"
    r"|hereby|just|actually|obviously|surely)"
    r"\b,?){0,3}"
)
MARKER = re.compile(
    rf"(?P<noun>{_NOUN})(?:\s{{0,9}}(?P<denied>{_DENIED})|\s{{0,9}}(?:{_COPULA}){_ADVERBS})[ \t:：]{{0,9}}"
    r"|^[ \t>#-]{0,9}(?:(?P<short>A)\s?[:：]|Ans\s?[:.：])[ \t]{0,9}"
    r"|\banswer\b(?:\s-(?=\s[A-Z(]))?:?\s{0,9}(?=[\\$\d-]|[(\[]?[A-Z][)\].,]?\s*$)",
    re.IGNORECASE | re.MULTILINE,
)
_WORDS = (
    "answer", "antwort", "respuesta", "réponse", "resposta", "risposta", "ответ", "choice", "option", "alternative",
    "statement", "letter", "selection", " one", "correct", "pick",
    "guess", "a:", "a :", "a\uff1a", "ans:", "ans.", "ans ", "\u7b54", "\ub2f5",
)  # fmt: skip
"""Every marker contains one of these."""
_DENYING_LEAD = re.compile(
    r"(?:\b(?:wrong|incorrect|false|worst|bad|invalid|unlikely|(?:least|less)(?:\s+\w+)?|not(?:\s+(?:the|an|my|a))?|initial"
    r"|first"
    r"|previous|earlier|original|tempting|common|naive|obvious|intuitive|rejected|other|if|whether|suppose|supposing"
    r"|(?:doubt|deny|disagree|nobody|no one|wrong|false|incorrect|impossible|(?:do|does|did)(?: not|n['’]t) (?:think|believe"
    r"|say)|(?:might|may|could|would) (?:think|believe|say|guess|expect|assume)"
    r"|(?:first|initially|originally|at first) (?:thought|assumed|guessed|believed|expected|suspected))"
    r"(?:\s+\w+)?(?:\s+that)?)(?:\s+(?:the|that|an?|my|our|final|possible|correct|right))*|不正确的?|错误的?|不)\s*$",
    re.IGNORECASE,
)
_ABOUT_ANSWER = re.compile(
    r"\b(?!(?:value|letter|label|name|form|number|index|place|position|choice) )\w+\s+(?:of|in|from|than|with)\s+"
    r"(?:the|our|my|this|an?)"
    r"(?:\s+(?:final|correct|right))*\s*$",
    re.IGNORECASE,
)
"""Words that make a statement about the answer: "the sum of the digits of the answer is 7"."""
_THIS = re.compile(r"\b(?:this|that)\s+(?:final\s+)?$", re.IGNORECASE)
_ASSESSED = re.compile(r"\s*(?:correct|right|reasonable|consistent|valid|plausible|verified|confirmed)(?![\w-])", re.IGNORECASE)
"""Words after "this answer is" that assess an earlier answer."""
_DENYING_NOUN = re.compile(r"\b(?:wrong|incorrect|false|worst|unlikely|invalid)\b", re.IGNORECASE)
DENIAL = re.compile(
    r"\s*(?:(?:definitely|certainly|clearly|obviously|surely|very|most)\s+)?(?:not|never|neither|nor|no longer|anything but"
    r"|(?:un|not )likely to be|hardly|far from|different from|other than|impossible to be)\b\s*",
    re.IGNORECASE,
)
"""A denial after the verb: "not 5"."""
ASKS = re.compile(r"[^\d\s!?？]\s?[?？]\W*$|\d\s?[?？]\W*$")


class Marker(NamedTuple):
    """A marker in a text."""

    start: int
    end: int
    """Position after the marker."""
    denied: bool
    """True if the marker denies an answer or states none; see the module's docstring."""
    short: bool
    """True for "A:", which may be the letter of an option."""


def markers(text: str) -> Iterator[Marker]:
    """Returns the last `MAX_MARKERS` markers of a text, from the last one."""
    return itertools.islice(_backwards(text), MAX_MARKERS)


def _backwards(text: str) -> Iterator[Marker]:
    """Yields all markers, from the last one. Lines without one of `_WORDS` are skipped, because most lines have none."""
    lowered, below = text.lower(), len(text)
    if len(lowered) != below:  # some capital letters have longer lower-case forms
        lowered = text
    while below > 0:
        start = text.rfind("\n", 0, below - 1) + 1
        line = lowered[start:below]
        if any(word in line for word in _WORDS):
            check_time()
            found = [match for match in MARKER.finditer(text, start, below + WRAPPED) if match.start() < below]
            yield from (_marker(text, match) for match in reversed(found))
        below = start


def _marker(text: str, found: re.Match[str]) -> Marker:
    before = re.split(r"[\n.!?;:,]", text[max(0, found.start() - 60) : found.start()])[-1]
    noun = found["noun"] or ""
    about = found["denied"] or _DENYING_LEAD.search(before) or _ABOUT_ANSWER.search(before)
    about = about or (_THIS.search(before) and _ASSESSED.match(text, found.end()))
    denied = bool(about or _DENYING_NOUN.search(noun))
    return Marker(found.start(), found.end(), denied, found["short"] is not None)
