"""Seeds: texts of known quality, which documents are compared with, and the words of them that a search looks for."""

import fnmatch
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ....core import UserError
from .. import documents, shards
from . import milvus

SAMPLE = 20_000
"""Documents that words are counted in, evenly spread, to tell which words of a seed are telling. Ours."""


class Seeds(BaseModel):
    """Texts of known quality."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str | None = Field(
        None, description='URI of documents: "jsonl:FILE" with a column text, "problems:URI" for problems with their solutions'
    )
    domain: str | None = Field(None, description="in place of a URI: the stage's own documents whose domain fits this pattern")
    source: str | None = Field(None, description="likewise, of their source: python:stdlib/*")
    weight: float = Field(1.0, gt=0, description="their quality: what being found by one of them counts")
    limit: int | None = Field(None, ge=1, description="only so many, the first ones")

    @model_validator(mode="after")
    def _one_kind(self) -> "Seeds":
        if (self.uri is None) == (self.domain is None and self.source is None):
            raise ValueError("seeds are a uri, or documents by domain and source")
        return self


class Seed(NamedTuple):
    """A text of known quality."""

    id: str
    text: str
    weight: float


def of(lists: Sequence[Seeds], found: Sequence[Path]) -> list[Seed]:
    """The seeds of all lists with their ids: where a text was found, or the id of the document that it is.

    Raises:
        UserError: one of the lists is empty.
    """
    seeds: list[Seed] = []
    for given in lists:
        texts = _own(given, found) if given.uri is None else _read(given.uri)
        new = [Seed(id, text, given.weight) for id, text in itertools.islice(texts, given.limit) if text.strip()]
        if not new:
            raise UserError(f"no seed is found by {given.model_dump(exclude_defaults=True)}")
        seeds += new
    return seeds


def _read(uri: str) -> Iterator[tuple[str, str]]:
    for source, text, _ in documents.read(uri):
        yield source, (text.decode("utf-8", "replace") if isinstance(text, bytes) else text or "")[: milvus.MOST_BYTES]


def _own(given: Seeds, found: Sequence[Path]) -> Iterator[tuple[str, str]]:
    for row in shards.rows(found, ["id", "text", "source", "domain"]):
        if all(fnmatch.fnmatchcase(row[name] or "", getattr(given, name) or "*") for name in ("domain", "source")):
            yield row["id"], row["text"][: milvus.MOST_BYTES]


def words(text: str) -> list[str]:
    """Words as Milvus' standard analyser parts them."""
    return re.findall(r"\w+", text.lower())


def frequencies(found: Sequence[Path], known: set[str], text_bytes: int, total: int) -> tuple[Counter[str], int]:
    """In how many documents of a sample each known word stands, and how many the sample has."""
    step, number, sample = math.ceil(total / SAMPLE), 0, 0
    counts: Counter[str] = Counter()
    for shard in found if known else ():
        with shards.understood(shard), pyarrow.parquet.ParquetFile(shard) as file:
            for batch in file.iter_batches(2048, columns=["text"]):
                for text in batch.column(0)[-number % step :: step].to_pylist():
                    counts.update(known.intersection(words(milvus.cut(text or "", text_bytes))))
                    sample += 1
                number += batch.num_rows
    return counts, sample


def telling(text: str, counts: Mapping[str, int], among: int, most: int) -> str:
    """The words of a text that tell most of it, by tf-idf, as one query; those that no document has come last.

    A query of all words would mostly go through the long lists of the frequent ones, which decide nothing (Lucene's
    MoreLikeThis chooses in the same way).

    Args:
        text: what should be looked for.
        counts: in how many documents a word stands.
        among: how many documents those are.
        most: words.
    """

    def order(word: str) -> tuple[bool, float, str]:
        return not counts.get(word), -times[word] * math.log((among + 1) / (counts.get(word, 0) + 1)), word

    times = Counter(words(text))
    return " ".join(sorted(times, key=order)[:most])
