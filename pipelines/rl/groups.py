"""Scores the samples of a group together: each sample waits here for the others. verl plays a group in one event loop."""

import asyncio
from collections.abc import Callable, Sequence

from ...core import Verdict
from ...policies.play.games import environment_error
from .threads import in_thread

ScoreGroup = Callable[[Sequence[str]], list[Verdict] | None]
"""Returns the verdicts on responses, in the same order; None if each response keeps its own verdict."""

_waiting: dict[str, tuple[dict[int, str | None], "asyncio.Future[dict[int, Verdict]]"]] = {}


async def group_verdict(group: str, size: int, sample: int, response: str | None, score: ScoreGroup) -> Verdict | None:
    """Returns the verdict on one sample after all samples of its group have arrived; None if it keeps its own.

    Args:
        group: unique id of the group.
        size: samples in the group.
        sample: sample number.
        response: text to score; None for a sample without a score, which is left out.
        score: scores all responses together, in the order of their sample numbers.
    """
    responses, result = _waiting.setdefault(group, ({}, asyncio.get_running_loop().create_future()))
    responses[sample] = response
    if len(responses) == size:
        del _waiting[group]
        texts = {number: text for number, text in sorted(responses.items()) if text is not None}
        try:
            verdicts = await in_thread(score, [*texts.values()]) if texts else []
            if verdicts is not None and len(verdicts) != len(texts):
                raise ValueError(f"score_group returned {len(verdicts)} verdicts on {len(texts)} responses")
        except Exception as error:
            verdicts = [environment_error(error)] * len(texts)
        result.set_result(dict(zip(texts, verdicts, strict=True)) if verdicts is not None else {})
    return (await result).get(sample)
