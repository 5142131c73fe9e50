"""The `mix` stage: tokenizes documents into one source per domain, or per grade and domain after `select` ("high/code").

`pretrain` decides how many tokens of each source each phase uses. This stage selects the held-out documents by a hash of their
ids.
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
from typing import IO, TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy
import pyarrow
import pyarrow.parquet
from pydantic import Field

from ... import disk
from ...core import UserError
from ...envs.problems import pairs
from ...policies import checkpoints
from .. import figures
from ..stage import Context, CostEstimate, Metrics, Stage
from . import shards, tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BATCH = 512
"""Documents tokenized in one call. Our choice."""


class Mix(Stage):
    """Settings of a `mix` stage. Its tokenizer is that of `policy`."""

    may_change: ClassVar[frozenset[str]] = frozenset({"workers"})

    kind: Literal["mix"]
    documents: str = Field(description="folder of a stage that writes documents, as in {stage:NAME}")
    held_out: float = Field(0.01, ge=0, lt=1, description="share of the documents that is held out from training")
    max_tokens: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {}, description="upper limit of training tokens of each source, by pattern of its name; the first match applies"
    )
    workers: int | None = Field(None, ge=1, description="shards processed in parallel; default: one per processor")

    def within(self, source: str, token_count: float) -> float:
        """Returns how many of a source's tokens the setting `max_tokens` allows."""
        limit = next((limit for pattern, limit in self.max_tokens.items() if fnmatch.fnmatchcase(source, pattern)), math.inf)
        return min(token_count, limit)

    def cost(self) -> CostEstimate:
        """Returns the bytes to write: at most four for a token, which has at least two characters."""
        return CostEstimate(written_bytes=2, copies_of=self.documents)

    def run(self, context: Context) -> Metrics:
        """Writes a token file per source into `tokens` and `held_out`, and the index `sources.json`."""
        checkpoint = checkpoints.checkpoint(context.policy)
        tokenizer = checkpoints.tokenizer_of(checkpoint)
        if tokenizer.eos_token_id is None:
            raise UserError(
                f"{self.name}: the tokenizer of {context.policy} has no end-of-text token to separate documents; "
                "use a policy whose tokenizer has one"
            )
        dtype = tokens.smallest_dtype(len(tokenizer))
        paths = shards.list_shards(self.documents)
        work = functools.partial(_tokenize_shard, checkpoint=str(checkpoint), dtype=dtype, held_out=self.held_out)
        shards.map_shards(paths, work, context.folder / "tokenized", context, self.workers)
        counted = _gather([context.folder / "tokenized" / shard.name for shard in paths], context.folder, dtype, self.within)
        index = {
            **counted,
            "end": tokenizer.eos_token_id,
            "vocabulary": len(tokenizer),
            "tokenizer": tokens.fingerprint(tokenizer),
            "dtype": dtype,
            "held_out_share": self.held_out,
        }
        disk.write(context.folder / tokens.INDEX, json.dumps(index, indent=1))
        shutil.rmtree(context.folder / "tokenized")
        return {"tokens": sum(counted["tokens"].values()), "sources": counted["tokens"], "held_out": counted["held_out"]}

    def summary(self, metrics: Metrics) -> str:
        """Returns the number of tokens of each source."""
        return f"{metrics['tokens']:,} tokens: {figures.counts_text(metrics['sources'])}"

    def tables(self, metrics: Metrics) -> str:
        """Returns a table with a row per source."""
        rows = [(name, count, metrics["held_out"].get(name, 0)) for name, count in metrics["sources"].items()]
        return figures.table(("source", "tokens", "held-out tokens"), rows)


def _tokenize_shard(table: pyarrow.Table, checkpoint: str, dtype: str, held_out: float) -> tuple[pyarrow.Table, dict[str, int]]:
    """Returns a row per document with its source, whether it is held out, and its tokens as bytes."""
    tokenizer = _tokenizer(checkpoint)
    columns = table.to_pydict()
    grades = columns.get("grade")
    rows = []
    for first in range(0, table.num_rows, _BATCH):
        for number, ids in enumerate(_token_ids(tokenizer, columns["text"][first : first + _BATCH]), start=first):
            domain = columns["domain"][number]
            rows.append(
                {
                    "source": f"{grades[number]}/{domain}" if grades else domain,
                    "held_out": pairs.in_held_out(columns["id"][number], held_out),
                    "tokens": numpy.array([*ids, tokenizer.eos_token_id], dtype).tobytes(),
                }
            )
    schema = pyarrow.schema([("source", pyarrow.string()), ("held_out", pyarrow.bool_()), ("tokens", pyarrow.binary())])
    return pyarrow.Table.from_pylist(rows, schema), {}


def _token_ids(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """Returns the token ids of each text. Skips the offsets, which take more than half of a fast tokenizer's time.

    Names of special tokens, such as <|endoftext|> in source code, are tokenized as text: they end no document.
    """
    if not tokenizer.is_fast:
        return tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    tokenizer.backend_tokenizer.encode_special_tokens = True
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    return [encoded.ids for encoded in tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


@functools.cache
def _tokenizer(checkpoint: str) -> "PreTrainedTokenizerBase":
    """Returns the tokenizer of a checkpoint, loaded once per process."""
    return checkpoints.tokenizer_of(checkpoint)


def _gather(
    tokenized: list[Path], folder: Path, dtype: str, within: Callable[[str, float], float]
) -> dict[str, dict[str, int]]:
    """Concatenates the shards' tokens into one file per source, up to the source's limit, and returns the token counts."""
    counted: dict[str, Counter[str]] = {"tokens": Counter(), "held_out": Counter()}
    for part in counted:
        shutil.rmtree(folder / part, ignore_errors=True)  # a killed run may have left incomplete files
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
