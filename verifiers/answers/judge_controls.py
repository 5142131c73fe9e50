"""Protection of a judge against manipulation: control answers that are certainly incorrect, and rejection of non-answers.

A control answer is of the same kind as the gold answer: other numbers with as many digits, or other words. It cannot be
predicted, because it depends on a random key that each process creates.
"""

import hashlib
import hmac
import random
import re
import secrets

from ..budget import OutOfTime, limit
from ..disguises import folded, plain
from . import ParseError, comparison, readings_of
from .values.claims import claim
from .values.evaluation import contains
from .values.exact import TooLarge
from .values.identity import Undecided

COUNT = 3
"""Number of control answers that a judge must tell apart from the answer."""
MAX_TRIES = 40
"""Maximum number of candidates that are generated to find `COUNT` control answers."""
PROSE = 4
"""Minimum number of words of a sentence. Fewer words may be a name, such as that of a substance whose formula is the gold
answer."""
SECONDS = 0.2
"""Limit of processor time, in seconds, to compare a control answer with the answer."""
MAX_WORDS = 40
"""Maximum number of words of an answer, in addition to three times the number of words of the gold answer."""

_KEY = secrets.token_bytes(16)
_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}")
_WORDS = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_KEPT_WORDS = frozenset(
    "the and for are with from that this all not sin cos tan log exp sqrt frac left right text mathrm".split()
)
_NOUNS = (
    "anchor apricot basalt beaver cactus candle cedar cobalt comet copper coral cradle dolphin eagle ember falcon feather "
    "fossil garnet ginger glacier granite hammer harbour hazel helmet heron iceberg indigo ivory jasmine kettle lantern lemon "
    "lizard lobster magnet maple marble meadow mercury mosaic nickel nutmeg oboe olive opal orchid osprey otter paprika parrot "
    "pebble pepper pigeon pillar plum pollen puffin quartz rabbit raven ribbon saffron salmon sandal sparrow spinach sponge "
    "sulphur tailor teapot thistle thunder timber topaz trumpet tulip turnip velvet violin walnut walrus willow zebra zinc"
).split()
_ADDRESSES_JUDGE = re.compile(
    r"\b(?:verdict|equivalen(?:t|ce) to|(?:reference|gold(?:en)?|candidate|expected|correct|right|any|every|the|this|my)"
    r" answers?|judg(?:e|es|ment|ing)|grad(?:er|ers|ing|ed)|evaluators?|instructions?|ignore|disregard|system prompt"
    r"|you|your|yours|as an ai|assistant|(?:mark|treat|count|accept|regard|consider|take|rate|score)"
    r" (?:this|it|that|these|any|all)"
    r"|award|full (?:marks|credit|score)|(?:is|are|be|as) (?:correct|right|equivalent)\b|please|whatever|whichever"
    r"|(?:respond|reply|end|answer|finish) with|say (?:yes|that|it)|always (?:say|answer|choose|output)"
    r"|output (?:only|the|verdict))\b"
    r"|</?tool_call|<\|[^<>|]*\|>|\[/?INST\]|<</?SYS|</?(?:system|user|assistant)|^\s*(?:system|user|assistant|human)\s*:"
    r"|答案|正确|等价|忽略|裁判|请",
    re.IGNORECASE | re.MULTILINE,
)
"""Words that no answer to a problem of mathematics or science needs, and that address or describe the judge."""


def control_answers(gold: str, answer: str, count: int = COUNT) -> list[str]:
    """Returns answers of the same kind as the gold answer that differ from it and from the judged answer.

    Args:
        gold: The gold answer.
        answer: The judged answer.
        count: Number of control answers. Fewer are returned if no more are found.
    """
    seed = hmac.new(_KEY, f"{gold}\0{answer}".encode(errors="surrogatepass"), hashlib.sha256).digest()
    generator, found = random.Random(seed), list[str]()
    for _ in range(MAX_TRIES):
        if len(found) == count:
            break
        candidate = _changed(gold, generator)
        excluded = (gold, *found)
        if candidate not in excluded and not any(_may_be_same(candidate, other) for other in (gold, answer)):
            found.append(candidate)
    return found


def _changed(gold: str, generator: random.Random) -> str:
    """Returns the gold answer with other numbers; if it has none, with other words.

    If it has neither, infinity is replaced by a number. Anything else is multiplied by a number, and another number is added or
    subtracted. The multiplication changes even an answer whose constant of integration is arbitrary.
    """
    if _NUMBER.search(gold):
        return _NUMBER.sub(lambda digits: _another_number(digits[0], generator), gold)
    words = [word for word in _WORD.findall(gold) if word.lower() not in _KEPT_WORDS]
    if words:
        return _WORD.sub(lambda word: word[0] if word[0].lower() in _KEPT_WORDS else _another_word(word[0], generator), gold)
    if "infty" in gold or "∞" in gold:
        return str(generator.randint(2, 97))
    return rf"{generator.randint(2, 97)} \cdot ({gold}) {generator.choice('+-')} {generator.randint(2, 97)}"


def _another_number(digits: str, generator: random.Random) -> str:
    """Returns another number with the same number of digits, at most 50."""
    size = min(len(digits), 50)
    while True:
        replacement = str(generator.randint(1 if size == 1 else 10 ** (size - 1), 10**size - 1))
        if replacement != digits:
            return replacement


def _another_word(word: str, generator: random.Random) -> str:
    replacement = generator.choice(_NOUNS)
    return replacement.capitalize() if word[0].isupper() else replacement


def _may_be_same(candidate: str, other: str) -> bool:
    """True if two answers are equal.

    If the comparison is undecided, they count as different, because a control answer contains other numbers or words.
    """
    if candidate == other:
        return True
    try:
        with limit(SECONDS):
            return any(comparison.equivalent(gold, answer) for gold in readings_of(candidate) for answer in readings_of(other))
    except (ParseError, Undecided, TooLarge, RecursionError, OutOfTime):
        return False


def reason_to_reject(answer: str, gold: str, prompt: str) -> str | None:
    """Returns why an answer must not be shown to a judge, or None.

    Reasons: it addresses the judge, it is a sentence although the gold answer is mathematics, or it is too long.

    Args:
        answer: The extracted answer.
        gold: The gold answer.
        prompt: The prompt, whose words the answer may repeat.
    """
    allowed = _unwrapped(f"{gold}\n{prompt}").casefold()
    for text in {_unwrapped(answer), _unwrapped(plain(answer)), _unwrapped(folded(plain(answer)))}:
        if phrases := [found[0] for found in _ADDRESSES_JUDGE.finditer(text) if found[0].casefold().strip() not in allowed]:
            return f"the answer addresses the judge: {phrases[0]!r}"
    if len(answer.split()) > MAX_WORDS + 3 * len(gold.split()):
        return "the answer has too many words"
    if len(_WORDS.findall(_unwrapped(answer))) >= PROSE and _is_mathematics(gold) and not _is_mathematics(answer):
        return "the answer is prose, but the gold answer is mathematics"
    return None


def has_word(gold: str) -> bool:
    """Returns whether a gold answer has a word, a name or a formula of letters: "Brazil", "Na", "O(log n)", but not "x^2"."""
    return _WORDS.search(_unwrapped(gold)) is not None


def _unwrapped(text: str) -> str:
    """Returns the text without LaTeX's font commands, which can split words."""
    text = re.sub(r"\\(?:text|mathrm|mbox|textbf|textit|operatorname|mathbf|mathit)\*?\s*(?=\{)", "", text)
    return re.sub(r"[{}$]|\\[,;:! ]", "", text)


def _is_mathematics(text: str) -> bool:
    """True if a text is a mathematical object (number, expression, set, equation) without words other than units and names."""
    try:
        return any(node.kind == "quantity" or not contains(claim(node)[1], "text") for node in readings_of(text))
    except (ParseError, RecursionError):
        bare = re.sub(r"\\[A-Za-z]+", " ", _unwrapped(text))
        return "\\" in text and re.search(r"[A-Za-z]{4,}", bare) is None
