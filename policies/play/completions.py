"""Completions of many conversations, in parts: batch after batch, or as they end if the policy takes requests at any time."""

import queue
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

from ...core import Completion, Conversation, Policy, Sampling, SamplingIncomplete, batch_size, sample_seed
from ..chat.prompts import prompt_tokens
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
    """Keeps twice as many requests open as the engines compute at once, so that the engines always have further ones."""
    ended: queue.SimpleQueue[int] = queue.SimpleQueue()
    waiting: dict[int, list[Future[Completion]]] = {}
    missing: Counter[int] = Counter()
    """Number of open requests of each conversation. Only their sum is limited. So if one sample of a conversation is long, its
    other samples no longer count, and further conversations are started."""
    place, error = 0, None
    try:
        while waiting or (place < len(conversations) and not error):
            while place < len(conversations) and not error and missing.total() < 2 * batch_size(policy):
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
            missing.subtract(places)
            rows = {one: waiting.pop(one) for one in dict.fromkeys(places) if not missing[one]}
            missing -= Counter()  # removes those that have ended
            errors = {one: failed for one, row in rows.items() for future in row if (failed := future.exception())}
            good = [one for one in rows if one not in errors]
            error = error or next(iter(errors.values()), None)
            if good:
                yield good, [[future.result() for future in rows[one]] for one in good]
        if error:
            raise error
    finally:  # after an interrupt
        for row in waiting.values():
            for future in row:
                future.cancel()
