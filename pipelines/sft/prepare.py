"""Tokenizes the problems of a stage once, part by part, into the shards that its processes train from (`trainer/tokenized.py`).

The shards of a source are in a folder of their own in the run's folder. Its name is a digest of everything that decides the
examples: the problems, the tokenizer with its chat template, the verifier, the settings and the versions of the packages. So
several stages of a run, and a run that resumes, use the same shards. A killed preparation continues with the missing shards,
and a damaged shard is written again.

A part is a fixed number of problems. Several parts are tokenized in parallel by processes that read only their own problems, so
that the memory of each process does not depend on the number of problems.
"""

import functools
import importlib.metadata
import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

from ... import digests, faults, verifiers
from ...core import UserError
from ...envs import identity as environments
from ...envs.problems import sources as problem_sources
from ...policies import checkpoints
from ...verifiers.pool import Pool, WorkerFault
from ...version import __version__
from ..trainer import source_file, tokenized
from . import examples
from .examples import Form

PARALLEL = 4
"""Number of parts from which on several processes tokenize them. A process takes seconds to start. Our choice."""
CPU_SECONDS, MEMORY = 36_000.0, 1 << 40
"""Limits of a part, in seconds and bytes. They are far above what a part with a slow verifier takes. Our choice."""
PACKAGES = ("transformers", "tokenizers")
"""Packages whose versions may change the tokens."""

Progress = Callable[[int, int], None]
"""Called with the number of finished problems and of all problems."""


class Source(NamedTuple):
    """A source of problems with everything that decides its examples."""

    uri: str
    form: Form
    verifier: str | None
    checkpoint: str
    """Folder with the tokenizer."""

    @property
    def key(self) -> str:
        """Digest of everything that decides the examples."""
        folder = Path(self.checkpoint)
        config = json.loads((folder / "config.json").read_bytes())
        parts = {
            "problems": [self.uri, source_file.digest(self.uri) or environments.of_problems(self.uri)],
            "form": self.form._asdict(),
            "verifier": environments.of_verifier(self.verifier) if self.verifier else None,
            # The type of the model may decide the class of the tokenizer.
            "tokenizer": [digests.of_files(folder, checkpoints.TOKENIZER_PATTERNS), config.get("model_type")],
            "versions": [__version__, *map(importlib.metadata.version, PACKAGES)],
            "part": tokenized.PART,
        }
        return digests.of(parts)[:24]


def prepare(source: Source, run: Path, progress: Progress) -> list[Path]:
    """Writes the shards of a source that are missing or damaged; returns all of them, in order.

    Args:
        source: the source.
        run: the run's folder.
        progress: see `Progress`.

    Raises:
        UserError: a problem cannot become an example.
    """
    _tokenizer.cache_clear()  # another checkpoint may be at the same path now
    _verifier.cache_clear()
    folder = run / tokenized.FOLDER / source.key
    folder.mkdir(parents=True, exist_ok=True)
    count = len(problem_sources.load(source.uri))
    bounds = [*range(0, count, tokenized.PART), count]
    parts = [Part(start, stop, str(folder / f"{start:012}.safetensors")) for start, stop in itertools.pairwise(bounds)]
    waiting = [part for part in parts if not tokenized.is_whole(Path(part.shard))]
    done = count - sum(part.stop - part.start for part in waiting)
    for part in _map(source, waiting):
        done += part.stop - part.start
        progress(done, count)
    return [Path(part.shard) for part in parts]


class Part(NamedTuple):
    """A part of a source."""

    start: int
    """Number of its first problem."""
    stop: int
    """Number after that of its last problem."""
    shard: str
    """Path of the file."""


def _map(source: Source, parts: Sequence[Part]) -> Iterator[Part]:
    """Tokenizes parts, in several processes if there are many; yields each finished one."""
    workers = min(len(os.sched_getaffinity(0)), len(parts))
    if len(parts) < PARALLEL or workers == 1:
        for part in parts:
            _tokenize(source, part)
            yield part
        return
    pool = Pool(f"{__name__}:tokenize", workers, CPU_SECONDS, MEMORY)
    threads = ThreadPoolExecutor(workers)
    try:
        futures = {threads.submit(pool.call, source, part): part for part in parts}
        for future in as_completed(futures):
            try:
                error = future.result()
            except WorkerFault as fault:
                error = f"{source.uri}: a process that tokenizes it has ended ({fault}); run again"
            if error:
                raise UserError(error)
            yield futures[future]
    finally:
        threads.shutdown(cancel_futures=True)
        pool.close()


def tokenize(source: Sequence[Any], part: Sequence[Any]) -> str:
    """Writes the shard of a part, in a process of its own.

    Args:
        source: the fields of `Source`.
        part: the fields of `Part`.

    Returns:
        The message of a `UserError`, else an empty text.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # because all processors have such a process
    uri, form, verifier, checkpoint = source
    try:
        with faults.as_user_errors(uri):
            _tokenize(Source(uri, Form(*form), verifier, checkpoint), Part(*part))
    except UserError as error:
        return str(error)
    return ""


def _tokenize(source: Source, part: Part) -> None:
    """Writes the shard of a part."""
    own = problem_sources.load(source.uri)[part.start : part.stop]
    found = examples.each(own, _tokenizer(source.checkpoint), source.form, _verifier(source.verifier))
    tokenized.write(Path(part.shard), found)


_tokenizer = functools.lru_cache(1)(checkpoints.tokenizer_of)
_verifier = functools.lru_cache(1)(lambda name: verifiers.load(name) if name else None)
