"""Quantities: numbers with a unit, a noun or a currency, such as 15 cm^2, 72 clips, USD 29, 2 hours 30 minutes."""

import itertools
import re
from fractions import Fraction

from .grammar.tree import Node, number
from .values import units
from .words import UPRIGHT, WRAPPED

_FORM = rf"(?:{UPRIGHT}|[A-Za-zµμΩ°Å€£¢₹]++\.?|[\u4e00-\u9fff]{{1,4}})"
_EXPONENT = r"(?:\s*\^\s*(?:\{\s*-?\d\s*\}|-?\d))?"
_BETWEEN = r"(?:\s*(?:/|\\cdot|\\times|\*)\s*|\s+|(?=\\))"
_NUMBER_AND_UNIT = re.compile(
    rf"(?P<head>.*?(?:[\d)}}\]!%]|\\pi|\bpi))(?P<gap>\s*)"
    rf"(?P<unit>(?:/\s*)?{_FORM}{_EXPONENT}(?:{_BETWEEN}{_FORM}{_EXPONENT}){{0,8}})\s*[.,]?"
)
_ONE_UNIT = rf"(?:{UPRIGHT}|[A-Za-z]{{1,4}}){_EXPONENT}"
_UNIT_FRACTION = re.compile(rf"(?<=[\d\s}}])\\frac\s*\{{\s*({_ONE_UNIT})\s*\}}\s*\{{\s*({_ONE_UNIT})\s*\}}")
"""A unit divided by another one, as a LaTeX fraction."""
_ORDINAL = re.compile(
    r"(?:n|four|fif|six|seven|eigh|nin|ten|eleven|twelf|[a-z]+teen|[a-z]+tie|hundred|thousand|million|billion|trillion)?ths?"
)
"""Names of denominators, as in "5 tenths"."""
_NOT_UNITS = frozenset(
    (
        "plus minus times over divided squared cubed by or and if when where not than for with less more modulo mod pi inf "
        "infinity in is out below above negative positive zero debt fewer factorial choose cent half halves third thirds "
        "quarter quarters dozen hundred thousand million billion trillion"
    ).split()
)
_DEGREES = re.compile(r"\s*\^\s*\{?\s*\\circ\s*\}?\s*(?:\\(?:text|mathrm)\s*\{\s*([CF])\s*\}|([CF])\b)")
_MICRO = re.compile(r"(?<=\d)\s*\\mu\s*(?:\\(?:text|mathrm)\s*\{\s*)?(m|g|s|L|l|C|F|A|V|mol)\b\}?")
"""LaTeX of degrees Celsius and Fahrenheit (`_DEGREES`), and of units with the prefix micro (`_MICRO`)."""
_OHM = re.compile(r"(?:(?<=\d)|(?<=\d\s))\s*(?:\\(?:text|mathrm)\s*\{\s*([kMGm])\s*\}|([kMGm]))?\s*\\Omega\b")
_HYPHEN = re.compile(r"(?<=[a-z]{3})-(?=[a-z]{3})")
_PLAIN_NUMBER = re.compile(r"[-+]?[\d.,]+(?:\s*(?:\\times|\\cdot|\*)\s*10\s*\^\s*\{?-?\d+\}?)?|10\s*\^\s*\{?-?\d+\}?")
_SIUNITX = re.compile(r"\\(?:(?:SI|qty)\s*\{(?P<amount>[^{}]*)\}|si|unit)\s*\{(?P<unit>[^{}]*)\}")
_LETTER_UNITS = frozenset("msghNJWVLK")
"""Letters that are units if they stand alone after a number and a space."""
_AMOUNT = r"(?P<amount>\d{1,3}(?:(?:,|\{,\})\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
_MONEY = r"(?:US\s?)?\\?\$|\\?\\pounds|[€£₹]|USD|EUR|GBP|INR|CNY|RMB|JPY|Rs\.?"
_CURRENCY = re.compile(
    rf"(?P<sign>[-+]?)\s*(?:(?P<bare>{_MONEY})|\\(?:text|mathrm|mbox|textrm)\s*\{{\s*(?P<upright>{_MONEY})\s*\}})"
    rf"(?:\s|\\[,;:! ]|~)*(?P<behind>-?){_AMOUNT}"
)
_COMPOUND = re.compile(r"(-?)\s*((?:\d+(?:\.\d+)?\s*[A-Za-z]{1,10}\.?(?:\s*,\s*|\s+and\s+|\s*)){2,4})")
_AMOUNT_AND_UNIT = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]{1,10})\.?(\s*,\s*|\s+and\s+|\s*)")
UNIT_REQUIRED = Node("text", (), "unit required")
"""Second item of a quantity that never equals a number without a unit."""


def currency(text: str) -> Node | None:
    """Returns an amount of money with the currency before it: $29, \\text{USD }29. None if it is not one."""
    found = _CURRENCY.fullmatch(text)
    if not found:
        return None
    sign = (found["bare"] or found["upright"]).lstrip("\\")
    unit = "£" if sign == "pounds" else "$" if sign.endswith("$") else "INR" if sign in ("₹", "Rs", "Rs.") else sign
    amount = number(found["amount"].replace("{,}", "").replace(",", ""))
    negative = (found["sign"] == "-") != (found["behind"] == "-")
    return Node("quantity", (Node("neg", (amount,)) if negative else amount,), unit)


def compound(text: str) -> Node | None:
    """Returns a quantity in several units (2 hours 30 minutes), converted to the first unit. None if it is not one."""
    found = _COMPOUND.fullmatch(WRAPPED.sub(r" \1 ", text).strip() + " ")
    if not found:
        return None
    pieces = _AMOUNT_AND_UNIT.findall(found[2])
    minutes = any(name in ("h", "hr", "hrs", "hour", "hours") for _, name, _ in pieces)
    found_units = [units.unit("min" if minutes and name == "m" else name) for _, name, _ in pieces]
    first = found_units[0]
    if first is None or any(part is None or part.dimension != first.dimension or part.offset for part in found_units):
        return None
    factors = [part.factor for part in found_units if part]
    time = first.dimension == "[time]"
    for (above, below), (amount, _, _), (_, _, joint) in zip(itertools.pairwise(factors), pieces[1:], pieces, strict=False):
        smaller = below < above and Fraction(amount) < above / below
        if not smaller or ("," in joint and not time):
            return None  # for example two lengths
    terms = [
        Node("mul", (number(amount), Node("number", (), (factor / factors[0]).limit_denominator(10**9))))
        for (amount, _, _), factor in zip(pieces, factors, strict=True)
    ]
    total = Node("add", tuple(terms))
    return Node("quantity", (Node("neg", (total,)) if found[1] else total, UNIT_REQUIRED), pieces[0][1])


def _siunitx_as_words(found: re.Match[str]) -> str:
    """Returns siunitx macros as words: \\SI{10}{\\micro\\ampere}."""
    unit = re.sub(r"\\([A-Za-z]+)", r" \1 ", found["unit"])
    return f"{found['amount'] or ''} \\text{{{' '.join(unit.split())}}}"


def with_unit(text: str) -> tuple[str, str, bool] | None:
    """Returns the text of a number and of the unit or noun after it ("15 cm^2", "72 clips"). None if there is none.

    The third value is False if the unit may also be a variable, such as A in "5 A".
    """
    text = _DEGREES.sub(lambda degrees: rf"\text{{deg{degrees[1] or degrees[2]}}}", text)
    text = WRAPPED.sub(lambda words: words[0].replace("\\Omega", "ohm").replace("\\mu ", "μ"), text)
    text = _MICRO.sub(r"\\text{μ\1}", _OHM.sub(r" \\text{\1\2ohm}", text))
    text = _HYPHEN.sub(" ", text)
    text = _SIUNITX.sub(_siunitx_as_words, text) if "\\" in text else text
    found = _NUMBER_AND_UNIT.fullmatch(_UNIT_FRACTION.sub(r"\1/\2", text))
    if not found:
        return None
    wrapped = "{" in found["unit"] and "\\" in found["unit"]
    unit = WRAPPED.sub(r" \1 ", found["unit"]).replace("\\cdot", "*").replace("\\times", "*").replace("\\", "")
    unit = " ".join(unit.split()).rstrip(".,")
    bare = re.findall(r"[A-Za-z]+|[€£¢Ω°Å₹]", unit)
    if re.fullmatch(r"[\u4e00-\u9fff]{1,4}", unit):
        return found["head"], unit, True  # 120棵
    if any(map(_ORDINAL.fullmatch, bare)) or not re.search(r"[A-Za-z€£¢ΩÅ]", unit):
        return None
    alone = bare in (["cent"], ["times"]) or (wrapped and bare == ["in"])  # not "per cent", "times 2", "in base 2"
    if not bare or (_NOT_UNITS & {word.lower() for word in bare} and not alone) or len(unit) > 60:
        return None
    if units.unit(unit) is None:
        noun = all(len(word) > 2 or word.lower() in ("of", "a", "an") for word in bare)
        if not (noun and (wrapped or max(map(len, bare)) > 3) and len(bare) <= 4) or "^" in unit:
            return None
    elif not wrapped and all(len(word) == 1 and word.isalpha() for word in bare) and "/" not in unit:
        # 3m and \frac{1}{2} m are products; 3 m may be a length.
        plain = _PLAIN_NUMBER.fullmatch(found["head"].strip())
        if not plain or not found["gap"]:
            return None
        return found["head"], unit, len(bare) == 1 and bare[0] in _LETTER_UNITS
    return found["head"], unit, True
