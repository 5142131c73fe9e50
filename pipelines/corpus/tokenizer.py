"""The `tokenizer` stage: trains a byte-level BPE tokenizer on documents. Each digit is a token of its own.

The tokenizer is written to the folder `tokenizer`, for a randomly initialised policy:
"micro:?tokenizer={stage:NAME}/tokenizer".
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from ...core import UserError
from ...policies.models.learned_tokenizer import learned_tokenizer
from ..stage import Context, Metrics, Stage
from . import shards

MEASURED_CHARACTERS = 1_000_000
"""The mean length of a token is measured on at most about this many characters and 200 documents. Our choice."""


class Tokenizer(Stage):
    """Settings of a `tokenizer` stage."""

    reads_policy: ClassVar[bool] = False

    kind: Literal["tokenizer"]
    documents: str = Field(description="folder of a stage that writes documents, as in {stage:NAME}")
    vocabulary: int = Field(4096, ge=300, description="size of the vocabulary in tokens, special tokens included")
    characters: int = Field(
        50_000_000,
        ge=1,
        description="approximate number of characters to train on, in equal parts from the beginning of each shard",
    )

    def check(self) -> None:
        """Checks that the documents exist."""
        shards.list_shards(self.documents)

    def run(self, context: Context) -> Metrics:
        """Trains the tokenizer. A killed stage starts again from the beginning."""
        paths = shards.list_shards(self.documents)
        tokenizer = learned_tokenizer(_first_documents(paths, self.characters), self.vocabulary)
        if len(tokenizer) < self.vocabulary:
            raise UserError(
                f"{self.name}: expected a vocabulary of {self.vocabulary} tokens, got {len(tokenizer)} from these documents; "
                "lower vocabulary or give more text"
            )
        tokenizer.save_pretrained(context.folder / "tokenizer")
        sample = [*itertools.islice(_first_documents(paths, MEASURED_CHARACTERS), 200)]
        count = sum(len(ids) for ids in tokenizer(sample)["input_ids"])
        return {"vocabulary": len(tokenizer), "characters_per_token": round(sum(map(len, sample)) / max(1, count), 3)}

    def summary(self, metrics: Metrics) -> str:
        """Returns the size of the vocabulary and the mean length of a token."""
        return f"{metrics['vocabulary']:,} tokens, {metrics['characters_per_token']:.2f} characters per token"


def _first_documents(paths: Sequence[Path], characters: int) -> Iterator[str]:
    """Yields the first documents of every shard, at least one each, about `characters` in all."""
    for shard in paths:
        total = 0
        for row in shards.rows([shard], ["text"]):
            yield row["text"]
            total += len(row["text"])
            if total * len(paths) >= characters:
                break
