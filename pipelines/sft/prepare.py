"""Tokenizes the problems of a stage once, part by part, into the shards that its processes train from (`tokenized.py`).

The shards of a source are in a folder of their own in the run's folder. Its name is a digest of everything that decides the
examples: the problems, the tokenizer with its chat template, the verifier, the settings and the versions of the packages. So
several stages of a run, and a run that resumes, use the same shards. A killed preparation continues with the missing shards,
and a damaged shard is written again.

A part is a fixed number of problems. Several parts are tokenized in parallel by processes that read only their own problems, so
that the memory of each process does not depend on the number of problems.
"""

import functools
import importlib.metadata
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from ... import digests, faults, verifiers
from ...core import UserError
from ...envs import identity as environments
from ...envs.problems import sources as problem_sources
from ...policies import checkpoints
from ...verifiers.pool import Pool, WorkerFault
from ...version import __version__
from . import examples, tokenized
from .examples import Form

FOLDER = ".tokenized"
"""Folder in the run's folder. No stage can have this name."""
PART = 8192
"""Problems of a shard. A killed preparation loses at most this many for each process. Our choice."""
PARALLEL = 4
"""Number of parts from which on several processes tokenize them. A process takes seconds to start. Our choice."""
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
            "problems": [self.uri, _digest(self.uri)],
            "form": self.form._asdict(),
            "verifier": environments.of_verifier(self.verifier) if self.verifier else None,
            # The type of the model may decide the class of the tokenizer.
            "tokenizer": [digests.of_files(folder, checkpoints.TOKENIZER_PATTERNS), config.get("model_type")],
            "versions": [__version__, *map(importlib.metadata.version, PACKAGES)],
            "part": PART,
        }
        return digests.of(parts)[:24]


def _digest(uri: str) -> str:
    """Returns the digest of a source's data: of the file that it names, else of all problems."""
    file = problem_sources.file_state(uri)
    return digests.of_file(file[0]) if file else environments.of_problems(uri)


def prepare(source: Source, run: Path, progress: Progress) -> list[Path]:
    """Writes the shards of a source that are missing or damaged; returns all of them, in order.

    Args:
        source: the source.
        run: the run's folder.
        progress: see `Progress`.

    Raises:
        UserError: a problem cannot become an example.
    """
    folder = run / FOLDER / source.key
    folder.mkdir(parents=True, exist_ok=True)
    count = len(problem_sources.load(source.uri))
    shards = {start: folder / f"{start:012}.safetensors" for start in range(0, count, PART)}
    waiting = [start for start, shard in shards.items() if not tokenized.is_whole(shard)]
    work = [(*source, start, str(shards[start])) for start in waiting]
    done = count - sum(min(PART, count - start) for start in waiting)
    for start in _map(work):
        done += min(PART, count - start)
        progress(done, count)
    return [*shards.values()]


Work = tuple[str, Form, str | None, str, int, str]
"""The fields of `Source`, the number of the first problem, and the path of the shard."""


def _map(work: Sequence[Work]):  # type: ignore[no-untyped-def]
    """Tokenizes parts, in several processes if there are many; yields the first problem of each finished part."""
    workers = min(len(os.sched_getaffinity(0)), len(work))
    if len(work) < PARALLEL or workers == 1:
        for each in work:
            _tokenize(*each)
            yield each[4]
        return
    pool = Pool(f"{__name__}:tokenize", workers, cpu_seconds=86_400.0, memory=1 << 40)
    threads = ThreadPoolExecutor(workers)
    try:
        futures = {threads.submit(pool.call, *each): each[4] for each in work}
        for future in as_completed(futures):
            try:
                error = future.result()
            except WorkerFault as fault:
                error = f"{work[0][0]}: a process that tokenizes it has ended ({fault}); run again"
            if error:
                raise UserError(error)
            yield futures[future]
    finally:
        threads.shutdown(cancel_futures=True)
        pool.close()


def tokenize(uri: str, form: list[object], verifier: str | None, checkpoint: str, start: int, shard: str) -> str:
    """Tokenizes a part in a process of its own.

    Args:
        uri: URI of the problems.
        form: the fields of `Form`.
        verifier: name of the verifier, or None.
        checkpoint: folder with the tokenizer.
        start: number of the first problem.
        shard: path of the shard.

    Returns:
        The message of a `UserError`, else an empty text.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # because all processors have such a process
    try:
        with faults.as_user_errors(uri):
            _tokenize(uri, Form(*form), verifier, checkpoint, start, shard)  # type: ignore[arg-type]
    except UserError as error:
        return str(error)
    return ""


def _tokenize(uri: str, form: Form, verifier: str | None, checkpoint: str, start: int, shard: str) -> None:
    """Writes the shard of the problems from `start` on; see `tokenize`."""
    problems = problem_sources.load(uri)
    part = (problems[number] for number in range(start, min(start + PART, len(problems))))
    tokenized.write(Path(shard), examples.each(part, _tokenizer(checkpoint), form, _verifier(verifier)))


_tokenizer = functools.lru_cache(1)(checkpoints.tokenizer_of)
_verifier = functools.lru_cache(1)(lambda name: verifiers.load(name) if name else None)
