"""`BFCLMemory`: questions of BFCL-V4 about earlier conversations, which the policy can only answer from its memory.

    env = gymnasium.make("tenfold/BFCLMemoryKV-v0", snapshots="memory.json")
    prompt, info = env.reset(options={"problem": 0})
    reply, *_ = env.step("[archival_memory_retrieve(key='name')]")
    reply, reward, *_ = env.step("{'answer': 'Michael', 'context': 'You told me.'}")

Each scenario (a customer, a student, ...) has several conversations, then questions. The policy plays the conversations first,
in their order. In each it can write to its memory, which starts with the content that the conversation before has left. All
questions of a scenario start with the content that the last conversation has left; a question does not change what another one
sees. A benchmark plays the conversations (`remembering.py`), and sample i of each question with the memory of sample i of the
conversations, so that a sample is one run of the leaderboard.

Without snapshots the memory is empty. `answers.py` describes the verdict.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlencode

from ... import disk
from ...core import Completion, Episode, Message, Problem, Status, UserError, Verdict
from ...golds import BFCLAnswers
from . import agentic_problems, memory_services, texts
from .answers import BFCLAgentic, Service
from .conversation import Step
from .memory_services import MemoryService, Snapshot
from .services import Stopped

Snapshots = Mapping[str, Sequence[Snapshot | None]]
"""The memory of each sample, by class and scenario: "MemoryAPI_kv/customer"."""


BACKENDS = ("kv", "vector", "rec_sum")


class BFCLMemory(BFCLAgentic):
    """The environment; see the module's docstring."""

    def __init__(
        self,
        problems: str | Sequence[Problem | Mapping[str, object]] | None = None,
        mode: str = "prompt",
        system: str | None = None,
        snapshots: str | Snapshots | None = None,
        backend: str = "kv",
    ):
        """Loads the problems.

        Args:
            problems: a problem URI, or a list of `Problem`s or rows, whose gold answers are `BFCLAnswers`; default: the
                leaderboard's questions for `backend`.
            mode: "prompt" or "tools".
            system: text to put before the system turn.
            snapshots: JSON file with the content of the memories, or the content.
            backend: kind of the memory: kv (keys and values), vector or rec_sum (one text).

        Raises:
            UserError: an argument is invalid, or a package is missing.
        """
        if backend not in BACKENDS:
            raise UserError(f"BFCL-V4 has no memory {backend!r:.80}; use {', '.join(BACKENDS)}")
        if snapshots is not None and not isinstance(snapshots, str | Mapping):
            raise UserError(f"snapshots: expected the path of a JSON file, got {snapshots!r:.80}")
        default = f"{agentic_problems.URI}:memory?{urlencode({'backend': backend})}"
        super().__init__(default if problems is None else problems, mode, system)
        self.snapshots = load(snapshots) if isinstance(snapshots, str) else snapshots or {}
        for name in {str(problem.answer["service"]) for problem in self.problems if isinstance(problem.answer, Mapping)}:
            memory_services.check(name)

    def _started(self, gold: BFCLAnswers, options: Mapping[str, Any]) -> tuple[Service, Sequence[Message]]:
        memories = self.snapshots.get(key(gold)) or (None,)
        self.start = memories[options.get("sample", 0) % len(memories)]
        service = MemoryService(gold["service"], self.start)
        try:
            content = texts.memory_prompt(gold["service"], gold["scenario"], service.context())
        except BaseException:
            service.close()
            raise
        return service, (Message(role="system", content=content),)

    def _end(self, verdict: Verdict) -> Step:
        if not self.gold["answers"]:
            self.left = self._content()
        return super()._end(verdict)

    def _content(self) -> Snapshot | None:
        """Returns the content of the memory now; that from the start of the episode if it cannot be read or used again."""
        assert isinstance(self.service, MemoryService)
        try:
            found = self.service.snapshot()
            if len(json.dumps(found)) <= memory_services.MAX_SNAPSHOT:
                with contextlib.closing(MemoryService(self.gold["service"], found)) as next_one:
                    next_one.context()
                return found
        except (Stopped, UserError):  # for example a text of a hundred million characters
            pass
        return self.start

    def left_by(self, index: int, episode: Episode) -> Snapshot | None:
        """Returns the content of the memory after a conversation, by executing its calls again.

        Args:
            index: index of the conversation.
            episode: the conversation.

        Raises:
            UserError: the policy failed.
        """
        if episode.verdict.status == Status.FAULT:
            raise UserError(f"conversation {episode.problem_id} failed; run the command again: {episode.verdict.reason}")
        self.reset(options={"problem": index, "sample": episode.sample})
        responses = [message["content"] for message in episode.messages if message["role"] == "assistant"]
        for number, response in enumerate(responses, start=1):
            is_cut = number == len(responses) and episode.finish_reason == "length"
            if self.step(Completion(response, "length" if is_cut else "stop").scorable_text)[2]:
                return self.left
        return self._content()


def key(answer: object) -> str:
    """Returns the name of a problem's memory: class and scenario."""
    gold = cast(BFCLAnswers, answer)
    return f"{gold['service']}/{gold['scenario']}"


def load(path: str) -> Snapshots:
    """Returns the memories in a JSON file.

    Raises:
        UserError: there is no such file, or it has another form.
    """
    try:
        found = json.loads(disk.expanded(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"snapshots: cannot read {path}: {error}") from None
    memories = found.values() if isinstance(found, dict) else [None]
    if not all(isinstance(each, list) and all(isinstance(one, dict | None) for one in each) for each in memories):
        raise UserError(f"snapshots: {path} has no memories: name the file NAME.memory.json of a benchmark's folder")
    return cast(Snapshots, found)
