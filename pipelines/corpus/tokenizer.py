"""A tokenizer learned from documents: bytes, every digit a token of its own, and the merges that the text teaches.

It is left in `tokenizer`, for policies made from nothing: "micro:?tokenizer={stage:NAME}/tokenizer".
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from ...core import UserError
from ...policies import checkpoints
from ..stage import Context, Metrics, Stage
from . import shards

SAMPLED = 1_000_000
"""Characters that tell how many of them a token holds."""


class Tokenizer(Stage):
    """Settings of a `tokenizer` stage."""

    reads_policy: ClassVar[bool] = False

    kind: Literal["tokenizer"]
    documents: str = Field(description="folder of a stage that leaves documents, as in {stage:NAME}")
    vocabulary: int = Field(4096, ge=300, description="tokens, special ones among them")
    characters: int = Field(50_000_000, ge=1, description="to learn from, the first documents of every shard")

    def run(self, context: Context) -> Metrics:
        """Learns the merges; a killed stage begins again."""
        found = shards.of(self.documents)
        tokenizer = checkpoints.learned_tokenizer(_beginnings(found, self.characters), self.vocabulary)
        if len(tokenizer) < self.vocabulary:
            raise UserError(
                f"{self.name}: these documents teach {len(tokenizer)} tokens, not {self.vocabulary}: ask for fewer, or "
                "give more text"
            )
        tokenizer.save_pretrained(context.folder / "tokenizer")
        sample = [*itertools.islice(_beginnings(found, SAMPLED), 200)]
        count = sum(len(ids) for ids in tokenizer(sample)["input_ids"])
        return {"vocabulary": len(tokenizer), "characters_a_token": round(sum(map(len, sample)) / max(1, count), 3)}

    def summary(self, metrics: Metrics) -> str:
        """The size of the vocabulary, and how much text a token holds."""
        return f"{metrics['vocabulary']:,} tokens, {metrics['characters_a_token']:.2f} characters each"


def _beginnings(found: Sequence[Path], characters: int) -> Iterator[str]:
    """The first documents of every shard, until so many characters of all are reached; at least one document of each."""
    for shard in found:
        seen = 0
        for row in shards.rows([shard], ["text"]):
            yield row["text"]
            seen += len(row["text"])
            if seen * len(found) >= characters:
                break
