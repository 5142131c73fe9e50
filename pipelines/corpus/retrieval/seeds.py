"""Seeds: texts of known quality that documents are compared with, and their most distinctive words for the search."""

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
from ..source_size import file_uris
from . import milvus

SAMPLE = 20_000
"""Documents, evenly spaced, whose words are counted for the document frequencies. Our choice."""


class Seeds(BaseModel):
    """Texts of known quality."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str | None = Field(
        None,
        description='URI of documents: "jsonl:FILE", or a pattern of files, with a column text; "problems:URI" for problems '
        "with their solutions",
    )
    domain: str | None = Field(
        None,
        description="without a URI, the seeds are the stage's own documents: pattern of their domains, such as math*",
    )
    source: str | None = Field(None, description="without a URI: pattern of their sources, such as python:stdlib/*")
    weight: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="weight of these seeds: their terms in the similarity are multiplied by it"
    )
    limit: int | None = Field(None, ge=1, description="maximum number of seeds, the first ones; default: all")

    @model_validator(mode="after")
    def _one_kind(self) -> "Seeds":
        if (self.uri is None) == (self.domain is None and self.source is None):
            raise ValueError("seeds: give either uri, or a pattern in domain, source or both")
        return self


class Seed(NamedTuple):
    """A text of known quality."""

    id: str
    text: str
    weight: float


def load(lists: Sequence[Seeds], paths: Sequence[Path]) -> list[Seed]:
    """Returns the seeds of all lists.

    The id of a seed from a URI is the source of its text. The id of a seed from the stage's own documents is the document's id.

    Raises:
        UserError: one of the lists is empty.
    """
    seeds: list[Seed] = []
    for settings in lists:
        texts = _from_documents(settings, paths) if settings.uri is None else _from_uri(settings.uri)
        new = [Seed(id, text, settings.weight) for id, text in itertools.islice(texts, settings.limit) if text.strip()]
        if not new:
            raise UserError(f"seeds: no text matches {settings.model_dump(exclude_defaults=True)}")
        seeds += new
    return seeds


def _from_uri(uri: str) -> Iterator[tuple[str, str]]:
    for source, text, _ in itertools.chain.from_iterable(map(documents.read, file_uris(uri))):
        yield source, (text.decode("utf-8", "replace") if isinstance(text, bytes) else text or "")[: milvus.MAX_TEXT_BYTES]


def _from_documents(settings: Seeds, paths: Sequence[Path]) -> Iterator[tuple[str, str]]:
    for row in shards.rows(paths, ["id", "text", "source", "domain"]):
        if all(fnmatch.fnmatchcase(row[name] or "", getattr(settings, name) or "*") for name in ("domain", "source")):
            yield row["id"], row["text"][: milvus.MAX_TEXT_BYTES]


def words(text: str) -> list[str]:
    """Returns the words of a text, split as Milvus Lite's standard analyser does."""
    return re.findall(r"\w+", text.lower())


def document_frequencies(paths: Sequence[Path], vocabulary: set[str], text_bytes: int, total: int) -> tuple[Counter[str], int]:
    """Counts the documents of a sample that contain each word.

    Args:
        paths: shards of the documents.
        vocabulary: the words to count.
        text_bytes: bytes of each document, from its beginning, that are read.
        total: number of documents in all shards.

    Returns:
        The counts by word, and the number of documents in the sample.
    """
    step, number, sample = math.ceil(total / SAMPLE), 0, 0
    counts: Counter[str] = Counter()
    for shard in paths if vocabulary else ():
        with shards.read_errors(shard), pyarrow.parquet.ParquetFile(shard) as file:
            for batch in file.iter_batches(2048, columns=["text"]):
                for text in batch.column(0)[-number % step :: step].to_pylist():
                    counts.update(vocabulary.intersection(words(milvus.truncate(text or "", text_bytes))))
                    sample += 1
                number += batch.num_rows
    return counts, sample


def distinctive_words(text: str, counts: Mapping[str, int], among: int, max_words: int) -> str:
    """Returns the words of a text with the highest tf-idf, separated by spaces. Words that no document contains come last.

    A query with all words would spend most of its time on the long posting lists of frequent words, which hardly change the
    ranking. Lucene's MoreLikeThis selects words in the same way.

    Args:
        text: the seed's text.
        counts: number of documents with each word.
        among: number of documents that the counts are from.
        max_words: maximum number of words.
    """

    def order(word: str) -> tuple[bool, float, str]:
        return not counts.get(word), -times[word] * math.log((among + 1) / (counts.get(word, 0) + 1)), word

    times = Counter(words(text))
    return " ".join(sorted(times, key=order)[:max_words])
