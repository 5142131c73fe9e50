"""What keeps a judge from being talked into a verdict: control answers that are certainly wrong, and answers that are none.

A control is of the gold answer's own kind, and nobody can know it beforehand: other numbers of as many digits in the places of
its numbers, other words in the places of its words, drawn by a key that each process makes for itself.
"""

import hashlib
import hmac
import random
import re
import secrets

from ..budget import limit
from ..disguises import folded, plain
from . import Unreadable, comparison, read
from .values.claims import claim
from .values.evaluation import contains
from .values.exact import TooLarge
from .values.identity import CannotTell

COUNT = 3
"""Controls that a judge has to tell from the answer."""
MAX_TRIES = 40
PROSE = 4
"""Words that make a sentence of an answer; fewer are a name, as of a substance whose formula is the gold answer."""
SECONDS = 0.2
"""Processor time to find out whether a control is the answer by chance."""
MAX_WORDS = 40
"""Words of an answer beyond those that the gold answer has three times."""

_KEY = secrets.token_bytes(16)
_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}")
_WORDS = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_KEPT = frozenset("the and for are with from that this all not sin cos tan log exp sqrt frac left right text mathrm".split())
_NOUNS = (
    "anchor apricot basalt beaver cactus candle cedar cobalt comet copper coral cradle dolphin eagle ember falcon feather "
    "fossil garnet ginger glacier granite hammer harbour hazel helmet heron iceberg indigo ivory jasmine kettle lantern lemon "
    "lizard lobster magnet maple marble meadow mercury mosaic nickel nutmeg oboe olive opal orchid osprey otter paprika parrot "
    "pebble pepper pigeon pillar plum pollen puffin quartz rabbit raven ribbon saffron salmon sandal sparrow spinach sponge "
    "sulphur tailor teapot thistle thunder timber topaz trumpet tulip turnip velvet violin walnut walrus willow zebra zinc"
).split()
_TALKS = re.compile(
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
"""Words that no answer to a question of mathematics or science needs, and that speak to or of whoever judges it."""


def controls(gold: str, answer: str, count: int = COUNT) -> list[str]:
    """Answers of the gold one's kind that are certainly neither it nor the answer that is judged.

    Args:
        gold: the gold answer.
        answer: the answer that is judged.
        count: how many; there are fewer where no others are found.
    """
    seed = hmac.new(_KEY, f"{gold}\0{answer}".encode(errors="surrogatepass"), hashlib.sha256).digest()
    draw, found = random.Random(seed), list[str]()
    for _ in range(MAX_TRIES):
        if len(found) == count:
            break
        candidate = _changed(gold, draw)
        known = (gold, *found)
        if candidate not in known and not any(_may_be_same(candidate, other) for other in (gold, answer)):
            found.append(candidate)
    return found


def _changed(gold: str, draw: random.Random) -> str:
    """The gold answer with other numbers, or with other words; a number is added where it has neither."""
    if _NUMBER.search(gold):
        return _NUMBER.sub(lambda digits: _another_number(digits[0], draw), gold)
    words = [word for word in _WORD.findall(gold) if word.lower() not in _KEPT]
    if words:
        return _WORD.sub(lambda word: word[0] if word[0].lower() in _KEPT else _another_word(word[0], draw), gold)
    return f"{gold} {draw.choice('+-')} {draw.randint(2, 97)}"


def _another_number(digits: str, draw: random.Random) -> str:
    """A number of as many digits, which is another."""
    size = min(len(digits), 50)
    while True:
        drawn = str(draw.randint(1 if size == 1 else 10 ** (size - 1), 10**size - 1))
        if drawn != digits:
            return drawn


def _another_word(word: str, draw: random.Random) -> str:
    drawn = draw.choice(_NOUNS)
    return drawn.capitalize() if word[0].isupper() else drawn


def _may_be_same(candidate: str, other: str) -> bool:
    """Whether two answers are found to be equal; what nobody can tell apart has other numbers in it, and is another."""
    if candidate == other:
        return True
    try:
        with limit(SECONDS):
            return any(comparison.same(one, two) for one in read(candidate) for two in read(other))
    except (Unreadable, CannotTell, TooLarge, RecursionError):
        return False


def no_answer(answer: str, gold: str, question: str) -> str | None:
    """Why an answer is none that a judge should see, or None.

    It speaks to its judge, in whatever letters; or it is a sentence where the gold answer is mathematics; or it is a speech.
    """
    known = _unwrapped(f"{gold}\n{question}").casefold()
    for text in {_unwrapped(answer), _unwrapped(plain(answer)), _unwrapped(folded(plain(answer)))}:
        if talks := [found[0] for found in _TALKS.finditer(text) if found[0].casefold().strip() not in known]:
            return f"the answer talks to its judge: {talks[0]!r}"
    if len(answer.split()) > MAX_WORDS + 3 * len(gold.split()):
        return "the answer is a speech"
    if len(_WORDS.findall(_unwrapped(answer))) >= PROSE and _is_mathematics(gold) and not _is_mathematics(answer):
        return "the answer is no mathematical object, as the gold answer is"
    return None


def _unwrapped(text: str) -> str:
    """The text without LaTeX's commands for type, through which words can be cut."""
    text = re.sub(r"\\(?:text|mathrm|mbox|textbf|textit|operatorname|mathbf|mathit)\*?\s*(?=\{)", "", text)
    return re.sub(r"[{}$]|\\[,;:! ]", "", text)


def _is_mathematics(text: str) -> bool:
    """Whether a text is a mathematical object: a number, an expression, a set, an equation; no words but units and names."""
    try:
        return any(node.kind == "quantity" or not contains(claim(node)[1], "text") for node in read(text))
    except (Unreadable, RecursionError):
        bare = re.sub(r"\\[A-Za-z]+", " ", _unwrapped(text))
        return "\\" in text and re.search(r"[A-Za-z]{4,}", bare) is None
