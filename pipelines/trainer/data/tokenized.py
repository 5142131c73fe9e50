"""Tokenized examples as shards (`shards.py`), and a sequence of their examples.

A shard has the examples of a part of the problems (`sft`) or of the pairs (`distill`):

    ids         token ids of all examples, one example after the other, (tokens,)
    mask        1 for each token in the loss, else 0, (tokens,) bytes
    offsets     first token of each example, and finally the number of tokens, (examples + 1,)
    facts       the numbers of problems that are left out or truncated, by reason

A shard takes 3 bytes per token if all its token ids are below 65,536, else 5.
"""

import bisect
import itertools
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy

from . import shards
from .by_number import ByNumber
from .shards import Shards

Example = dict[str, list[int]]
"""Token ids (input_ids) and labels, (tokens,) each."""
Tokens = tuple[list[int], list[int]]
"""Token ids, and a mask that is 1 for the tokens in the loss, (tokens,) each."""
IGNORED = -100
"""Label of tokens that are not in the loss."""
FOLDER = ".tokenized"
"""Folder of the shards in the run's folder. No stage can have this name."""


def write(shard: Path, found: Iterable[tuple[Tokens | None, str]]) -> None:
    """Writes a shard atomically.

    Args:
        shard: path of the file.
        found: the example of each problem, or None, with the reason why it is left out or truncated (`examples.each`).
    """
    ids, mask, offsets, reasons = array("I"), bytearray(), [0], Counter[str]()
    for tokens, reason in found:
        if reason:
            reasons[reason] += 1
        if tokens:
            ids.extend(tokens[0])
            mask.extend(tokens[1])
            offsets.append(len(ids))
    all_ids = numpy.array(ids, numpy.uint32)
    arrays = {
        "ids": all_ids.astype(numpy.uint16) if all_ids.max(initial=0) < 2**16 else all_ids,
        "mask": numpy.frombuffer(bytes(mask), numpy.uint8),
        "offsets": numpy.array(offsets, numpy.int64),
    }
    shards.write(shard, arrays, {"reasons": reasons})


class Examples(ByNumber[Example]):
    """The examples of shards, by number. An example is read when it is asked for."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Reads the number of examples of each shard.

        Raises:
            UserError: a shard is missing or damaged.
        """
        self.shards = Shards(paths)
        self.reasons = Counter[str]()
        """Numbers of problems that are left out or truncated, by reason."""
        for facts in self.shards.facts:
            self.reasons.update(facts["reasons"])

    def __len__(self) -> int:
        return len(self.shards)

    def item(self, number: int) -> Example:
        """See `ByNumber`."""
        ids, mask = self.tokens(number)
        return {"input_ids": ids.tolist(), "labels": numpy.where(mask, ids, IGNORED).tolist()}

    def tokens(self, index: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Returns the token ids and the mask of an example, (tokens,) int64 and uint8."""
        content, place = self.shards.place(index)
        return content["ids"][place].astype(numpy.int64), content["mask"][place]

    def lengths(self) -> numpy.ndarray:
        """Returns the number of tokens of each example, (examples,) int32."""
        parts = [numpy.diff(shards.mapped(path).offsets).astype(numpy.int32) for path in self.shards.paths]
        return numpy.concatenate([numpy.empty(0, numpy.int32), *parts])

    def trained(self) -> numpy.ndarray:
        """Returns the number of tokens in the loss of each example, (examples,) int64."""
        parts = []
        for shard in map(shards.mapped, self.shards.paths):
            before = numpy.concatenate([[0], numpy.cumsum(shard.content["mask"][:], dtype=numpy.int64)])
            parts.append(numpy.diff(before[shard.offsets]))
        return numpy.concatenate([numpy.empty(0, numpy.int64), *parts])

    def largest(self) -> int:
        """Returns the largest token id."""
        mapped = map(shards.mapped, self.shards.paths)
        return max((int(shard.content["ids"][:].max(initial=0)) for shard in mapped), default=0)


class Chosen(ByNumber[Example]):
    """Examples of several sources in a given order."""

    def __init__(self, sources: Sequence[Examples], order: numpy.ndarray | None = None) -> None:
        """Stores the order.

        Args:
            sources: the sources.
            order: source and example, (examples, 2); None: all examples of all sources.
        """
        self.sources, self.order = sources, order
        self._starts = [0, *itertools.accumulate(map(len, sources))]

    def __len__(self) -> int:
        return self._starts[-1] if self.order is None else len(self.order)

    def item(self, number: int) -> Example:
        """See `ByNumber`."""
        if self.order is not None:
            source, number = self.order[number].tolist()
            return self.sources[source][number]
        source = bisect.bisect_right(self._starts, number) - 1
        return self.sources[source][number - self._starts[source]]
