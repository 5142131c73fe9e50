"""The annotator `rules:`: scores from counts of words, signs and lines.

It replaces a model where none is available, so that a recipe can be tried and tested on any machine. It measures wording and
layout only; its scores of reasoning depth or clarity are based on surface features that correlate with them. It covers English
and code. All words and counts in this file, and the values for the scores 0, 3, 6 and 9, are our choice. Figures of a stage
with these labels show how well a tagger learns the rules, not how well it judges documents.
"""

import itertools
import re
import statistics
import zlib
from collections import Counter

import numpy as np

from ....core import UserError
from .dimensions import Labels, dimensions

HEAD, TAIL = 16_000, 400
"""Characters read from the beginning and from the end of a text. Brackets are counted in the whole text."""


def annotate(text: str) -> Labels:
    """Returns the scores of a text, which may be empty."""
    head, tail = text[:HEAD], text[-TAIL:]
    words = re.findall(r"[^\W\d_]+", head.lower())
    lines = [line for line in head.splitlines() if line.strip()]
    scores = _content(head, words, lines) | _format(text, head, tail, words, lines)
    if unknown := [dimension.name for dimension in dimensions() if dimension.name not in scores]:
        raise UserError(f"rules: has no rule for dimension {unknown[0]}; use a policy as annotator")
    return {dimension.name: scores[dimension.name] for dimension in dimensions()}


def _content(head: str, words: list[str], lines: list[str]) -> Labels:
    count, size = max(len(words), 30), max(len(head), 200)  # because densities of very short texts are meaningless
    kinds = len(set(words[:1000]))

    def per_word(pattern: re.Pattern[str]) -> float:
        return 100 * len(pattern.findall(head)) / count

    def per_character(pattern: re.Pattern[str]) -> float:
        return 1000 * len(pattern.findall(head)) / size

    coded = sum(bool(_CODE_LINE.search(line)) for line in lines) / max(len(lines), 5)
    remarks = per_character(_REMARK)
    sentences = [len(sentence.split()) for sentence in re.split(r"[.!?:]\s|\n\s*\n", head) if sentence.strip()]
    strain = abs(statistics.median(sentences) - 14) if sentences else 30.0
    plain = sum(word in _FUNCTION_WORDS for word in words) / count
    packed = len(zlib.compress(head.encode("utf-8", "replace"))) / size
    return {
        "educational_value": _score(per_word(_TEACHING) + per_word(_REASONING) / 2 + kinds / 200, 0.5, 1.5, 3.5, 6.5),
        "reasoning_depth": _score(per_word(_REASONING), 0.2, 1.0, 2.5, 5.0),
        "factual_density": _score(per_word(_FACT), 0.5, 4, 10, 20),
        "technical_depth": _score(sum(len(word) >= 9 for word in words) / count * 100 + per_word(_NAME), 4, 12, 24, 45),
        "mathematical_content": _score(per_character(_FORMULA) + per_word(_MATHEMATICS), 0.3, 2, 5, 10),
        "code_content": _score(coded * (0.7 + min(remarks / 10, 0.3)), 0.03, 0.2, 0.45, 0.8),
        "clarity": _score(plain * 100 - strain, -10, 5, 17, 32),
        "self_containedness": _score(per_word(_ELSEWHERE) + (3 if head[:1].islower() else 0), 8, 4, 2, 0.2),
        "information_density": _score(kinds / max(len(words[:1000]), 60) + packed, 0.2, 0.5, 0.8, 1.1),
        "question_answer_value": _score(per_word(_QUESTION), 0.05, 0.5, 1.5, 4),
        "breadth": _score(len({word for word in words[:1000] if len(word) > 3}), 5, 80, 200, 400),
        "safety": _score(per_word(_UNSAFE), 4, 1.5, 0.4, 0),
    }


def _format(text: str, head: str, tail: str, words: list[str], lines: list[str]) -> Labels:
    size = max(len(head), 200)
    longest = max(map(len, lines), default=0)
    again = sum(times - 1 for line, times in Counter(line.strip() for line in lines).items() if len(line) > 8)
    fives = Counter(zip(*(words[offset:] for offset in range(5)), strict=False))
    phrases = sum(times - 1 for times in fives.values()) / max(sum(fives.values()), 20)
    shouted = len(re.findall(r"\b[A-Z]{4,}\b", head)) / max(len(words), 30)
    broken = sum(_broken(line, following) for line, following in itertools.pairwise(lines))
    end = tail.rstrip()
    flaws = (
        (0 if end.endswith(_ENDS) else 3)
        + (4 if re.search(r"(?:\.\.\.|…|read more|continue reading|\[truncated\])$", end, re.IGNORECASE) else 0)
        + (2 if head[:1].islower() or head[:1] in (*",;)]}",) else 0)
        + min(3, abs(text.count("(") - text.count(")")) + abs(text.count("[") - text.count("]")))
        + (3 if len(words) < 20 else 0)
    )
    shapes = len(_HEADING.findall(head)) + len(_ITEM.findall(head)) + head.count("\n\n") + head.count("\n    ") / 8
    reach = float(np.interp(np.log10(len(text) + 1), (1, 2, 2.9, 3.4, 5, 6, 7), (0, 2.5, 6, 9, 9, 4, 0)))
    return {
        "completeness": max(0, 9 - flaws),
        "clean_markup": _score(1000 * len(_MARKUP.findall(head)) / size, 30, 10, 2, 0),
        "unrepeated": _score(again / max(len(lines), 10) + phrases, 0.8, 0.35, 0.15, 0.02),
        "spelling_and_encoding": _score(1000 * len(_GARBLED.findall(head)) / size + 40 * shouted, 20, 6, 1.5, 0),
        "structure": _score(min(1000 * shapes / size, 20) - max(0, longest - 2000) / 500, 0, 0.5, 2, 6),
        "boilerplate_free": _score(1000 * len(_BOILERPLATE.findall(head)) / size, 10, 4, 1, 0),
        "line_integrity": _score(broken / max(len(lines), 5) + (longest > 4000) * 0.3, 0.6, 0.3, 0.1, 0.01),
        "length_fitness": round(reach),
    }


def _score(value: float, zero: float, three: float, six: float, nine: float) -> int:
    """Returns the score of a value by interpolation between the values of the scores 0, 3, 6 and 9, rising or falling."""
    sign = 1 if nine > zero else -1
    return round(float(np.interp(sign * value, [sign * point for point in (zero, three, six, nine)], (0, 3, 6, 9))))


def _broken(line: str, following: str) -> bool:
    """True if a line of prose ends with a hyphenated word, or far too early."""
    ended, continues = line.rstrip(), following.lstrip()[:1].islower()
    return continues and (ended.endswith("-") or (len(ended) < 35 and ended[-1:].isalpha() and not _CODE_LINE.search(line)))


def _any(phrases: str) -> re.Pattern[str]:
    """Returns a pattern for any of the phrases, separated by commas, as whole words."""
    return re.compile(r"\b(?:" + "|".join(re.escape(phrase.strip()) for phrase in phrases.split(",")) + r")\b", re.IGNORECASE)


_ENDS = tuple(".!?)]}\"'`*|;:>”。")
_FUNCTION_WORDS = frozenset(
    "a an and are as at be but by can do for from has have if in is it its not of on or that the they this to was we when "
    "which will with you".split()
)
_TEACHING = _any(
    "for example, for instance, e.g, example, note, means, meaning, called, known as, defined, definition, consider, explain, "
    "explains, introduction, learn, understand, in other words, describes, usage, how to, why, purpose, returns, such as"
)
_REASONING = _any(
    "because, therefore, hence, thus, since, so that, implies, suppose, assume, proof, follows, otherwise, unless, must be, "
    "if, then, first, next, finally, step, consequently, however, although, instead, in order to, so, given, let"
)
_FACT = re.compile(r"\b\d+(?:[.,:]\d+)*\b|(?<=[a-z,;] )[A-Z][a-z]+|\b[A-Z]{2,}\b")
_NAME = re.compile(r"\b[a-z]+_[a-z_]+\b|\b[a-z]+[A-Z][A-Za-z]+\b|\b[A-Z]{2,5}\d*\b|\b\w+\.\w+\(")
_FORMULA = re.compile(
    r"[∑∫√≤≥≠±×÷∞∈∀∃π]|\\(?:frac|sum|int|sqrt|boxed|begin)|\d\s*[-+*/^=<>]\s*\d|\b[a-z]\s*[+*/^=]\s*[a-z\d]\b|\$"
)
_MATHEMATICS = _any(
    "theorem, lemma, proof, equation, integral, derivative, matrix, vector, polynomial, prime, integer, sum, product, "
    "fraction, probability, square, root, triangle, algebra, logarithm, cosine, sine, mean, variance, plus, minus, times, "
    "divided, equals, calculate, multiply, number of"
)
_CODE_LINE = re.compile(
    r"^\s*(?:def |class |import |from \S+ import|return\b|if .*:$|for .*:$|while |elif |else:|try:|except|with .*:$|@\w|"
    r"#include|raise |assert |yield |public |function |const |var |let \w+ =|>>> )|"
    r"[{};]\s*$|\w\([^\n]{0,200}\)\s*$|^\s*[\w.\[\]]+ [-+]?= \S|\):$"
)
_REMARK = re.compile(r'"""|^[ \t]*#\s|^[ \t]*//|/\*', re.MULTILINE)
_ELSEWHERE = re.compile(
    r"https?://\S+|\b(?:see (?:also|above|below|section|chapter)|as mentioned|figure \d|fig\.|the following page|click|"
    r"previous (?:chapter|section|post)|attached|from \.+\w* import|import \w+|ibid|PEP \d+|RFC \d+)",
    re.IGNORECASE,
)
_QUESTION = re.compile(
    r"\w\?(?=\s|$)|^[ \t]*(?:Q|A|Question|Answer|Solution|Exercise|Problem|Hint)\s*[:.]|>>> |\b(?:how to|what is|calculate|"
    r"solve|find the|answer|usage|example)\b",
    re.IGNORECASE | re.MULTILINE,
)
_UNSAFE = re.compile(
    r"[\w.+-]{1,64}@[\w-]+\.\w{2,}|\b\d{3}[-.]\d{3,4}[-.]\d{4}\b|\b(?:fuck\w*|shit|bitch|porn\w*|xxx|casino|viagra|nazi\w*|"
    r"rape\w*|kill yourself|suicide|bomb making|escort|password is|hot singles|free money|jackpot)\b",
    re.IGNORECASE,
)
_MARKUP = re.compile(
    r"</?[a-zA-Z][^<>\n]{0,200}>|&(?:[a-z]{2,8}|#\d+);|\x1b\[[\d;]*m|\{[^{}\n]{0,80}:[^{}\n]{0,80};\}|"
    r"\[/?(?:url|img|b|quote)\b|^\.\. \w+::|\|\s*\|\s*\||!\[[^\]\n]{0,200}\]\(",
    re.MULTILINE,
)
_GARBLED = re.compile(
    r"\ufffd|[ÃÂ][\x80-\xbf]|â€|[\x00-\x08\x0b\x0e-\x1f\x7f]|[!?]{3,}|\b[bcdfghjklmnpqrstvwxz]{6,}\b|\w{45,}|(.)\1{30,}"
)
_BOILERPLATE = _any(
    "copyright, all rights reserved, license, licensed, warranty, cookie, cookies, privacy policy, terms of use, "
    "terms of service, subscribe, sign up, log in, click here, share this, follow us, newsletter, home page, "
    "skip to content, back to top, menu, permission is hereby granted, redistribution, spdx, advertisement, contact us, "
    "read more"
)
_HEADING = re.compile(r"^(?:#{1,6} \S.*|.{2,60}\n[=\-~^]{3,}|(?:class|def) \w+.*)$", re.MULTILINE)
_ITEM = re.compile(r"^\s{0,8}(?:[-*•]|\d{1,2}[.)]) \S", re.MULTILINE)
