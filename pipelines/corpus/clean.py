"""The stage that removes what is not worth training on: by rules, for contamination, and what is there twice.

Three passes. Each shard is examined: rules and contamination tell what goes, and what stays gets a digest and a signature. From
these alone, for all shards together, it follows what is a duplicate of what. Then each shard is parted into `documents`, which
stay, and `removed`, which tells for every document that does not stay why, and shows how it starts.

Contamination is looked for before duplicates: a document with a benchmark's problem in it would otherwise take the place of the
same document without, as the longer of two like ones stays, and then be removed itself.
"""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy
import pyarrow
import pyarrow.compute
import pyarrow.parquet
from pydantic import Field

from ...core import UserError
from ...envs.problems import sources as problem_sources
from .. import figures
from ..stage import Context, Metrics, Stage
from . import shards
from .cleaning import contamination, duplicates, rules
from .cleaning.contamination import Index
from .planted import documents as planted
from .planted import report
from .shards import Counts

EXAMINED, VERDICTS, REMOVED = "examined", "verdicts", "removed"
"""Folders that the passes leave, beside the documents."""
SNIPPET = 300
"""Characters of a removed document that are kept."""
EXAMPLES = 3
"""Of each reason, in the metrics."""


class Clean(Stage):
    """Settings of a `clean` stage."""

    reads_policy: ClassVar[bool] = False
    may_change = frozenset({"workers"})
    compared_in_identity: ClassVar[frozenset[str]] = frozenset({"data"})

    kind: Literal["clean"]
    documents: str = Field(description="folder of a stage that leaves documents, as in {stage:NAME}")
    languages: list[str] = Field(["en"], description="codes of the languages that stay; all do where there are none")
    without: list[str] = Field([], description="names of rules that do not hold")
    near: float | None = Field(0.8, ge=0.5, le=1, description="Jaccard similarity of near duplicates; null: they stay")
    against: list[str] = Field([], description="URIs of problems, benchmark tasks and suites that no document may hold")
    data: str | None = Field(None, description="folder with the files of benchmarks, where they are not read from the hub")
    run_of_words: int = Field(13, ge=contamination.LEAST, description="words in a row by which a problem is told")
    workers: int | None = Field(None, ge=1, description="shards at a time; default: one a processor")

    def identity(self) -> dict[str, str]:
        """The problems of the benchmarks that no document may hold."""
        from ...benchmarks import identity  # with lm-eval, a slow import
        from ...benchmarks.result import Options

        asked = [name for name in self.against if name.partition(":")[0] not in problem_sources.SOURCES]
        return {name: value for task in asked for name, value in identity.of_task(task, Options(data=self.data)).items()}

    def check(self) -> None:
        """The rules are there, and so are the problems and the documents."""
        if unknown := sorted(set(self.without) - set(rules.OPTIONAL)):
            raise UserError(f"without: there is no rule {unknown[0]!r}; there are {', '.join(rules.OPTIONAL)}")
        contamination.index(self.against, self.run_of_words, self.data)
        shards.of(self.documents)

    def run(self, context: Context) -> Metrics:
        """Leaves `documents`, `removed`, and how much each step removed, with examples."""
        given = shards.of(self.documents)
        index = contamination.index(self.against, self.run_of_words, self.data)
        first, second = (dataclasses.replace(context, progress=_half(context, half)) for half in (0, 1))
        work = functools.partial(
            _examined, wanted=tuple(self.languages), without=tuple(self.without), index=index, near=self.near
        )
        counted = shards.over(given, work, context.folder / EXAMINED, first, self.workers)
        verdicts = _verdicts(given, context.folder, self.near)
        removed = context.folder / REMOVED
        removed.mkdir(exist_ok=True)
        work = functools.partial(_parted, removed=str(removed.resolve()))
        parted = shards.over(verdicts, work, context.folder / shards.DOCUMENTS, second, self.workers)
        metrics = _metrics(counted, parted, index)
        if not metrics["kept"]["documents"]:
            worst = max(metrics["removed"], key=lambda why: metrics["removed"][why]["documents"])
            raise UserError(f"{self.name}: no document is left of {metrics['given']['documents']}; most are removed as {worst}")
        if any(count["planted"] for count in counted):
            metrics["planted"] = report.report(given, context.folder / REMOVED, self.near)
        return metrics

    def summary(self, metrics: Metrics) -> str:
        """How much was kept, and what the rest was removed as."""
        removed = ", ".join(f"{why} {count['documents']:,}" for why, count in metrics["removed"].items())
        return f"kept {metrics['kept']['documents']:,} of {metrics['given']['documents']:,} documents; removed {removed}"

    def tables(self, metrics: Metrics) -> str:
        """A row a reason, with examples."""
        rows = [
            (why, count["documents"], count["characters"], figures.examples(count["examples"]))
            for why, count in metrics["removed"].items()
        ]
        return figures.table(("removed as", "documents", "characters", "examples"), rows)


def _half(context: Context, half: int) -> Any:
    """Progress of one of two passes over the same shards."""
    return lambda done, total, **figures: context.progress(half * total + done, 2 * total, **figures)


def _examined(
    table: pyarrow.Table, wanted: tuple[str, ...], without: tuple[str, ...], index: Index, near: float | None
) -> tuple[pyarrow.Table, Counts]:
    """What is known of a shard's documents: why each is removed so far, and by what duplicates are found."""
    found: dict[str, list[Any]] = {name: [] for name in ("length", "why", "of", "detail", "digest")}
    signatures: list[Any] = []
    owns: list[int] = []
    for text, domain in zip(table["text"].to_pylist(), table["domain"].to_pylist(), strict=True):
        read = rules.Reading(text or "", domain)
        why = _why(read, wanted, without, index)
        stays = why[0] is None
        row = (len(read.text), *why, duplicates.digest(read.text) if stays else 0)
        for column, value in zip(found.values(), row, strict=True):
            column.append(value)
        signatures.append(duplicates.signature(read.hashes) if stays and near else None)
        owns.append(duplicates.own(read.words) if stays and domain in rules.WORKED_DOMAINS else 0)
    types = {"length": pyarrow.int64(), "digest": pyarrow.uint64()}
    columns = {name: pyarrow.array(values, types.get(name, pyarrow.string())) for name, values in found.items()}
    columns |= duplicates.columns(signatures, owns, near) if near else {}
    sources = table["source"].to_pylist()
    counted = {
        "documents": len(table),
        "characters": sum(found["length"]),
        "planted": sum(source.startswith(planted.PLANTED) for source in sources),
    }
    return pyarrow.table({"id": table["id"], **columns}), counted


def _why(
    read: rules.Reading, wanted: tuple[str, ...], without: tuple[str, ...], index: Index
) -> tuple[str | None, str | None, str | None]:
    """Why a document is removed, for what it is like, and what was found; three times None where it stays."""
    if broken := rules.reason(read, wanted, without):
        return broken.rule, None, broken.found
    if held := contamination.match(read.hashes, index):
        return contamination.CONTAMINATED, held.problem, " ".join(read.words[held.start : held.start + held.length])
    return None, None, None


def _verdicts(given: list[Path], folder: Path, near: float | None) -> list[Path]:
    """Decides what is a duplicate of what, and writes why each document is removed, a shard for each that was given."""
    examined = [folder / EXAMINED / shard.name for shard in given]
    known = pyarrow.concat_tables(
        [shards.table(shard, columns=["id", "length", "why", "of", "detail", "digest"]) for shard in examined],
        promote_options="permissive",
    )
    why, of, detail = (known[name].to_pylist() for name in ("why", "of", "detail"))
    # The longest first, then by id: of several that are alike the first is kept, wherever it stands.
    order = pyarrow.compute.sort_indices(known, sort_keys=[("length", "descending"), ("id", "ascending")]).to_numpy()
    rows = order[known["why"].is_null().to_numpy()[order]].astype(numpy.int64)

    def remove(kept: Any, reason: str, found: Any = None) -> Any:
        gone = numpy.flatnonzero(kept != numpy.arange(len(rows)))
        for position in gone.tolist():
            row = int(rows[position])
            why[row], of[row] = reason, known["id"][int(rows[kept[position]])].as_py()
            detail[row] = "" if found is None else f"{found[position]:.2f} alike"
        return numpy.delete(rows, gone)

    rows = remove(duplicates.exact(known["digest"].to_numpy()[rows]), duplicates.EXACT)
    if near is not None:
        kept, similarity = duplicates.near(examined, rows, near)
        rows = remove(kept, duplicates.NEAR, similarity)
    columns = {"why": why, "of": of, "detail": detail}
    decided = pyarrow.table({"id": known["id"], **{n: pyarrow.array(v, pyarrow.string()) for n, v in columns.items()}})
    (folder / VERDICTS).mkdir(exist_ok=True)
    written, start = [], 0
    for shard in given:
        size = shards.size(shard)
        written.append(folder / VERDICTS / shard.name)
        shards.write(written[-1], decided.slice(start, size), {"shard": str(shard.resolve())})
        start += size
    return written


def _parted(verdicts: pyarrow.Table, removed: str) -> tuple[pyarrow.Table, Counts]:
    """The documents of a shard that stay; the others are written to another folder."""
    path = Path(json.loads(verdicts.schema.metadata[b"counts"])["shard"])
    table = shards.table(path)
    stays = verdicts["why"].is_null()
    kept, gone = table.filter(stays), table.filter(pyarrow.compute.invert(stays))
    why = verdicts.filter(pyarrow.compute.invert(stays))
    texts = [text or "" for text in gone["text"].to_pylist()]
    snippets = pyarrow.array([text[:SNIPPET] for text in texts], pyarrow.string())
    columns = {name: gone[name] for name in ("id", "source", "domain")} | {name: why[name] for name in ("why", "of", "detail")}
    rows = pyarrow.table({**columns, "characters": pyarrow.array(map(len, texts), pyarrow.int64()), "snippet": snippets})
    shards.write(Path(removed) / path.name, rows)
    characters = pyarrow.compute.sum(pyarrow.compute.utf8_length(kept["text"])).as_py() or 0
    return kept.select(shards.SCHEMA.names), {"documents": len(kept), "characters": characters, "removed": _counted(rows)}


def _counted(removed: pyarrow.Table) -> dict[str, Any]:
    """By reason: how many documents, how many characters, and the first few."""
    counted: dict[str, Any] = {}
    for row in removed.to_pylist():
        of_reason = counted.setdefault(row["why"], {"documents": 0, "characters": 0, "examples": []})
        of_reason["documents"] += 1
        of_reason["characters"] += row["characters"]
        if len(of_reason["examples"]) < EXAMPLES:
            shown = {name: row[name] for name in ("id", "source", "of", "detail") if row[name]}
            of_reason["examples"].append(shown | {"snippet": row["snippet"][:120]})
    return counted


def _metrics(examined: list[dict[str, Any]], parted: list[dict[str, Any]], index: Index) -> Metrics:
    """Sums over the shards."""
    removed: dict[str, Any] = {}
    for reason in (*rules.NAMES, contamination.CONTAMINATED, duplicates.EXACT, duplicates.NEAR):
        found = [shard["removed"][reason] for shard in parted if reason in shard["removed"]]
        if found:
            removed[reason] = {name: sum(one[name] for one in found) for name in ("documents", "characters")}
            removed[reason]["examples"] = [example for one in found for example in one["examples"]][:EXAMPLES]
    sums = [{name: sum(shard[name] for shard in one) for name in ("documents", "characters")} for one in (examined, parted)]
    looked_for = {"problems": len(index.names), "cannot": len(index.cannot), "examples": list(index.cannot[:EXAMPLES])}
    return {"given": sums[0], "kept": sums[1], "removed": removed, "looked_for": looked_for}
