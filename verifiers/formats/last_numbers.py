"""Verifier of numbers that one of the last two numbers of a response must equal, as in the script of CMATH.

`problem.answer` is a non-negative number: 24, 0.5, 3/4 or 25%. The rules are those of `utils.py` of github.com/XiaoMi/cmath,
commit 9fa13ef0:

- A number counts if it is a whole line; if it starts a line and a Chinese character, a comma, a full stop, a degree sign or a
  dollar sign follows; if it ends a line and a Chinese character, a dollar sign, a colon, an equals sign, a minus sign or a ">"
  precedes; or if it is between such characters. 5分之3 and a LaTeX fraction of two numbers are 3/5.
- Two integers must be equal. Other numbers may differ by less than 1% of the smaller one.

A response without text, or that looks like an error message of a server, is incorrect. The script leaves it out.
"""

import re

from ...core import Problem, Status, Verdict
from ...responses import without_thinking
from ..budget import SECONDS, check_time, limit
from ..verifier import MAX_REASON_CHARACTERS, as_verifier

TOLERANCE = 1e-2
"""Largest difference of numbers that are not both integers, relative to the smaller one."""

_NUMBER = r"\d++(?:[./]\d*+)?+%?+"
_LETTER = "\u4e00-\u9fa5"
_AT_START = re.compile(rf"^({_NUMBER}) ?(?=[{_LETTER},，。°℃$])")
_BETWEEN = re.compile(
    rf"(?<=[{_LETTER}$:：，＝≈=>{{]) ?(\d++(?:\.(?!\Z)\d*+|/\d*+)?+%?+) ?(?:[{_LETTER},，。°℃$}}（]|\([^\d\s]|\.\Z)"
)
_AT_END = re.compile(rf"(?<=[{_LETTER}$:：＝≈=\->]) ?({_NUMBER})\Z")
_ALONE = re.compile(rf"^{_NUMBER}\Z")
_CHINESE_FRACTION = re.compile(r"(?<!\d)(\d++)分之(\d++)")
_LATEX_FRACTION = re.compile(r"\\frac\{([^}]++)\}(?:\{([^}]++)\})?")
_SEPARATOR = re.compile(r"(?<=\d)[, ](?=\d)")
_ERROR = re.compile("error|异常|失败|content_filter")


def invalid_gold(problem: Problem) -> str | None:
    """Returns why no response to the problem can be judged, or None."""
    try:
        _value(str(problem.answer))
    except ValueError:
        return f"the gold answer is no number such as 24, 0.5, 3/4 or 25%: {problem.answer!r:.100}"
    return None


@as_verifier(invalid_gold=invalid_gold)
def verify(problem: Problem, response: str) -> Verdict:
    """Scores 1 if one of the last two numbers of the response equals the gold answer, else 0."""
    if (reason := invalid_gold(problem)) is not None:
        return Verdict(Status.UNDECIDED, None, "gold", reason)
    text, gold = without_thinking(response), _value(str(problem.answer))
    if _is_error(text):
        return Verdict(Status.SCORED, 0.0, "extract", "the response is empty or an error message")
    with limit(SECONDS):
        found = last_numbers(text)
    reason = f"{', '.join(found) or 'no number'} against {problem.answer}"
    return Verdict(
        Status.SCORED, float(any(_equals(gold, number) for number in found)), "rational", reason[:MAX_REASON_CHARACTERS]
    )


def last_numbers(text: str) -> list[str]:
    """Returns the last two numbers of a text, or fewer if it has fewer."""
    end = text.rfind("}") + 1  # no fraction ends after it; without this, the search takes quadratic time
    text = _LATEX_FRACTION.sub(lambda found: f"{found[1]}/{found[2]}" if found[2] else found[0], text[:end]) + text[end:]
    found: list[str] = []
    for line in _SEPARATOR.sub("", text).splitlines():
        check_time()
        fractions = (f"{above}/{below}" for below, above in _CHINESE_FRACTION.findall(line))
        numbers = [*_AT_START.findall(line), *_BETWEEN.findall(line), *fractions, *_AT_END.findall(line), *_ALONE.findall(line)]
        found += [number for number in numbers if not number.endswith("/")]
    return found[-2:]


def _is_error(text: str) -> bool:
    timed_out = "timeout" in text or any("超时" in line.partition("请求")[2] for line in text.split("\n"))
    return not text.strip() or timed_out or ("{" in text and "}" in text and bool(_ERROR.search(text)))


def _value(text: str) -> int | float:
    """Returns the value of a number. A fraction with the denominator 0 is 0, as in the script."""
    text = text.strip()
    if text.endswith("%"):
        return float(text.replace("%", "")) / 100
    if "/" in text:
        above, below = map(float, text.split("/"))
        return above / below if below else 0
    return float(text) if "." in text else int(text)


def _equals(gold: int | float, number: str) -> bool:
    try:
        value = _value(number)
        if isinstance(gold, int) and isinstance(value, int):
            return gold == value
        return abs(gold - value) / (min(abs(gold), abs(value)) + 1e-6) < TOLERANCE
    except (ValueError, OverflowError):  # too many digits
        return False
