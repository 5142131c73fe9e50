"""Is the answer what the gold one says? Integers, fractions, units, sets, intervals, equations, matrices, expressions, words.

Rungs, cheapest first; the first that can decide does, and is named in the verdict:

    extract       there is no final answer in the response: wrong
    exact         the same text, or the same once both are read
    choice        the gold answer is the letter of an option, and so must the answer be
    unevaluated   the answer equals the gold one, and is not worked out (`answers/forms.py` states the rule): wrong
    rational, decimal, complex, symbolic, quantity, set, tuple, interval, equation, matrix, ratio, family, cases, logic, words
                  both were read, and this is what they were compared as (see `answers/comparison.py`)
    math-verify   one is LaTeX that we do not read: math-verify's judgement, in a killable worker, unless numbers refute it
    invalid_gold    the answer is no mathematics: wrong

`problem.answer` is the gold text or number; or a list of them, any of which is right; or {"gold": ..., "tolerance": 0.01}, with
how far a number may lie off, relative to the gold one. Extraction is `answers/extraction.py`'s.

The option `form` says which of the answers that equal the gold one count where the problem is known: those that are worked out
(`worked_out`, the default), or all of them (`any`), as where a data set's own protocol takes any equivalent form.
"""

import functools
import re
import string
from collections.abc import Iterator
from fractions import Fraction

from ..core import Problem, Status, Verdict
from . import pool
from .answers import Unreadable, asked, comparison, final_answer, forms, read
from .answers.extraction.boxes import last_mark
from .answers.extraction.choices import asserted
from .answers.extraction.hedges import OPTION_TEXT, others
from .answers.extraction.letters import letter, letters, unwrapped
from .answers.extraction.response import boxed, visible
from .answers.grammar.notation import tidy
from .answers.grammar.tree import Node, core
from .answers.reading import read_gold
from .answers.values.claims import claim
from .answers.values.evaluation import is_unworked, too_large
from .answers.values.exact import TooLarge, Undefined, exact
from .answers.values.identity import CannotTell, NotWorkedOut
from .budget import SECONDS, OutOfTime, is_spent, limit
from .verifier import as_verifier

REASON = 300
"""Characters of a verdict's reason."""

_ANOTHER = re.compile(r"\b(?:[B-J]|not?|or|never|wrong|incorrect)\b")
"""What behind a letter takes it back, or names another."""
_LETTERS = re.compile(r"[A-J]|[A-J]{2,6}")
_CONCLUSION = re.compile(r"####|\b(?:final )?answer(?: is\b|\s*:)", re.IGNORECASE)
"""What a worked solution says before its answer."""
_OPEN = re.compile(
    r"\\(?:i{0,2}int|oint|sum|lim|prod|frac\s*\{\s*(?:d|\\mathrm\s*\{\s*d\s*\}|\\partial)\s*\}|[dt]frac\s*\{\s*d\s*\})(?![A-Za-z])|[∫∑∏]"
)
"""A sign of what is to be worked out: an integral, a sum, a limit, a product, a derivative."""


def invalid_gold(problem: Problem) -> str | None:
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


@as_verifier(invalid_gold=invalid_gold, values={"form": forms.FORMS})
def verify(problem: Problem, response: str, form: str = forms.FORMS[0]) -> Verdict:
    """Judges the final answer of `response` against the gold answer `problem.answer`; `form` as above."""
    return judged(problem, response, form)


def judged(problem: Problem, response: str, form: str) -> Verdict:
    """What `verify` returns."""
    try:
        with limit(SECONDS):
            verdict = _verify(problem, response, form)
            if verdict.score == 0 and is_spent():  # whatever was not found in the time
                return Verdict(Status.TIMEOUT, 0.0, verdict.method, verdict.reason)
            return verdict
    except RecursionError:
        return Verdict(Status.SCORED, 0.0, "invalid_gold", "nested too deep")
    except OutOfTime as late:
        return Verdict(Status.TIMEOUT, 0.0, "extract", str(late))
    except Exception as error:  # whatever we did wrong, the response did not
        return Verdict(Status.FAULT, None, "math", f"{type(error).__name__}: {error}"[:REASON])


def _verify(problem: Problem, response: str, form: str) -> Verdict:
    answer = final_answer(response)
    if answer is None:
        return Verdict(Status.SCORED, 0.0, "extract", "the response has no final answer")
    verdict = None
    try:
        golds = list(_golds(problem.answer))
    except (ValueError, TypeError) as error:
        return Verdict(Status.UNDECIDED, None, "gold", f"the tolerance is no number: {error}"[:REASON])
    for gold, tolerance in golds:
        if len(option := gold_text(gold)) == 1 and _options(option) and _chooses_another(option, response):
            verdict = Verdict(Status.SCORED, 0.0, "choice", f"the response does not choose {option} alone")
            continue
        verdict = _decide(gold, answer, tolerance, problem, form)
        if verdict.score == 1 or verdict.status == Status.FAULT:
            break
    return verdict or Verdict(Status.UNDECIDED, None, "gold", "the problem has no gold answer")


def _golds(answer: object) -> Iterator[tuple[str, Fraction | None]]:
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


def _decide(gold: str, answer: str, tolerance: Fraction | None, problem: Problem, form: str) -> Verdict:
    said = _said(problem)
    strict = said if form == forms.FORMS[0] else ""
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
        if strict and _OPEN.search(answer) and not _OPEN.search(gold):
            return _undone(answer, "a derivative, an integral or a sum")
        verdict = _judged_elsewhere(gold, answer, None) if _latex(answer) else None
        if verdict is None or verdict.status == Status.UNDECIDED:  # the gold answer can be read: what cannot is not equal to it
            return Verdict(Status.SCORED, 0.0, "invalid_gold", f"{answer[:80]!r}: {error}"[:REASON])
        return verdict
    if strict and (left := forms.opens(answers[0]) - forms.opens(golds[0])):
        return _undone(answer, min(left))
    verdict = _compared(golds, answers, gold, answer, tolerance, said, strict)
    if verdict.score == 0 and answers[0].kind == "list" and (stated := _without_the_equation(answers[0], said)):
        return _compared(golds, (stated,), gold, answer, tolerance, said, strict)
    return verdict


def _said(problem: Problem) -> str:
    """What the problem says; empty where nobody knows."""
    turns = (turn["content"][-asked.MAX_TEXT :] for turn in problem.prompt if turn["role"] != "system")
    return "\n".join(turns)


def _undone(answer: str, left: str) -> Verdict:
    return Verdict(Status.SCORED, 0.0, "unevaluated", f"{answer[:200]} is not worked out: {left}"[:REASON])


def _without_the_equation(answer: Node, said: str) -> Node | None:
    """What is left of a list without the equations that the problem itself says: 3x + 1 = 7, x = 2. None where nothing goes."""
    if not said or not all(item.kind == "relation" for item in answer.items):
        return None
    repeated = asked.expressions(said)
    left = [item for item in answer.items if core(item) not in repeated]
    if not left or len(left) == len(answer.items):
        return None
    return left[0] if len(left) == 1 else answer._replace(items=tuple(left))


def _options(gold: str) -> str | None:
    """The letters, one or several, where the gold answer is nothing else."""
    text = unwrapped(gold).strip("(). ")
    return text if _LETTERS.fullmatch(text) and list(text) == sorted(set(text)) else None


def _chosen(answer: str) -> str | None:
    text = unwrapped(answer)
    several, named = letters(text), letter(text)
    if several is not None or named is None:
        return several
    known = frozenset(string.ascii_uppercase[:10])
    hedged = others(named[1], known) and not OPTION_TEXT.fullmatch(named[1])
    return None if hedged or _ANOTHER.search(named[1]) else named[0]


def _chooses_another(wanted: str, response: str) -> bool:
    """Whether a response without a box asserts another letter beside the wanted one, or in its place."""
    text = visible(response)
    said = asserted(text, [""] * 10).letters if last_mark(text) is None else frozenset()
    return bool(said) and said != {wanted}


def _compared(
    golds: tuple[Node, ...],
    answers: tuple[Node, ...],
    gold: str,
    answer: str,
    tolerance: Fraction | None,
    said: str,
    strict: str,
) -> Verdict:
    """Equal where any reading of the one equals any of the other, and is worked out.

    Args:
        golds, answers: the readings of both.
        gold, answer: their texts.
        tolerance: how far a number may lie off.
        said: what the problem says.
        strict: the same where an answer has to be worked out, else empty.
    """
    undone = None
    doubt: CannotTell | None = None
    for wanted in golds:
        for given in answers:
            try:
                if comparison.same(wanted, given, tolerance):
                    if said and _is_unasked_percentage(wanted, given, said):
                        continue
                    if (left := forms.left_to_do(wanted, given, strict)) is not None:
                        undone = undone or left
                        continue
                    method = "exact" if wanted == given else comparison.kind(wanted, given)
                    return _scored(True, method, gold, answer)
            except CannotTell as error:
                doubt = doubt or error
            except TooLarge as error:
                method, said = comparison.kind(wanted, given), f"{answer[:80]} against {gold[:80]} is too large: {error}"
                if too_large(wanted):
                    return Verdict(Status.UNDECIDED, None, method, said)
                return Verdict(Status.TIMEOUT, 0.0, method, said)
    if undone is not None:
        return _undone(answer, undone)
    method = comparison.kind(golds[0], answers[0])
    if doubt is None:
        return _scored(False, method, gold, answer)
    if isinstance(doubt, NotWorkedOut):
        verdict = _judged_elsewhere(gold, answer, str(doubt))
        if verdict.status == Status.UNDECIDED and not is_unworked(golds[0]):
            # The gold answer is worked out: what nobody can work out is no answer to it.
            return Verdict(Status.SCORED, 0.0, method, f"{answer[:140]} is not worked out"[:REASON])
        return verdict
    return Verdict(Status.UNDECIDED, None, method, f"{answer[:80]} against {gold[:80]}: {doubt}"[:REASON])


def _scored(equal: bool, method: str, gold: str, answer: str) -> Verdict:
    return Verdict(
        Status.SCORED, float(equal), method, answer[:REASON] if method == "exact" else f"{answer[:140]} against {gold[:140]}"
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


def _is_unasked_percentage(gold: Node, answer: Node, said: str) -> bool:
    """Whether an answer says 42% where 42 is wanted, and nothing in the problem is of percent."""
    wanted, given = claim(gold)[1], claim(answer)[1]
    if given.kind != "percent" or wanted.kind == "percent" or asked.of_percent(said):
        return False
    try:
        return exact(given) != exact(wanted) and exact(given.items[0]) == exact(wanted)
    except (TooLarge, Undefined):
        return False


def _written_alike(gold: str, answer: str) -> bool:
    """Whether two texts that nobody reads are the same but for how they are set."""
    return re.sub(r"\s", "", tidy(gold)) == re.sub(r"\s", "", tidy(answer))


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
    return pool.shared("tenfold.verifiers.answers.values.symbolic:equal", cpu_seconds=1.5, memory=384 << 20).call(gold, answer)
