"""The pairs of a `reward_model` stage, read by number from memory-mapped shards, so that no process holds all of them.

One process reads the source, which takes 14 microseconds for a short pair, and writes its pairs, part by part, into a folder of
the run. Each part has a shard (`trainer/data/shards.py`) of pairs for training and one of held-out pairs:

    text        a pair as JSON, one after the other, (bytes,)
    offsets     first byte of each pair, and finally the number of bytes, (pairs + 1,)
    problems    first 8 bytes of the digest of each problem

A killed preparation reads the source from its beginning again, because a pair may depend on all rows before it
(`per_question`), and writes the missing shards only.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy

from ... import digests, disk
from ...envs.problems import pairs as pair_sources
from ...envs.problems.pairs import PreferencePair
from ...version import __version__
from ..trainer.data import parts, shards, source_file
from ..trainer.data.by_number import ByNumber
from ..trainer.data.shards import Shards

FOLDER = ".pairs"
"""Folder in the run's folder. No stage can have this name."""
INDEX = "pairs.json"
"""File with the number of parts, and that of training problems. It is written last."""
SHOWN = 10_000
"""Pairs between two reports of the progress. Our choice."""


class StoredPairs(ByNumber[PreferencePair]):
    """The pairs of shards."""

    def __init__(self, paths: list[Path]) -> None:
        """Opens the shards."""
        self._shards = Shards(paths)

    def __len__(self) -> int:
        return len(self._shards)

    def item(self, number: int) -> PreferencePair:
        """See `ByNumber`."""
        content, place = self._shards.place(number)
        prompt, chosen, rejected, text = json.loads(content["text"][place].tobytes())
        return PreferencePair(tuple(prompt), chosen, rejected, text)


class Prepared(NamedTuple):
    """The shards of a source."""

    train: list[Path]
    held_out: list[Path]
    problems: int
    """Number of problems of the training pairs."""


def prepare(uri: str, held_out: float, run: Path, progress: Callable[[int], None]) -> Prepared:
    """Writes the shards of a URI's pairs that are missing or damaged; returns all of them.

    Args:
        uri: URI of pairs.
        held_out: share of the problems whose pairs are held out.
        run: the run's folder.
        progress: called with the number of pairs that are read.

    Raises:
        UserError: see `pairs.load`.
    """
    data = source_file.digest(uri) or digests.of_all(pair_sources.load(uri))
    folder = run / FOLDER / digests.of([uri, data, held_out, parts.BYTES, __version__])[:24]
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / INDEX
    if index.is_file():
        found = disk.read_object(index, "remove it, and run again")
        names = [_paths(folder, number) for number in range(found["shards"])]
        if all(map(shards.is_whole, itertools.chain(*names))):
            return _prepared(names, found["problems"])
    pairs, names, problems = _counted(pair_sources.load(uri), progress), [], numpy.empty(0, numpy.uint64)
    for number in itertools.count():
        names.append(_paths(folder, number))
        if all(map(shards.is_whole, names[-1])):
            written = sum(len(shards.mapped(path).offsets) - 1 for path in names[-1])
            for _ in itertools.islice(pairs, written):
                pass
        elif not _write(names[-1], pairs, held_out):
            break
        problems = numpy.union1d(problems, shards.mapped(names[-1][0]).content["problems"][:])
    names.pop()
    disk.write(index, json.dumps({"shards": len(names), "problems": len(problems)}))
    return _prepared(names, len(problems))


def _paths(folder: Path, number: int) -> tuple[Path, Path]:
    """Returns the paths of the shards of a part: those for training and for measurement."""
    return folder / f"{number:06}-train.safetensors", folder / f"{number:06}-held_out.safetensors"


def _prepared(names: list[tuple[Path, Path]], problems: int) -> Prepared:
    return Prepared([train for train, _ in names], [measured for _, measured in names], problems)


def _counted(pairs: Iterator[PreferencePair], progress: Callable[[int], None]) -> Iterator[PreferencePair]:
    """Yields pairs, and reports how many they are."""
    for number, pair in enumerate(pairs, start=1):
        yield pair
        if number % SHOWN == 0:
            progress(number)


def _write(paths: tuple[Path, Path], pairs: Iterator[PreferencePair], share: float) -> bool:
    """Writes the shards of the next part.

    Args:
        paths: the shards.
        pairs: yields the pairs from the part's first one on.
        share: share of the problems whose pairs are held out.

    Returns:
        False if there is no pair left, and nothing is written.
    """
    texts, problems = (list[bytes](), list[bytes]()), (set[bytes](), set[bytes]())
    size = 0
    for pair in pairs:
        side = pair_sources.in_held_out(pair.prompt_text, share)
        text = json.dumps([pair.prompt, pair.chosen, pair.rejected, pair.prompt_text]).encode()
        texts[side].append(text)
        problems[side].add(hashlib.sha256(pair.prompt_text.encode("utf-8", "surrogatepass")).digest()[:8])
        size += len(text)
        if size >= parts.BYTES:
            break
    for path, own, of_own in zip(paths, texts, problems, strict=True):
        if size:
            arrays = {
                "text": numpy.frombuffer(b"".join(own), numpy.uint8),
                "offsets": numpy.cumsum([0, *map(len, own)]),
                "problems": numpy.sort(numpy.frombuffer(b"".join(of_own), numpy.uint64)),
            }
            shards.write(path, arrays, {})
    return bool(size)
