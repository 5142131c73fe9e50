"""What a cleaning stage found of what was planted, and how much of what it removed is what it was taken for."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .. import shards
from ..cleaning import contamination, duplicates, rules
from .documents import PLANTED

PAIRS = 2_000
"""Of duplicates, at most, whose true similarity is computed; ours."""

STEPS: dict[str, Collection[str]] = {
    "bad": rules.NAMES,
    "contaminated": (contamination.CONTAMINATED,),
    "exact": (duplicates.EXACT, duplicates.NEAR),
    "near": (duplicates.EXACT, duplicates.NEAR),
}
"""For what each kind of planted document is meant to be removed."""


class _Document(NamedTuple):
    id: str
    source: str
    why: str | None
    """None where it stayed."""
    of: str | None


def report(given: Sequence[Path], removed: Path, threshold: float | None) -> dict[str, Any]:
    """Counts by kind.

    A planted document that another step removed, or whose original another step removed, never came to the step that it was
    meant for: it counts neither way. A copy is found where it and its original have one document left of them, whichever.
    What a step removed that was not planted for it counts as wrong, so that the precision of rules and of contamination is a
    lower bound: a corpus has bad documents of its own. Of duplicates those are right whose true similarity to the document that
    stays in their place is at least the threshold.

    Args:
        given: shards of the documents before the stage.
        removed: folder of those that it removed.
        threshold: of near duplicates.

    Returns:
        `recall`: by kind (planted:KIND/HOW) planted, found, missed, removed_otherwise, recall and the sources of a few that
        were missed. `precision`: by reason or step removed, right and precision.
    """
    gone = {row["id"]: _Document(*(row[name] for name in ("id", "source", "why", "of"))) for row in _removed(given, removed)}
    ids = {row["source"]: row["id"] for row in shards.rows(given, ["id", "source"])}
    recall: dict[str, dict[str, Any]] = {}
    for source, id in ids.items():
        if not source.startswith(PLANTED):
            continue
        kind = _kind(source)
        counts = recall.setdefault(
            "/".join(source.removeprefix(PLANTED).split("/")[: 1 if kind == "contaminated" else 2]),
            {"planted": 0, "found": 0, "missed": 0, "removed_otherwise": 0, "examples_missed": []},
        )
        outcome = _outcome(id, ids.get(source.partition("/of/")[2]), kind, gone)
        counts["planted"] += 1
        counts[outcome] += 1
        if outcome == "missed" and len(counts["examples_missed"]) < 3:
            counts["examples_missed"].append(source)
    for counts in recall.values():
        came = counts["found"] + counts["missed"]
        counts["recall"] = round(counts["found"] / came, 4) if came else None
    return {"recall": dict(sorted(recall.items())), "precision": _precision(given, gone, threshold)}


def _removed(given: Sequence[Path], removed: Path) -> Iterator[dict[str, Any]]:
    return shards.rows([removed / shard.name for shard in given], ["id", "source", "why", "of"])


def _kind(source: str) -> str:
    return source.removeprefix(PLANTED).partition("/")[0] if source.startswith(PLANTED) else ""


def _outcome(id: str, original: str | None, kind: str, gone: dict[str, _Document]) -> str:
    why = gone[id].why if id in gone else None
    if kind in ("bad", "contaminated"):
        return "missed" if why is None else "found" if why in STEPS[kind] else "removed_otherwise"
    both = [gone[one].why for one in (id, original) if one in gone]
    if original is None or any(reason not in STEPS[kind] for reason in both):
        return "removed_otherwise"
    return "found" if _left(id, gone) == _left(original, gone) else "missed"


def _left(id: str, gone: dict[str, _Document]) -> str:
    """The document that stays in a duplicate's place."""
    while id in gone and (of := gone[id].of) is not None:
        id = of
    return id


def _precision(given: Sequence[Path], gone: dict[str, _Document], threshold: float | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in ("bad", "contaminated"):
        step = [one for one in gone.values() if one.why in STEPS[kind]]
        right = sum(_kind(one.source) == kind for one in step)
        found["rules" if kind == "bad" else kind] = _share(len(step), right)
    for why in (duplicates.EXACT, duplicates.NEAR):
        pairs = sorted((one.id, one.of) for one in gone.values() if one.why == why and one.of)[:PAIRS]
        wanted = {id for pair in pairs for id in pair}
        texts = {row["id"]: row["text"] for row in shards.rows(given, ["id", "text"]) if row["id"] in wanted} if pairs else {}
        similar = [duplicates.jaccard(texts[one], texts[other]) for one, other in pairs]
        least = 1.0 if why == duplicates.EXACT else threshold or 0.0
        found[why] = _share(len(pairs), sum(value >= least for value in similar))
        if similar:
            found[why]["least_similar"] = round(min(similar), 4)
    return found


def _share(removed: int, right: int) -> dict[str, Any]:
    return {"removed": removed, "right": right, "precision": round(right / removed, 4) if removed else None}
