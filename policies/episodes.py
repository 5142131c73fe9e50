"""An episode as a row of JSON, and back."""

import dataclasses
from typing import Any

from .. import disk
from ..core import Episode, Message, Status, Verdict


def episode_to_json(episode: Episode) -> dict[str, Any]:
    """An episode as a JSON object."""
    return dataclasses.asdict(episode)


def episode_from_json(row: dict[str, Any]) -> Episode:
    """The inverse of `episode_to_json`; further keys are passed over."""
    values = {field.name: row[field.name] for field in dataclasses.fields(Episode)}
    verdict = row["verdict"]
    values["verdict"] = Verdict(**{**verdict, "status": Status(verdict["status"]), "trail": tuple(verdict.get("trail", ()))})
    values["messages"] = tuple(Message(role=turn["role"], content=turn["content"]) for turn in row["messages"])
    return Episode(**values)


def check(row: dict[str, Any]) -> None:
    """Raises what a row makes it raise that is no stored episode (KeyError, TypeError, ...)."""
    disk.has(row, problem=int, sample=int, problem_id=str, tokens=int, finish_reason=str, turns=list)
    disk.has(row["verdict"], score=(int, float, type(None)), decided_by=str, reason=str)
    episode_from_json(row)
