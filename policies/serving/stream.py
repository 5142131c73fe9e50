"""Replies as server-sent events.

With a policy that can be observed (`transcript.SupportsObserver`), text comes as it is sampled. With another one, with `tools`
and with log-probabilities, each sample is one chunk: a call is known only when it is whole.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence

from ...core import Completion
from ..chat.prompts import opened_reasoning
from ..completions import text_of
from ..transcript import TokenPolicy
from . import messages, replies
from .batching import Draw
from .errors import RequestError

PAUSE = 0.05
"""Seconds between the chunks of a stream. Our choice."""
LONGEST_MARK = 48
"""Characters at the end of a text that may be the start of a mark of reasoning. The longest mark is shorter."""
_MARK_START = re.compile(r"[<\[◁](?=[^<\[◁\n]*\Z)")
Delta = tuple[str, str]
"""New reasoning, and new content."""
Chunk = Callable[[int, Delta | None, Completion | None], list[replies.Fields]]
Last = Callable[[Sequence[Completion]], list[replies.Fields]]


def event(fields: replies.Fields) -> bytes:
    """Returns an event."""
    return b"data: " + json.dumps(fields, ensure_ascii=False).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
"""The last event."""


class Growing:
    """The text of one draw as far as it will not change any more, in deltas."""

    def __init__(self, policy: TokenPolicy | None, draw: Draw, splits: bool):
        """Sets the draw.

        Args:
            policy: the policy, if it can be observed.
            draw: the draw.
            splits: whether the reasoning is separate, as in chats.
        """
        self.policy, self.draw, self.splits = policy, draw, splits
        self.sent: list[str] = ["", ""]
        self._before = opened_reasoning(policy.tokenizer, draw.prompt) if policy else ""

    def grown(self) -> Delta:
        """Returns the text that is new since the last call."""
        if self.policy is None or not self.draw.tokens:
            return "", ""
        text = self._before + text_of(self.policy.tokenizer, [*self.draw.tokens])
        return self._new(self._parts(self._safe(text)), is_whole=False)

    def ended(self, completion: Completion) -> Delta:
        """Returns the rest of the text."""
        return self._new(self._parts(completion.text), is_whole=True)

    def _safe(self, text: str) -> str:
        """Returns a text without an end that may change: half a character, the start of a stop string or of a mark."""
        text = text.rstrip("\ufffd")
        end = len(text)
        for stop in self.draw.sampling.stop:
            if (found := text.find(stop)) >= 0:
                end = min(end, found)
            end = min(end, len(text) - max((n for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0))
        text = text[:end]
        if self.splits and (mark := _MARK_START.search(text, max(0, len(text) - LONGEST_MARK))):
            text = text[: mark.start()]
        return text

    def _parts(self, text: str) -> Delta:
        if not self.splits:
            return "", text
        said = messages.split(text)
        return said.reasoning, said.content

    def _new(self, parts: Delta, is_whole: bool) -> Delta:
        """Returns what is new in the parts. A newline at the end of unfinished reasoning may belong to the mark after it."""
        found = []
        for place, part in enumerate(parts):
            if place == 0 and not is_whole:
                part = part.rstrip("\n")
            # A text before reasoning was taken for the answer, and cannot be taken back: the whole part is sent at the end.
            rest = part if is_whole else ""
            new = part[len(self.sent[place]) :] if part.startswith(self.sent[place]) else rest
            self.sent[place] += new
            found.append(new)
        return found[0], found[1]


async def events(
    draws: Sequence[Draw],
    growing: Sequence[Growing] | None,
    chunk: Chunk,
    last: Last,
) -> AsyncIterator[bytes]:
    """Yields the events of a reply. If the client disconnects, the draws are cancelled.

    Args:
        draws: the draws of all choices.
        growing: their texts; None if each sample is one chunk.
        chunk: returns the chunks for a choice: from its number and a delta, its first one having none, and for the last one the
            completion.
        last: returns the chunks after all choices.
    """
    futures = [asyncio.wrap_future(draw.result) for draw in draws]
    try:
        for number in range(len(draws)):
            for fields in chunk(number, None, None):
                yield event(fields)
        waiting = set(range(len(draws)))
        while waiting:
            await asyncio.wait(
                [futures[number] for number in waiting], timeout=PAUSE if growing else None, return_when=asyncio.FIRST_COMPLETED
            )
            for number in sorted(waiting):
                done = futures[number].done()
                completion = replies.checked(futures[number].result()) if done else None
                if done:
                    waiting.remove(number)
                delta: Delta = ("", "")
                if growing:
                    delta = growing[number].ended(completion) if completion else growing[number].grown()
                if done or any(delta):
                    for fields in chunk(number, delta, completion):
                        yield event(fields)
        for fields in last([future.result() for future in futures]):
            yield event(fields)
    except RequestError as error:
        yield event(dict(error.body))
    except Exception as error:
        yield event(dict(fault(error).body))
    finally:
        for draw in draws:
            draw.result.cancel()
    yield DONE


def fault(error: Exception) -> RequestError:
    """Returns the error for a fault of the policy."""
    return RequestError(f"the policy failed ({type(error).__name__}: {' '.join(str(error).split())[:200]})", 500)
