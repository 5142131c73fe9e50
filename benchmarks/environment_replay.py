"""Verdicts on stored episodes by the environment as it is now: the stored turns are played again, without a policy."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import gymnasium

from .. import disk
from ..core import Completion, Conversation, Message, Sampling, UserError
from ..policies import rollout as playing
from ..policies.store import EpisodeRow, check_episode, episode_from_json
from . import environment
from .catalogue import TaskRequest
from .environment import EnvironmentTask
from .result import Options, Result

_TOKENS = 2**40
"""Token limit of a replay: none, because each episode ends where the stored one ended."""


def rescore(result: Result, folder: Path, store_settings: Mapping[str, object], progress: Callable[..., None] | None) -> Result:
    """Judges the stored episodes of a result again, and replaces the result.

    Args:
        result: the stored result.
        folder: folder of the results.
        store_settings: facts about the policy, for the settings of the result.
        progress: called as progress(episodes done, all episodes).

    Raises:
        UserError: episodes are missing, or the environment's prompts or replies have changed.
    """
    remedy = "remove it and run its benchmark again; the samples are stored"
    with disk.reading(folder / f"{result.task}.result.json", remedy):
        task, store = _task(result), folder / result.store_name
    stored, further = _stored(store), environment.further_arguments(task, store)
    replay = _Replay(store, stored)
    played = playing.play(
        lambda: _ByIndex(task.make(**further)),
        replay,
        task.samples,
        problems=task.limit,
        sampling=dataclasses.replace(task.sampling, max_tokens=_TOKENS),
        max_turns=task.max_turns,
        progress=progress,
    )
    judged = {
        index: [dataclasses.replace(episode_from_json(stored[index, new.sample]), verdict=new.verdict) for new in row]
        for index, row in played.items()
    }
    return environment.scored(task, judged, store, store_settings=store_settings, folder=folder, name=result.task)


def _task(result: Result) -> EnvironmentTask:
    """Returns the environment of a stored result, with the result's settings."""
    settings = result.settings
    sampling = settings["sampling"]
    options = Options(
        seed=settings["seed"],
        limit=settings["number"],
        samples=settings["samples"],
        temperature=sampling["temperature"],
        top_p=sampling["top_p"],
        top_k=sampling.get("top_k"),
        max_tokens=sampling["max_gen_toks"],
        max_turns=settings["max_turns"],
        thinking=settings.get("thinking"),
    )
    return environment.find(TaskRequest(settings["task"]), options, settings["options"])


def _stored(store: Path) -> dict[tuple[int, int], EpisodeRow]:
    """Returns the stored episodes by problem and sample. An episode that was played again replaces the one with a fault."""
    found: dict[tuple[int, int], EpisodeRow] = {}
    if not store.is_file():
        raise UserError(f"there is no {store}; run the benchmark again")
    for _, row in disk.read_rows(store, _check):
        if "settings" not in row:
            found[row["problem"], row["sample"]] = cast(EpisodeRow, row)
    return found


def _check(row: dict[str, Any]) -> None:
    if "settings" not in row:
        check_episode(row)


class _ByIndex(gymnasium.Wrapper[str, str, str, str]):
    """An environment whose problems have their index as id, because several problems may have the same id."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        text, info = self.env.reset(seed=seed, options=options)
        return text, info | {"problem_id": str((options or {})["problem"])}


class _CompleteTurn(Completion):
    """A complete last turn. Its finish reason is "length" only because the reply to it left no tokens for another turn.

    The whole text is judged, as it was when the episode was played.
    """

    @property
    def scorable_text(self) -> str:
        return self.text


class _Replay:
    """A policy whose turns are those of stored episodes."""

    def __init__(self, store: Path, stored: Mapping[tuple[int, int], EpisodeRow]):
        self.store = store
        self.by_key = {f"{index}/{sample}": row for (index, sample), row in stored.items()}

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """Returns the next stored turn of each episode; `keys` are those of `rollout.py`, which contain the problem's id."""
        return [[self._turn(messages, key)] for messages, key in zip(conversations, keys or (), strict=True)]

    def _turn(self, messages: Sequence[Message], key: str) -> Completion:
        row = self.by_key.get(key.rpartition("/")[0])
        if row is None:
            raise UserError(f"{self.store}: samples are not stored; let `tenfold bench` finish, then rescore")
        stored, count = row["messages"], len(messages)
        texts = [(message["role"], message["content"]) for message in messages]
        if count >= len(stored) or texts != [(message["role"], message["content"]) for message in stored[:count]]:
            raise UserError(
                f"{self.store}: the environment's prompts or replies have changed since problem {row['problem_id']} was "
                "played; run the benchmark again with another --out"
            )
        text, is_last = stored[count]["content"], all(message["role"] != "assistant" for message in stored[count + 1 :])
        if not is_last:
            return Completion(text, "stop")
        reason = row["finish_reason"]
        kind = Completion if row.get("last_turn", reason) == reason else _CompleteTurn
        return kind(text, reason, error=row["verdict"]["reason"] if reason == "refused" else "")
