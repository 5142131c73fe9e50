"""Megabytes of text per second that each corpus stage processes on one core, for several corpus sizes.

    OMP_NUM_THREADS=1 python -m tenfold.benchmarks.speed.curation [--megabytes 10 100] [--without retrieve]

The corpus consists of files of the Python installation: one fifth documentation (at most 60 MB), the rest code. Beyond 300 MB
of code, the corpus has copies of the code with a third of the words replaced, so that they are not duplicates. Every stage
runs as in `tenfold run`, in one process. Rates are per second of processor time. The tagger's documents per second refer to
its bulk scoring.
"""

import argparse
import re
import resource
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...pipelines.corpus import documents
from ...pipelines.stage import Context
from ...pipelines.stages import KINDS

MAX_DOCUMENTATION_CHARACTERS, MAX_CODE_CHARACTERS = 60_000_000, 300_000_000
"""Maximum number of characters of documentation, and of unchanged code. An installation of this package contains slightly
more."""


def code_with_replaced_words(copy: int) -> Iterator[dict[str, str]]:
    """Yields the installed code with a third of its words replaced, differently in each copy. Used with `generate:`."""
    ending = chr(ord("a") + copy)
    for source, text, domain in documents.read(f"python:code?characters={MAX_CODE_CHARACTERS}"):
        if isinstance(text, bytes):
            text = re.sub(
                r"\w{3,}",
                lambda word: word[0] + ending * (zlib.crc32(word[0].encode()) % 3 == 0),
                text.decode("utf-8", "replace"),
            )
            yield {"source": f"{source}/{copy}", "text": text, "domain": domain}


def settings(characters: int, folder: Path) -> dict[str, dict[str, object]]:
    """Returns the settings of each stage by kind. A stage's folder has the name of its kind."""
    documentation = min(characters // 5, MAX_DOCUMENTATION_CHARACTERS)
    code = characters - documentation
    sources = [f"python:documentation?characters={documentation}", f"python:code?characters={min(code, MAX_CODE_CHARACTERS)}"]
    for copy in range(1, -(-code // MAX_CODE_CHARACTERS)):
        rest = min(code - copy * MAX_CODE_CHARACTERS, MAX_CODE_CHARACTERS)
        sources.append(f"generate:{__spec__.name}:code_with_replaced_words?copy={copy}&characters={rest}")
    cleaned = str(folder / "clean")
    return {
        "documents": {"sources": sources},
        "clean": {"documents": str(folder / "documents"), "decontaminate": ["human_eval:"], "workers": 1},
        "tag": {"documents": cleaned, "sample": 1000, "workers": 1},
        "retrieve": {"documents": cleaned, "seeds": [{"source": "python:topics/*", "limit": 50}], "workers": 1},
        "select": {"documents": cleaned, "tags": str(folder / "tag")},
        "mix": {"documents": str(folder / "select"), "workers": 1},
    }


def processor_seconds() -> float:
    """Returns the processor time of this process in seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Prints one line per stage and size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, nargs="+", default=[10, 100], help="corpus sizes in MB (default: 10 100)")
    parser.add_argument("--without", nargs="+", default=[], choices=["retrieve"], help="stages to leave out (default: none)")
    arguments = parser.parse_args()
    for size in arguments.megabytes:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), int(size * 1e6), arguments.without)


def measure(folder: Path, characters: int, without: Sequence[str]) -> None:
    """Runs the stages on one corpus and prints their rates.

    Args:
        folder: folder of the stages.
        characters: size of the corpus in characters.
        without: kinds of stages to leave out.
    """
    total, all_seconds = 0.0, 0.0
    for kind, stage_settings in settings(characters, folder).items():
        if kind in without:
            continue
        stage = KINDS[kind].model_validate({"kind": kind, "name": kind, **stage_settings})
        (folder / kind).mkdir()
        began, wall = processor_seconds(), time.perf_counter()
        metrics = stage.run(Context(folder / kind, "micro:", 0, {}, lambda *a, **k: None))
        seconds, wall = processor_seconds() - began, time.perf_counter() - wall
        total = metrics["characters"] / 1e6 if kind == "documents" else total
        all_seconds += seconds
        scored = f", {metrics['documents_per_process_second']:,.0f} documents/s scored per process" if kind == "tag" else ""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{total:7.1f} MB  {kind:10} {total / seconds:7.2f} MB/s {wall:7.1f} s peak {peak:5.1f} GB{scored}", flush=True)
    print(f"{total:7.1f} MB  {'all':10} {total / all_seconds:7.2f} MB/s", flush=True)


if __name__ == "__main__":
    main()
