"""Tokenizes the problems of a stage once, part by part (`trainer/data/parts.py`), into shards from which its processes train.

The shards of a source (`trainer/data/tokenized.py`) are in a folder of their own in the run's folder. Its name is a digest of
everything that decides the examples: the problems, the tokenizer with its chat template, the verifier, the settings and the
versions of the packages. So several stages of a run, and a run that resumes, use the same shards.
"""

import functools
import importlib.metadata
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ... import digests, verifiers
from ...envs import identity as environments
from ...envs.problems import sources as problem_sources
from ...policies import checkpoints
from ...version import __version__
from ..trainer.data import parts, source_file, tokenized
from ..trainer.data.parts import Part, Progress
from . import examples
from .examples import Form

PART = 8192
"""Problems of a part. A killed preparation loses at most this many problems for each process. Our choice."""
PACKAGES = ("transformers", "tokenizers")
"""Packages whose versions may change the tokens."""


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
        decisive = {
            "problems": [self.uri, source_file.digest(self.uri) or environments.of_problems(self.uri)],
            "form": self.form._asdict(),
            "verifier": environments.of_verifier(self.verifier) if self.verifier else None,
            # The type of the model may decide the class of the tokenizer.
            "tokenizer": [digests.of_files(folder, checkpoints.TOKENIZER_PATTERNS), config.get("model_type")],
            "versions": [__version__, *map(importlib.metadata.version, PACKAGES)],
            "part": PART,
        }
        return digests.of(decisive)[:24]


def prepare(source: Source, run: Path, progress: Progress) -> list[Path]:
    """Writes the shards of a source that are missing or damaged; returns all of them, in order.

    Args:
        source: the source.
        run: the run's folder.
        progress: called with the number of problems that are prepared, and with that of all problems.

    Raises:
        UserError: a problem cannot become an example.
    """
    _tokenizer.cache_clear()  # another checkpoint may be at the same path now
    _verifier.cache_clear()
    folder = run / tokenized.FOLDER / source.key
    count = len(problem_sources.load(source.uri))
    bounds = [*range(0, count, PART), count]
    cut = [Part(start, stop, (str(folder / f"{start:012}.safetensors"),)) for start, stop in itertools.pairwise(bounds)]
    return [Path(shard) for (shard,) in parts.prepare(source.uri, tokenize, source, cut, progress)]


def tokenize(source: Sequence[Any], part: Part) -> None:
    """Writes the shard of a part.

    Args:
        source: the fields of `Source`.
        part: numbers of the problems.
    """
    uri, form, verifier, checkpoint = source
    own = problem_sources.load(uri)[part.start : part.stop]
    found = examples.each(own, _tokenizer(checkpoint), Form(*form), _verifier(verifier))
    tokenized.write(Path(part.shards[0]), found)


_tokenizer = functools.lru_cache(1)(checkpoints.tokenizer_of)
_verifier = functools.lru_cache(1)(lambda name: verifiers.load(name) if name else None)
