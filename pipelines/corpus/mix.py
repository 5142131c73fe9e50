"""Documents become tokens: one source a domain, or one a quality and domain where `select` has graded them ("high/code").

How much of which source is seen when is the training's own affair (`pretrain.py`); what is kept back to measure with is
decided here, document by document, by a hash of its id.
"""

import contextlib
import fnmatch
import functools
import json
import math
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, ClassVar, Literal

import numpy
import pyarrow
import pyarrow.parquet
from pydantic import Field

from ... import disk
from ...core import UserError
from ...envs.problems import pairs
from ...policies import checkpoints
from .. import figures
from ..stage import Context, Metrics, Stage
from . import shards, tokens

_BATCH = 512
"""Documents that are tokenized together."""


class Mix(Stage):
    """Settings of a `mix` stage; its `policy` is the one whose tokenizer is used."""

    may_change: ClassVar[frozenset[str]] = frozenset({"workers"})

    kind: Literal["mix"]
    documents: str = Field(description="folder of a stage that leaves documents, as in {stage:NAME}")
    held_out: float = Field(0.01, ge=0, lt=1, description="share of the documents that no training sees")
    most: dict[str, float] = Field(
        {}, description="tokens of each source at most, by patterns of names; the first that fits counts"
    )
    workers: int | None = Field(None, ge=1, description="shards at a time; default: one a processor")

    def within(self, source: str, tokens_found: float) -> float:
        """How many of a source's tokens are kept."""
        most = next((most for pattern, most in self.most.items() if fnmatch.fnmatchcase(source, pattern)), math.inf)
        return min(tokens_found, most)

    def run(self, context: Context) -> Metrics:
        """Leaves a file of tokens a source in `tokens`, those held out in `held_out`, and what they are in `sources.json`."""
        checkpoint = checkpoints.checkpoint(context.policy)
        tokenizer = checkpoints.tokenizer_of(checkpoint)
        if tokenizer.eos_token_id is None:
            raise UserError(f"{self.name}: the tokenizer of {context.policy} has no end-of-text token to part documents with")
        dtype = tokens.smallest_dtype(len(tokenizer))
        found = shards.of(self.documents)
        work = functools.partial(_tokenized, checkpoint=str(checkpoint), dtype=dtype, held_out=self.held_out)
        shards.over(found, work, context.folder / "tokenized", context, self.workers)
        counted = _gathered([context.folder / "tokenized" / shard.name for shard in found], context.folder, dtype, self.within)
        index = {
            **counted,
            "end": tokenizer.eos_token_id,
            "vocabulary": len(tokenizer),
            "tokenizer": tokens.fingerprint(tokenizer),
            "dtype": dtype,
        }
        disk.write(context.folder / tokens.INDEX, json.dumps(index, indent=1))
        shutil.rmtree(context.folder / "tokenized")
        return {"tokens": sum(counted["tokens"].values()), "sources": counted["tokens"], "held_out": counted["held_out"]}

    def summary(self, metrics: Metrics) -> str:
        """Tokens of each source."""
        return f"{metrics['tokens']:,} tokens: {figures.counts(metrics['sources'])}"

    def tables(self, metrics: Metrics) -> str:
        """A row a source."""
        rows = [(name, count, metrics["held_out"].get(name, 0)) for name, count in metrics["sources"].items()]
        return figures.table(("source", "tokens", "held out"), rows)


def _tokenized(table: pyarrow.Table, checkpoint: str, dtype: str, held_out: float) -> tuple[pyarrow.Table, dict[str, int]]:
    """A shard's documents as bytes of tokens, each with its source's name."""
    tokenizer = _tokenizer(checkpoint)
    columns = table.to_pydict()
    qualities = columns.get("quality")
    rows = []
    for first in range(0, table.num_rows, _BATCH):
        for place, document in enumerate(_ids(tokenizer, columns["text"][first : first + _BATCH]), start=first):
            domain = columns["domain"][place]
            rows.append(
                {
                    "source": f"{qualities[place]}/{domain}" if qualities else domain,
                    "held_out": pairs.in_held_out(columns["id"][place], held_out),
                    "tokens": numpy.array([*document, tokenizer.eos_token_id], dtype).tobytes(),
                }
            )
    schema = pyarrow.schema([("source", pyarrow.string()), ("held_out", pyarrow.bool_()), ("tokens", pyarrow.binary())])
    return pyarrow.Table.from_pylist(rows, schema), {}


def _ids(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """The texts' tokens, without the offsets that cost a fast tokenizer more than half of its time."""
    if not tokenizer.is_fast:
        return tokenizer(texts, add_special_tokens=False)["input_ids"]
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    return [encoded.ids for encoded in tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


@functools.cache
def _tokenizer(checkpoint: str) -> Any:
    """Loaded once a process."""
    return checkpoints.tokenizer_of(checkpoint)


def _gathered(
    tokenized: list[Path], folder: Path, dtype: str, within: Callable[[str, float], float]
) -> dict[str, dict[str, int]]:
    """Writes the sources' files out of the shards, in order, as far as they may go, and counts their tokens."""
    counted: dict[str, Counter[str]] = {"tokens": Counter(), "held_out": Counter()}
    for part in counted:
        shutil.rmtree(folder / part, ignore_errors=True)  # what a killed run had begun
        (folder / part).mkdir()
    files: dict[Path, IO[bytes]] = {}
    with contextlib.ExitStack() as opened:
        for row in shards.rows(tokenized):
            path = tokens.file_of(folder, row["source"], row["held_out"])
            if path not in files:
                files[path] = opened.enter_context(path.open("wb"))
            part, size = "held_out" if row["held_out"] else "tokens", numpy.dtype(dtype).itemsize
            before, count = counted[part][row["source"]], len(row["tokens"]) // size
            if not row["held_out"]:
                count = int(within(row["source"], before + count)) - before
            files[path].write(row["tokens"][: count * size])
            counted[part][row["source"]] += count
    return {part: dict(sorted(counts.items())) for part, counts in counted.items()}
