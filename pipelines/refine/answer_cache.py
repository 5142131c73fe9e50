"""Batched prompts to several policies, with stored answers, so that a killed run resumes without repeating prompts."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

from ... import disk
from ...core import Completion, Conversation, Policy, Sampling, UserError
from ...policies.play.completions import in_parts
from ...policies.store import Store
from ..launch import nodes

FAULTS = "{count} answers of {uri} are faults of its server; run the same command again: the other answers are stored"
"""The error of a stage with faults."""


class Answer(NamedTuple):
    """A policy's answer."""

    text: str
    truncated: bool
    """True if the answer is incomplete: truncated at the token limit, or missing because of a fault or because the
    server refused the prompt."""
    fault: bool = False
    """True if the server failed. The answer says nothing about the prompt, and is not stored."""


class AnswerRow(TypedDict):
    """A row of the store of answers."""

    key: str
    policy: str
    """URI of the policy."""
    text: str
    truncated: bool


class AnswerCache:
    """Sends prompts to policies and stores the answers."""

    def __init__(
        self,
        path: Path,
        store_settings: Mapping[str, object],
        load: Callable[[str], Policy],
        max_tokens: int,
        seed: int,
        progress: Callable[[int], None],
        keep_all_loaded: bool = True,
    ):
        """Reads the answers of an earlier run from the store.

        Args:
            path: file of the store.
            store_settings: settings that must equal those of the store.
            load: returns the policy of a URI.
            max_tokens: maximum number of tokens of an answer.
            seed: base seed. An answer's seed depends on it and on the answer's key.
            progress: called with the number of answers so far.
            keep_all_loaded: keep all policies in memory. If false, the previous policy is freed before another one is loaded.
        """
        self.store: Store[AnswerRow] = Store(
            path, store_settings, lambda row: disk.check_types(row, key=str, text=str, truncated=bool)
        )
        self.answers = {row["key"]: Answer(row["text"], row["truncated"]) for row in self.store.rows}
        self.load, self.max_tokens, self.seed, self.progress = load, max_tokens, seed, progress
        self.keep_all_loaded = keep_all_loaded
        self.policies: dict[str, Policy] = {}

    def __call__(
        self, uri: str, prompts: Sequence[tuple[str, Conversation]], temperature: float, allow_faults: bool = False
    ) -> list[Answer]:
        """Returns a policy's answer to each prompt.

        Args:
            uri: URI of the policy.
            prompts: pairs of a key and a conversation. Equal keys have equal answers.
            temperature: sampling temperature.
            allow_faults: return faults as answers. By default they are an error.

        Raises:
            SamplingIncomplete: the policy failed. The answers so far are stored.
            UserError: some answers are faults. The others are stored.
        """
        new = {key: conversation for key, conversation in prompts if key not in self.answers}
        if new and uri not in self.policies:
            if not self.keep_all_loaded:
                self.policies.clear()
                nodes.free_memory()  # Ray stays, because the verifier may be on its nodes
            self.policies[uri] = self.load(uri)
        keys, sampling = list(new), Sampling(temperature, max_tokens=self.max_tokens, seed=self.seed)
        parts = in_parts(self.policies[uri], list(new.values()), 1, sampling, keys) if new else ()
        for places, rows in parts:
            completions = {keys[place]: completion for place, (completion,) in zip(places, rows, strict=True)}
            answers = {key: _answer(reply) for key, reply in completions.items()}
            stored = {key: answer for key, answer in answers.items() if not answer.fault}
            self.store.append(
                AnswerRow(key=key, policy=uri, text=answer.text, truncated=answer.truncated) for key, answer in stored.items()
            )
            self.answers |= answers
            self.progress(len(self.answers))
        found = [self.answers[key] for key, _ in prompts]
        if not allow_faults and (faults := sum(answer.fault for answer in found)):
            raise UserError(FAULTS.format(count=faults, uri=uri))
        return found


def _answer(completion: Completion) -> Answer:
    return Answer(completion.text, completion.finish_reason != "stop", completion.finish_reason == "fault")
