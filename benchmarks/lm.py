"""A policy as a language model of lm-eval.

lm-eval passes every request k times. The seed of a sample is a hash of the prompt, the sampling settings and the number of
the sample. Samples are stored as soon as they are generated. Therefore a killed benchmark resumes where it stopped, and its
scores do not depend on batch sizes. Problems with equal prompts share their samples.
"""

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict, cast

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from .. import disk
from ..core import (
    Completion,
    Conversation,
    Message,
    Policy,
    Sampling,
    SupportsLoglikelihoods,
    UserError,
    Verdict,
    batch_size,
    verdict_without_response,
)
from ..policies.play.completions import in_parts
from ..policies.store import Store, sampling_settings
from ..responses import without_thinking

MAX_TOKENS = 1024
"""Longest sample in tokens, for tasks without such a setting. Our choice."""


class Sample(NamedTuple):
    """One stored sample."""

    text: str
    finish_reason: str
    tokens: int
    error: str = ""

    @property
    def verdict_without_response(self) -> Verdict | None:
        """Verdict on a sample without a response, else None; see `core.verdict_without_response`."""
        return verdict_without_response(self.finish_reason, self.error)

    @property
    def scorable_text(self) -> str:
        """The text that is judged; see `Completion.scorable_text`."""
        return Completion(self.text, self.finish_reason).scorable_text


class SampleRow(TypedDict):
    """A row of the store of samples."""

    request: str
    """Name of the request; see `PolicyLM.request`."""
    sample: int
    """Sample number within the request, from 0."""
    text: str
    finish_reason: str
    tokens: int
    error: NotRequired[str]


class PolicyLM(LM):
    """Any policy as a language model of lm-eval."""

    def __init__(
        self,
        policy: Policy,
        store_settings: Mapping[str, object] | None = None,
        seed: int = 0,
        store: str | Path | None = None,
        progress: Callable[..., None] | None = None,
        keep_truncated: bool = False,
    ):
        """Wraps a policy.

        Args:
            policy: the policy that generates responses.
            store_settings: further facts that must equal those of the store, such as the policy's URI.
            seed: base seed of the samples.
            store: file of stored samples, to read and to extend.
            progress: called as progress(samples done, all samples).
            keep_truncated: return each text without its reasoning, even if it was truncated, instead of
                `Sample.scorable_text`. For tasks with their own scorers, which handle neither reasoning nor truncation.
        """
        super().__init__()
        self.keep_truncated = keep_truncated
        self.policy, self.seed, self.progress = policy, seed, progress or (lambda done, total: None)
        self.store: Store[SampleRow] | None = Store(store, {**(store_settings or {}), "seed": seed}, _check) if store else None
        self.sampled: dict[tuple[str, int], Sample] = {}
        for row in self.store.rows if self.store else ():
            self.sampled[row["request"], row["sample"]] = Sample(
                row["text"], row["finish_reason"], row["tokens"], row.get("error", "")
            )

    @property
    def tokenizer_name(self) -> str:
        """Required by lm-eval for the names of its caches, which tenfold does not use."""
        return "tenfold"

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Returns the conversation as JSON, because the policy applies its own template."""
        return json.dumps(chat_history)

    def request(self, arguments: tuple[str, dict[str, Any]]) -> str:
        """Returns a request's name in the store: a digest of its prompt and its sampling settings."""
        context, options = arguments
        return hashlib.sha256(
            f"{context}\n{sampling_settings(self._sampling(options))}".encode("utf-8", "surrogatepass")
        ).hexdigest()[:24]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Returns one sample per request. The j-th copy of a request gives sample j; lm-eval's k copies are the same object."""
        order: list[tuple[str, int]] = []
        unique: dict[str, tuple[str, Sampling, int]] = {}
        names: dict[int, str] = {}
        copies: Counter[int] = Counter()
        for request in requests:
            name = names.setdefault(id(request), "") or self.request(request.args)
            names[id(request)] = name
            sample = copies[id(request)]
            copies[id(request)] += 1
            context, arguments = request.args
            _, sampling, samples = unique.get(name) or (context, self._sampling(arguments), 0)
            unique[name] = (context, sampling, max(samples, sample + 1))
            order.append((name, sample))
        self._sample(unique)
        sampled = [self.sampled[pair] for pair in order]
        return [without_thinking(sample.text) if self.keep_truncated else sample.scorable_text for sample in sampled]

    def _sample(self, requests: dict[str, tuple[str, Sampling, int]]) -> None:
        """Generates all samples that are not stored yet.

        Args:
            requests: prompt, sampling settings and number of samples by the request's name.
        """
        missing = {
            name: value for name, value in requests.items() if any((name, j) not in self.sampled for j in range(value[2]))
        }
        total = sum(samples for _, _, samples in requests.values())
        done = total - sum(samples for _, _, samples in missing.values())
        self.progress(done, total)
        groups: dict[tuple[Sampling, int], list[str]] = {}
        for name, (_, sampling, samples) in missing.items():
            groups.setdefault((sampling, samples), []).append(name)
        for (sampling, samples), named in groups.items():
            conversations = [_conversation(missing[name][0]) for name in named]
            for places, rows in in_parts(self.policy, conversations, samples, sampling, named):
                self._store([named[place] for place in places], rows)
                done += len(places) * samples
                self.progress(done, total)

    def _store(self, names: Sequence[str], completions: Sequence[Sequence[Completion | None]]) -> None:
        """Stores new samples. Faults are not stored, so that a later run samples again."""
        rows: list[SampleRow] = []
        for name, row in zip(names, completions, strict=True):
            for number, completion in enumerate(row):
                if completion is None or (name, number) in self.sampled:
                    continue
                sample = Sample(completion.text, completion.finish_reason, len(completion.token_ids), completion.error)
                self.sampled[name, number] = sample
                if sample.finish_reason != "fault":
                    columns = {column: value for column, value in sample._asdict().items() if column != "error" or value}
                    rows.append(cast(SampleRow, {"request": name, "sample": number} | columns))
        if self.store:
            self.store.append(rows)

    def _sampling(self, arguments: dict[str, Any]) -> Sampling:
        """Returns lm-eval's generation arguments as `Sampling`. The temperature is 0 unless the task samples.

        As in lm-eval's own models, the token limit has several names. If several are set, the first in the order of `names`
        counts. A single stop text need not be in a list.
        """
        names = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
        until = arguments.get("until") or ()
        random = arguments.get("do_sample", arguments.get("temperature", 0) > 0)
        top_k = arguments.get("top_k") if random else None
        return Sampling(
            temperature=float(arguments.get("temperature", 1.0)) if random else 0.0,
            top_p=float(arguments.get("top_p", 1.0)),
            max_tokens=int(next((arguments[name] for name in names if arguments.get(name) is not None), MAX_TOKENS)),
            seed=self.seed,
            stop=(until,) if isinstance(until, str) else tuple(until),
            top_k=int(top_k) if top_k and top_k > 0 else None,  # a task of lm-eval may have 0 or -1, which mean all tokens
        )

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Returns the log-likelihood of each continuation given its context, and whether greedy decoding would generate it.

        Raises:
            UserError: the policy has no likelihoods.
        """
        if not isinstance(self.policy, SupportsLoglikelihoods):
            raise UserError(
                "this task compares likelihoods, which this policy does not compute; name a checkpoint (hf:, path:, stage:)"
            )
        pairs = [request.args for request in requests]
        likelihoods: list[tuple[float, bool]] = []
        size = batch_size(self.policy)
        for start in range(0, len(pairs), size):
            likelihoods += self.policy.loglikelihoods(pairs[start : start + size])
            self.progress(len(likelihoods), len(pairs))
        return likelihoods

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Raises `UserError`, because tenfold does not measure perplexity."""
        raise UserError("this task measures perplexity, which tenfold does not support; choose another task")


def _check(row: dict[str, Any]) -> None:
    """Raises if a stored row is not a sample."""
    disk.check_types(row, request=str, sample=int, text=str, finish_reason=str, tokens=int)
    disk.check_types({"error": row.get("error", "")}, error=str)


def _conversation(context: str) -> Conversation:
    """Returns lm-eval's prompt as a conversation. Plain text becomes one message with the role "text"."""
    if context.startswith("[{"):
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):  # plain text may also start with "[{"
            messages = [{**turn, "role": turn["role"], "content": turn["content"]} for turn in json.loads(context)]
            return cast(Conversation, messages)
    return [Message(role="text", content=context)]
