"""lm-eval asks, a policy answers.

lm-eval hands over every request k times; here the k samples of a prompt are k different ones, seeded by prompt and number,
and stored as they come. So a benchmark that was killed goes on where it stopped, and its figures do not depend on batches.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict, cast

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from .. import disk
from ..core import (
    Completion,
    Conversation,
    Incomplete,
    Message,
    Policy,
    Sampling,
    SupportsLoglikelihoods,
    UserError,
    Verdict,
    batch_size,
    verdict_without_answer,
)
from ..policies.store import Store
from ..responses import without_thinking

MAX_TOKENS = 1024
"""Length of a sample where a task does not say."""


class Sample(NamedTuple):
    """One sample, as it is stored."""

    text: str
    finish_reason: str
    tokens: int
    error: str = ""

    @property
    def unanswered(self) -> Verdict | None:
        """The verdict on a sample without an answer; see `core.verdict_without_answer`."""
        return verdict_without_answer(self.finish_reason, self.error)

    @property
    def scorable_text(self) -> str:
        """What is judged of it, as of any completion."""
        return Completion(self.text, self.finish_reason).scorable_text


class SampleRow(TypedDict):
    """A sample as a store has it."""

    request: str
    sample: int
    """Which of the request's samples, from 0."""
    text: str
    finish_reason: str
    tokens: int
    error: NotRequired[str]


class PolicyLM(LM):
    """Any policy as lm-eval's language model."""

    def __init__(
        self,
        policy: Policy,
        made_with: Mapping[str, object] | None = None,
        seed: int = 0,
        store: str | Path | None = None,
        progress: Callable[..., None] | None = None,
        raw: bool = False,
    ):
        """Wraps a policy.

        Args:
            policy: who answers.
            made_with: what else the store must have been made with, say the policy's URI; a store is of one policy.
            seed: base seed of the samples.
            store: file to append samples to, and to take those from that are there already.
            progress: called as progress(samples done, samples in all).
            raw: hand over samples that were cut as they are, not only what is judged of them, and without their reasoning: for
                tasks with scorers of their own, which know nothing of either.
        """
        super().__init__()
        self.raw = raw
        self.policy, self.seed, self.progress = policy, seed, progress or (lambda done, total: None)
        self.store: Store[SampleRow] | None = Store(store, {**(made_with or {}), "seed": seed}, _check) if store else None
        self.sampled: dict[tuple[str, int], Sample] = {}
        for row in self.store.rows if self.store else ():
            self.sampled[row["request"], row["sample"]] = Sample(
                row["text"], row["finish_reason"], row["tokens"], row.get("error", "")
            )

    @property
    def tokenizer_name(self) -> str:
        """lm-eval names its caches after this; we use none of them."""
        return "tenfold"

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The conversation as JSON: the policy applies its own template."""
        return json.dumps(chat_history)

    def request(self, arguments: tuple[str, dict[str, Any]]) -> str:
        """The name under which the samples of a request are stored: its prompt's and its sampling's."""
        context, given = arguments
        return hashlib.sha256(
            f"{context}\n{dataclasses.asdict(self._sampling(given))}".encode("utf-8", "surrogatepass")
        ).hexdigest()[:24]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """One sample a request; the j-th request of one prompt is its j-th sample."""
        asked: list[tuple[str, int]] = []
        wanted: dict[str, tuple[str, Sampling, int]] = {}
        names: dict[int, str] = {}
        for request in requests:  # the k copies of a request are one object
            name = names.setdefault(id(request), "") or self.request(request.args)
            names[id(request)] = name
            sample = wanted[name][2] if name in wanted else 0
            context, arguments = request.args
            wanted[name] = (context, wanted[name][1] if sample else self._sampling(arguments), sample + 1)
            asked.append((name, sample))
        self._sample(wanted)
        sampled = [self.sampled[pair] for pair in asked]
        return [without_thinking(sample.text) if self.raw else sample.scorable_text for sample in sampled]

    def _sample(self, wanted: dict[str, tuple[str, Sampling, int]]) -> None:
        """Samples what the store does not hold yet; wanted: request's name to prompt, sampling and number of samples."""
        missing = {name: value for name, value in wanted.items() if any((name, j) not in self.sampled for j in range(value[2]))}
        total = sum(samples for _, _, samples in wanted.values())
        done = total - sum(samples for _, _, samples in missing.values())
        self.progress(done, total)
        groups: dict[tuple[Sampling, int], list[str]] = {}
        for name, (_, sampling, samples) in missing.items():
            groups.setdefault((sampling, samples), []).append(name)
        for (sampling, samples), named in groups.items():
            size = max(1, batch_size(self.policy) // samples)
            for start in range(0, len(named), size):
                batch = named[start : start + size]
                conversations = [_conversation(missing[name][0]) for name in batch]
                try:
                    self._keep(batch, self.policy.generate(conversations, samples, sampling, batch))
                except Incomplete as stopped:
                    whole = [place for place, row in enumerate(stopped.sampled) if None not in row]
                    self._keep([batch[place] for place in whole], [stopped.sampled[place] for place in whole])
                    raise stopped.error_to_raise from None
                done += len(batch) * samples
                self.progress(done, total)

    def _keep(self, names: Sequence[str], completions: Sequence[Sequence[Completion | None]]) -> None:
        """Takes the samples that were made, but for those that are there. A fault is not stored: a later run samples again."""
        rows: list[SampleRow] = []
        for name, row in zip(names, completions, strict=True):
            for number, completion in enumerate(row):
                if completion is None or (name, number) in self.sampled:
                    continue
                sample = Sample(completion.text, completion.finish_reason, len(completion.token_ids), completion.error)
                self.sampled[name, number] = sample
                if sample.finish_reason != "fault":
                    told = {column: value for column, value in sample._asdict().items() if column != "error" or value}
                    rows.append(cast(SampleRow, {"request": name, "sample": number} | told))
        if self.store:
            self.store.append(rows)

    def _sampling(self, arguments: dict[str, Any]) -> Sampling:
        """lm-eval's generation arguments as ours; temperature 0 unless the task samples."""
        random = arguments.get("do_sample", arguments.get("temperature", 0) > 0)
        return Sampling(
            temperature=float(arguments.get("temperature", 1.0)) if random else 0.0,
            top_p=float(arguments.get("top_p", 1.0)),
            max_tokens=int(arguments.get("max_gen_toks", arguments.get("max_tokens", MAX_TOKENS))),
            seed=self.seed,
            stop=tuple(arguments.get("until") or ()),
        )

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """How likely the policy finds each continuation of its context, and whether it would say it greedily.

        Raises:
            UserError: the policy only generates.
        """
        if not isinstance(self.policy, SupportsLoglikelihoods):
            raise UserError(
                "this task compares likelihoods, which this policy does not tell: name a checkpoint (hf:, path:, stage:)"
            )
        pairs = [request.args for request in requests]
        told: list[tuple[float, bool]] = []
        size = batch_size(self.policy)
        for start in range(0, len(pairs), size):
            told += self.policy.loglikelihoods(pairs[start : start + size])
            self.progress(len(told), len(pairs))
        return told

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """No benchmark here wants the likelihood of whole texts."""
        raise UserError("this task measures perplexity, which is not offered")


def _check(row: dict[str, Any]) -> None:
    """Raises where a stored row is no sample."""
    disk.check_types(row, request=str, sample=int, text=str, finish_reason=str, tokens=int)
    disk.check_types({"error": row.get("error", "")}, error=str)


def _conversation(context: str) -> Conversation:
    """The prompt that lm-eval asks: a conversation, or text to be continued as it stands."""
    if context.startswith("[{"):
        conversation: list[Message] = json.loads(context)
        return conversation
    return [Message(role="text", content=context)]
