"""The conversations before the questions of `BFCLMemory`: a policy plays them, and its memories are saved.

The conversations of a scenario are played one after the other, because each starts with the memory that the one before has
left. Those of different scenarios are played at the same time. NAME.conversations.jsonl has the episodes, from which a stopped
run goes on. NAME.memory.json has the memories after the last conversations. The memories follow from the episodes, whose calls
are executed again.
"""

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ... import disk
from ...core import Episode, Problem, UserError
from . import agentic_problems
from .memory import BFCLMemory, Snapshots, key, load
from .memory_services import Snapshot

SAMPLES, CONVERSATIONS, MEMORY = ".samples.jsonl", ".conversations.jsonl", ".memory.json"
"""Endings of the files of a run: the answers to the questions, the conversations, the memories."""


class Play(Protocol):
    """Plays episodes with a policy; see `policies/rollout.py`."""

    def __call__(
        self, create: Callable[[], BFCLMemory], *, problems: Sequence[int], store: Path | None
    ) -> Mapping[int, Sequence[Episode]]:
        """Returns the episodes of each problem.

        Args:
            create: creates the environment.
            problems: indices of the problems.
            store: file of the episodes.
        """
        ...


def memories(questions: BFCLMemory, limit: int | None, samples: int, store: Path | None, play: Play) -> Snapshots:
    """Plays the conversations before some questions; returns the memories of each sample after them.

    Args:
        questions: the environment of the questions.
        limit: number of questions, the first ones.
        samples: number of samples.
        store: file of the answers to the questions. The conversations and the memories are saved beside it.
        play: plays `samples` episodes of each of some conversations.

    Raises:
        UserError: the policy failed in a conversation, or the answers of an earlier run are stored, but not the conversations.
    """
    conversations = store and _beside(store, CONVERSATIONS)
    if store and store.exists() and not (conversations and conversations.exists()):
        raise UserError(f"{store} has answers to questions about conversations that are not stored; remove it")
    problems, chains = conversations_before(questions, limit)
    found: dict[str, list[Snapshot | None]] = {name: [None] * samples for name in chains}

    def create() -> BFCLMemory:
        return BFCLMemory(problems, questions.mode, questions.system, found)

    for number in range(max(map(len, chains.values()), default=0)):
        turn = {name: chain[number] for name, chain in chains.items() if number < len(chain)}
        played = play(create, problems=[*turn.values()], store=conversations)
        with contextlib.closing(create()) as replaying:
            after = {name: [replaying.left_by(index, episode) for episode in played[index]] for name, index in turn.items()}
        found |= after  # only now, because the calls are executed again with the memories before
    if store:
        # A run with fewer questions or samples keeps the memories of the others, which their answers need.
        kept = {name: memories for name, memories in (stored(store) or {}).items() if len(memories) > len(found.get(name, ()))}
        disk.write(_beside(store, MEMORY), json.dumps({**found, **kept}, ensure_ascii=False, indent=1))
    return found


def conversations_before(questions: BFCLMemory, limit: int | None) -> tuple[list[Problem], dict[str, list[int]]]:
    """Returns conversations, and the indices of those that some questions need, in their order, by the name of the memory.

    All conversations of a kind of memory are returned, so that their indices do not depend on the limit.

    Args:
        questions: the environment of the questions.
        limit: number of questions, the first ones.
    """
    needed = {key(problem.answer) for problem in questions.problems[:limit]}
    backends = sorted({name.partition("/")[0].removeprefix("MemoryAPI_") for name in needed})
    problems = [problem for backend in backends for problem in agentic_problems.conversations(backend)]
    chains: dict[str, list[int]] = {}
    for index, problem in enumerate(problems):
        if key(problem.answer) in needed:
            chains.setdefault(key(problem.answer), []).append(index)
    return problems, chains


def stored(store: Path) -> Snapshots | None:
    """Returns the memories that were saved beside the answers to questions; None if there are none."""
    path = _beside(store, MEMORY)
    return load(str(path)) if path.exists() else None


def _beside(store: Path, ending: str) -> Path:
    """Returns a file of the same run as the file of the answers."""
    return store.with_name(f"{store.name.removesuffix(SAMPLES)}{ending}")
