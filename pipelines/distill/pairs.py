"""The pairs of a `sample_pairs` stage, read by number from memory-mapped shards.

The file of pairs is read once, part by part (`trainer/data/parts.py`), into shards (`trainer/data/tokenized.py`) in the run's
folder. Each part has a shard of pairs for training and one of pairs for measurement. Each pair makes two examples there: the
prompt with the chosen response, and the prompt with the rejected one.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

import numpy

from ... import digests, disk
from ...core import UserError
from ...texts import without_surrogates
from ...version import __version__
from ..trainer.data import parts, tokenized
from ..trainer.data.by_number import ByNumber
from ..trainer.data.parts import Part, Progress

TOO_LONG = "too long"
"""Reason why a pair is left out."""


class ResponseTokens(TypedDict):
    """A prompt with a response as tokens."""

    ids: list[int]
    mask: list[int]
    """1 for each token that the policy wrote, else 0."""


class Pair(TypedDict):
    """A pair of `pairs.jsonl`, as far as training needs it."""

    chosen_tokens: ResponseTokens
    rejected_tokens: ResponseTokens
    reference: NotRequired[list[float]]
    """Log-probabilities of the chosen and of the rejected response under the initial policy."""
    offsets: NotRequired[list[int]]
    """Offset of each response's first token among the tokens of all responses."""


def sides(pair: Pair) -> tuple[ResponseTokens, ResponseTokens]:
    """Returns the tokens of the chosen and of the rejected response."""
    return pair["chosen_tokens"], pair["rejected_tokens"]


class Pairs(ByNumber[Pair]):
    """Pairs of shards, in a given order. A pair is read when it is asked for."""

    def __init__(self, shards: Sequence[Path], order: numpy.ndarray | None = None) -> None:
        """Stores the order.

        Args:
            shards: shards with two examples for each pair.
            order: numbers of the pairs, (pairs,); None: all, in the order of the shards.
        """
        self._examples = tokenized.Examples(shards)
        self._order = numpy.arange(len(self._examples) // 2) if order is None else order

    def __len__(self) -> int:
        return len(self._order)

    def item(self, number: int) -> Pair:
        """See `ByNumber`."""
        first = 2 * int(self._order[number])
        chosen, rejected = map(self._examples.tokens, (first, first + 1))
        return Pair(
            chosen_tokens={"ids": chosen[0].tolist(), "mask": chosen[1].tolist()},
            rejected_tokens={"ids": rejected[0].tolist(), "mask": rejected[1].tolist()},
        )

    def shuffled(self, seed: int) -> "Pairs":
        """Returns the pairs in a random order."""
        order = self._order[numpy.random.default_rng(seed).permutation(len(self))]
        return Pairs(self._examples.shards.paths, order)

    def sample(self, count: int) -> "Pairs":
        """Returns at most `count` pairs, chosen at random. Equal pairs give equal choices."""
        chosen = numpy.random.default_rng(0).permutation(len(self))[:count]
        return Pairs(self._examples.shards.paths, self._order[numpy.sort(chosen)])

    def written(self) -> numpy.ndarray:
        """Returns the number of tokens that the policy wrote in the chosen and the rejected response, (pairs, 2)."""
        return self._examples.trained().reshape(-1, 2)[self._order]

    def largest(self) -> int:
        """Returns the largest token id."""
        return self._examples.largest()

    def left_out(self) -> int:
        """Returns the number of pairs that are left out because they are too long. Only shards for training count them."""
        return self._examples.reasons[TOO_LONG]


class Prepared(NamedTuple):
    """The shards of a file of pairs."""

    train: list[Path]
    """Shards of the pairs for training. They also count the pairs that are left out."""
    held_out: list[Path]


def prepare(path: Path, max_tokens: int, held_out: float, run: Path, progress: Progress) -> Prepared:
    """Writes the shards of a file of pairs that are missing or damaged; returns all of them.

    Args:
        path: file of pairs of a `sample_pairs` stage.
        max_tokens: longest response with its prompt, in tokens; pairs with a longer one are left out.
        held_out: share of the problems whose pairs are for measurement.
        run: the run's folder.
        progress: called with the number of bytes that are prepared, and with the size of the file.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        settings = [digests.of_file(path), max_tokens, held_out, parts.BYTES, __version__]
        bounds = parts.of_lines(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; name the folder of a sample_pairs stage, as in {{stage:NAME}}") from None
    folder = run / tokenized.FOLDER / digests.of(settings)[:24]

    def part(start: int, stop: int) -> Part:
        return Part(start, stop, [str(folder / f"{start:015}-{name}.safetensors") for name in Prepared._fields])

    found = parts.prepare(str(path), write, (str(path), max_tokens, held_out), [part(*each) for each in bounds], progress)
    return Prepared(*([Path(shards[side]) for shards in found] for side in range(2)))


def write(source: Sequence[Any], part: Part) -> None:
    """Writes the shards of a part.

    Args:
        source: path, max_tokens and held_out, as in `prepare`.
        part: bytes of the file.

    Raises:
        UserError: the part cannot be read.
    """
    path, max_tokens, held_out = source
    train: list[tuple[tokenized.Tokens | None, str]] = []
    measured: list[tuple[tokenized.Tokens | None, str]] = []
    with disk.reading(path, "run its sample_pairs stage again"):
        for line in parts.lines(Path(path), part):
            pair = json.loads(line)
            for tokens in sides(pair):
                disk.check_types(dict(tokens), ids=list, mask=list)
            if any(len(tokens["ids"]) > max_tokens for tokens in sides(pair)):
                train.append((None, TOO_LONG))
                continue
            name = without_surrogates(pair["id"]).encode()
            is_measured = int(hashlib.sha256(name).hexdigest()[:8], 16) < held_out * 16**8
            (measured if is_measured else train).extend(((each["ids"], each["mask"]), "") for each in sides(pair))
    for shard, found in zip(part.shards, (train, measured), strict=True):
        tokenized.write(Path(shard), found)


class WithReference(ByNumber[Pair]):
    """Pairs with the log-probabilities of both responses under the initial policy."""

    def __init__(self, pairs: Sequence[Pair], reference: numpy.ndarray) -> None:
        """Stores the values.

        Args:
            pairs: the pairs.
            reference: log-probabilities, (pairs, 2).
        """
        self.pairs, self.reference, self.offsets = pairs, reference, offsets(pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def item(self, number: int) -> Pair:
        """See `ByNumber`."""
        offsets = self.offsets[2 * number : 2 * number + 2].tolist()
        return {**self.pairs[number], "reference": self.reference[number].tolist(), "offsets": offsets}


def offsets(pairs: Sequence[Pair]) -> numpy.ndarray:
    """Returns the offset of each response's tokens among those of all responses, and finally the number of all tokens."""
    if isinstance(pairs, WithReference):
        return pairs.offsets
    counts = pairs.written() if isinstance(pairs, Pairs) else [sum(each["mask"]) for pair in pairs for each in sides(pair)]
    return numpy.concatenate([[0], numpy.cumsum(counts, dtype=numpy.int64)])
