"""Detects further answers after the final answer: "B or C", "B. all options", "42" and "or 43" on the next line.

A response gives one answer. A second answer beside the first makes the response incorrect, unless it only restates the first
("or equivalently 0.5"). All verifiers of final answers use this module.
"""

import re
from collections.abc import Sequence

_MAYBE = r"(?:maybe|perhaps|possibly|also|else|even|either|it|this|that|could|might|may|can|be|is|as well|the|answer|well)"
_OR = (
    rf"(?:(?:but\s+(?=(?:it|maybe|perhaps|possibly|could|might|may)\b)|and/or\b|or\b|alternatively\b|otherwise\b|possibly\b|maybe\b"
    rf"|perhaps\b|或者?|或是)[\s,:，]*(?:{_MAYBE}\b[\s,:，]*)*)"
)
_OPTION = r"(?:option|choice|letter|answer|选项)?\s*[(\[（]?(?P<letter>[A-Z])(?![A-Za-z0-9'’])[)\]）]?"
_OTHER_LETTER = re.compile(rf"[\s,.;:，；。()\[\]–—-]*{_OR}{_OPTION}", re.IGNORECASE)
_ALL = re.compile(
    r"[\s,.;:，；()\[\]–—-]*(?:(?:or|and)\s+)?(?:(?:all|any|every|each|both|either|whichever|whatever)\b"
    r"(?:\s+(?:of|the|these|those|other|four|five|three|two|six|[A-Z](?:\s*(?:,|and|or|-)\s*[A-Z])+))*"
    r"(?:\s*(?:options?|choices?|answers?|letters?|statements?|above|them|these|others?|ones?|one)\b|(?=\s*(?:[.,;:!)\]]|$))"
    r"|(?<=[A-Z])\b|\s+(?:are|is)\s+(?:correct|right|true|possible|fine)\b)"
    r"|everything\b|anything\b|another\b|所有选项|全部|任何)(?!\s*(?:others?\b|except\b|but\b|other than\b|(?:are|is|were|seem)"
    r"\s+(?:\w+\s+)?(?:wrong|false|incorrect|not\b|impossible|ruled|excluded|eliminated)))",
    re.IGNORECASE,
)
"""Words that choose every option or any other option. Words that reject all others do not match."""
_REJECTS = re.compile(
    r"\b(?:wrong|incorrect|false|invalid|impossible|excluded|eliminated|fail|ruled out|not|except|other than|but)\b",
    re.IGNORECASE,
)
_ADDED_LINE = re.compile(
    rf"\W*(?:{_OR}|(?:and|also|plus)\b[\s,:]*(?:{_MAYBE}\b[\s,:]*)*|和|以及){_OPTION}"
    r"(?:\s+(?:is|are|would be|could be|works?|too|also|as well|correct|right|possible|fine|acceptable)\b)*[\W_]*",
    re.IGNORECASE,
)
_ALSO = re.compile(
    rf"\W*(?:(?:but|however|and|although|though)\b[\s,:]*)?{_OPTION}(?=[^?？]*\b(?:also|too|as well)\b)"
    r"(?:\s+(?:is|be|would|could|might|may|can|works?|fits?|holds?|also|too|as well|correct|right|possible|fine|acceptable"
    r"|valid|true|ok(?:ay)?)\b)+[^\w?？]*",
    re.IGNORECASE,
)
"""A sentence that also accepts an option: "D works too", "But D is also possible"."""
_ALTERNATIVE = re.compile(
    r"\s*\$*\s*[.,;]?\s*[(\[]?(?:(?:and/or|or|alternatively|otherwise|maybe|perhaps|possibly)\b|或者?|或是)[\s,:，]*"
    r"(?!(?:equivalently|approximately|about|roughly|around|simply|just|in|as|written|more|less|else|rather|so|to|that|if|by"
    r"|thereabouts?)\b)"
    r"(?:(?:maybe|perhaps|possibly|also|else|even|it|could|might|may|can|be|is|the|answer)\b[\s,:]*)*"
    r"(?P<value>\\boxed\s*\{[^{}\n]{1,80}\}|\$[^$\n]{1,80}\$"
    r"|(?:[A-Za-z]\s{0,3}=\s{0,3})?[-+]?\\?[\w.,/^{}\\()+*-]{1,60}(?:(?<=\d)\s[A-Za-z°%]{1,12}){0,2})[\s.!)\]]*(?:\n|$)",
    re.IGNORECASE,
)
"""An alternative that stands alone after an answer, up to the end of its line."""


OPTION_TEXT = re.compile(r"\W*(?:all|any|both|each|either) of (?:the above|these|them)\W*", re.IGNORECASE)
"""A phrase such as "all of the above". Many problems have it as an option, so the options' texts are needed to interpret it."""


def letters_added_after_choice(words: str, option_letters: frozenset[str], option: str = "") -> frozenset[str]:
    """Returns the letters that the words after a chosen letter add to it.

    Args:
        words: The words after the letter.
        option_letters: The letters of the options.
        option: The text of the chosen option. If the words begin with this text, that beginning is skipped.
    """
    words = _without_option(words, option)
    if every := _ALL.match(words):
        rejects = _REJECTS.search(re.split(r"[.;\n]", words[every.end() :], maxsplit=1)[0])
        return frozenset() if rejects else option_letters
    found = _OTHER_LETTER.match(words)
    return frozenset(found["letter"]) & option_letters if found and found["letter"].isupper() else frozenset()


def letters_added_by_sentence(sentence: str, option_letters: frozenset[str]) -> frozenset[str]:
    """Returns the letters that a sentence adds to the one before it: "or C", "maybe C", "C works too", "All of the options"."""
    if (every := _ALL.match(sentence)) and not sentence[every.end() :].strip(" .!)]"):
        return option_letters
    found = _ADDED_LINE.fullmatch(sentence) or _ALSO.fullmatch(sentence)
    return frozenset(found["letter"]) & option_letters if found and found["letter"].isupper() else frozenset()


def second_value(following: str) -> str | None:
    """Returns the second value after an answer, on its line or the next one. None if there is none."""
    found = _ALTERNATIVE.match(following.lstrip(" \t").removeprefix(".")[:200])
    return found["value"].strip("$ ") if found else None


def _without_option(words: str, option: str) -> str:
    """Returns the words without the option's own text at their beginning."""
    own: Sequence[str] = re.findall(r"\w+", option[:400])
    if not own:
        return words
    match = re.match(r"\W*" + r"\W+".join(map(re.escape, own)) + r"(?!\w)", words, re.IGNORECASE)
    return words[match.end() :] if match else words
