"""Verifier of regular expressions in Python's syntax, which must match a whole text.

`problem.answer` is one of

    {"pattern": "[a-f]{2}\\\\d"}                 the response is a text that the pattern matches
    {"match": [...], "reject": [...]}         the response is a pattern that matches all of `match` and none of `reject`

Python's matcher backtracks and can take exponential time. So patterns run in a worker process with limits (`pool.py`).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ...core import Problem, Status, Verdict
from .. import pool
from ..verifier import as_verifier
from .marked import exact_answer

MAX_PATTERN = 1_000
"""Largest number of characters of a response's pattern or text. Our choice."""
CPU_SECONDS = 1.0
"""Processor time for all matches of one verdict. Our choice."""
MEMORY = 256 << 20
"""Memory of one verdict, in bytes. Our choice."""


def invalid_gold(problem: Problem) -> str | None:
    """Returns why no response to the problem can be judged, or None."""
    answer = problem.answer
    if isinstance(answer, Mapping) and isinstance(answer.get("pattern"), str):
        try:
            re.compile(answer["pattern"])
        except (re.error, RecursionError, OverflowError, ValueError) as error:
            return f"the gold pattern is not valid: {error}"
        return None
    lists = [answer.get(name) for name in ("match", "reject")] if isinstance(answer, Mapping) else [None]
    if not all(isinstance(texts, list | tuple) and texts and all(isinstance(text, str) for text in texts) for texts in lists):
        return "the gold answer is neither {pattern: ...} nor {match: [...], reject: [...]}"
    return None


@as_verifier(invalid_gold=invalid_gold)
def verify(problem: Problem, response: str) -> Verdict:
    """Scores 1 if the response's text or pattern fulfils all conditions, else 0."""
    if (reason := invalid_gold(problem)) is not None:
        return Verdict(Status.UNDECIDED, None, "regex", reason)
    answer = cast(Mapping[str, Any], problem.answer)
    given = exact_answer(response)
    if not 0 < len(given) <= MAX_PATTERN:
        return Verdict(Status.SCORED, 0.0, "extract", f"the answer has {len(given)} characters")
    gold = cast(str | None, answer.get("pattern"))
    match, reject = ([given], []) if gold is not None else ([*answer["match"]], [*answer["reject"]])
    try:
        found = pool.shared(f"{__name__}:matches", CPU_SECONDS, MEMORY).call(given if gold is None else gold, [*match, *reject])
    except (pool.TimeLimit, pool.MemoryLimit) as error:
        return Verdict(Status.TIMEOUT, 0.0, "regex", str(error))
    except pool.WorkerFault as error:
        return Verdict(Status.FAULT, None, "regex", str(error))
    if isinstance(found, str):
        return Verdict(Status.SCORED, 0.0, "regex", f"not a regular expression: {found}")
    missed, extra = found[: len(match)].count(False), found[len(match) :].count(True)
    reason = f"{missed} of {len(match)} texts are not matched, {extra} of {len(reject)} others are matched"
    return Verdict(Status.SCORED, float(not missed and not extra), "regex", reason)


def matches(pattern: str, texts: Sequence[str]) -> list[bool] | str:
    """Returns for each text whether the pattern matches the whole text; for an invalid pattern, the error. Runs in a worker."""
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, ValueError) as error:
        return str(error)[:200]
    return [compiled.fullmatch(text) is not None for text in texts]
