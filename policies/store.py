"""An append-only file of JSON lines that survives being killed, and episodes as its rows.

The first line holds the settings that made the rest; a store is only ever continued under equal settings. A line that a
kill cut short, or that was broken since, is passed over when the file is opened again, and said: whoever opened the store makes
anew what was there.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, NotRequired, TypedDict, TypeVar, cast

from .. import disk
from ..core import Episode, Message, Status, UserError, Verdict, without_surrogates

Row = TypeVar("Row", bound=Mapping[str, Any])
"""A row is a mapping that JSON can hold; each kind of store has a TypedDict for its own."""


class VerdictRow(TypedDict):
    """A verdict as a store has it."""

    status: str
    score: float | None
    method: str
    reason: str
    trail: NotRequired[Sequence[str]]


class EpisodeRow(TypedDict):
    """An episode as a store has it; see `core.Episode`."""

    problem: int
    """The problem's index."""
    problem_id: str
    sample: int
    messages: Sequence[Message]
    verdict: VerdictRow
    tokens: int
    finish_reason: str
    turns: Sequence[Sequence[int]]
    """Tokens of each turn of the policy; empty where they are not known."""


class Store(Generic[Row]):
    """Rows on disk, in the order they came."""

    def __init__(self, path: str | Path, settings: Mapping[str, object], check: Callable[[dict[str, Any]], object] = bool):
        """Opens the file, or starts it.

        Args:
            path: of the file.
            settings: what the rows are made with.
            check: given a row, raises what a row of another form makes it raise; such a row counts as broken.

        Raises:
            UserError: the file was made under other settings (the message names one that differs), or is no store. It is then
                left as it is.
        """
        self.path = Path(path)
        if self.path.exists() and not self.path.is_file():
            raise UserError(f"{self.path} is no plain file")
        settings = json.loads(json.dumps(dict(settings)))
        first = json.dumps({"settings": settings}, ensure_ascii=False) + "\n"
        content = self.path.read_bytes() if self.path.exists() else b""
        self.rows: list[Row] = []
        if without_surrogates(first).encode().startswith(content):  # not there, or a kill came before its first line was whole
            self.path.parent.mkdir(parents=True, exist_ok=True)
            disk.write(self.path, first)
            return
        lines = content.split(b"\n")
        for name, then, now in _differences(_settings(lines[0], self.path), json.loads(without_surrogates(first))["settings"]):
            raise UserError(
                f"{self.path} was made with {name}={then!r}, not {now!r}; name another file, or remove this one to start again"
            )
        read = [disk.parse_row(line, check) for line in lines[1:-1] if line.strip()]
        self.rows = cast(list[Row], [row for row in read if row is not None])
        disk.warn_lost_rows(self.path, len(read) - len(self.rows) + bool(lines[-1]))
        if lines[-1]:
            with disk.name_in_errors(self.path):
                os.truncate(self.path, len(content) - len(lines[-1]))

    def append(self, rows: Iterable[Row]) -> None:
        """Writes the rows and sees them to the disk; a lone surrogate becomes U+FFFD.

        Raises:
            OSError: the disk is full, say. None of the rows is then in the file.
        """
        text = without_surrogates("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)).encode()
        with disk.name_in_errors(self.path), self.path.open("ab", buffering=0) as file:
            start, left = file.seek(0, os.SEEK_END), memoryview(text)
            try:
                while left:
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
            except BaseException as error:
                if left or isinstance(error, OSError):  # what an interrupt finds written is whole
                    with contextlib.suppress(OSError):
                        file.truncate(start)
                raise


def _settings(line: bytes, path: Path) -> dict[str, object]:
    """The settings in a store's first line.

    Raises:
        UserError: there are none.
    """
    row = disk.parse_row(line, lambda row: disk.check_types(row, settings=dict))
    if row is None:
        raise UserError(
            f"{path}: its first line does not say what the file was made with, so it cannot be gone on with; name another "
            "file, or remove this one to start again"
        )
    settings: dict[str, object] = row["settings"]
    return settings


def _differences(then: Mapping[str, object], now: Mapping[str, object]) -> Iterator[tuple[str, object, object]]:
    """Settings that differ, with both values; of a setting that is a mapping only the first entry that differs."""
    for name in sorted(then.keys() | now.keys()):
        before, after = then.get(name), now.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            for key, one, other in _differences(before, after):
                yield name, {key: one}, {key: other}
                break
        elif before != after:
            yield name, before, after


def episode_to_json(episode: Episode) -> dict[str, Any]:
    """An episode as a JSON object."""
    return dataclasses.asdict(episode)


def episode_row(problem: int, episode: Episode, turns: Sequence[Sequence[int]]) -> EpisodeRow:
    """An episode as a row.

    Args:
        problem: index of the problem.
        episode: as it ended.
        turns: tokens of each turn of the policy.
    """
    return cast(EpisodeRow, {"problem": problem} | episode_to_json(episode) | {"turns": turns})


def episode_from_json(row: EpisodeRow) -> Episode:
    """The episode of a row; further keys are passed over."""
    given = row["verdict"]
    status, trail = Status(given["status"]), tuple(given.get("trail", ()))
    verdict = Verdict(status, given["score"], given["method"], given["reason"], trail)
    messages = tuple(Message(role=turn["role"], content=turn["content"]) for turn in row["messages"])
    return Episode(row["problem_id"], row["sample"], messages, verdict, row["tokens"], row["finish_reason"])


def check_episode(row: dict[str, Any]) -> None:
    """Raises what a row makes it raise that is no stored episode (KeyError, TypeError, ...)."""
    disk.check_types(row, problem=int, sample=int, problem_id=str, tokens=int, finish_reason=str, turns=list)
    disk.check_types(row["verdict"], score=(int, float, type(None)), method=str, reason=str)
    episode_from_json(cast(EpisodeRow, row))
