"""Does a response keep to IFEval's instructions, which can all be checked? By lm-eval's own checks, in a killable worker.

`problem.answer` is {"instructions": ["punctuation:no_comma", ...], "arguments": [{...}, ...]}, one set of arguments an
instruction. The score is IFEval's strict one of a prompt: 1 where all of them are followed, else 0.

The official checks compare characters. They are given what a reader sees (`disguises.py`): a forbidden word stays forbidden
with invisible characters in it or letters of another script, and a wide comma is a comma.
"""

from typing import cast

from .. import extras
from ..core import Problem, Status, Verdict
from ..golds import Instructions
from ..responses import without_thinking
from . import pool
from .disguises import plain
from .verifier import as_verifier

SECONDS = 2.0
"""Processor time of all checks of a response; some of lm-eval's patterns are quadratic."""
REASON = 300


def invalid_gold(problem: Problem) -> str | None:
    """Why no response to the problem could be judged, or None."""
    named = isinstance(problem.answer, dict) and problem.answer.get("instructions")
    return None if named else "the problem names no instructions"


def prepare() -> None:
    """Makes sure that a worker can import the checks.

    Raises:
        UserError: it cannot.
    """
    extras.require("the verifier instructions", "lm_eval", "langdetect")


@as_verifier(invalid_gold=invalid_gold, prepare=prepare)
def verify(problem: Problem, response: str) -> Verdict:
    """Judges a response, without its thinking, by the instructions of its problem."""
    if (lacks := invalid_gold(problem)) is not None:
        return Verdict(Status.UNDECIDED, None, "instructions", lacks)
    answer = cast(Instructions, problem.answer)
    said = plain(without_thinking(response)).strip()
    if not said:
        return Verdict(Status.SCORED, 0.0, "extract", "the response says nothing")
    asked = problem.prompt[-1]["content"] if problem.prompt else ""
    workers = pool.shared("tenfold.verifiers.ifeval:followed", cpu_seconds=SECONDS)
    try:
        kept = workers.call(plain(asked), answer["instructions"], _plain(answer.get("arguments") or []), said)
    except (pool.TimeLimit, pool.MemoryLimit) as error:
        return Verdict(Status.TIMEOUT, 0.0, "instructions", str(error))
    except pool.WorkerFault as error:
        return Verdict(Status.FAULT, None, "instructions", str(error)[:REASON])
    if isinstance(kept, str):
        return Verdict(Status.FAULT, None, "instructions", kept[:REASON])
    told = ", ".join(f"{name} {'kept' if one else 'not kept'}" for name, one in zip(answer["instructions"], kept, strict=True))
    return Verdict(Status.SCORED, float(all(kept)), "instructions", told[:REASON])


def _plain(given: object) -> object:
    """Arguments of instructions, their texts as the response is read."""
    if isinstance(given, str):
        return plain(given)
    if isinstance(given, list):
        return [_plain(one) for one in given]
    return {name: _plain(one) for name, one in given.items()} if isinstance(given, dict) else given
