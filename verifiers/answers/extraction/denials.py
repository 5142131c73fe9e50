"""Words that deny a letter ("C is wrong", "C fails"), and options that consist of such words ("B) False")."""

import re
from collections.abc import Mapping

from .letters import BEFORE, unwrapped

_CANNOT = "|".join(rf"{verb}(?:n['’]t| not)" for verb in "does do did is are was could would should must".split())
WRONG = re.compile(
    r"\W{0,4}(?:选?项)?\s*(?:\(.{0,80}?\)\s*)?(?:(?:['’]s|is|are|was|were|would be|must be|can be|seems?|looks"
    r"|appears?(?: to be)?|has been|have been|could be|be|being|clearly|both|all|also|definitely|obviously|therefore|thus)\s+)*"
    r"(?:not\b|n['’]t|wrong|incorrect|false|invalid|impossible|excluded|eliminated|ruled out|inconsistent|unlikely|worst"
    rf"|out\b|fails?|contradicts?|violates?|ignores?|overlooks?|misses|too\s|irrelevant|unrelated|absurd|{_CANNOT}"
    r"|can(?:not|['’]t| not)|won['’]t|will not|no\W*$|(?:是|也|都)?(?:错|不)|排除)",
    re.IGNORECASE,
)
"""Words after a letter that deny it: "is wrong", "fails"."""
_NOT_ANOTHER = re.compile(r"\W*(?:not|n['’]t)\s+(?:option\s+|choice\s+)?[(\[]?[A-Z]\b")
"""Matches "C, not A", which denies A and not C."""
_TYPE = re.compile(r"[*`]|\\[()\[\]]|(?<!\w)_{1,2}(?=\w)|(?<=\w)_{1,2}(?!\w)")
"""Markup without a meaning of its own: fonts and formula delimiters."""
_ASSESSED = re.compile(
    rf"{BEFORE}([A-Z][)\]）]?)\.[ \t]+"
    r"(?=(?i:wrong|false|incorrect|correct|right|true)(?:\s*[.,;:!–—-]|\s*$|\s(?:because|since|as)\b))",
    re.MULTILINE,
)
"""A letter that the next sentence calls correct or incorrect: "C. Wrong."."""
_SIGN = r"\s?[)\]）.:：,–—(-]{1,3}\s{0,3}[(\"“]?"
"""What may stand between a letter and its option."""
_BEHIND = r"(?=[ \t]*[^\w\s]|[ \t](?:because|since|as|is|was)\b)"
"""What may follow an option."""


def is_denied(following: str) -> bool:
    """True if the words after a letter deny it."""
    return WRONG.match(following) is not None and not _NOT_ANOTHER.match(following)


def plain(text: str, by_letter: Mapping[str, str]) -> str:
    """Returns the text without markup, and without options that deny or name a letter: "B) this" for "B) False".

    An assessment in the next sentence becomes a part of the letter's sentence: "C: Wrong." for "C. Wrong.".

    Args:
        text: A text.
        by_letter: The text of each option.
    """
    text = _TYPE.sub("", unwrapped(text))
    for letter, option in by_letter.items():
        words = _TYPE.sub("", unwrapped(option)).strip(" .")
        if WRONG.match(words) or re.fullmatch("[A-Z]", words):
            own = re.compile(
                rf"({BEFORE}{letter}){_SIGN}(?i:{re.escape(words)})(?:(?P<last>)(?=[ .]*$)|{_BEHIND})", re.MULTILINE
            )
            text = own.sub(lambda found: found[1] + (")" if found["last"] is None else ") this"), text)
    return _ASSESSED.sub(r"\1: ", text)
