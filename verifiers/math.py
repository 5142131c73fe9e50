"""Is the answer what the gold one says? Integers, fractions, units, sets, intervals, equations, matrices, expressions, words.

Rungs, cheapest first; the first that can decide does, and is named in the verdict:

    extract       there is no final answer in the response: wrong
    exact         the same text, or the same once both are read
    choice        the gold answer is the letter of an option, and so must the answer be
    unevaluated   a number is wanted, and the answer is the problem's own arithmetic, still to do; or the problem asks for a
                  sum, an integral or a limit, and one stands in the answer still: wrong
    rational, decimal, complex, symbolic, quantity, set, tuple, interval, equation, matrix, ratio, family, cases, logic, words
                  both were read, and this is what they were compared as (see `answers/comparison.py`)
    math-verify   one is LaTeX that we do not read: math-verify's judgement, in a killable worker, unless numbers refute it
    unreadable    the answer is no mathematics: wrong

`problem.answer` is the gold text or number; or a list of them, any of which is right; or {"gold": ..., "tolerance": 0.01}, with
how far a number may lie off, relative to the gold one. Extraction is `answers/extraction.py`'s.
"""

import functools
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from ..core import Problem, Status, Verdict
from . import pool
from .answers import Unreadable, comparison, final_answer, read
from .answers.claims import claim
from .answers.evaluation import is_unworked, too_large
from .answers.exact import TooLarge
from .answers.extraction import boxed
from .answers.identity import CannotTell, NotWorkedOut
from .answers.letters import letter, letters, unwrapped
from .answers.notation import tidy
from .answers.reading import read_gold
from .answers.tree import Node
from .budget import SECONDS, OutOfTime, is_spent, limit
from .verifier import as_verifier

REASON = 300
"""Characters of a verdict's reason."""

_ANOTHER = re.compile(r"\b(?:[B-J]|not?|or|never|wrong|incorrect)\b")
"""What behind a letter takes it back, or names another."""
_LETTERS = re.compile(r"[A-J]|[A-J]{2,6}")
_UNWORKED = re.compile(
    r"\\(?:i{0,2}int|sum|lim|prod|[lc]?dots)(?![A-Za-z])|[∫∑∏…]|\.\.\.|integra|\bsums?\b|\blimit|\bproduct", re.IGNORECASE
)
"""What asks for an integral, a sum, a product or a limit."""
_CONCLUSION = re.compile(r"####|\b(?:final )?answer(?: is\b|\s*:)", re.IGNORECASE)
"""What a worked solution says before its answer."""
_DIGITS = re.compile(r"\d+(?:\.\d+)?")
_EVALUATED = frozenset(["number", "decimal", "neg", "percent", "constant", "based", "degrees"])


@as_verifier(unreadable=lambda problem: unreadable(problem))
def verify(problem: Problem, response: str) -> Verdict:
    """Judges the final answer of `response` against the gold answer `problem.answer`."""
    try:
        with limit(SECONDS):
            verdict = _verify(problem, response)
            if verdict.score == 0 and is_spent():  # whatever was not found in the time
                return Verdict(Status.TIMEOUT, 0.0, verdict.decided_by, verdict.reason)
            return verdict
    except RecursionError:
        return Verdict(Status.SCORED, 0.0, "unreadable", "nested too deep")
    except OutOfTime as late:
        return Verdict(Status.TIMEOUT, 0.0, "extract", str(late))
    except Exception as error:  # whatever we did wrong, the response did not
        return Verdict(Status.FAULT, None, "math", f"{type(error).__name__}: {error}"[:REASON])


def _verify(problem: Problem, response: str) -> Verdict:
    answer = final_answer(response)
    if answer is None:
        return Verdict(Status.SCORED, 0.0, "extract", "the response has no final answer")
    verdict = None
    try:
        golds = list(_golds(problem.answer))
    except (ValueError, TypeError) as error:
        return Verdict(Status.UNDECIDED, None, "gold", f"the tolerance is no number: {error}"[:REASON])
    for gold, tolerance in golds:
        verdict = _decide(gold, answer, tolerance, problem)
        if verdict.score == 1 or verdict.status == Status.FAULT:
            break
    return verdict or Verdict(Status.UNDECIDED, None, "gold", "the problem has no gold answer")


def unreadable(problem: Problem) -> str | None:
    """Why the gold answer of a problem cannot be judged against, or None where it can."""
    try:
        golds = list(_golds(problem.answer))
    except (ValueError, TypeError) as error:
        return f"its tolerance is no number: {error}"
    if not golds:
        return "there is no gold answer"
    for gold, _ in golds:
        text = gold_text(gold)
        try:
            read_gold(text)
        except Unreadable as error:
            if not _latex(text) or _by_math_verify(text, text) is not True:
                return f"{gold[:80]!r}: {error}"
    return None


def _golds(answer: Any) -> Iterator[tuple[str, Fraction | None]]:
    """Each gold text with the tolerance that it allows."""
    if isinstance(answer, list | tuple):
        for one in answer:
            yield from _golds(one)
    elif isinstance(answer, dict):
        tolerance = answer.get("tolerance")
        for gold, _ in _golds(answer.get("gold", [])):
            yield gold, None if tolerance is None else Fraction(str(tolerance))
    elif answer is not None:
        yield str(answer), None


def _decide(gold: str, answer: str, tolerance: Fraction | None, problem: Problem) -> Verdict:
    gold = gold_text(gold)
    if gold == answer:
        return Verdict(Status.SCORED, 1.0, "exact", answer[:REASON])
    if (right := _options(gold)) is not None:
        return _scored(_chosen(answer) == right, "choice", gold, answer)
    try:
        golds = read_gold(gold)
    except Unreadable as error:
        if _written_alike(gold, answer):
            return Verdict(Status.SCORED, 1.0, "exact", answer[:REASON])
        return _judged_elsewhere(gold, answer, f"the gold answer {gold[:80]!r} does not parse: {error}")
    try:
        answers = read(answer)
    except Unreadable as error:
        if _written_alike(gold, answer):
            return Verdict(Status.SCORED, 1.0, "exact", answer[:REASON])
        verdict = _judged_elsewhere(gold, answer, None) if _latex(answer) else None
        if verdict is None or verdict.status == Status.UNDECIDED:  # the gold answer can be read: what cannot is not equal to it
            return Verdict(Status.SCORED, 0.0, "unreadable", f"{answer[:80]!r}: {error}"[:REASON])
        return verdict
    if is_unworked(_concluded(answers[0])) and not is_unworked(golds[0]) and _asked(_UNWORKED, problem):
        return Verdict(Status.SCORED, 0.0, "unevaluated", f"{answer} is still to be worked out"[:REASON])
    verdict = _compared(golds, answers, gold, answer, tolerance)
    if verdict.score == 1 and any(_is_undone(wanted, answers[0], answer, problem) for wanted in golds):
        return Verdict(Status.SCORED, 0.0, "unevaluated", f"{answer} is still to be worked out"[:REASON])
    return verdict


def _concluded(answer: Node) -> Node:
    """What an answer claims; the last side of an equation that names nothing."""
    label, claimed = claim(answer)
    plain = label is None and claimed.kind == "relation" and set(claimed.value) == {"="}
    return claimed.items[-1] if plain else claimed


def _options(gold: str) -> str | None:
    """The letters, one or several, where the gold answer is nothing else."""
    text = unwrapped(gold).strip("(). ")
    return text if _LETTERS.fullmatch(text) and list(text) == sorted(set(text)) else None


def _chosen(answer: str) -> str | None:
    text = unwrapped(answer)
    several, named = letters(text), letter(text)
    if several is not None or named is None:
        return several
    return None if _ANOTHER.search(named[1]) else named[0]


def _compared(
    golds: tuple[Node, ...], answers: tuple[Node, ...], gold: str, answer: str, tolerance: Fraction | None
) -> Verdict:
    """Equal where any reading of the one equals any of the other."""
    doubt: CannotTell | None = None
    for wanted in golds:
        for given in answers:
            try:
                if comparison.same(wanted, given, tolerance):
                    rung = "exact" if wanted == given else comparison.kind(wanted, given)
                    return _scored(True, rung, gold, answer)
            except CannotTell as error:
                doubt = doubt or error
            except TooLarge as error:
                rung, said = comparison.kind(wanted, given), f"{answer[:80]} against {gold[:80]} is too large: {error}"
                if too_large(wanted):
                    return Verdict(Status.UNDECIDED, None, rung, said)
                return Verdict(Status.TIMEOUT, 0.0, rung, said)
    rung = comparison.kind(golds[0], answers[0])
    if doubt is None:
        return _scored(False, rung, gold, answer)
    if isinstance(doubt, NotWorkedOut):
        verdict = _judged_elsewhere(gold, answer, str(doubt))
        if verdict.status == Status.UNDECIDED and not is_unworked(golds[0]):
            # The gold answer is worked out: what nobody can work out is no answer to it.
            return Verdict(Status.SCORED, 0.0, rung, f"{answer[:140]} is not worked out"[:REASON])
        return verdict
    return Verdict(Status.UNDECIDED, None, rung, f"{answer[:80]} against {gold[:80]}: {doubt}"[:REASON])


def _scored(equal: bool, rung: str, gold: str, answer: str) -> Verdict:
    return Verdict(
        Status.SCORED, float(equal), rung, answer[:REASON] if rung == "exact" else f"{answer[:140]} against {gold[:140]}"
    )


@functools.lru_cache(maxsize=65_536)
def gold_text(gold: str) -> str:
    """A gold answer without the solution around it, where data sets give one: what is boxed in it, or what it calls its answer.

    A long gold answer of several formulas is no solution: all of them are wanted.
    """
    if "\\boxed" in gold and (inside := boxed(gold)):
        return inside
    if len(gold) > 100 and (said := list(_CONCLUSION.finditer(gold))) and gold.count("$", said[-1].end()) <= 2:
        return final_answer(gold) or gold.strip()
    return gold.strip()


def _is_undone(gold: Node, answer: Node, text: str, problem: Problem) -> bool:
    """Whether a number is wanted, and the answer is arithmetic with the problem's own: repeating the problem is no answer."""
    stated, (_, answer) = answer, claim(answer)
    if not problem.prompt or not _evaluated(claim(gold)[1]) or _evaluated(answer):
        return False
    if stated.kind == "relation" and stated.value[-1] == "~" and _evaluated(stated.items[-1]):
        return False  # it says about how much that is
    said = set(map(Fraction, _asked(_DIGITS, problem)))
    if len([number for number in _literals(answer) if number in said]) >= 2:
        return True
    return _is_repeated(text, problem)


def _written_alike(gold: str, answer: str) -> bool:
    """Whether two texts that nobody reads are the same but for how they are set."""
    return re.sub(r"\s", "", tidy(gold)) == re.sub(r"\s", "", tidy(answer))


def _is_repeated(text: str, problem: Problem) -> bool:
    """Whether the problem itself holds an answer's text."""
    said = re.escape(_bare(text))
    within = re.compile(rf"(?<![\d.]){said}(?!\d)")
    return len(said) > 2 and any(within.search(_bare(turn["content"][-20_000:])) for turn in problem.prompt)


def _bare(text: str) -> str:
    """A text without what LaTeX needs but does not say."""
    return re.sub(r"[\s${}]|\\(?:left|right)(?![A-Za-z])|\\[,;!]|(?<=\\)[dt](?=frac)", "", text)


def _asked(pattern: re.Pattern[str], problem: Problem) -> list[str]:
    """All that the pattern finds in what the problem says."""
    return [found for turn in problem.prompt for found in pattern.findall(turn["content"][-20_000:])]


def _evaluated(node: Node) -> bool:
    """Whether a node is a number written out: 7, -0.5, 3/4 in lowest terms, 2 1/2, 5 x 10^3."""
    if node.kind == "quantity":
        return _evaluated(node.items[0])
    if node.kind == "add" and len(node.items) == 2:  # a mixed number
        return node.items[0].kind == "number" and node.items[1].value == "/" and _evaluated(node.items[1])
    if node.kind == "mul" and node.value == "/":
        above, below = node.items[0], node.items[1].items[0]
        lowest = above.kind == below.kind == "number" and Fraction(above.value, below.value or 1).denominator == below.value
        return lowest and below.value > 1
    if node.kind == "mul" and len(node.items) == 2 and node.items[1].kind == "pow":
        return _evaluated(node.items[0]) and node.items[1].items[0] == Node("number", (), Fraction(10))
    return node.kind in _EVALUATED and all(_evaluated(item) for item in node.items)


def _literals(node: Node) -> list[Fraction]:
    if node.kind in ("number", "decimal"):
        return [node.value if node.kind == "number" else node.value.value]
    return [number for item in node.items for number in _literals(item)]


# --- what only math-verify reads


def _latex(text: str) -> bool:
    """Whether a text may be LaTeX beyond our grammar, and no prose: prose holds numbers by accident."""
    if re.search(r"\\(?:[lc]?dots|boxed)|\.\.\.", text):
        return False  # what goes on nobody knows how
    bare = re.sub(r"\\[A-Za-z]+|\{[a-z]*matrix\}", " ", text)
    return "\\" in text and text.count("{") == text.count("}") and not re.search(r"[A-Za-z]{4,}", bare) and len(text) <= 400


def _judged_elsewhere(gold: str, answer: str, doubt: str | None) -> Verdict:
    """math-verify's judgement; `doubt` is why nobody may be able to tell, None where only the answer is odd."""
    if not (_latex(gold) or _latex(answer)):
        return Verdict(Status.UNDECIDED, None, "gold", doubt or "")
    try:
        equal = _by_math_verify(gold, answer)
    except (pool.TimeLimit, pool.MemoryLimit) as error:
        return Verdict(Status.TIMEOUT, 0.0, "math-verify", str(error))
    except pool.WorkerFault as error:
        return Verdict(Status.FAULT, None, "math-verify", str(error))
    if equal is None:
        return Verdict(Status.UNDECIDED, None, "math-verify", (doubt or f"{answer[:80]} against {gold[:80]}")[:REASON])
    return _scored(equal, "math-verify", gold, answer)


def _by_math_verify(gold: str, answer: str) -> bool | None:
    return pool.shared("tenfold.verifiers.answers.symbolic:equal", cpu_seconds=1.5, memory=384 << 20).call(gold, answer)
