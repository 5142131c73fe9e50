"""reasoning-gym's own scoring of its own problems, in a killable worker; full marks or none."""

from ..core import Problem, Status, Verdict
from . import pool
from .answers import final_answer
from .answers.extraction import tagged
from .budget import SECONDS, limit
from .verifier import as_verifier


def unreadable(problem: Problem) -> str | None:
    """Why no response to the problem could be judged, or None."""
    known = "source_dataset" in problem.meta.get("metadata", {})
    return None if known else "the problem does not come from a reasoning-gym generator"


@as_verifier(unreadable=unreadable)
def verify(problem: Problem, response: str) -> Verdict:
    """Judges the final answer of `response` by the generator that posed `problem`.

    `problem.meta["metadata"]` must be the generator's, as the `reasoning_gym:` problem source keeps it.
    """
    if (lacks := unreadable(problem)) is not None:
        return Verdict(Status.UNDECIDED, None, "reasoning_gym", lacks)
    metadata = problem.meta["metadata"]
    with limit(SECONDS):
        tag = tagged(response)
        # Grids and programs are judged as they stand in the tag, line by line; a box or a sentence is read as everywhere.
        answer = tag if tag and "\n" in tag and "\\boxed" not in tag else final_answer(response)
    if answer is None:
        return Verdict(Status.SCORED, 0.0, "extract", "the response has no final answer")
    entry = {"question": problem.prompt[-1]["content"], "answer": problem.answer, "metadata": dict(metadata)}
    try:
        score = pool.shared("tenfold.verifiers.reasoning_gym:score").call(entry, answer)
    except (pool.TimeLimit, pool.MemoryLimit) as error:
        return Verdict(Status.TIMEOUT, 0.0, "reasoning_gym", str(error))
    except pool.WorkerFault as error:
        return Verdict(Status.FAULT, None, "reasoning_gym", str(error))
    # Its partial credit (0.01 for any text, say) is a shaping choice, not a judgement.
    return Verdict(Status.SCORED, float(score >= 1.0), "reasoning_gym", f"{answer} scores {score:g}")


def score(entry: dict, answer: str) -> float:
    """The generator's own score, 0..1. Runs in a worker."""
    import reasoning_gym

    metadata = entry["metadata"]
    if metadata["source_dataset"] in ("arc_agi", "rearc"):
        # These compare with a grid of tuples, which a problem stored as JSON no longer has.
        entry = entry | {"metadata": metadata | {"output": tuple(map(tuple, metadata["output"]))}}
    scorer = reasoning_gym.get_score_answer_fn(metadata["source_dataset"])
    try:
        return float(scorer(answer=answer, entry=entry))
    except MemoryError:
        raise
    except Exception:
        scorer(answer=entry["answer"], entry=entry)  # it raises where the entry is broken; else the answer is
        return 0.0
