"""Samples as rows of a table: what the policy was asked, what it answered, and its score."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

from .... import disk
from ....core import Message, message_text
from ....texts import without_surrogates
from .tracker import Cell

ROWS, CHARACTERS = 8, 2_000
"""Samples in a table, and the longest text in it, in characters. Our choice."""
COLUMNS = ("problem", "prompt", "response", "score", "reason")
Rows = list[Sequence[Cell]]


def of_stage(folder: Path) -> Rows:
    """Returns samples of a finished stage that stores them, each of another problem; empty for other stages."""
    if (folder / "episodes.jsonl").is_file():
        return of_episodes(row for _, row in disk.read_rows(folder / "episodes.jsonl", check_episode))
    return [row for file in sorted(folder.glob("*.scores.jsonl")) for row in _bench_samples(file)]


def of_episodes(episodes: Iterable[disk.Row]) -> Rows:
    """Returns the first sample of each of the first problems.

    Args:
        episodes: rows of an episode store.
    """
    found: dict[int, disk.Row] = {}
    for row in episodes:
        found.setdefault(row["problem"], row)
        if len(found) == ROWS:
            break
    return [_episode_row(row) for row in found.values()]


def _episode_row(row: disk.Row) -> Sequence[Cell]:
    messages = row["messages"]
    first = next((number for number, turn in enumerate(messages) if turn["role"] == "assistant"), len(messages))
    verdict = row["verdict"]
    texts = (_text(messages[:first]), _text(messages[first:]), verdict["score"], _cut(str(verdict.get("reason", ""))))
    return [_cut(str(row.get("problem_id", row["problem"]))), *texts]


def _text(turns: Sequence[disk.Row]) -> str:
    """Returns the text of turns; the role stands before each turn if there are several."""
    texts = [message_text(cast(Message, turn)) for turn in turns]
    named = [f"{turn['role']}: {text}" for turn, text in zip(turns, texts, strict=True)] if len(turns) > 1 else texts
    return _cut("\n".join(named))


def _cut(text: str) -> str:
    shown = without_surrogates(text)
    return shown if len(shown) <= CHARACTERS else f"{shown[:CHARACTERS]} …"


def check_episode(row: disk.Row) -> None:
    """Checks the fields of an episode that a table shows.

    Raises:
        KeyError, TypeError: a field is missing or of another type.
    """
    disk.check_types(row, problem=int, sample=int, messages=list, verdict=dict)
    disk.check_types(row["verdict"], score=(int, float, type(None)))


def _bench_samples(scores: Path) -> Iterator[Sequence[Cell]]:
    """Yields the first sample of each of the first problems of a benchmark task."""
    chosen = [row for _, row in itertools.islice(disk.read_rows(scores, _check_scored), ROWS)]
    wanted = {row["request"] for row in chosen}
    texts: dict[str, str] = {}
    for store in sorted(scores.parent.glob("*.samples.jsonl")):
        for _, row in disk.read_rows(store):
            request = str(row["request"] if "request" in row else row.get("problem"))
            if request in wanted and row.get("sample") == 0:
                texts.setdefault(request, _answer(row))
            if len(texts) == len(wanted):
                break
    for row in chosen:
        first = row["samples"][0]
        prompt = row["prompt"] if isinstance(row["prompt"], str) else _text(row["prompt"])
        answer = texts.get(row["request"], "")
        yield [_cut(str(row["problem"])), _cut(prompt), _cut(answer), first["score"], _cut(str(first.get("reason", "")))]


def _answer(row: disk.Row) -> str:
    """Returns the text of a stored sample: a response, or the turns of an episode after the first two."""
    return str(row["text"]) if "text" in row else _text(row.get("messages", [])[1:])


def _check_scored(row: disk.Row) -> None:
    disk.check_types(row, request=str, prompt=(str, list), samples=list)
    disk.check_types(row["samples"][0], score=(int, float, type(None)))
