"""maj@k: the mean score of each problem's most frequent answer."""

from collections.abc import Callable, Mapping, Sequence

from ..verifiers import choice
from ..verifiers.answers import ParseError, final_answer, readings_of
from ..verifiers.answers.values.exact import TooLarge, Undefined, exact
from ..verifiers.budget import SECONDS, OutOfTime, limit
from .result import ScoredProblem
from .stats import scores

VOTING = ("math", "choice", "science")
"""Verifiers of final answers, for which maj@k is defined."""


def majority(verifier: object, rows: Sequence[ScoredProblem], text_of: Callable[[ScoredProblem, int], str]) -> dict[str, float]:
    """Returns maj@k under its name; empty for other verifiers than `VOTING`, for single samples, and without scores.

    All correct answers count as equal. Incorrect answers are equal if they choose the same option, or if their values or their
    texts are equal.

    Args:
        verifier: name of the verifier, or {"name": NAME, OPTION: VALUE}.
        rows: problems with the verdicts on their samples.
        text_of: returns the judged text of a problem's sample.
    """
    samples = max(len(row["samples"]) for row in rows)
    declared = verifier if isinstance(verifier, Mapping) else {"name": verifier}
    if declared["name"] not in VOTING or samples == 1:
        return {}
    format = str(declared.get("format", choice.ANY))
    if all(sample["score"] is None for row in rows for sample in row["samples"]):
        return {}
    votes = [
        [
            (_vote(text_of(row, number), sample["score"], row["gold"], format), sample["score"])
            for number, sample in enumerate(row["samples"])
        ]
        for row in rows
    ]
    return {f"maj@{samples}": scores.maj_at_k(votes)}


def _vote(text: str, score: float | None, gold: object, format: str) -> str | None:
    """Returns a text that is equal for samples with equal answers; None if the sample has no answer or no score.

    Args:
        text: the judged text of the sample.
        score: its score.
        gold: the gold answer.
        format: option of the verifier `choice`.
    """
    if score is None:
        return None
    if score == 1:
        return "correct"
    answer = final_answer(text)
    try:
        with limit(SECONDS):
            if isinstance(gold, Mapping) and "options" in gold:
                letter = choice.chosen_letter(text, [str(option) for option in gold["options"]], format)
                if letter is not None or format != choice.ANY:
                    return letter
            if answer is None:
                return None
            node = readings_of(answer)[0]
            number = exact(node)
    except (ParseError, TooLarge, Undefined, RecursionError, OutOfTime):
        return answer
    # In hexadecimal, because Python does not write numbers of more than 4,300 decimal digits, such as 5e9000.
    return repr(node) if number is None else f"{number.numerator:x}/{number.denominator:x}"
