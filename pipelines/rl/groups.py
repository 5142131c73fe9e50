"""Samples of one problem that are judged together: each waits here for the others. verl plays a group in one event loop."""

import asyncio
from collections.abc import Callable, Sequence

from ...core import Verdict
from ...policies.rollout import environment_error
from .threads import in_thread

Judge = Callable[[Sequence[str]], list[Verdict] | None]

_waiting: dict[str, tuple[dict[int, str | None], "asyncio.Future[dict[int, Verdict]]"]] = {}


async def verdict(group: str, size: int, sample: int, response: str | None, judge: Judge) -> Verdict | None:
    """The verdict on one sample of a group, once all samples of it have come here.

    Args:
        group: a name of its own for each group.
        size: samples in it.
        sample: which of them this is.
        response: what was said; None for a sample that ended in a fault, which the others are then judged without.
        judge: judges all responses, in the order of their samples; None where each keeps the verdict that it has.
    """
    responses, told = _waiting.setdefault(group, ({}, asyncio.get_running_loop().create_future()))
    responses[sample] = response
    if len(responses) == size:
        del _waiting[group]
        said = {number: text for number, text in sorted(responses.items()) if text is not None}
        try:
            verdicts = await in_thread(judge, [*said.values()]) if said else []
        except Exception as error:
            verdicts = [environment_error(error)] * len(said)
        told.set_result(dict(zip(said, verdicts, strict=True)) if verdicts is not None else {})
    return (await told).get(sample)
