"""The pairs of a `reward_model` stage, read by number from a file, so that no process holds all of them.

The pairs are written one by one into a folder of the run, unless the folder has them already:

    train.jsonl, held_out.jsonl         a pair on each line
    train.npy, held_out.npy             the offset of each line, and finally the file's size, memory-mapped
    pairs.json                          the number of training problems and a checksum of each file; written last
"""

import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy

from ... import digests, disk
from ...envs.problems import pairs as pair_sources
from ...envs.problems.pairs import PreferencePair
from ...version import __version__
from ..trainer import source_file
from ..trainer.by_number import ByNumber

FOLDER = ".pairs"
"""Folder in the run's folder. No stage can have this name."""
INDEX = "pairs.json"
PARTS = ("train", "held_out")


class StoredPairs(ByNumber[PreferencePair]):
    """The pairs of a file."""

    def __init__(self, folder: Path, part: str) -> None:
        """Maps the offsets.

        Args:
            folder: the folder that `prepare` returned.
            part: one of `PARTS`.
        """
        self._lines = (folder / f"{part}.jsonl").open("rb", buffering=0)
        self._offsets = numpy.load(folder / f"{part}.npy", mmap_mode="r")

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def item(self, number: int) -> PreferencePair:
        """See `ByNumber`."""
        start, end = self._offsets[number:][:2].tolist()
        prompt, chosen, rejected, text = json.loads(os.pread(self._lines.fileno(), end - start, start))
        return PreferencePair(tuple(prompt), chosen, rejected, text)


def prepare(uri: str, held_out: float, run: Path) -> Path:
    """Writes the files of a URI's pairs, if they are missing or damaged; returns their folder.

    Args:
        uri: URI of pairs.
        held_out: share of the problems whose pairs are held out.
        run: the run's folder.

    Raises:
        UserError: see `pairs.load`.
    """
    data = source_file.digest(uri) or digests.of_all(pair_sources.each(uri))
    folder = run / FOLDER / digests.of([uri, data, held_out, __version__])[:24]
    if _is_whole(folder):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    problems = set[bytes]()
    offsets = {part: [0] for part in PARTS}
    with (folder / "train.jsonl").open("wb") as train, (folder / "held_out.jsonl").open("wb") as other:
        for pair in pair_sources.each(uri):
            part, lines = ("held_out", other) if pair_sources.in_held_out(pair.prompt_text, held_out) else ("train", train)
            line = json.dumps([pair.prompt, pair.chosen, pair.rejected, pair.prompt_text]).encode() + b"\n"
            lines.write(line)
            offsets[part].append(offsets[part][-1] + len(line))
            if part == "train":
                problems.add(hashlib.sha256(pair.prompt_text.encode("utf-8", "surrogatepass")).digest()[:12])
    for part in PARTS:
        numpy.save(folder / f"{part}.npy", numpy.array(offsets[part]))
    checksums = {name: _checksum(folder / name) for name in _names()}
    disk.write(folder / INDEX, json.dumps({"problems": len(problems), "checksums": checksums}))
    return folder


def opened(folder: Path) -> tuple[StoredPairs, StoredPairs]:
    """Returns the pairs for training and those for measurement.

    Args:
        folder: the folder that `prepare` returned.
    """
    return StoredPairs(folder, "train"), StoredPairs(folder, "held_out")


def problems(folder: Path) -> int:
    """Returns the number of problems of the training pairs; see `opened`."""
    return int(disk.read_object(folder / INDEX, "remove it, and run again")["problems"])


def _names() -> Iterator[str]:
    return (f"{part}.{ending}" for part in PARTS for ending in ("jsonl", "npy"))


def _is_whole(folder: Path) -> bool:
    if not (folder / INDEX).is_file():
        return False
    checksums = disk.read_object(folder / INDEX, "remove it, and run again")["checksums"]
    return all((folder / name).is_file() and _checksum(folder / name) == checksums[name] for name in _names())


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            value = zlib.crc32(block, value)
    return value
