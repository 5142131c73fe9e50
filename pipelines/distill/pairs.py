"""The pairs of a `sample_pairs` stage, read by number from memory-mapped shards.

The file of pairs is read once, line by line, into shards (`trainer/tokenized.py`) in the run's folder. Each pair makes two
examples there: the prompt with the chosen response, and the prompt with the rejected one.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy

from ... import digests, disk
from ...core import UserError
from ...disk import storable
from ...version import __version__
from ..trainer import tokenized
from ..trainer.by_number import ByNumber

INDEX = "pairs.json"
"""File that is written last into a folder of shards."""


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
        return Pairs(self._examples.shards, self._order[numpy.random.default_rng(seed).permutation(len(self))])

    def written(self) -> numpy.ndarray:
        """Returns the number of tokens that the policy wrote in the chosen and the rejected response, (pairs, 2)."""
        return self._examples.trained().reshape(-1, 2)[self._order]

    def largest(self) -> int:
        """Returns the largest token id."""
        return self._examples.largest()


def prepare(path: Path, max_tokens: int, held_out: float, run: Path) -> Path:
    """Writes the shards of a file of pairs, if they are missing or damaged; returns their folder.

    Args:
        path: file of pairs of a `sample_pairs` stage.
        max_tokens: longest response with its prompt, in tokens; pairs with a longer one are left out.
        held_out: share of the problems whose pairs are for measurement.
        run: the run's folder.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        settings = [digests.of_file(path), max_tokens, held_out, tokenized.PART, __version__]
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; name the folder of a sample_pairs stage, as in {{stage:NAME}}") from None
    folder = run / tokenized.FOLDER / digests.of(settings)[:24]
    if _is_whole(folder):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    left_out, shards = 0, dict[str, list[str]](train=[], held_out=[])
    waiting: dict[str, list[tuple[tokenized.Tokens, str]]] = {"train": [], "held_out": []}

    def write(part: str) -> None:
        shards[part].append(f"{part}-{len(shards[part]):06}.safetensors")
        tokenized.write(folder / shards[part][-1], waiting[part])
        waiting[part].clear()

    with disk.reading(path, "run its sample_pairs stage again"):
        for pair in _rows(path):
            both = [(each["ids"], each["mask"]) for each in sides(pair)]
            if any(len(ids) > max_tokens for ids, _ in both):
                left_out += 1
                continue
            is_measured = int(hashlib.sha256(pair["id"].encode()).hexdigest()[:8], 16) < held_out * 16**8
            part = "held_out" if is_measured else "train"
            waiting[part] += [(tokens, "") for tokens in both]
            if len(waiting[part]) >= tokenized.PART:
                write(part)
    for part in waiting:
        if waiting[part]:
            write(part)
    disk.write(folder / INDEX, json.dumps({**shards, "left_out": left_out}))
    return folder


def _rows(path: Path) -> Iterator[Any]:
    """Yields the pairs of a file."""
    with path.open("rb") as lines:
        for line in lines:
            pair = storable(json.loads(line))
            for tokens in sides(pair):
                disk.check_types(dict(tokens), ids=list, mask=list)
            yield pair


def _is_whole(folder: Path) -> bool:
    if not (folder / INDEX).is_file():
        return False
    index = disk.read_object(folder / INDEX, "remove it, and run again")
    return all(tokenized.is_whole(folder / name) for name in itertools.chain(index["train"], index["held_out"]))


def opened(folder: Path) -> tuple[Pairs, Pairs, int]:
    """Returns the pairs for training, those for measurement, and the number of pairs that are too long.

    Args:
        folder: the folder that `prepare` returned.
    """
    index = disk.read_object(folder / INDEX, "remove it, and run again")
    train, held_out = (Pairs([folder / name for name in index[part]]) for part in ("train", "held_out"))
    return train, held_out, index["left_out"]


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
