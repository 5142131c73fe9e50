"""Verifier of mathematical answers: integers, fractions, units, sets, intervals, equations, matrices, expressions, words.

The methods of a verdict, cheapest first. The first one that decides is named in the verdict:

    extract       the response has no final answer: incorrect
    exact         the texts are equal, or their parse trees are
    choice        the gold answer is the letter of an option, or several, so the answer must be the same letters
    unevaluated   the answer is not worked out (rule: `answers/worked_out.py`): incorrect, even if it equals the gold answer
    integer       the answer is not written as an integer (only with `form: integer`): incorrect, even if it equals the gold one
    rational, decimal, complex, symbolic, quantity, set, tuple, interval, equation, matrix, ratio, family, cases, logic, words
                  both parse, and are compared as this kind (`answers/comparison.py`)
    math-verify   one is LaTeX outside our grammar, or has an integral, a limit or a sum that we do not evaluate: math-verify
                  compares them in a worker process, unless their values at fixed points already differ
    parse         the answer is not mathematics: incorrect

Without a comparison, the method is "gold" (the gold answer is missing or cannot be read), "extract" (also if reading the
response takes too long) or "math" (the verifier failed: a fault).

`problem.answer` is a text, a number, a list of gold answers of which each is correct, or {"gold": ..., "tolerance": 0.01}. The
tolerance is the largest difference of a number, relative to the gold number.
`answers/extraction/response.py` extracts the final answer.

The option `form` decides which answers that equal the gold answer are correct: only those that are worked out (`worked_out`,
the default), or all (`any`, for data sets whose protocol accepts every equivalent form). Both are the same without a prompt.
With `integer`, as in the AIME, whose answers are 0 to 999 in digits, the answer must be written as an integer: 204, 0204,
$m + n = 204$ and 204 cm count, and 204.0, 408/2 and 200 + 4 do not.
"""

import functools
import re
import string
from collections.abc import Iterator
from fractions import Fraction

from ..core import Problem, Status, Verdict
from . import pool
from .answers import ParseError, comparison, final_answer, prompt_text, readings_of, worked_out
from .answers.answer_parser import readings_of_gold
from .answers.extraction.boxes import last_mark
from .answers.extraction.choices import asserted_letters
from .answers.extraction.letters import leading_letter, listed_letters, unwrapped
from .answers.extraction.response import boxed, searched_text
from .answers.extraction.second_answers import OPTION_TEXT, letters_added_after_choice
from .answers.grammar.notation import normalize
from .answers.grammar.tree import Node, canonical
from .answers.values.claims import claim
from .answers.values.evaluation import has_unevaluated_operator, too_large
from .answers.values.exact import TooLarge, Undefined, exact
from .answers.values.identity import Undecided, UndecidedOperator
from .budget import SECONDS, OutOfTime, is_spent, limit
from .verifier import MAX_REASON_CHARACTERS, as_verifier

_INTEGER = re.compile(r"[0-9]+")
_ANOTHER = re.compile(r"\b(?:[B-J]|not?|or|never|wrong|incorrect)\b")
"""Words after a letter that retract it or name another one."""
_LETTERS = re.compile(r"[A-J]|[A-J]{2,6}")
_CONCLUSION = re.compile(r"####|\b(?:final )?answer(?: is\b|\s*:)", re.IGNORECASE)
"""The words before the answer of a worked solution."""
_OPEN = re.compile(
    r"\\(?:i{0,2}int|oint|sum|lim|prod|frac\s*\{\s*(?:d|\\mathrm\s*\{\s*d\s*\}|\\partial)\s*\}|[dt]frac\s*\{\s*d\s*\})(?![A-Za-z])|[∫∑∏]"
)
"""Signs of an unfinished computation: an integral, a sum, a limit, a product, a derivative."""


def invalid_gold(problem: Problem) -> str | None:
    """Returns why the problem's gold answer, or one of several, cannot be compared with answers, or None if all can."""
    try:
        golds = list(_golds(problem.answer))
    except ValueError as error:
        return str(error)
    if not golds:
        return "there is no gold answer"
    for gold, _ in golds:
        text = gold_text(gold)
        try:
            readings_of_gold(text)
        except ParseError as error:
            try:
                parses = _latex(text) and _math_verify(text, text) is True
            except (pool.TimeLimit, pool.MemoryLimit, pool.WorkerFault) as failure:
                return f"{gold[:80]!r}: math-verify failed: {failure}"
            if not parses:
                return f"{gold[:80]!r}: {error}"
    return None


@as_verifier(invalid_gold=invalid_gold, values={"form": worked_out.FORMS})
def verify(problem: Problem, response: str, form: str = worked_out.FORMS[0]) -> Verdict:
    """Compares the final answer of `response` with the gold answer `problem.answer`.

    Args:
        problem: The problem.
        response: The response.
        form: One of `worked_out.FORMS`. See above.
    """
    return verify_answer(problem, response, form)


def verify_answer(problem: Problem, response: str, form: str) -> Verdict:
    """Returns the verdict of `verify`.

    Args:
        problem: The problem.
        response: The response.
        form: One of `worked_out.FORMS`.
    """
    try:
        with limit(SECONDS):
            verdict = _integer(problem, response) if form == "integer" else _verify(problem, response, form)
            if verdict.score == 0 and is_spent():  # an equality may have been missed when the time ran out
                return Verdict(Status.TIMEOUT, 0.0, verdict.method, verdict.reason)
            return verdict
    except RecursionError:
        return Verdict(Status.SCORED, 0.0, "parse", "nested too deep")
    except OutOfTime as late:
        return Verdict(Status.TIMEOUT, 0.0, "extract", str(late))
    except Exception as error:  # an error of this verifier must not count against the response
        return Verdict(Status.FAULT, None, "math", f"{type(error).__name__}: {error}"[:MAX_REASON_CHARACTERS])


def _verify(problem: Problem, response: str, form: str) -> Verdict:
    answer = final_answer(response)
    if answer is None:
        return Verdict(Status.SCORED, 0.0, "extract", "the response has no final answer")
    rejected: Verdict | None = None
    try:
        golds = list(_golds(problem.answer))
    except ValueError as error:
        return Verdict(Status.UNDECIDED, None, "gold", str(error)[:MAX_REASON_CHARACTERS])
    for gold, tolerance in golds:
        if len(option := gold_text(gold)) == 1 and _options(option) and _chooses_another(option, response):
            verdict = Verdict(Status.SCORED, 0.0, "choice", f"the response does not choose {option} alone")
        else:
            verdict = _decide(gold, answer, tolerance, problem, form)
        if verdict.score == 1 or verdict.status == Status.FAULT:
            return verdict
        # The answer may equal the gold answer whose comparison is undecided, so it is not incorrect yet.
        if rejected is None or _doubt(verdict) > _doubt(rejected):
            rejected = verdict
    return rejected or Verdict(Status.UNDECIDED, None, "gold", "the problem has no gold answer")


def _integer(problem: Problem, response: str) -> Verdict:
    """Returns the verdict for `form: integer`."""
    golds = [gold_text(gold) for gold, _ in _golds(problem.answer)]
    if len(golds) != 1 or not _INTEGER.fullmatch(golds[0]):
        reason = f"the gold answer is no integer in digits: {problem.answer!r:.100}"
        return Verdict(Status.UNDECIDED, None, "gold", reason)
    verdict = _verify(problem, response, worked_out.FORMS[0])
    answer = final_answer(response)
    if verdict.score != 1 or answer is None or _equal_up_to_typesetting(golds[0], answer):
        return verdict
    if not worked_out.is_integer(readings_of(answer)[0]):
        return Verdict(Status.SCORED, 0.0, "integer", f"{answer[:200]} is not written as an integer")
    return verdict


def _doubt(verdict: Verdict) -> tuple[int, bool]:
    """Returns how much doubt remains about an answer that is not accepted. Different words may mean the same."""
    return (Status.SCORED, Status.TIMEOUT, Status.UNDECIDED).index(verdict.status), verdict.method == "words"


def _golds(answer: object) -> Iterator[tuple[str, Fraction | None]]:
    """Yields each gold answer with its tolerance. Raises ValueError if a tolerance is negative or not a number."""
    if isinstance(answer, list | tuple):
        for alternative in answer:
            yield from _golds(alternative)
    elif isinstance(answer, dict):
        tolerance = _tolerance(answer.get("tolerance"))
        for gold, _ in _golds(answer.get("gold", [])):
            yield gold, tolerance
    elif answer is not None:
        yield str(answer), None


def _tolerance(value: object) -> Fraction | None:
    try:
        tolerance = None if value is None else Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        tolerance = Fraction(-1)
    if tolerance is not None and tolerance < 0:
        raise ValueError(f"the tolerance is negative or not a number: {value!r:.100}")
    return tolerance


def _decide(gold: str, answer: str, tolerance: Fraction | None, problem: Problem, form: str) -> Verdict:
    prompt = _prompt_text(problem)
    strict_prompt = prompt if form == worked_out.FORMS[0] else ""
    gold = gold_text(gold)
    if gold == answer:
        return Verdict(Status.SCORED, 1.0, "exact", answer[:MAX_REASON_CHARACTERS])
    if (gold_letters := _options(gold)) is not None:
        return _scored(_chosen(answer) == gold_letters, "choice", gold, answer)
    try:
        golds = readings_of_gold(gold)
    except ParseError as error:
        if _equal_up_to_typesetting(gold, answer):
            return Verdict(Status.SCORED, 1.0, "exact", answer[:MAX_REASON_CHARACTERS])
        return _by_math_verify(gold, answer, f"the gold answer {gold[:80]!r} does not parse: {error}")
    try:
        answers = readings_of(answer)
    except ParseError as error:
        if _equal_up_to_typesetting(gold, answer):
            return Verdict(Status.SCORED, 1.0, "exact", answer[:MAX_REASON_CHARACTERS])
        if strict_prompt and _OPEN.search(answer) and not _OPEN.search(gold):
            return _unfinished(answer, "a derivative, an integral, a sum, a product or a limit")
        verdict = _by_math_verify(gold, answer, None) if _latex(answer) else None
        if verdict is None or verdict.status == Status.UNDECIDED:
            # The gold answer parses, so an answer that does not parse is incorrect.
            return Verdict(Status.SCORED, 0.0, "parse", f"{answer[:80]!r}: {error}"[:MAX_REASON_CHARACTERS])
        return verdict
    if strict_prompt and (left := worked_out.open_operators(answers[0]) - worked_out.open_operators(golds[0])):
        return _unfinished(answer, min(left))
    verdict = _compared(golds, answers, gold, answer, tolerance, prompt, strict_prompt)
    if verdict.score == 0 and answers[0].kind == "list" and (solution := _without_the_equation(answers[0], prompt)):
        return _compared(golds, (solution,), gold, answer, tolerance, prompt, strict_prompt)
    return verdict


def _prompt_text(problem: Problem) -> str:
    """Returns the text of the prompt's turns without the system message. Only the end of a long turn is kept.

    The text is empty if the prompt is unknown.
    """
    turns = (turn["content"][-prompt_text.MAX_TURN :] for turn in problem.prompt if turn["role"] != "system")
    return "\n".join(turns)


def _unfinished(answer: str, left: str) -> Verdict:
    return Verdict(Status.SCORED, 0.0, "unevaluated", f"{answer[:200]} is not worked out: {left}"[:MAX_REASON_CHARACTERS])


def _without_the_equation(answer: Node, prompt: str) -> Node | None:
    """Returns a list without equations of the prompt: x = 2 for "3x + 1 = 7, x = 2". None if nothing changes."""
    if not prompt or not all(item.kind == "relation" for item in answer.items):
        return None
    repeated = prompt_text.expressions(prompt)
    left = [item for item in answer.items if canonical(item) not in repeated]
    if not left or len(left) == len(answer.items):
        return None
    return left[0] if len(left) == 1 else answer._replace(items=tuple(left))


def _options(gold: str) -> str | None:
    """Returns the letters of options if the gold answer consists of nothing else."""
    text = unwrapped(gold).strip("(). ")
    return text if _LETTERS.fullmatch(text) and list(text) == sorted(set(text)) else None


def _chosen(answer: str) -> str | None:
    """Returns the letter or letters that an answer chooses."""
    text = unwrapped(answer)
    several, leading = listed_letters(text), leading_letter(text)
    if several is not None or leading is None:
        return several
    letter, words = leading
    option_letters = frozenset(string.ascii_uppercase[:10])
    hedged = letters_added_after_choice(words, option_letters) and not OPTION_TEXT.fullmatch(words)
    return None if hedged or _ANOTHER.search(words) else letter


def _chooses_another(gold_letter: str, response: str) -> bool:
    """True if a response without a box or <answer> tag asserts another letter, in addition to or instead of the gold one."""
    text = searched_text(response)
    letters = asserted_letters(text, [""] * 10).letters if last_mark(text) is None else frozenset()
    return bool(letters) and letters != {gold_letter}


def _compared(
    golds: tuple[Node, ...],
    answers: tuple[Node, ...],
    gold: str,
    answer: str,
    tolerance: Fraction | None,
    prompt: str,
    strict_prompt: str,
) -> Verdict:
    """Compares each reading of the gold answer with each reading of the answer.

    Args:
        golds: The readings of the gold answer.
        answers: The readings of the answer.
        gold: The text of the gold answer.
        answer: The text of the answer.
        tolerance: Largest difference of a number relative to the gold number.
        prompt: The text of the prompt. Empty if unknown.
        strict_prompt: The same if an answer must be worked out, else empty.
    """
    unfinished = None
    undecided: Undecided | None = None
    for gold_reading in golds:
        for reading in answers:
            try:
                if comparison.equivalent(gold_reading, reading, tolerance):
                    if prompt and _is_unrequested_percentage(gold_reading, reading, prompt):
                        continue
                    if (left := worked_out.unfinished_computation(gold_reading, reading, strict_prompt)) is not None:
                        unfinished = unfinished or left
                        continue
                    method = "exact" if gold_reading == reading else comparison.kind(gold_reading, reading)
                    return _scored(True, method, gold, answer)
            except Undecided as error:
                undecided = undecided or error
            except TooLarge as error:
                method = comparison.kind(gold_reading, reading)
                reason = f"{answer[:80]} against {gold[:80]} was not compared: {error}"
                if too_large(gold_reading):
                    return Verdict(Status.UNDECIDED, None, method, reason)
                return Verdict(Status.TIMEOUT, 0.0, method, reason)
    if unfinished is not None:
        return _unfinished(answer, unfinished)
    method = comparison.kind(golds[0], answers[0])
    if undecided is None:
        return _scored(False, method, gold, answer)
    if isinstance(undecided, UndecidedOperator):
        verdict = _by_math_verify(gold, answer, str(undecided))
        if verdict.status == Status.UNDECIDED and not has_unevaluated_operator(golds[0]):
            # The gold answer is worked out, so an answer that neither we nor math-verify can evaluate is incorrect.
            return Verdict(Status.SCORED, 0.0, method, f"{answer[:140]} is not worked out"[:MAX_REASON_CHARACTERS])
        return verdict
    return Verdict(Status.UNDECIDED, None, method, f"{answer[:80]} against {gold[:80]}: {undecided}"[:MAX_REASON_CHARACTERS])


def _scored(equal: bool, method: str, gold: str, answer: str) -> Verdict:
    return Verdict(
        Status.SCORED,
        float(equal),
        method,
        answer[:MAX_REASON_CHARACTERS] if method == "exact" else f"{answer[:140]} against {gold[:140]}",
    )


@functools.lru_cache(maxsize=65_536)
def gold_text(gold: str) -> str:
    """Returns the final answer in a gold answer that is a worked solution: its box, or the text that it calls its answer.

    A text with several formulas after "the answer is" is not treated as a solution. All of it is the gold answer.
    """
    if "\\boxed" in gold and (inside := boxed(gold)):
        return inside
    if len(gold) > 100 and (marks := list(_CONCLUSION.finditer(gold))) and gold.count("$", marks[-1].end()) <= 2:
        return final_answer(gold) or gold.strip()
    return gold.strip()


def _is_unrequested_percentage(gold: Node, answer: Node, prompt: str) -> bool:
    """True if the answer is 42%, the gold answer 42, and the prompt does not mention percent."""
    gold_value, answer_value = claim(gold)[1], claim(answer)[1]
    if answer_value.kind != "percent" or gold_value.kind == "percent" or prompt_text.mentions_percent(prompt):
        return False
    try:
        return exact(answer_value) != exact(gold_value) and exact(answer_value.items[0]) == exact(gold_value)
    except (TooLarge, Undefined):
        return False


def _equal_up_to_typesetting(gold: str, answer: str) -> bool:
    """True if two texts, at least one of which does not parse, are equal up to typesetting."""
    return re.sub(r"\s", "", normalize(gold)) == re.sub(r"\s", "", normalize(answer))


# --- LaTeX outside the grammar


def _latex(text: str) -> bool:
    """True if a text may be LaTeX outside our grammar. Prose is excluded, because math-verify finds numbers in it."""
    if re.search(r"\\(?:[lc]?dots|boxed)|\.\.\.", text):
        return False  # the continuation after an ellipsis is unknown
    bare = re.sub(r"\\[A-Za-z]+|\{[a-z]*matrix\}", " ", text)
    return "\\" in text and text.count("{") == text.count("}") and not re.search(r"[A-Za-z]{4,}", bare) and len(text) <= 400


def _by_math_verify(gold: str, answer: str, doubt: str | None) -> Verdict:
    """Returns the verdict of math-verify.

    Args:
        gold: The text of the gold answer.
        answer: The text of the answer.
        doubt: Why the comparison may be undecided. None if only the answer does not parse.
    """
    if not (_latex(gold) or _latex(answer)):
        return Verdict(Status.UNDECIDED, None, "gold", (doubt or "")[:MAX_REASON_CHARACTERS])
    try:
        equal = _math_verify(gold, answer)
    except (pool.TimeLimit, pool.MemoryLimit) as error:
        return Verdict(Status.TIMEOUT, 0.0, "math-verify", str(error))
    except pool.WorkerFault as error:
        return Verdict(Status.FAULT, None, "math-verify", str(error)[:MAX_REASON_CHARACTERS])
    if equal is None:
        return Verdict(
            Status.UNDECIDED, None, "math-verify", (doubt or f"{answer[:80]} against {gold[:80]}")[:MAX_REASON_CHARACTERS]
        )
    return _scored(equal, "math-verify", gold, answer)


def _math_verify(gold: str, answer: str) -> bool | None:
    """Compares two texts by math-verify in a worker process."""
    return pool.shared("tenfold.verifiers.answers.values.symbolic:equal", cpu_seconds=1.5, memory=384 << 20).call(gold, answer)
