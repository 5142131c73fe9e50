"""Verifies whether a response follows IFEval's instructions, with lm-eval's own checks, in a worker with limits.

`problem.answer` is {"instructions": ["punctuation:no_comma", ...], "arguments": [{...}, ...]}, with one set of arguments per
instruction. The score is IFEval's strict score of a prompt: 1 if the response follows all instructions, else 0.

The official checks compare characters. They get the text as a reader sees it (`disguises.py`): a forbidden word stays forbidden
if it contains invisible characters or letters of another script, and a wide comma is a comma. With `exact` they get the text
itself, as in IFEval's own code.
"""

from collections.abc import Sequence
from typing import cast

from .. import extras
from ..core import Part, Problem, Status, Verdict
from ..golds import Instructions
from ..responses import without_thinking
from . import pool
from .disguises import plain
from .verifier import MAX_REASON_CHARACTERS, as_verifier

SECONDS, EXACT_SECONDS = 2.0, 10.0
"""Processor seconds for all checks of a response, and for the strict and the loose test. Some of lm-eval's patterns take
quadratic time. Our choice."""


def invalid_gold(problem: Problem) -> str | None:
    """Returns the reason why no response to the problem could be judged, or None."""
    answer = problem.answer if isinstance(problem.answer, dict) else {}
    names = answer.get("instructions")
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        return "the problem names no instructions"
    arguments = answer.get("arguments") or []
    if not isinstance(arguments, list | tuple) or not all(isinstance(values, dict | None) for values in arguments):
        return "the arguments of the instructions are not a list with a mapping for each instruction"
    return None


def prepare() -> None:
    """Checks that a worker can import the checks.

    Raises:
        UserError: a package is missing.
    """
    extras.require("the verifier instructions", "lm_eval", "langdetect")


@as_verifier(invalid_gold=invalid_gold, prepare=prepare)
def verify(problem: Problem, response: str, exact: bool = False) -> Verdict:
    """Scores 1 if the response, without its thinking, follows all instructions of its problem, else 0.

    Args:
        problem: the problem.
        response: the response.
        exact: check the characters as they are, and not as a reader sees them. The verdict then has the four results of IFEval
            as parts: "prompt strict", which is the score, "prompt loose", and one "instruction strict" and one "instruction
            loose" for each instruction. The mean of all parts with a name is the accuracy that IFEval reports.
    """
    if (reason := invalid_gold(problem)) is not None:
        return Verdict(Status.UNDECIDED, None, "instructions", reason)
    answer = cast(Instructions, problem.answer)
    judged = without_thinking(response)
    # White space between the reasoning and the answer belongs to the chat template.
    text = (judged if judged == response else judged.lstrip()) if exact else plain(judged).strip()
    if not text.strip() and not exact:
        return Verdict(Status.SCORED, 0.0, "extract", "the response is empty")
    prompt = problem.prompt[-1]["content"] if problem.prompt else ""
    name, seconds = ("check_strict_and_loose", EXACT_SECONDS) if exact else ("check_instructions", SECONDS)
    workers = pool.shared(f"tenfold.verifiers.ifeval:{name}", cpu_seconds=seconds)
    arguments = answer.get("arguments") or []
    try:
        if exact:
            found = workers.call(prompt, answer["instructions"], arguments, text)
        else:
            found = workers.call(plain(prompt), answer["instructions"], _plain(arguments), text)
    except (pool.TimeLimit, pool.MemoryLimit) as error:
        return Verdict(Status.TIMEOUT, 0.0, "instructions", str(error))
    except pool.WorkerFault as error:
        return Verdict(Status.FAULT, None, "instructions", str(error)[:MAX_REASON_CHARACTERS])
    if isinstance(found, str):
        return Verdict(Status.UNDECIDED, None, "instructions", found[:MAX_REASON_CHARACTERS])
    kept, loose = found if exact else (found, None)
    pairs = zip(answer["instructions"], kept, strict=True)
    reason = ", ".join(f"{name} {'kept' if is_kept else 'not kept'}" for name, is_kept in pairs)
    parts = () if loose is None else _parts(kept, loose)
    return Verdict(Status.SCORED, float(all(kept)), "instructions", reason[:MAX_REASON_CHARACTERS], parts=parts)


def _parts(strict: Sequence[bool], loose: Sequence[bool]) -> tuple[Part, ...]:
    """Returns the results of both tests, for the prompt and for each instruction. The strict one of the prompt is the score."""
    return (
        Part("prompt strict", float(all(strict)), 1.0),
        Part("prompt loose", float(all(loose)), 0.0),
        *(Part("instruction strict", float(kept), 0.0) for kept in strict),
        *(Part("instruction loose", float(kept), 0.0) for kept in loose),
    )


def _plain(arguments: object) -> object:
    """Returns the arguments of instructions with their texts in the form in which the response is read."""
    if isinstance(arguments, str):
        return plain(arguments)
    if isinstance(arguments, list | tuple):
        return [_plain(item) for item in arguments]
    return {name: _plain(value) for name, value in arguments.items()} if isinstance(arguments, dict) else arguments
