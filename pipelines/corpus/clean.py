"""The `clean` stage: removes documents that break a rule, contain a benchmark problem or duplicate another.

It has three passes. First, each shard is examined: rules and contamination decide removals, and the other documents get a
digest and a MinHash signature. Second, duplicates are found from the digests and signatures of all shards. Third, each shard is
split into `documents` (kept) and `removed` (with the reason and the beginning of each document).

Columns of `removed`: id, source and domain of the document, reason, match (the problem that it contains, or the document that
it duplicates), detail, number of characters, snippet.

Contamination is checked before duplicates. The longer one of two near duplicates is kept. A contaminated copy is often the
longer one. If duplicates were found first, it would replace the clean document and then be removed itself.
"""

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal, TypedDict

import numpy
import pyarrow
import pyarrow.compute
import pyarrow.parquet
from numpy.typing import NDArray
from pydantic import Field

from ...core import UserError
from ...envs.problems import sources as problem_sources
from .. import figures
from ..stage import Context, CostEstimate, Metrics, Stage
from . import shards
from .cleaning import contamination, duplicates, rules
from .cleaning.contamination import Index
from .cleaning.languages import codes as language_codes
from .planted import documents as planted
from .planted import report
from .shards import Counts

EXAMINED, DECISIONS, REMOVED = "examined", "decisions", "removed"
"""Folders within the stage's folder, one per pass."""
SNIPPET = 300
"""Characters stored of a removed document. Our choice."""
EXAMPLES = 3
"""Examples of each reason in the metrics. Our choice."""


class ReasonCounts(TypedDict):
    """Documents removed for one reason."""

    documents: int
    characters: int
    examples: list[dict[str, str]]
    """The first `EXAMPLES` documents."""


class Clean(Stage):
    """Settings of a `clean` stage."""

    reads_policy: ClassVar[bool] = False
    may_change = frozenset({"workers"})
    compared_in_identity: ClassVar[frozenset[str]] = frozenset({"data"})

    kind: Literal["clean"]
    documents: str = Field(description="folder of a stage that writes documents, as in {stage:NAME}")
    languages: list[str] = Field(["en"], description="codes of the languages to keep; an empty list keeps all")
    disabled_rules: list[str] = Field([], description="names of rules to turn off")
    near_duplicates: float | None = Field(
        0.8, ge=0.5, le=1, description="minimum Jaccard similarity of near duplicates; null keeps near duplicates"
    )
    decontaminate: list[str] = Field(
        [], description="URIs of problems, benchmark tasks and suites; documents that contain one of their problems are removed"
    )
    data: str | None = Field(
        None,
        description="folder with the files of the benchmark tasks; default: the Hugging Face hub, which does not have all of "
        "them",
    )
    ngram_words: int = Field(
        13, ge=contamination.MIN_WORDS, description="consecutive words of a problem that must occur in a document"
    )
    workers: int | None = Field(None, ge=1, description="shards processed in parallel; default: one per processor")

    def identity(self) -> dict[str, str]:
        """Returns the digests of the benchmarks' problems."""
        from ...benchmarks import identity  # a slow import, because it imports lm-eval
        from ...benchmarks.result import Options

        tasks = [name for name in self.decontaminate if name.partition(":")[0] not in problem_sources.SOURCES]
        return {name: value for task in tasks for name, value in identity.of_task(task, Options(data=self.data)).items()}

    def check(self) -> None:
        """Checks that the rules, languages, problems and documents exist."""
        if unknown := sorted(set(self.disabled_rules) - set(rules.OPTIONAL)):
            raise UserError(f"disabled_rules: unknown rule {unknown[0]!r}; use {', '.join(rules.OPTIONAL)}")
        if unknown := sorted(set(self.languages) - (codes := language_codes())):
            raise UserError(f"languages: unknown code {unknown[0]!r}; use {', '.join(sorted(codes))}")
        contamination.build_index(self.decontaminate, self.ngram_words, self.data)
        shards.list_shards(self.documents)

    def cost(self) -> CostEstimate:
        """Returns the bytes to write: no more than those of the documents."""
        return CostEstimate(written_bytes=1, copies_of=self.documents)

    def run(self, context: Context) -> Metrics:
        """Writes `documents` and `removed`, and returns how many documents each reason removed, with examples."""
        paths = shards.list_shards(self.documents)
        index = contamination.build_index(self.decontaminate, self.ngram_words, self.data)
        first, second = (dataclasses.replace(context, progress=_half(context, half)) for half in (0, 1))
        work = functools.partial(
            _examine_shard,
            languages=tuple(self.languages),
            disabled=tuple(self.disabled_rules),
            index=index,
            near=self.near_duplicates,
        )
        examined = shards.map_shards(paths, work, context.folder / EXAMINED, first, self.workers)
        decisions = _write_decisions(paths, context.folder, self.near_duplicates)
        removed = context.folder / REMOVED
        removed.mkdir(exist_ok=True)
        work = functools.partial(_split_shard, removed=str(removed.resolve()))
        split = shards.map_shards(decisions, work, context.folder / shards.DOCUMENTS, second, self.workers)
        metrics = _metrics(examined, split, index)
        if not metrics["kept"]["documents"]:
            main = max(metrics["removed"], key=lambda reason: metrics["removed"][reason]["documents"])
            total = metrics["input"]["documents"]
            raise UserError(
                f"{self.name}: all {total} documents were removed, most of them as {main}; change the documents or the rules"
            )
        if any(count["planted"] for count in examined):
            metrics["planted"] = report.report(paths, context.folder / REMOVED, self.near_duplicates)
        return metrics

    def summary(self, metrics: Metrics) -> str:
        """Returns the numbers of kept and removed documents, by reason."""
        removed = ", ".join(f"{reason} {count['documents']:,}" for reason, count in metrics["removed"].items())
        kept, total = metrics["kept"]["documents"], metrics["input"]["documents"]
        return f"kept {kept:,} of {total:,} documents; removed {removed or 'none'}"

    def tables(self, metrics: Metrics) -> str:
        """Returns a table with a row per reason, with examples."""
        rows = [
            (reason, count["documents"], count["characters"], figures.examples_text(count["examples"]))
            for reason, count in metrics["removed"].items()
        ]
        return figures.table(("removed as", "documents", "characters", "examples"), rows)


def _half(context: Context, half: int) -> Callable[..., None]:
    """Returns a progress function for one of two passes over the same shards."""
    return lambda done, total, **values: context.progress(half * total + done, 2 * total, **values)


def _examine_shard(
    table: pyarrow.Table, languages: tuple[str, ...], disabled: tuple[str, ...], index: Index, near: float | None
) -> tuple[pyarrow.Table, Counts]:
    """Returns for each document the reason for its removal, if any, and the data that duplicates are found by."""
    found: dict[str, list[int | str | None]] = {name: [] for name in ("length", "reason", "match", "detail", "digest")}
    signatures: list[NDArray[numpy.uint32] | None] = []
    number_hashes: list[int] = []
    for text, domain in zip(table["text"].to_pylist(), table["domain"].to_pylist(), strict=True):
        document = rules.DocumentText(text or "", domain)
        reason = _reason(document, languages, disabled, index)
        stays = reason[0] is None
        row = (len(document.text), *reason, duplicates.text_hash(document.text) if stays else 0)
        for column, value in zip(found.values(), row, strict=True):
            column.append(value)
        signatures.append(duplicates.signature(document.hashes) if stays and near else None)
        number_hashes.append(duplicates.number_hash(document.words) if stays and domain in rules.WORKED_DOMAINS else 0)
    types = {"length": pyarrow.int64(), "digest": pyarrow.uint64()}
    columns = {name: pyarrow.array(values, types.get(name, pyarrow.string())) for name, values in found.items()}
    columns |= duplicates.signature_columns(signatures, number_hashes, near) if near else {}
    sources = table["source"].to_pylist()
    counted = {
        "documents": len(table),
        "characters": pyarrow.compute.sum(columns["length"]).as_py() or 0,
        "planted": sum(source.startswith(planted.PLANTED) for source in sources),
    }
    return pyarrow.table({"id": table["id"], **columns}), counted


def _reason(
    document: rules.DocumentText, languages: tuple[str, ...], disabled: tuple[str, ...], index: Index
) -> tuple[str | None, str | None, str | None]:
    """Returns the columns reason, match and detail of a document; all None if it is kept so far."""
    if broken := rules.broken_rule(document, languages, disabled):
        return broken.rule, None, broken.detail
    if match := contamination.find_problem(document.hashes, index):
        words = document.words[match.start : match.start + match.length]
        return contamination.CONTAMINATED, match.problem, " ".join(words)
    return None, None, None


def _write_decisions(paths: list[Path], folder: Path, near: float | None) -> list[Path]:
    """Finds the duplicates and writes the reason of each removal, in one shard per shard of documents."""
    examined = [folder / EXAMINED / shard.name for shard in paths]
    examined_rows = pyarrow.concat_tables(
        [shards.table(shard, columns=["id", "length", "reason", "match", "detail", "digest"]) for shard in examined],
        promote_options="permissive",
    )
    reasons, matches, details = (examined_rows[name].to_pylist() for name in ("reason", "match", "detail"))
    # Ordered by length, then by id, so that the duplicate that is kept does not depend on the shards.
    order = pyarrow.compute.sort_indices(examined_rows, sort_keys=[("length", "descending"), ("id", "ascending")]).to_numpy()
    rows = order[examined_rows["reason"].is_null().to_numpy()[order]].astype(numpy.int64)

    def remove(kept: duplicates.Rows, reason: str, similarity: NDArray[numpy.float64] | None = None) -> duplicates.Rows:
        gone = numpy.flatnonzero(kept != numpy.arange(len(rows)))
        for position in gone.tolist():
            row = int(rows[position])
            reasons[row], matches[row] = reason, examined_rows["id"][int(rows[kept[position]])].as_py()
            details[row] = "" if similarity is None else f"similarity {similarity[position]:.2f}"
        return numpy.delete(rows, gone)

    rows = remove(duplicates.exact_duplicates(examined_rows["digest"].to_numpy()[rows]), duplicates.EXACT)
    if near is not None:
        kept, similarity = duplicates.near_duplicates(examined, rows, near)
        rows = remove(kept, duplicates.NEAR, similarity)
    columns = {"reason": reasons, "match": matches, "detail": details}
    decided = pyarrow.table({"id": examined_rows["id"], **{n: pyarrow.array(v, pyarrow.string()) for n, v in columns.items()}})
    (folder / DECISIONS).mkdir(exist_ok=True)
    written, start = [], 0
    for shard in paths:
        size = shards.size(shard)
        written.append(folder / DECISIONS / shard.name)
        shards.write(written[-1], decided.slice(start, size), {"shard": str(shard.resolve())})
        start += size
    return written


def _split_shard(decisions: pyarrow.Table, removed: str) -> tuple[pyarrow.Table, Counts]:
    """Returns the documents of a shard that are kept, and writes the others to the folder `removed`."""
    path = Path(json.loads(decisions.schema.metadata[b"counts"])["shard"])
    table = shards.table(path)
    stays = decisions["reason"].is_null()
    kept, gone = table.filter(stays), table.filter(pyarrow.compute.invert(stays))
    removals = decisions.filter(pyarrow.compute.invert(stays))
    texts = [text or "" for text in gone["text"].to_pylist()]
    snippets = pyarrow.array([text[:SNIPPET] for text in texts], pyarrow.string())
    columns = {name: gone[name] for name in ("id", "source", "domain")} | {
        name: removals[name] for name in ("reason", "match", "detail")
    }
    rows = pyarrow.table({**columns, "characters": pyarrow.array(map(len, texts), pyarrow.int64()), "snippet": snippets})
    shards.write(Path(removed) / path.name, rows)
    characters = pyarrow.compute.sum(pyarrow.compute.utf8_length(kept["text"])).as_py() or 0
    return kept.select(shards.SCHEMA.names), {"documents": len(kept), "characters": characters, "removed": _counted(rows)}


def _counted(removed: pyarrow.Table) -> dict[str, ReasonCounts]:
    """Returns the counts of removed documents by reason, with the first few as examples."""
    counted: dict[str, ReasonCounts] = {}
    for row in removed.to_pylist():
        of_reason = counted.setdefault(row["reason"], {"documents": 0, "characters": 0, "examples": []})
        of_reason["documents"] += 1
        of_reason["characters"] += row["characters"]
        if len(of_reason["examples"]) < EXAMPLES:
            example = {name: row[name] for name in ("id", "source", "match", "detail") if row[name]}
            of_reason["examples"].append(example | {"snippet": row["snippet"][:120]})
    return counted


def _metrics(examined: list[dict[str, Any]], split: list[dict[str, Any]], index: Index) -> Metrics:
    """Returns the sums over the shards."""
    removed: dict[str, ReasonCounts] = {}
    for reason in (*rules.NAMES, contamination.CONTAMINATED, duplicates.EXACT, duplicates.NEAR):
        parts: list[ReasonCounts] = [shard["removed"][reason] for shard in split if reason in shard["removed"]]
        if parts:
            removed[reason] = {
                "documents": sum(part["documents"] for part in parts),
                "characters": sum(part["characters"] for part in parts),
                "examples": [example for part in parts for example in part["examples"]][:EXAMPLES],
            }
    sums = [{name: sum(shard[name] for shard in part) for name in ("documents", "characters")} for part in (examined, split)]
    searched = {
        "problems": len(index.names),
        "unsearchable": len(index.unsearchable),
        "examples": list(index.unsearchable[:EXAMPLES]),
    }
    return {"input": sums[0], "kept": sums[1], "removed": removed, "contamination": searched}
