"""Recall and precision of a `clean` stage, measured with planted documents."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

from .. import shards
from ..cleaning import contamination, duplicates, rules
from .documents import PLANTED

PAIRS = 2_000
"""Maximal number of duplicate pairs whose exact similarity is computed. Our choice."""

STEPS: dict[str, Collection[str]] = {
    "bad": rules.NAMES,
    "contaminated": (contamination.CONTAMINATED,),
    "exact": (duplicates.EXACT, duplicates.NEAR),
    "near": (duplicates.EXACT, duplicates.NEAR),
}
"""The reasons for which each kind of planted document should be removed."""


class Outcomes(TypedDict):
    """What happened to the planted documents of one kind."""

    planted: int
    found: int
    missed: int
    removed_by_other_step: int
    """They or their originals were removed for another reason, or the corpus has no original. Not counted in the recall."""
    recall: NotRequired[float | None]
    examples_missed: list[str]
    """Sources of the first three missed documents."""


class Precision(TypedDict):
    """How many removed documents were checked (of duplicates at most `PAIRS`), and how many of them were removed correctly."""

    removed: int
    correct: int
    precision: float | None
    min_similarity: NotRequired[float]
    """Least exact similarity of a removed duplicate and the kept document."""


class Report(TypedDict):
    """The result of `report`."""

    recall: dict[str, Outcomes]
    """By kind of planted document, as KIND or KIND/HOW."""
    precision: dict[str, Precision]
    """By reason or step."""


class _Document(NamedTuple):
    id: str
    source: str
    reason: str | None
    match: str | None
    """Id of the document that is kept instead of a duplicate."""


def report(paths: Sequence[Path], removed: Path, threshold: float | None) -> Report:
    """Returns the recall by kind of planted document, and the precision by reason.

    A planted document does not count if another step removed it or its original, because it never reached the intended step. A
    copy is found if a single document is kept for the copy and its original. If several documents have the original's source,
    each of them counts as the original. If the step for rules or for contamination removed a document that was not planted for
    that step, the removal counts as incorrect. The precision of these two steps is therefore a lower bound, because a corpus
    has bad documents of its own. A removed duplicate is correct if its exact similarity to the kept document is at least the
    threshold (1 for an exact duplicate).

    Args:
        paths: shards of the documents before the stage.
        removed: folder of the removed documents.
        threshold: minimum similarity of near duplicates.
    """
    removed_documents = {
        row["id"]: _Document(*(row[name] for name in ("id", "source", "reason", "match"))) for row in _removed(paths, removed)
    }
    ids: dict[str, list[str]] = {}
    for row in shards.rows(paths, ["id", "source"]):
        ids.setdefault(row["source"], []).append(row["id"])
    recall: dict[str, Outcomes] = {}
    for source, (id, *_) in ids.items():
        kind = _kind(source)
        if kind not in STEPS:
            continue
        counts = recall.setdefault(
            "/".join(source.removeprefix(PLANTED).split("/")[: 1 if kind == "contaminated" else 2]),
            {"planted": 0, "found": 0, "missed": 0, "removed_by_other_step": 0, "examples_missed": []},
        )
        outcome = _outcome(id, ids.get(source.partition("/of/")[2], []), kind, removed_documents)
        counts["planted"] += 1
        counts[outcome] += 1
        if outcome == "missed" and len(counts["examples_missed"]) < 3:
            counts["examples_missed"].append(source)
    for counts in recall.values():
        reached = counts["found"] + counts["missed"]
        counts["recall"] = round(counts["found"] / reached, 4) if reached else None
    return {"recall": dict(sorted(recall.items())), "precision": _precision(paths, removed_documents, threshold)}


def _removed(paths: Sequence[Path], removed: Path) -> Iterator[dict[str, Any]]:
    return shards.rows([removed / shard.name for shard in paths], ["id", "source", "reason", "match"])


def _kind(source: str) -> str:
    return source.removeprefix(PLANTED).partition("/")[0] if source.startswith(PLANTED) else ""


def _outcome(
    id: str, originals: Sequence[str], kind: str, removed_documents: dict[str, _Document]
) -> Literal["found", "missed", "removed_by_other_step"]:
    """Returns what happened to a planted document.

    Args:
        id: its id.
        originals: ids of the document that it copies and of all others with the same source; empty if it copies none.
        kind: its kind.
        removed_documents: the removed documents by id.
    """
    reason = removed_documents[id].reason if id in removed_documents else None
    if kind in ("bad", "contaminated"):
        return "missed" if reason is None else "found" if reason in STEPS[kind] else "removed_by_other_step"
    reached = [o for o in originals if o not in removed_documents or removed_documents[o].reason in STEPS[kind]]
    if not reached or reason not in (None, *STEPS[kind]):
        return "removed_by_other_step"
    kept = _kept(id, removed_documents)
    return "found" if any(_kept(original, removed_documents) == kept for original in reached) else "missed"


def _kept(id: str, removed_documents: dict[str, _Document]) -> str:
    """Returns the id of the document that is kept instead of this one, or its own id if it is kept."""
    seen: set[str] = set()  # if documents have the same id, their matches may form a cycle
    while id not in seen and id in removed_documents and (kept := removed_documents[id].match) is not None:
        seen.add(id)
        id = kept
    return id


def _precision(paths: Sequence[Path], removed_documents: dict[str, _Document], threshold: float | None) -> dict[str, Precision]:
    found: dict[str, Precision] = {}
    for kind in ("bad", "contaminated"):
        step = [document for document in removed_documents.values() if document.reason in STEPS[kind]]
        correct = sum(_kind(document.source) == kind for document in step)
        found["rules" if kind == "bad" else kind] = _precision_row(len(step), correct)
    for reason in (duplicates.EXACT, duplicates.NEAR):
        pairs = sorted(
            (document.id, document.match)
            for document in removed_documents.values()
            if document.reason == reason and document.match
        )[:PAIRS]
        needed = {id for pair in pairs for id in pair}
        texts = {row["id"]: row["text"] for row in shards.rows(paths, ["id", "text"]) if row["id"] in needed} if pairs else {}
        similar = [duplicates.jaccard(texts[id], texts[kept]) for id, kept in pairs]
        minimum = 1.0 if reason == duplicates.EXACT else threshold or 0.0
        found[reason] = _precision_row(len(pairs), sum(value >= minimum for value in similar))
        if similar:
            found[reason]["min_similarity"] = round(min(similar), 4)
    return found


def _precision_row(removed: int, correct: int) -> Precision:
    return {"removed": removed, "correct": correct, "precision": round(correct / removed, 4) if removed else None}
