"""Verdicts on stored episodes by the environment as it is now: the stored turns are played again, without a policy."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from .. import disk
from ..core import Completion, Conversation, Episode, Message, Sampling, UserError
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
        task, store = _task(result), folder / result.store
    episodes = _stored(store)
    replay = _Replay(store, episodes)
    played = playing.play(
        task.make,
        replay,
        task.samples,
        problems=task.limit,
        sampling=dataclasses.replace(task.sampling, max_tokens=_TOKENS),
        max_turns=task.max_turns,
        progress=progress,
    )
    judged = {
        index: [dataclasses.replace(episodes[index, new.sample], verdict=new.verdict) for new in row]
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


def _stored(store: Path) -> dict[tuple[int, int], Episode]:
    """Returns the stored episodes by problem and sample. An episode that was played again replaces the one with a fault."""
    found: dict[tuple[int, int], Episode] = {}
    if not store.is_file():
        raise UserError(f"there is no {store}; run the benchmark again")
    for _, row in disk.read_rows(store, _check):
        if "settings" not in row:
            found[row["problem"], row["sample"]] = episode_from_json(cast(EpisodeRow, row))
    return found


def _check(row: dict[str, Any]) -> None:
    if "settings" not in row:
        check_episode(row)


class _Replay:
    """A policy whose turns are those of stored episodes."""

    def __init__(self, store: Path, episodes: Mapping[tuple[int, int], Episode]):
        self.store = store
        self.by_key = {f"{episode.problem_id}/{episode.sample}": episode for episode in episodes.values()}

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """Returns the next stored turn of each episode; `keys` are those of `rollout.py`."""
        return [[self._turn(messages, key)] for messages, key in zip(conversations, keys or (), strict=True)]

    def _turn(self, messages: Sequence[Message], key: str) -> Completion:
        episode = self.by_key.get(key.rpartition("/")[0])
        if episode is None:
            raise UserError(f"{self.store}: samples are not stored; let `tenfold bench` finish, then rescore")
        stored, count = episode.messages, len(messages)
        texts = [(message["role"], message["content"]) for message in messages]
        if count >= len(stored) or texts != [(message["role"], message["content"]) for message in stored[:count]]:
            raise UserError(
                f"{self.store}: the environment's prompts or replies have changed since problem {episode.problem_id} was "
                "played; run the benchmark again with another --out"
            )
        is_last = all(message["role"] != "assistant" for message in stored[count + 1 :])
        reason = episode.finish_reason if is_last else "stop"
        return Completion(stored[count]["content"], reason, error=episode.verdict.reason if reason == "refused" else "")
