"""The value that a sentence states, without a reason, remark or condition.

A statement is read in three steps. First its formulas are masked, so that most rules do not match inside a formula. Then the
head is separated from what follows it (a reason, a remark in brackets, a denied alternative). If what follows changes the
value ("5 if n is odd", "5 or 6"), the whole statement is the answer, which does not equal 5. Last, the value of the head is
assembled: "1/$5$" is 1/5, "the line $y = x$" is y = x.
"""

import itertools
import re
from typing import NamedTuple

MAX_BOUNDARIES = 40
"""Maximum number of positions that are examined as the end of a statement's head."""


class Formula(NamedTuple):
    """A formula between `$`, `$$`, `\\(` and `\\)`, or `\\[` and `\\]`."""

    start: int
    end: int
    content: str


MASK = "\ue000"
"""Replaces each character of a formula. It belongs to no language."""
NUMBER = re.compile(
    r"(?<![\w.,/^{\\])[-+]?(?:\d+(?:[,\s]\d{3})+(?!\d)(?:[.,]\d+)?|\d+(?:[.,]\d+)?|\.\d+)(?:/\d+)?\s?%?(?=[^\w}^_!*/×·]|m²"
    r"|m³|$)"
)
SENTENCE_END = re.compile(r"。|(?<=[^\d\s][.!?])\s+(?=[A-Z<])|(?<=\d[.?])\s+(?=[A-Z<])|<\|")
NEGATION = re.compile(r"\b(?:not|never|neither|nor|unknown|no|cannot|unlikely)\b|n['’]t\b", re.IGNORECASE)
CHANGES = re.compile(
    r"\b(?:(?:less|more|greater|fewer|larger|smaller|bigger|higher|lower|other|rather) than|than|except|half|twice|double"
    r"|thrice"
    r"|triple|third|quarter|minus|plus|(?<!left )over|under|at (?:least|most)|up to|between|either|neither|close to|nearly"
    r"|almost"
    r"|times(?=\s+(?:as|the|more|that|larger|greater)))\b"
    r"|\b(?:more|less|fewer|greater|times|one of|divi(?:sible|ded) by|multiplied by"
    r"|(?:multiples?|divisors?|factors?|powers?|squares?|cubes?|roots?|logarithm|reciprocal|inverse|opposite) of"
    r"|(?:co-?prime|prime|proportional|congruent|similar|due|according|perpendicular|parallel) to|(?:un)?like|hardly"
    r"|ends? (?:in|with)|depends on)\s*(?=[\d\ue000$\\])",
    re.IGNORECASE,
)
"""Words that change the value of the number beside them."""
MATHEMATICS = frozenset(
    (
        "sin cos tan cot sec csc log exp sqrt cbrt floor ceil max min gcd lcm mod inf infinity and binom frac arcsin arccos "
        "arctan sinh cosh tanh abs"
    ).split()
)
CLAUSES = re.compile(
    r"\b(?:is|are|=)\s.{1,60}?(?:\band\b|[,;]).{1,40}?\b(?:is|are|=)\s|\b(?:is|are)\s[^=]{1,60}?\band\s[^=,;]{1,40}?\s=\s",
    re.IGNORECASE,
)
"""Two statements in one: "the mean is 6 and the variance is 4", "the mean is 6 and the variance = 4"."""
LEAD = re.compile(
    r"^(?:it|they|that|this|we|there|she|he|you|(?:the|its|his|her|their|our)\s[A-Za-z\ue000 ]{1,60}?"
    r"(?:,\s*which(?=\s+is\s+(?:exactly\s+)?[-\d\ue000]))?|\ue000+)?\s*\b(?:is|are|equals?|was|were|be|gives?|has|have"
    r"|makes?|gets?|got|will be|would be)\s+"
    r"(?:about\s+|approximately\s+|equal to\s+|exactly\s+|now\s+)?",
    re.IGNORECASE,
)
"""Words before the value: "it is", "the largest n is"."""

_DOLLARS = re.compile(
    r"\$\$([^$]+)\$\$|(?<!\\)\$((?:\\.|[^$\\])+)\$|\\\(((?:[^\\]|\\[^()])+)\\\)|\\\[((?:[^\\]|\\[^\[\]])+)\\\]", re.DOTALL
)
_QUOTES = "\"'“”‘’«»「」*` "
_ENDING = re.compile(r"\s+!+$|(?<=[\d$})])\s?(?:입니다|이다|です|である|だ)[.。]?$")
"""An exclamation mark after a space, which is not a factorial; a verb after a number in Korean or Japanese."""
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}")
_APPROXIMATE = re.compile(r"^[\s:=：]*(?:that\s+(?=[a-z]))?(?:[≈~≃≅=]|\\(?:approx|sim|simeq|cong)(?![A-Za-z]))?\s*")
_CORRECTED = re.compile(
    r"\bnot\b.{1,40}?(?:\bbut(?: rather)?\b|[,;.—–-]\s*(?:rather\b|(?:it|that)(?:['’]s|\s+is)\b))\s+(\S.*)$", re.IGNORECASE
)
"""The corrected value after a denied one: "not 5 but 6"."""
_REASON = (
    r"because|since|as(?!\s+(?:well|many|much|long|soon|of|far|a|an|the)\b)|given|due|considering|which|whose|where"
    r"|when|whenever|while|assuming|based|using|after|before|following|once|from"
)
"""Start of a reason or circumstance, which leaves the value unchanged."""
_RESTATEMENT = (
    r"i\.?e\.?|namely|that is|or (?:about|approximately|roughly|around|equivalently|simply|just)|approximately|about|roughly"
    r"|equivalently"
)
_CONCLUSION = r"so|thus|hence|therefore|making|giving|meaning|yielding|leaving"
"""Start of a conclusion, which leaves the value unchanged if it contains no formula and no other number."""
_CONTRAST = r"not|rather|instead|and not"
"""Start of another value that is denied."""
_BREAKS = r"if|unless|provided|otherwise|else|but|or|except|plus|minus|times|though|although|however|only|and then|then"
"""Start of a condition, a sum or an alternative, which changes the value."""
_ADVERB = r"(?:in|on|at|of|by|to)\s+[a-z]|for\s|left\b|remaining|altogether|overall|each\b|apiece|every\b|today|so far"
"""Start of a place, time or share after a count: "5 apples in total"."""
_BOUNDARY = re.compile(
    rf"\s+(?P<bracket>[(\[])|(?P<sign>\s*[,;:]\s+|\s*[—–]+\s*|\s+-{{1,3}}\s+)(?=[A-Za-z]{{2}}|i\.e)"
    rf"|\s+(?=(?P<word>{_REASON}|{_CONCLUSION}|{_CONTRAST}|{_BREAKS}|and(?=\s+(?:we|i|that|this|it)\b))\b"
    rf"|(?P<adverb>{_ADVERB}))",
    re.IGNORECASE,
)
"""Positions at which the head of a statement may end."""
_FIRST = {
    kind: re.compile(rf"\W*(?:{words})(?![A-Za-z])", re.IGNORECASE)
    for kind, words in {
        "restated": _RESTATEMENT, "reason": _REASON, "contrast": _CONTRAST, "conclusion": _CONCLUSION, "breaks": _BREAKS,
    }.items()
}  # fmt: skip
_VALUE = re.compile(r"\d|\ue000|\\[A-Za-z]")
_DOUBT = re.compile(
    r"\b(?:wait|actually|maybe|perhaps|possibly|might|may|could|wrong|incorrect|false|mistaken|unsure|or|but|however"
    r"|although|though|unless|else|otherwise|except|if|instead)\b|\bnot (?:sure|certain|correct|right)\b",
    re.IGNORECASE,
)
"""Words that leave the value open."""
_TAKEN_BACK = re.compile(
    r"\b(?:but|however|wait|otherwise|else)\b|^\W*which (?:is|was|seems|cannot|can['’]t|isn['’]t)\s*(?:clearly |obviously )?"
    r"(?:not|wrong|incorrect|false|impossible|too|absurd|be)\b|^\W*which isn['’]t\b"
    r"|(?:\band|[,;]|\bwhile)\s+(?:it(?:['’]s| is) )?[-\d\ue000][^,;]{0,20}?"
    r"\s(?:for|when|whenever|while|if|unless|where|assuming|given|otherwise)\b",
    re.IGNORECASE,
)
"""Words after a reason that retract the value, or give another one for other cases."""
_COUNTED = re.compile(rf"({NUMBER.pattern})\s+(?:more|fewer|less|extra|additional|other)(?=\s+[a-z]|$)(.*)", re.DOTALL)
"""A number that counts a difference: "5 more apples"."""
_COPULA = re.compile(r"(?:\b(?:is|are|was|be|equals?|of|namely|gives?|i\.e\.)|[=:,])\s*$", re.IGNORECASE)
_RELATED = re.compile(r"\b(?:(?P<word>\w+)\s+to|by|from|than|with|without|into|until)\s*$", re.IGNORECASE)
"""Words that only relate something to the value after them: "coprime to 5"."""
_EQUATES = frozenset("equal equals equivalent comes amounts up out rounds simplifies evaluates reduces".split())
"""Words before "to" that make both sides equal."""
_CHINESE_REASON = re.compile(r"[，,；;]\s*(?=因为|由于|所以|故|因此|即|也就是|其中)|（(?=[^）]*[\u4e00-\u9fff])")
_COUNT = re.compile(r"[\d\ue000}%]\W*+(?:[A-Za-z-]++\s*+){0,3}$")
"""A value and what it counts: "5 red apples"."""
_ASIDES = frozenset(
    (
        "approximately approx approx. rounded exactly exact one two three four five six seven eight nine ten eleven twelve "
        "thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty"
    ).split()
)
"""Words in brackets after a number that do not change it."""
_BARE = re.compile(r"[-\d.,\ue000\s]+")
_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")
_PERCENT = re.compile(r"\s*(?:\\?%|percent\b|per cent\b|pct\b)")


def formulas(text: str) -> list[Formula]:
    """Returns the formulas of a text, in order. A `$` of a currency starts no formula."""
    found, at = [], 0
    while match := _DOLLARS.search(text, at):
        content = next(part for part in match.groups() if part is not None)
        if match[2] is not None and _is_currency(content, text[match.end() : match.end() + 1]):
            at = match.start() + 1
            continue
        found.append(Formula(match.start(), match.end(), content))
        at = match.end()
    return found


def _is_currency(content: str, after: str) -> bool:
    """True if the first of two `$` is a currency sign: "$200 - $130", "$5 for bread and $x$"."""
    return content[0].isdigit() and (
        (after.isdigit() and (content[-1].isspace() or content[-1] in "(-+=/*"))
        or (content[-1].isspace() and is_prose(content))
    )


def masked(text: str, found: list[Formula]) -> str:
    """Returns the text with each character of a formula replaced by `MASK`."""
    pieces, at = [], 0
    for formula in found:
        pieces += [text[at : formula.start], MASK * (formula.end - formula.start)]
        at = formula.end
    return "".join(pieces) + text[at:]


def is_prose(text: str) -> bool:
    """True if the text contains words other than those of mathematics."""
    bare = re.sub(r"\\(?:text|mathrm|mbox|textbf|operatorname)\s*\{[^{}]*\}|\\[A-Za-z]+", " ", text)
    return any(word.lower() not in MATHEMATICS for word in _WORD.findall(bare))


def trimmed(text: str) -> str:
    """Returns the text without surrounding spaces and final full stops."""
    return text.strip().rstrip(".").strip()


def sentence(text: str) -> str:
    """Returns the first sentence of a text."""
    text = text.strip()
    end = SENTENCE_END.search(masked(text, formulas(text)))  # "k! S" in a formula is no end
    return text[: end.start()] if end else text


def stated_value(statement: str) -> str | None:
    """Returns the value that an answer line states after "the answer is".

    Args:
        statement: The line after the colon or verb.

    Returns:
        The value; or the statement without its lead ("it is"), if other words change the value ("not 5", "5 if n is odd"). None
        if nothing is left of it.
    """
    statement = _ENDING.sub("", " ".join(sentence(statement).split())).strip(_QUOTES).rstrip(_QUOTES + ".")
    if "$" not in statement and "\\" not in statement:
        statement = re.sub(r"(?<=\w)\.(?:\s+[a-z].*)?$", "", statement)
    statement = _APPROXIMATE.sub("", statement, count=1).strip(_QUOTES)
    for _ in range(3):
        corrected = _CORRECTED.search(masked(statement, formulas(statement)))
        if corrected is None:
            break
        statement = statement[corrected.start(1) :]
    statement = re.sub(r"\b(?:negative|minus)\s+(?=\d)", "-", statement) if not NUMBER.match(statement) else statement
    if (
        not CLAUSES.search(statement)
        and (lead := LEAD.match(masked(statement, formulas(statement))))
        and lead.end() < len(statement)
    ):
        statement = statement[lead.end() :]
    head = _head(_CHINESE_REASON.split(statement)[0])
    if head is None:
        return trimmed(statement) or None
    return _value_of_head(head.strip(_QUOTES + ",;:")) or None


def _head(statement: str) -> str | None:
    """Returns a statement without what follows its value. None if what follows changes the value."""
    hidden = masked(statement, formulas(statement))
    for boundary in itertools.islice(_BOUNDARY.finditer(hidden), MAX_BOUNDARIES):
        head, tail = hidden[: boundary.start()], hidden[boundary.end() :]
        if not head.strip() or any(head.count(opening) > head.count(closing) for opening, closing in ("()", "[]", "{}")):
            continue
        if not _VALUE.search(head) and len(head.split()) > 3:
            continue
        cut = _ends_head(boundary, head, tail)
        if cut is None:
            return None
        if cut:
            return statement[: boundary.start()]
    return statement


def _ends_head(boundary: re.Match[str], head: str, tail: str) -> bool | None:
    """True if the head of a statement ends here. None if what follows changes the value."""
    if boundary["bracket"]:
        return _is_remark(boundary["bracket"] + tail)
    first = re.match(r"\W*([A-Za-z]+)", tail)
    word = first[1].lower() if first else ""
    if word in MATHEMATICS and word != "and":
        return False
    has_value = bool(_VALUE.search(tail))
    harmless = not has_value and not _DOUBT.search(tail) and not CHANGES.search(tail)
    if boundary["adverb"]:
        if not has_value and _COUNT.search(head):
            return harmless
        if word != "for":
            return False
        return None if _TAKEN_BACK.search(tail) or _DOUBT.search(tail) else _BARE.fullmatch(head) is not None
    if _FIRST["contrast"].match(tail) or (_FIRST["restated"].match(tail) and boundary["sign"]):
        return True
    if word == "and":
        return harmless or (False if not boundary["sign"] or re.match(r"and\s+[-\d\ue000\\]", tail) else None)
    if _FIRST["reason"].match(tail):
        return None if _TAKEN_BACK.search(tail) else True
    if _FIRST["conclusion"].match(tail):
        head_numbers = set(_DIGITS.findall(head))
        return None if MASK in tail or set(_DIGITS.findall(tail)) - head_numbers else True
    if _FIRST["breaks"].match(tail):
        return False if word in ("or", "plus", "minus", "times", "then") and not boundary["sign"] else None
    if not boundary["sign"]:
        return False
    return harmless or (False if has_value else None)


def _is_remark(tail: str) -> bool | None:
    """True if brackets after a value only remark on it: "5 apples (2 red and 3 green)", "5 (not 6)". None if they change it."""
    inner = re.match(r"[(\[]([^()\[\]]{1,200})[)\]]", tail)
    if inner is None or not re.search(r"\ue000|[A-Za-z]{2}|^\s*[=≈]", inner[1]):
        return False
    words = inner[1].strip().lower()
    if words in _ASIDES:
        return True
    if words.startswith("mod") or (len(words.split()) == 1 and not _VALUE.search(words)):  # "5 (cm)"
        return False
    if re.match(r"or\s+(?!about|approx|equiv|roughly|around)", words):
        return None
    return None if re.search(r"\b(?:if|unless|otherwise|but|maybe|possibly|wrong|incorrect)\b", words) else True


def _value_of_head(head: str) -> str:
    """Returns the value of a head: its number, its formula, or both combined."""
    found = formulas(head)
    hidden = masked(head, found)
    outside = hidden.replace(MASK, " ")
    if NEGATION.search(outside) or CHANGES.search(hidden):
        return trimmed(head)
    return _value_with_formulas(head, hidden, found) if found else _value_without_formulas(head)


def _is_related(before: str) -> bool:
    """True if the words before a value only relate something to it."""
    found = _RELATED.search(before)
    return found is not None and (found["word"] or "").lower() not in _EQUATES


def _value_without_formulas(head: str) -> str:
    numbers = list(itertools.islice(NUMBER.finditer(head), 2))
    if len(numbers) == 1 and is_prose(head) and re.match(r"[A-Za-z]{2,}", head) and not _is_related(head[: numbers[0].start()]):
        return numbers[0][0].strip()
    if counted := _COUNTED.fullmatch(head):
        return trimmed(counted[1] + counted[2])
    return trimmed(head)


def _value_with_formulas(head: str, hidden: str, found: list[Formula]) -> str:
    last = found[-1]
    rest = hidden[last.end :]
    if _PERCENT.match(rest) and not _VALUE.search(hidden[: last.start]):
        return last.content + " percent"
    if re.search(r"\b(?:or|and|but|if|unless|less|fewer)\b", rest) and is_prose(rest):
        return trimmed(head)  # "$5$ or more"
    outside = re.sub(r"\b(?:and|or)\b", ",", hidden.replace(MASK, " "))
    if not is_prose(outside) or last.content.startswith("^"):  # "6 units$^2$"
        return trimmed(_joined_formulas(head, found))
    if numbers := NUMBER.findall(rest):
        stated = re.search(r"\b(?:is|are|equals?|was|be|of)\s+(\S.*)$", rest)
        return numbers[-1].strip() if stated and len(numbers) == 1 else trimmed(head)
    joined = [last]
    for first_formula, second_formula in reversed(list(itertools.pairwise(found))):
        if not re.fullmatch(r"[\s,]*(?:and|or)?[\s,]*", head[first_formula.end : second_formula.start]):
            break
        joined.insert(0, first_formula)
    before = hidden[: joined[0].start]
    described = re.match(r"(?:the|an?|all|its)\b", before, re.IGNORECASE)
    if _is_related(before) or (
        _VALUE.search(before) and not described and (_VALUE.match(before) or not _COPULA.search(before))
    ):
        return trimmed(head)
    return ", ".join(formula.content for formula in joined)


def _joined_formulas(head: str, found: list[Formula]) -> str:
    """Returns a head with mathematics inside and outside of formulas as one text: "1/$5$" as "1/{5}"."""
    pieces, at = [], 0
    for formula in found:
        before = head[at : formula.start]
        pieces.append(re.sub(r"\s*\b(?:and|or)\b\s*", ", ", before))
        inside = formula.content
        pieces.append(f"{{{inside}}}" if "".join(pieces).rstrip()[-1:] in ("/", "^", "*", "-", "·", "×") else inside)
        at = formula.end
    return re.sub(r",\s*,", ",", "".join(pieces) + re.sub(r"\s*\b(?:and|or)\b\s*", ", ", head[at:]))


def last_formula(sentence: str) -> str | None:
    """Returns the last formula of a sentence, or the number after it ("the largest $n$ is 34"), or several joined formulas."""
    found = formulas(sentence)
    if not found:
        return None
    rest = sentence[found[-1].end :]
    if _PERCENT.match(rest):
        return found[-1].content + " percent"
    if numbers := NUMBER.findall(rest):
        return numbers[-1].strip()
    joined = found[-1:]
    for first_formula, second_formula in reversed(list(itertools.pairwise(found))):
        if not re.fullmatch(r"[\s,]*(?:and|or)?[\s,]*", sentence[first_formula.end : second_formula.start]):
            break
        joined.insert(0, first_formula)
    return ", ".join(formula.content for formula in joined)
