"""`Store`: an append-only file of JSON lines that stays valid if the process is killed. Also episodes as rows of a store.

The first line contains the settings of the rows. A store can be continued only under equal settings. When a store is opened,
broken lines are skipped and logged, such as the last line of a killed process. The caller produces the lost rows again.
"""

import contextlib
import dataclasses
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, NotRequired, TypedDict, TypeVar, cast

from .. import disk
from ..core import Completion, Episode, Message, Part, Sampling, Status, UserError, Verdict
from ..texts import without_surrogates

Row = TypeVar("Row", bound=Mapping[str, object])
"""A JSON object. Each kind of store has a TypedDict for its rows."""


def sampling_settings(sampling: Sampling) -> dict[str, object]:
    """Returns sampling settings as they are recorded with samples. `top_k` is left out if it is None."""
    return {name: value for name, value in dataclasses.asdict(sampling).items() if name != "top_k" or value is not None}


class VerdictRow(TypedDict):
    """A verdict in a store."""

    status: str
    score: float | None
    method: str
    reason: str
    judge_messages: NotRequired[Sequence[str]]
    parts: NotRequired[Sequence["PartRow"]]
    """Omitted if the verdict has no parts."""


class PartRow(TypedDict):
    """A part of a verdict in a store; see `core.Part`."""

    name: str
    score: float | None
    weight: float
    method: str
    reason: str


class EpisodeRow(TypedDict):
    """An episode in a store; see `core.Episode`."""

    problem: int
    """Index of the problem."""
    problem_id: str
    sample: int
    messages: Sequence[Message]
    verdict: VerdictRow
    tokens: int
    finish_reason: str
    turns: Sequence[Sequence[int]]
    """Tokens of each turn of the policy; empty if unknown."""
    last_turn: NotRequired[str]
    """Finish reason of the last turn. Omitted if it is the episode's."""


class Store(Generic[Row]):
    """Rows in a file, in the order of `append`."""

    def __init__(self, path: str | Path, settings: Mapping[str, object], check: Callable[[dict[str, Any]], object] = bool):
        """Opens or creates the file.

        Args:
            path: path of the file.
            settings: settings that the rows are produced with.
            check: raises for a row of another form, which then counts as broken.

        Raises:
            UserError: the file has other settings (the message names one that differs), or is not a store. The file is
                unchanged.
        """
        self.path = Path(path)
        if self.path.exists() and not self.path.is_file():
            raise UserError(f"{self.path} is not a regular file")
        settings = json.loads(json.dumps(dict(settings)))
        first = json.dumps({"settings": settings}, ensure_ascii=False) + "\n"
        content = self.path.read_bytes() if self.path.exists() else b""
        self.rows: list[Row] = []
        if without_surrogates(first).encode().startswith(content):  # no file, or only a part of the first line
            self.path.parent.mkdir(parents=True, exist_ok=True)
            disk.write(self.path, first)
            return
        lines = content.split(b"\n")
        for name, stored, new in _differences(
            _settings(lines[0], self.path), json.loads(without_surrogates(first))["settings"]
        ):
            raise UserError(
                f"{self.path} was made with {name}={stored!r}, not {new!r}; "
                "use another file (another --out), or remove this one to start again"
            )
        parsed = [disk.parse_row(line, check) for line in lines[1:-1] if line.strip()]
        self.rows = cast(list[Row], [row for row in parsed if row is not None])
        disk.warn_lost_rows(self.path, len(parsed) - len(self.rows) + bool(lines[-1]))
        if lines[-1]:
            with disk.name_in_errors(self.path):
                os.truncate(self.path, len(content) - len(lines[-1]))

    def append(self, rows: Iterable[Row]) -> None:
        """Writes the rows and flushes them to the disk. Lone surrogates become U+FFFD.

        Raises:
            OSError: for example, the disk is full. The file then has none of the rows.
        """
        text = without_surrogates("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)).encode()
        with disk.name_in_errors(self.path), self.path.open("ab", buffering=0) as file:
            start, remaining = file.seek(0, os.SEEK_END), memoryview(text)
            try:
                while remaining:
                    remaining = remaining[file.write(remaining) :]
                os.fsync(file.fileno())
            except BaseException as error:
                if remaining or isinstance(error, OSError):  # after an interrupt, complete rows are kept
                    with contextlib.suppress(OSError):
                        file.truncate(start)
                raise


def _settings(line: bytes, path: Path) -> dict[str, object]:
    """Returns the settings in the first line of a store.

    Raises:
        UserError: the line has no settings.
    """
    row = disk.parse_row(line, lambda row: disk.check_types(row, settings=dict))
    if row is None:
        raise UserError(
            f"{path}: the first line has no settings, so that the file cannot be continued; use another file, "
            "or remove this one to start again"
        )
    settings: dict[str, object] = row["settings"]
    return settings


def _differences(stored: Mapping[str, object], new: Mapping[str, object]) -> Iterator[tuple[str, object, object]]:
    """Yields settings that differ, with both values. For a mapping, it yields only the first entry that differs."""
    for name in sorted(stored.keys() | new.keys()):
        before, after = stored.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            for key, old_value, new_value in _differences(before, after):
                yield name, {key: old_value}, {key: new_value}
                break
        elif before != after:
            yield name, before, after


def episode_to_json(episode: Episode) -> dict[str, Any]:
    """Returns an episode as a JSON object."""
    return dataclasses.asdict(episode) | {"verdict": verdict_to_json(episode.verdict)}


def verdict_to_json(verdict: Verdict) -> VerdictRow:
    """Returns a verdict as a JSON object, without `parts` if it has none."""
    row = cast(VerdictRow, dataclasses.asdict(verdict))
    if not verdict.parts:
        del row["parts"]
    return row


def verdict_from_json(row: VerdictRow) -> Verdict:
    """Returns the verdict of a JSON object. Further keys are ignored."""
    status, judge_messages = Status(row["status"]), tuple(row.get("judge_messages", ()))
    parts = tuple(Part(**part) for part in row.get("parts", ()))
    return Verdict(status, row["score"], row["method"], row["reason"], judge_messages, parts)


def part_means(parts: Iterable[Sequence[PartRow]]) -> dict[str, float]:
    """Returns the mean score of each part of a reward, by the part's name. Parts without a score are left out.

    Args:
        parts: the parts of each verdict; empty for a reward without parts.
    """
    scores: dict[str, list[float]] = {}
    for part in itertools.chain.from_iterable(parts):
        if part["score"] is not None:
            scores.setdefault(part["name"], []).append(part["score"])
    return {name: sum(values) / len(values) for name, values in scores.items()}


def episode_row(problem: int, episode: Episode, turns: Sequence[Completion]) -> EpisodeRow:
    """Returns an episode as a row.

    Args:
        problem: index of the problem.
        episode: the finished episode.
        turns: the turns of the policy.
    """
    row = {"problem": problem} | episode_to_json(episode) | {"turns": [turn.token_ids for turn in turns]}
    if turns and turns[-1].finish_reason != episode.finish_reason:
        row["last_turn"] = turns[-1].finish_reason
    return cast(EpisodeRow, row)


def episode_from_json(row: EpisodeRow) -> Episode:
    """Returns the episode of a row. Further keys are ignored."""
    verdict = verdict_from_json(row["verdict"])
    messages = tuple(cast(Message, {**turn, "role": turn["role"], "content": turn["content"]}) for turn in row["messages"])
    return Episode(row["problem_id"], row["sample"], messages, verdict, row["tokens"], row["finish_reason"])


def check_episode(row: dict[str, Any]) -> None:
    """Checks that a row is a stored episode; raises KeyError, TypeError or ValueError if it is not."""
    disk.check_types(row, problem=int, sample=int, problem_id=str, tokens=int, finish_reason=str, turns=list)
    disk.check_types(row["verdict"], score=(int, float, type(None)), method=str, reason=str)
    episode_from_json(cast(EpisodeRow, row))
