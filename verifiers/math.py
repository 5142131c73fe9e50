"""Is the answer the same number or expression as the gold one?

Rungs, cheapest first; the first that can decide does:
    extract     there is no final answer in the response: wrong
    exact       the same text once spaces, dollars and thousands separators are gone
    unevaluated the gold is a number and the answer still a sum to do: wrong, or repeating the problem would be an answer
    rational    both are integers or fractions, compared exactly
    symbolic    math-verify, both sides boxed, in a killable worker
"""

import functools
import re
from fractions import Fraction

from ..core import Problem, Status, Verdict
from . import pool

MAX_ANSWER = 2_000
"""Characters of a final answer that are looked at; a longer one is no answer."""

MAX_TAIL = 20_000
"""Characters at a response's end in which its answer is looked for."""
REASON = 300
"""Characters of a verdict's reason."""

_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff]")
_MARKER = re.compile(r"answer\s{0,9}(?:is|:|=)[ \t:]{0,9}(\S[^\n]*)", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:\s*/\s*\d+)?")
_PROSE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{4,}")
"""A word, as opposed to a command of LaTeX or the name of a function."""
_NEGATION = re.compile(r"\b(?:not|never|neither|nor|isn't|unknown)\b", re.IGNORECASE)
_FUNCTION = re.compile(
    r"\b(?:pi|sqrt|cbrt|root|sin|cos|tan|cot|log|ln|exp|abs|inf|infinity|mod|percent|dozen|hundred|thousand|[a-z]*illion)\b",
    re.I,
)
"""A word that is part of a number."""
_FRACTION = re.compile(r"(-?)\\[dt]?frac\{(-?\d{1,200})\}\{(-?\d{1,200})\}|(-?\d{1,200})/(\d{1,200})")
_OPERATION = re.compile(r"[\d)}]\s*(?:[-+*\u00d7\u00b7\u00f7]|\\times|\\cdot|\\div)\s*(?:[-+(\\{]\s*)*\d")
_SCIENTIFIC = re.compile(r"[-+]?\d+(?:\.\d+)?\s*(?:\\times|\\cdot|\u00d7|\*)\s*10\s*\^\s*(?:\{-?\d+\}|-?\d+)")
_DECIMAL = re.compile(r"[-+]?(?:\d{1,200}(?:\.\d{0,200})?|\.\d{1,200})")
_GROUPED = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")


def verify(problem: Problem, response: str) -> Verdict:
    """Judges the final answer of `response` against the gold answer `problem.answer` (text or a number)."""
    answer = final_answer(response)
    if answer is None:
        return Verdict(Status.SCORED, 0.0, "extract", "the response has no final answer")
    gold, answer = _plain(str(problem.answer)), _plain(answer)
    if gold != answer:
        gold, answer = _claimed(gold, any_left_side=False), _claimed(answer, any_left_side=True)
    if gold == answer:
        return Verdict(Status.SCORED, 1.0, "exact", answer[:REASON])
    exact_gold, exact_answer = _rational(gold), _rational(answer)
    if exact_gold is not None and _is_unevaluated(answer, exact_gold):
        return Verdict(Status.SCORED, 0.0, "unevaluated", f"{answer} is a sum to do, not a number"[:REASON])
    if exact_gold is not None and exact_answer is not None:
        equal = exact_gold == exact_answer
        # A rounded decimal is the symbolic rung's to judge; integers and fractions differ or they do not.
        if equal or "." not in gold + answer:
            return Verdict(Status.SCORED, float(equal), "rational", f"{answer} against {gold}"[:REASON])
    try:
        equal = pool.shared("tenfold.verifiers.math:symbolic").call(gold, answer)
    except (pool.TimeLimit, pool.MemoryLimit) as error:
        return Verdict(Status.TIMEOUT, 0.0, "symbolic", str(error))
    except pool.WorkerFault as error:
        return Verdict(Status.FAULT, None, "symbolic", str(error))
    if equal is None:
        return Verdict(Status.UNDECIDED, None, "symbolic", f"the gold answer {gold!r} does not parse")
    return Verdict(Status.SCORED, float(equal), "symbolic", f"{answer} against {gold}"[:REASON])


def final_answer(response: str) -> str | None:
    """The answer that a response ends with, or None.

    Reasoning up to `</think>` is set aside. Then, in this order: the last `\\boxed{...}`, what follows the last
    `####`, what follows the last "answer is" or "answer:", the response itself when it is one line of
    mathematics (of all three without the words around one number), the last number.
    """
    text = response[-MAX_TAIL:].rsplit("</think>", 1)[-1].replace("**", "").replace("\u2212", "-")
    answer = _last_boxed(text)
    if answer is None and "####" in text:
        answer = _without_words(text.rsplit("####", 1)[1].strip().split("\n", 1)[0])
    if answer is None and (marked := _MARKER.findall(text)):
        answer = _without_words(re.split(r"\.(?:\s|$)", marked[-1], maxsplit=1)[0])
    if answer is None and "\n" not in text.strip() and not _PROSE.search(text):
        answer = _without_words(text)
    if answer is None and not _NEGATION.search(text) and (numbers := _NUMBER.findall(text)):
        answer = numbers[-1]
    answer = (answer or "").strip()
    return answer if 0 < len(answer) <= MAX_ANSWER else None


def _without_words(text: str) -> str:
    """The text "72 clips" or "it is 72" as "72"; mathematics, several numbers, and what is denied stay as they are."""
    if "\\" in text or _NEGATION.search(text) or _FUNCTION.search(text):
        return text
    bare = re.sub(r"[A-Za-z]{2,}", " ", text).strip(" $").rstrip(" $.,;:!")
    return bare if _NUMBER.fullmatch(bare) else text


def _last_boxed(text: str) -> str | None:
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    begin, depth = start + len("\\boxed{"), 1
    for end in range(begin, len(text)):
        depth += (text[end] == "{") - (text[end] == "}")
        if depth == 0:
            return text[begin:end]
    return None


def _plain(text: str) -> str:
    """The text without what does not change its value: maths delimiters, spacing, thousands separators, outer space."""
    text = _INVISIBLE.sub("", text).strip().rstrip(".")
    text = text.replace("\\$", "").replace("$", "").replace("\\%", "%").replace("\u2212", "-")
    text = re.sub(r"\\[,;!]", "", text).strip()
    text = re.sub(r"^\\[(\[](.*)\\[)\]]$", r"\1", text).strip()
    return text.replace(",", "") if _GROUPED.fullmatch(text) else text


def _claimed(text: str, any_left_side: bool) -> str:
    """What an equation claims: "x = 5" as "5", and where any left side will do "2 + 3 = 5" too. Inequalities stay."""
    left, equals, right = text.partition("=")
    if not equals or "=" in right or left.endswith(("<", ">", "!", ":")):
        return text
    return _plain(right) if any_left_side or left.strip().isidentifier() else text


def _is_unevaluated(answer: str, gold: Fraction) -> bool:
    """Whether the answer leaves arithmetic undone: "7+4-6", or "8/4" where a whole number is wanted."""
    if _SCIENTIFIC.fullmatch(answer):
        return False
    return bool(_OPERATION.search(answer)) or (gold.denominator == 1 and bool(_FRACTION.fullmatch(answer)))


def _rational(text: str) -> Fraction | None:
    if _DECIMAL.fullmatch(text):
        return Fraction(text)
    if match := _FRACTION.fullmatch(text):
        sign, top, bottom, plain_top, plain_bottom = match.groups()
        top, bottom = int(top or plain_top), int(bottom or plain_bottom)
        return (-1 if sign else 1) * Fraction(top, bottom) if bottom else None
    return None


def symbolic(gold: str, answer: str) -> bool | None:
    """math-verify's judgement with both sides boxed; None when the gold answer does not parse. Runs in a worker."""
    import math_verify

    parsed_gold = _parsed(gold)
    if not parsed_gold:
        return None
    # The worker keeps the time: math-verify's own clock is an alarm signal, which fails outside the main thread.
    parsed_answer = math_verify.parse(f"\\boxed{{{answer}}}", parsing_timeout=None)
    return bool(math_verify.verify(list(parsed_gold), parsed_answer, timeout_seconds=None))


@functools.lru_cache(maxsize=4096)
def _parsed(gold: str) -> tuple[object, ...]:
    import math_verify

    return tuple(math_verify.parse(f"\\boxed{{{gold}}}", parsing_timeout=None))
