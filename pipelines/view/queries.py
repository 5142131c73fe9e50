"""Answers about a stage's episodes, out of its index: lists, single episodes, groups, problems and histograms."""

import bisect
import dataclasses
import re
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from . import stores
from .folders import NotFoundError
from .parameters import MAX_LIMIT, InvalidRequestError, page, real, whole

COUNTED = 10_000
"""Up to this number the count of a search is exact."""
MAX_FACETS, MAX_POINTS, BINS = 50, 200, 20
"""Longest lists of values of a facet and of steps of a problem, and bins of a histogram. Our choices."""
MAX_STEPS = 20_000
ROUNDING = 1e-9
"""Means that differ by less are the same number: 0.1 + 0.2 is 0.3."""
EPSILON = 1e-6
"""verl adds it to the standard deviation of a group."""
ORDERS = {
    "": "rows.number",
    "number": "rows.number",
    "-number": "rows.number DESC",
    "score": "rows.score, rows.number",
    "-score": "rows.score DESC, rows.number DESC",
    "tokens": "rows.tokens, rows.number",
    "-tokens": "rows.tokens DESC, rows.number DESC",
    "step": "rows.step, rows.problem, rows.attempt, rows.source, rows.sample",
    "-step": "rows.step DESC, rows.problem DESC, rows.attempt DESC, rows.source DESC, rows.sample DESC",
}
COLUMNS = """rows.number, rows.file, rows.offset, rows.length, rows.place, rows.text_offset, rows.text_length, rows.source,
rows.step, rows.problem, rows.sample, rows.attempt, rows.score, rows.status, rows.finish, rows.tokens, rows.turns"""

Answer = dict[str, Any]


class Advantages(NamedTuple):
    """How a GRPO stage computes advantages."""

    by_std: bool


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage whose episodes are asked for."""

    root: Path
    folder: Path
    source: str | None = None
    """The only source to show; None: all."""
    advantages: Advantages | None = None


def episodes(db: sqlite3.Connection, stage: Stage, query: Mapping[str, str]) -> Answer:
    """Returns a page of the episodes that match all filters.

    Raises:
        InvalidRequestError: a filter is invalid.
    """
    order = ORDERS.get(query.get("sort", ""))
    if order is None:
        raise InvalidRequestError(f"sort: expected one of {', '.join(filter(None, ORDERS))}")
    part = page(query)
    where, values, text = _filters(db, stage, query)
    table = "words JOIN rows ON rows.number = words.rowid" if text else "rows"
    clause = f"WHERE {' AND '.join(where)}" if where else ""
    order = order.replace("rows.number", "words.rowid") if text else order
    limited = (
        f"SELECT rows.status, rows.finish, rows.source FROM {table} {clause} LIMIT {COUNTED + 1}"
        if where
        else "SELECT * FROM rows"
    )
    counted = db.execute(f"SELECT status, finish, count(*) FROM ({limited}) GROUP BY status, finish", values).fetchall()
    total = sum(row[2] for row in counted)
    found = db.execute(
        f"SELECT {COLUMNS} FROM {table} {clause} ORDER BY {order} LIMIT :limit OFFSET :offset", {**values, **part}
    )
    names = _names(db)
    shown = _rows(db, stage, found.fetchall(), names)
    answer: Answer = {"total": total}
    if where and total > COUNTED:
        answer = {"total": COUNTED, "total_at_least": True}
    facets = {
        "status": _facet([(names.get(row[0], ""), row[2]) for row in counted]),
        "finish": _facet([(names.get(row[1], ""), row[2]) for row in counted]),
    }
    return {**answer, "facets": facets, "sources": _sources(db), "broken": _broken(db, stage), "rows": shown}


def episode(db: sqlite3.Connection, stage: Stage, number: int) -> Answer:
    """Returns an episode with its messages.

    Raises:
        NotFoundError: there is none with this number, or its file has changed.
    """
    found = db.execute(f"SELECT {COLUMNS} FROM rows WHERE number = ?", (number,)).fetchall()
    if not found or (stage.source is not None and _names(db).get(found[0]["source"]) != stage.source):
        raise NotFoundError(f"there is no episode {number}; it may have been repeated by a resume: search again")
    (row,) = found
    (shown,) = _rows(db, stage, found, _names(db))
    file = db.execute("SELECT path, samples FROM files WHERE id = ?", (row["file"],)).fetchone()
    stored = stores.read_line(stage.root, stage.folder / file["path"], row["offset"], row["length"])
    try:
        if row["place"] < 0:
            return {**shown, "messages": stores.shown(stored["messages"]), "verdict": dict(stored["verdict"]), "gold": None}
        messages = list(stored["prompt"])
        if row["text_offset"] >= 0:
            response = stores.read_line(stage.root, stage.folder / file["samples"], row["text_offset"], row["text_length"])
            messages = response.get("messages") or [*messages, {"role": "assistant", "content": response["text"]}]
        gold, verdict = stored["gold"], stored["samples"][row["place"]]
        shown_gold = gold if gold is None or isinstance(gold, str) else stores.as_json(gold)
        return {**shown, "messages": stores.shown(messages), "verdict": dict(verdict), "gold": shown_gold}
    except (LookupError, TypeError, AttributeError, ValueError):
        raise NotFoundError("the file of this episode has changed; search again") from None


def groups(db: sqlite3.Connection, stage: Stage, query: Mapping[str, str]) -> Answer:
    """Returns a page of the groups of a step: the samples of one problem that are compared with each other.

    Raises:
        InvalidRequestError: a parameter is invalid.
    """
    part, step = page(query), whole(query, "step")
    steps = [row[0] for row in db.execute(_STEPS, (MAX_STEPS,))]
    if step is None:
        step = db.execute("SELECT coalesce(max(step), -1) FROM groups").fetchone()[0]
    only, source = _source_id(db, stage, query)
    clause = "WHERE step = :step" + (" AND source = :source" if only else "")
    values = {"step": step, "source": source}
    total = db.execute(f"SELECT count(*) FROM groups {clause}", values).fetchone()[0]
    listed = db.execute(
        f"SELECT * FROM groups JOIN problems USING (problem, source) {clause} ORDER BY step, problem, attempt, source "
        "LIMIT :limit OFFSET :offset",
        {**values, **part},
    ).fetchall()
    names, found = _names(db), []
    for group in listed:
        key = [group[name] for name in ("step", "problem", "attempt", "source")]
        samples = db.execute(
            "SELECT number, score, finish FROM rows WHERE step = ? AND problem = ? AND attempt = ? AND source = ? "
            f"ORDER BY sample LIMIT {MAX_LIMIT}",
            key,
        ).fetchall()
        found.append(
            {
                "problem": group["problem"],
                "problem_id": group["problem_id"],
                "attempt": group["attempt"],
                "source": names.get(group["source"]) or None,
                "prompt": group["prompt"],
                "scores": [row["score"] for row in samples],
                "numbers": [row["number"] for row in samples],
                "advantages": [_in_group(stage, group, row["score"]) for row in samples],
                "finishes": [names.get(row["finish"], "") for row in samples],
                "mean": group["total"] / group["scored"] if group["scored"] else None,
                "zero_variance": bool(group["scored"]) and group["low"] == group["high"],
            }
        )
    return {"step": None if step < 0 else step, "steps": steps, "total": total, "rows": found}


_STEPS = """WITH RECURSIVE found (step) AS (SELECT min(step) FROM groups WHERE step >= 0 UNION ALL
SELECT (SELECT min(step) FROM groups WHERE groups.step > found.step) FROM found WHERE found.step IS NOT NULL LIMIT ?)
SELECT step FROM found WHERE step IS NOT NULL"""
"""All steps, from the ends of their ranges in the index."""


def problems(db: sqlite3.Connection, stage: Stage, query: Mapping[str, str]) -> Answer:
    """Returns a page of the problems, with their pass rates by step.

    Raises:
        InvalidRequestError: a parameter is invalid.
    """
    orders = {"problem": "problem, source", "": "problem, source", "rate": "rate, problem", "-rate": "rate DESC, problem DESC"}
    if (order := orders.get(query.get("sort", ""))) is None:
        raise InvalidRequestError(f"sort: expected one of {', '.join(filter(None, orders))}")
    part, where, values = page(query), list[str](), dict[str, object]()
    only, values["source"] = _source_id(db, stage, query)
    where += ["source = :source"] * only
    low, high = real(query, "min_rate"), real(query, "max_rate")
    if low is not None:
        where, values["low"] = [*where, "rate >= :low"], low - ROUNDING
    if high is not None:
        where, values["high"] = [*where, "rate <= :high"], high + ROUNDING
    if text := query.get("text", ""):
        where, values["text"] = [*where, "(instr(lower(problem_id), lower(:text)) OR instr(lower(prompt), lower(:text)))"], text
    clause = f"WHERE {' AND '.join(where)}" if where else ""
    total = db.execute(f"SELECT count(*) FROM (SELECT 1 FROM problems {clause} LIMIT {COUNTED + 1})", values).fetchone()[0]
    answer: Answer = {"total": total}
    if total > COUNTED:
        answer = {"total": COUNTED, "total_at_least": True}
        if not where:
            answer = {"total": db.execute("SELECT count(*) FROM problems").fetchone()[0]}
    listed = db.execute(f"SELECT * FROM problems {clause} ORDER BY {order} LIMIT :limit OFFSET :offset", {**values, **part})
    names = _names(db)
    rows = [
        {
            "problem": row["problem"],
            "problem_id": row["problem_id"],
            "source": names.get(row["source"]) or None,
            "prompt": row["prompt"],
            "samples": row["samples"],
            "mean": row["rate"],
            "by_step": _by_step(db, row["problem"], row["source"]),
        }
        for row in listed.fetchall()
    ]
    return {**answer, "rows": rows}


def _by_step(db: sqlite3.Connection, problem: int, source: int) -> list[list[float | None]]:
    rows = db.execute(
        "SELECT step, sum(total) / nullif(sum(scored), 0) FROM groups WHERE problem = ? AND source = ? AND step >= 0 "
        f"GROUP BY step ORDER BY step DESC LIMIT {MAX_POINTS}",
        (problem, source),
    )
    return [[*row] for row in rows][::-1]


def histogram(db: sqlite3.Connection, stage: Stage, query: Mapping[str, str]) -> Answer:
    """Returns a histogram of pass rates of problems, or of scores or tokens of episodes.

    Raises:
        InvalidRequestError: a parameter is invalid.
    """
    of, step = query.get("of", "rate"), whole(query, "step")
    only, source = _source_id(db, stage, query)
    where = ["step = :step"] * (step is not None) + ["source = :source"] * only
    values = {"step": step, "source": source}
    if of == "rate":
        column, table = ("total / scored", "groups") if step is not None else ("rate", "problems")
        where += ["scored > 0"] if step is not None else ["rate IS NOT NULL"]
    elif of in ("score", "tokens"):
        column, table = of, "rows"
        where += [f"{of} IS NOT NULL"]
    else:
        raise InvalidRequestError("of: expected rate, score or tokens")
    clause = f"WHERE {' AND '.join(where)}"
    low, high = db.execute(f"SELECT min({column}), max({column}) FROM {table} {clause}", values).fetchone()
    if low is None:
        return {"edges": [], "counts": []}
    bins = BINS if of != "rate" else 10
    if of == "tokens":
        width = max(1, -(-(high - low + 1) // bins))
        bins = max(1, -(-(high - low + 1) // width))
        edges = [low + width * place for place in range(bins + 1)]
    else:
        low, high = min(0.0, low), max(1.0, high)
        width = (high - low) / bins
        edges = [round(low + width * place, 9) for place in range(bins + 1)]
    counts = [0] * bins
    for value, count in db.execute(f"SELECT {column}, count(*) FROM {table} {clause} GROUP BY 1", values):
        counts[min(bins - 1, max(0, bisect.bisect_right(edges, value + ROUNDING) - 1))] += count
    return {"edges": edges, "counts": counts}


def _filters(db: sqlite3.Connection, stage: Stage, query: Mapping[str, str]) -> tuple[list[str], dict[str, object], bool]:
    """Returns the conditions of a search, their values, and whether texts are searched."""
    where: list[str] = []
    values: dict[str, object] = {}
    for name in ("step", "problem", "attempt", "sample"):
        if (number := whole(query, name)) is not None:
            where, values[name] = [*where, f"rows.{name} = :{name}"], number
    for name in ("status", "finish"):
        if text := query.get(name, ""):
            where, values[name] = [*where, f"rows.{name} = :{name}"], _name_id(db, text)
    for column, kind in (("score", real), ("tokens", whole)):
        for name, sign in ((f"min_{column}", ">="), (f"max_{column}", "<=")):
            if (value := kind(query, name)) is not None:
                where, values[name] = [*where, f"rows.{column} {sign} :{name}"], value
    only, source = _source_id(db, stage, query)
    if only:
        where, values["source"] = [*where, "rows.source = :source"], source
    if text := query.get("text", "").strip():
        where, values["text"] = ["words MATCH :text", *where], _match(text)
    return where, values, bool(text)


def _match(text: str) -> str:
    """Returns a search of FTS5: words in quotes are a phrase, all others must each appear; the last may be a beginning.

    Raises:
        InvalidRequestError: the text has no word.
    """
    parts = [quoted or word for quoted, word in re.findall(r'"([^"]*)"|(\S+)', text[:500])]
    phrases = [re.sub(r'["\0]', " ", stores.words(part)) for part in parts if re.search(r"[^\W_]", part)]
    if not phrases:
        raise InvalidRequestError("text: expected at least one letter or digit")
    beginning = "*" if not text.endswith('"') and len(phrases[-1]) > 2 and phrases[-1].isascii() else ""
    return " AND ".join(f'"{phrase}"' for phrase in phrases) + beginning


def _source_id(db: sqlite3.Connection, stage: Stage, query: Mapping[str, str]) -> tuple[bool, int]:
    """Returns whether one source only is shown, and its id."""
    name = stage.source if stage.source is not None else query.get("source") or None
    return (False, 0) if name is None else (True, _name_id(db, name))


def _name_id(db: sqlite3.Connection, name: str) -> int:
    row = db.execute("SELECT id FROM names WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else -1


def _names(db: sqlite3.Connection) -> dict[int, str]:
    return {row[0]: row[1] for row in db.execute("SELECT id, name FROM names LIMIT 10000")}


def _sources(db: sqlite3.Connection) -> list[str]:
    return [
        row[0] for row in db.execute("SELECT DISTINCT name FROM files JOIN names ON names.id = source ORDER BY name") if row[0]
    ]


def _broken(db: sqlite3.Connection, stage: Stage) -> int:
    """Returns how many lines of the files cannot be read, such as one that a killed process has not ended."""
    only, source = _source_id(db, stage, {})
    clause = "WHERE source = ?" if only else ""
    return int(db.execute(f"SELECT total(broken) FROM files {clause}", (source,) * only).fetchone()[0])


def _facet(counted: Sequence[tuple[str, int]]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for name, count in counted:
        totals[name] = totals.get(name, 0) + count
    return dict(sorted(totals.items(), key=lambda item: -item[1])[:MAX_FACETS])


def _rows(db: sqlite3.Connection, stage: Stage, rows: Sequence[sqlite3.Row], names: Mapping[int, str]) -> list[Answer]:
    """Returns rows of the index as the page shows them."""
    found = []
    for row in rows:
        text = db.execute("SELECT start, method, reason FROM texts WHERE number = ?", (row["number"],)).fetchone()
        problem = db.execute(
            "SELECT problem_id, prompt FROM problems WHERE problem = ? AND source = ?", (row["problem"], row["source"])
        ).fetchone()
        found.append(
            {
                "number": row["number"],
                "source": names.get(row["source"]) or None,
                "step": None if row["step"] < 0 else row["step"],
                "problem": row["problem"],
                "problem_id": problem["problem_id"],
                "sample": row["sample"],
                "attempt": row["attempt"],
                "score": row["score"],
                "advantage": _advantage(db, stage, row),
                "status": names.get(row["status"], ""),
                "method": text["method"],
                "reason": text["reason"],
                "tokens": row["tokens"],
                "finish": names.get(row["finish"], ""),
                "turns": row["turns"],
                "start": text["start"],
                "prompt": problem["prompt"],
            }
        )
    return found


def _advantage(db: sqlite3.Connection, stage: Stage, row: sqlite3.Row) -> float | None:
    """Returns the advantage of an episode in its group."""
    if stage.advantages is None:
        return None
    group = db.execute(
        "SELECT * FROM groups WHERE step = ? AND problem = ? AND attempt = ? AND source = ?",
        (row["step"], row["problem"], row["attempt"], row["source"]),
    ).fetchone()
    return _in_group(stage, group, row["score"]) if group is not None else None


def _in_group(stage: Stage, group: sqlite3.Row, score: float | None) -> float | None:
    """Returns the advantage of a score in a group as verl computes it, without a correction for staleness."""
    if stage.advantages is None or group["step"] < 0 or score is None:
        return None
    count = int(group["scored"])
    if count < 2:
        return score
    if group["low"] == group["high"]:
        return 0.0
    mean = group["total"] / count
    if not stage.advantages.by_std:
        return float(score - mean)
    variance = max(0.0, (group["squares"] - count * mean * mean) / (count - 1))
    return float((score - mean) / (variance**0.5 + EPSILON))
