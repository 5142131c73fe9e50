"""Tokenized examples as shards: files that all processes of a training map into memory, and a sequence of their examples.

A shard has the examples of a fixed number of problems (`sft`) or pairs (`distill`), as a safetensors file:

    ids         token ids of all examples, one example after the other, (tokens,)
    mask        1 for each token in the loss, else 0, (tokens,) bytes
    offsets     first token of each example, and finally the number of tokens, (examples + 1,)
    metadata    the numbers of problems that are left out or truncated, by reason; a checksum of the arrays

A shard takes 3 bytes per token if all its token ids are below 65,536, else 5. The format was chosen by measuring shards of
8,192 examples of 200 tokens: to open one takes 24 microseconds with safetensors, 134 with Arrow and 174 with three .npy files;
a random example takes 11, 7 and 9 microseconds. Opening matters more, because at most `OPEN` shards are mapped at a time. So
neither the memory nor the number of open files of a process grows with the number of examples.
"""

import bisect
import functools
import itertools
import json
import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ... import disk
from ...core import UserError
from .by_number import ByNumber

Example = dict[str, list[int]]
"""Token ids (input_ids) and labels, (tokens,) each."""
Tokens = tuple[list[int], list[int]]
"""Token ids, and a mask that is 1 for the tokens in the loss, (tokens,) each."""
IGNORED = -100
"""Label of tokens that are not in the loss."""
FOLDER = ".tokenized"
"""Folder of the shards in the run's folder. No stage can have this name."""
PART = 8192
"""Problems of a shard of `sft`, examples of a shard of `distill` (two for each pair). A killed preparation of `sft` loses at
most this many problems for each process. Our choice."""
OPEN = 32
"""Shards that a process maps at a time. Our choice."""


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
    partial = shard.with_suffix(".partial")
    with disk.name_in_errors(partial):
        # One text, because safetensors writes several in any order.
        save_file(arrays, partial, {"shard": json.dumps({"reasons": reasons, "checksum": _checksum(arrays)})})
    partial.replace(shard)


def is_whole(shard: Path) -> bool:
    """True if a shard exists and its content is the one that was written."""
    if not shard.is_file():
        return False
    try:
        with safe_open(shard, "np") as file:
            arrays = {name: file.get_tensor(name) for name in ("ids", "mask", "offsets")}
            return bool(_metadata(file)["checksum"] == _checksum(arrays))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return False


def _metadata(file: safe_open) -> dict[str, Any]:
    return dict(json.loads(file.metadata()["shard"]))


def _checksum(arrays: Mapping[str, numpy.ndarray]) -> str:
    """Returns the CRC-32 of the arrays. It is computed at 7 GB per second, faster than the file is read."""
    return format(functools.reduce(lambda value, name: zlib.crc32(arrays[name].data, value), sorted(arrays), 0), "08x")


class _Shard(NamedTuple):
    """A mapped shard."""

    ids: Any
    """A slice of it reads these token ids."""
    mask: Any
    offsets: numpy.ndarray
    reasons: dict[str, int]


def _opened(shard: Path) -> _Shard:
    try:
        file = safe_open(shard, "np")
        offsets, reasons = file.get_tensor("offsets"), _metadata(file)["reasons"]
        return _Shard(file.get_slice("ids"), file.get_slice("mask"), offsets, reasons)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{shard} cannot be read ({error}); run again, then it is written again") from None


class Examples(ByNumber[Example]):
    """The examples of shards, by number. An example is read when it is asked for."""

    def __init__(self, shards: Sequence[Path]) -> None:
        """Reads the number of examples of each shard.

        Raises:
            UserError: a shard is missing or damaged.
        """
        self.shards = shards
        self.reasons: Counter[str] = Counter()
        """Numbers of problems that are left out or truncated, by reason."""
        counts = [0]
        for shard in shards:
            opened = _opened(shard)
            counts.append(len(opened.offsets) - 1)
            self.reasons.update(opened.reasons)
        self._starts = numpy.cumsum(counts)
        self._open = functools.lru_cache(OPEN)(lambda number: _opened(self.shards[number]))

    def __len__(self) -> int:
        return int(self._starts[-1])

    def item(self, number: int) -> Example:
        """See `ByNumber`."""
        ids, mask = self.tokens(number)
        return {"input_ids": ids.tolist(), "labels": numpy.where(mask, ids, IGNORED).tolist()}

    def tokens(self, index: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Returns the token ids and the mask of an example, (tokens,) int64 and uint8."""
        number = int(numpy.searchsorted(self._starts, index, side="right")) - 1
        shard = self._open(number)
        start, end = shard.offsets[index - self._starts[number] :][:2].tolist()
        return shard.ids[start:end].astype(numpy.int64), shard.mask[start:end]

    def lengths(self) -> numpy.ndarray:
        """Returns the number of tokens of each example, (examples,) int32."""
        parts = [numpy.diff(_opened(shard).offsets).astype(numpy.int32) for shard in self.shards]
        return numpy.concatenate([numpy.empty(0, numpy.int32), *parts])

    def trained(self) -> numpy.ndarray:
        """Returns the number of tokens in the loss of each example, (examples,) int64."""
        parts = []
        for shard in map(_opened, self.shards):
            before = numpy.concatenate([[0], numpy.cumsum(shard.mask[:], dtype=numpy.int64)])
            parts.append(numpy.diff(before[shard.offsets]))
        return numpy.concatenate([numpy.empty(0, numpy.int64), *parts])

    def largest(self) -> int:
        """Returns the largest token id."""
        return max((int(_opened(shard).ids[:].max(initial=0)) for shard in self.shards), default=0)


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
