"""Verifiers of a response's form, as parts of a reward (`weighted.py`). None of them reads the gold answer.

    format      the response has the given tags, each once, in order, with nothing but white space outside
    length      1 up to `free` characters, then falling in a straight line to 0 at `limit` characters
    language    share of letters that are of the scripts of a language

All take linear time in the response's length.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from ...core import Status, UserError, Verdict
from ..verifier import as_verifier

SCRIPTS = {
    "ar": ("ARABIC",),
    "bn": ("BENGALI",),
    "el": ("GREEK",),
    "en": ("LATIN",),
    "he": ("HEBREW",),
    "hi": ("DEVANAGARI",),
    "ja": ("HIRAGANA", "KATAKANA", "CJK", "IDEOGRAPHIC"),
    "ko": ("HANGUL", "CJK"),
    "ru": ("CYRILLIC",),
    "ta": ("TAMIL",),
    "te": ("TELUGU",),
    "th": ("THAI",),
    "zh": ("CJK", "IDEOGRAPHIC"),
}
"""The first words of the Unicode names of a language's letters. Languages with Latin letters cannot be told apart: use "en"."""


def _check_tags(tags: object) -> None:
    names = [tags] if isinstance(tags, str) else list(tags) if isinstance(tags, Sequence) else []
    if not names or len({*map(str, names)}) < len(names) or not all(_TAG.fullmatch(str(name)) for name in names):
        raise UserError(
            f"the verifier format needs tags that differ, as names without < and > ([think, answer]), got {tags!r:.60}"
        )


_TAG = re.compile(r"[^<>/]+")


@as_verifier(check_options=_check_tags)
def check_format(response: str, tags: Sequence[str] = ("think", "answer")) -> Verdict:
    """Scores 1 if the response consists of `<tag>...</tag>` for each of `tags`, in this order, else 0."""
    names = [tags] if isinstance(tags, str) else [str(tag) for tag in tags]
    position = 0
    for tag in names:
        for mark in (f"<{tag}>", f"</{tag}>"):
            if (count := response.count(mark)) != 1:
                return Verdict(Status.SCORED, 0.0, "format", f"{mark} occurs {count} times, expected once")
        opened, closed = response.index(f"<{tag}>"), response.index(f"</{tag}>")
        if not position <= opened < closed or response[position:opened].strip():
            return Verdict(Status.SCORED, 0.0, "format", f"text before <{tag}>, or another order of the tags")
        position = closed + len(f"</{tag}>")
    outside = bool(response[position:].strip())
    return Verdict(Status.SCORED, float(not outside), "format", "text after the last tag" if outside else "")


def _check_limits(free: object, limit: object) -> None:
    if not (isinstance(free, int) and isinstance(limit, int) and 0 <= free < limit):
        raise UserError(f"the verifier length needs integers 0 <= free < limit, got free={free!r:.40}, limit={limit!r:.40}")


@as_verifier(check_options=_check_limits)
def check_length(response: str, free: int = 4000, limit: int = 8000) -> Verdict:
    """Scores 1 up to `free` characters, 0 from `limit` characters, and values on a straight line between."""
    score = min(1.0, max(0.0, (limit - len(response)) / (limit - free)))
    return Verdict(Status.SCORED, score, "length", f"{len(response):,} characters")


@as_verifier(values={"language": tuple(SCRIPTS)})
def check_language(response: str, language: str = "en") -> Verdict:
    """Scores the share of the response's letters that belong to the scripts of a language; 1 without letters.

    Latin letters count in every language if there are fewer of them than letters of the language, because formulas and programs
    contain them.
    """
    counts: dict[str, int] = {}
    for character, number in Counter(response).items():
        if character.isalpha():
            script = "LATIN" if character.isascii() else re.split("[ -]", unicodedata.name(character, "?"))[0]
            counts[script] = counts.get(script, 0) + number
    own = sum(counts.get(script, 0) for script in SCRIPTS[language])
    if language != "en" and counts.get("LATIN", 0) < own:
        own += counts.get("LATIN", 0)
    total = sum(counts.values())
    return Verdict(Status.SCORED, own / total if total else 1.0, "language", f"{own} of {total} letters are of {language}")
