"""Completions of many conversations, in parts: batch after batch, or, with several engines, as they end."""

import concurrent.futures
import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

from ...core import Completion, Conversation, Policy, Sampling, SamplingIncomplete, batch_size, sample_seed
from ..checkpoints import prompt_tokens
from .loop import SupportsSubmit

Part = tuple[list[int], list[Sequence[Completion]]]
"""Positions of conversations, and the completions of each."""


def in_parts(
    policy: Policy, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str]
) -> Iterator[Part]:
    """Yields the completions of all conversations; see `Policy.generate`. The caller can store each part before the next.

    Args:
        policy: the policy.
        conversations: see `Policy.generate`.
        samples: see `Policy.generate`.
        sampling: see `Policy.generate`.
        keys: see `Policy.generate`.

    Raises:
        SamplingIncomplete: the policy stopped. The complete results of the last batch are yielded before.
    """
    if isinstance(policy, SupportsSubmit):
        yield from _as_they_end(policy, conversations, samples, sampling, keys)
        return
    size = max(1, batch_size(policy) // samples)
    for start in range(0, len(conversations), size):
        stopped: SamplingIncomplete | None = None
        rows: Sequence[Sequence[Completion | None]]
        try:
            rows = policy.generate(conversations[start : start + size], samples, sampling, keys[start : start + size])
        except SamplingIncomplete as error:
            rows, stopped = error.completions, error
        complete = {start + place: done for place, row in enumerate(rows) if len(done := [c for c in row if c]) == samples}
        if complete:
            yield [*complete], [*complete.values()]
        if stopped:
            raise stopped.error_to_raise from None


def _as_they_end(
    policy: SupportsSubmit, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str]
) -> Iterator[Part]:
    """Keeps twice as many requests in work as the engines compute at once."""
    ended: queue.SimpleQueue[int] = queue.SimpleQueue()
    waiting: dict[int, list[Future[Completion]]] = {}
    missing: dict[int, int] = {}
    place = 0
    while place < len(conversations) or waiting:
        while place < len(conversations) and len(waiting) * samples < 2 * batch_size(policy):
            prompt = prompt_tokens(policy.tokenizer, conversations[place])
            seeds = [sample_seed(sampling.seed, keys[place], sample) for sample in range(samples)]
            waiting[place] = policy.submit([prompt] * samples, sampling, seeds, [sampling.max_tokens] * samples)
            missing[place] = samples
            for future in waiting[place]:
                future.add_done_callback(lambda _, place=place: ended.put(place))  # type: ignore[misc]
            place += 1
        places = [ended.get()]
        while not ended.empty():
            places.append(ended.get_nowait())
        for one in places:
            missing[one] -= 1
        done = [one for one in dict.fromkeys(places) if not missing[one]]
        failed = [error for one in done for future in waiting[one] if (error := future.exception())]
        good = [one for one in done if not any(future.exception() for future in waiting[one])]
        if good:
            yield good, [[future.result() for future in waiting[one]] for one in good]
        if failed:
            concurrent.futures.wait([future for futures in waiting.values() for future in futures])
            raise failed[0]
        for one in done:
            del waiting[one]
