"""Many questions to several policies, each answer stored as it comes: a killed run asks only what it had not asked yet."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

from ... import disk
from ...core import Completion, Conversation, Incomplete, Policy, Sampling, batch_size
from ...policies.store import Store
from ..launch import nodes


class Answer(NamedTuple):
    """What a policy said."""

    text: str
    cut: bool
    """Whether it is no whole answer: cut at the most tokens it may have, or not given at all."""


class AnswerRow(TypedDict):
    """An answer as the store has it."""

    key: str
    policy: str
    text: str
    cut: bool


class AnswerCache:
    """Policies by their URIs, and what they have answered so far."""

    def __init__(
        self,
        path: Path,
        made_with: Mapping[str, object],
        load: Callable[[str], Policy],
        max_tokens: int,
        seed: int,
        progress: Callable[[int], None],
        together: bool = True,
    ):
        """Takes the answers of an earlier run from the store, if there was one.

        Args:
            path: of the store.
            made_with: settings that the store must have been made with.
            load: makes a policy of a URI.
            max_tokens: of an answer.
            seed: base seed; an answer's own comes of it and its key.
            progress: told how many answers there are.
            together: whether all policies may be in memory at once; else the last one is let go before another is loaded.
        """
        self.store: Store[AnswerRow] = Store(path, made_with, lambda row: disk.has(row, key=str, text=str, cut=bool))
        self.answers = {row["key"]: Answer(row["text"], row["cut"]) for row in self.store.rows}
        self.load, self.max_tokens, self.seed, self.progress = load, max_tokens, seed, progress
        self.together = together
        self.policies: dict[str, Policy] = {}

    def __call__(self, uri: str, asked: Sequence[tuple[str, Conversation]], temperature: float) -> list[Answer]:
        """A policy's answer to each of (key, conversation); equal keys have equal answers.

        Raises:
            Incomplete: the policy could not go on; what it said until then is stored.
        """
        new = {key: conversation for key, conversation in asked if key not in self.answers}
        if new and uri not in self.policies:
            if not self.together:
                self.policies.clear()
                nodes.release()
            self.policies[uri] = self.load(uri)
        size = batch_size(self.policies[uri]) if new else 1
        keys = list(new)
        for start in range(0, len(keys), size):
            batch = keys[start : start + size]
            failed: Incomplete | None = None
            try:
                sampled: Sequence[Sequence[Completion | None]] = self.policies[uri].generate(
                    [new[key] for key in batch],
                    1,
                    Sampling(temperature, max_tokens=self.max_tokens, seed=self.seed),
                    batch,
                )
            except Incomplete as stopped:
                sampled, failed = stopped.sampled, stopped
            came = {key: said for key, row in zip(batch, sampled, strict=True) if row and (said := row[0]) is not None}
            answers = {key: Answer(said.text, said.finish_reason != "stop") for key, said in came.items()}
            stored = {key: answer for key, answer in answers.items() if came[key].finish_reason != "fault"}
            self.store.append(
                AnswerRow(key=key, policy=uri, text=answer.text, cut=answer.cut) for key, answer in stored.items()
            )
            self.answers |= answers
            self.progress(len(self.answers))
            if failed:
                raise failed.ending
        return [self.answers[key] for key, _ in asked]
