"""Notations of one country or field, rewritten in the common one: ]1, 5[, 0.(6), {}^8C_3, x^2_1, 5 x 10^3, 60\\degree."""

import re

_ENDS = re.compile(r"(?P<open>[\[\]])(?P<inside>[^\[\](),;]{1,60}[,;][^\[\](),;]{1,60})(?P<close>[\[\]])")
_TURNED_AWAY = re.compile(r"(?:^|=|\\(?:cup|cap|in|setminus)(?![A-Za-z]))\s*\]|\[\s*(?:$|\\(?:cup|cap|setminus)(?![A-Za-z]))")
"""A bracket of an open end that faces away from the interval."""
_DEGREE = re.compile(r"\s*\^?\s*(?:\{\s*)?\\degrees?(?![A-Za-z])(?:\s*\})?")
_DOTS = re.compile(r"\\dot\s*(?:\{(\d)\}|(\d))(?:(\d*)\\dot\s*(?:\{(\d)\}|(\d)))?")
_PERIOD = re.compile(r"((?:^|=)\s*[-+]?\d+\.\d*)\((\d{1,30})\)$")
_CHOICES = re.compile(
    r"(?:(?:\{\s*\}\s*|(?<![\w)}\]]))[\^_]\s*(?:\{\s*(?P<above>\w{1,6})\s*\}|(?P<one>\w))\s*|(?<![\w.^_)}])(?P<plain>\d{1,4}))"
    r"(?:\\(?:text|mathrm)\s*\{\s*C\s*\}|C)\s*(?:_\s*)?(?:\{\s*(?P<below>\w{1,6})\s*\}|(?P<two>[^\W_]{1,3}))(?![\w(]|\)\s*_)"
)
_TIMES_POWER = re.compile(r"(?<=\d)\s*[xX]\s*(?=10\s*(?:\^|\*\*))")
_NAMED_BASE = re.compile(r"(?<![\\A-Za-z])log(2|10)(?=\()")
_SCRIPT = r"(?:\d+|\{[^{}]{1,20}\})"
_RAISED_FIRST = re.compile(
    rf"(?<![\\A-Za-z])(?:([A-Za-z])\s*\^\s*({_SCRIPT})|(C)\s*\^\s*([a-z]))\s*_\s*({_SCRIPT}|[A-Za-z](?!\w))"
)
"""An exponent before the subscript: x^2_1, C^2_5."""
_WITHOUT = re.compile(r"(\\mathbb\s*(?:\{\s*[A-Z]\s*\}|[A-Z]))\s*-\s*(?=\\\{|[\[(])")
_SLANTED = re.compile(r"\^\s*\{?\s*(\d+)\s*\}?\s*/\s*_\s*\{?\s*(\d+)\s*\}?")


def common(text: str) -> str:
    """Rewrites notations of one country or field in a text without LaTeX spaces and sizes."""
    if _TURNED_AWAY.search(text):
        text = _ENDS.sub(_half_open, text)
    if text[-1:] == ")":
        text = _PERIOD.sub(r"\1\\overline{\2}", text)
    if "10" in text:
        text = _TIMES_POWER.sub(r" \\times ", text)
    if "log" in text:
        text = _NAMED_BASE.sub(r"log_{\1}", text)
    if "^" in text and "_" in text:
        text = _RAISED_FIRST.sub(r"\1\3_\5^\2\4", text)
    if "C" in text:
        text = _CHOICES.sub(_binomial, text)
    if "/" in text and "_" in text:
        text = _SLANTED.sub(r"\1/\2", text)
    if "\\" in text:
        if "\\degree" in text:
            text = _DEGREE.sub(r"^\\circ ", text)
        if "\\dot" in text:
            text = _DOTS.sub(lambda found: rf"\overline{{{''.join(filter(None, found.groups()))}}}", text)
        if "\\mathbb" in text:
            text = _WITHOUT.sub(r"\1 \\setminus ", text)
    return text


def _half_open(found: re.Match[str]) -> str:
    """Rewrites an interval with outward brackets: ]1, 5] is (1, 5]."""
    opening = "(" if found["open"] == "]" else "["
    closing = ")" if found["close"] == "[" else "]"
    return f"{opening}{found['inside'].replace(';', ',')}{closing}"


def _binomial(found: re.Match[str]) -> str:
    """Rewrites a binomial coefficient that is written with a C: 8C3. In 2C_5^2, 2 is a factor."""
    if found["plain"] and "_" in found[0] and found.string[found.end() :].lstrip().startswith("^"):
        return found[0]
    above, below = found["above"] or found["one"] or found["plain"], found["below"] or found["two"]
    return rf"\binom{{{above}}}{{{below}}}" if above[0].isdigit() == below[0].isdigit() or not found["plain"] else found[0]
