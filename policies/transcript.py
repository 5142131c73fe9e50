"""`Transcript`: the messages and tokens of one episode, and the rules for its end.

`rollout.py` (for filter, `sample_pairs`, benchmarks of environments and `tenfold.rollout`) and GRPO's agent loop both use it,
so that both follow the same rules: the prompt of each turn, the token limits, truncation, and the text that is judged.

An episode has a limit of turns, and a limit of tokens for all turns and the environment's replies between them (as in verl). It
ends

    when the environment ends it,                                finish reason "stop", or "length" after a truncated turn
    after a truncated turn,                                      "length"
    after the last turn that is allowed,                         "stop"
    when a server gives no response,                             "refused" or "fault"
    when a reply leaves no tokens for another turn,              "length"
    when the chat template does not support replies,             the reason of the last turn

and keeps the rewards up to this point.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..core import Completion, Conversation, Message, Policy, Sampling, sample_seed
from ..texts import without_surrogates
from .chat.prompts import prompt_tokens
from .chat.tokens import turn_tokens
from .completions import completion

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BYTES_PER_TOKEN = 4
"""Bytes of text for each token, to estimate the length of replies if the tokenizer is unknown, as with a server. Our choice."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of an episode."""

    tokens: int
    """Tokens of all turns of the policy and of the replies between them."""
    turns: int
    """Number of turns of the policy."""
    window: int | None = None
    """Tokens of the model's context window, prompt included."""


@dataclass(slots=True)
class Transcript:
    """The conversation of an episode so far."""

    limits: Limits
    messages: list[Message]
    """The conversation, starting with the prompt."""
    tokenizer: "PreTrainedTokenizerBase | None" = None
    """The policy's tokenizer, or None if unknown. Without it, tokens are only counted."""
    stop_ids: Collection[int] = ()
    """Tokens that end a turn."""
    turns: list[Completion] = field(default_factory=list)
    """The turns of the policy."""
    prompt: list[int] = field(init=False, default_factory=list)
    """Tokens before the first turn of the policy."""
    response: list[int] = field(init=False, default_factory=list)
    """Tokens after the prompt: sampled tokens of the policy, and tokens of the replies. Only appended to."""
    mask: list[int] = field(init=False, default_factory=list)
    """For each token of `response`: 1 if the policy sampled it, else 0."""
    logprobs: list[float] = field(init=False, default_factory=list)
    """For each token of `response`: its log-probability, or 0 if unknown."""
    tokens_used: int = field(init=False, default=0)
    """Number of tokens that count towards the limit so far."""
    finish_reason: str = field(init=False, default="stop")
    """Finish reason of the last turn; after the end of the episode, the episode's (see the module's docstring)."""

    def __post_init__(self) -> None:
        self.messages = [{**message, "content": without_surrogates(message["content"])} for message in self.messages]
        if self.tokenizer is not None:
            self.prompt = prompt_tokens(self.tokenizer, self.messages)

    @property
    def tokens(self) -> list[int]:
        """All tokens: the prompt of the policy's next turn."""
        return self.prompt + self.response

    @property
    def tokens_left(self) -> int:
        """Token limit of the policy's next turn; at least 1."""
        return max(1, self._remaining())

    def add_tokens(self, tokens: Sequence[int], logprobs: Sequence[float] = ()) -> Completion:
        """Adds a turn of the policy, given as tokens, and returns it."""
        turn = completion(self.tokenizer, self.tokens, tokens, self.stop_ids, logprobs=logprobs)
        self.add_turn(turn)
        return turn

    def add_turn(self, turn: Completion) -> None:
        """Adds a turn of the policy."""
        turn = replace(turn, text=without_surrogates(turn.text))
        self.turns.append(turn)
        self.messages.append(Message(role="assistant", content=turn.text))
        self.tokens_used += len(turn.token_ids)
        self.finish_reason = turn.finish_reason
        if self.tokenizer is not None:
            self._append(turn.token_ids, 1, turn.logprobs)

    def add_reply(self, ended: bool, role: str, reply: str) -> bool:
        """Adds the environment's reply to the policy's last turn.

        Args:
            ended: true if the environment has ended the episode; the reply is then ignored.
            role: role of the reply.
            reply: text of the reply.

        Returns:
            True if the policy has another turn. Otherwise `finish_reason` is the reason, and the reply is not added.
        """
        reply = without_surrogates(reply)
        truncated = self.turns[-1].finish_reason == "length"
        if ended or truncated or len(self.turns) >= self.limits.turns:
            return False
        if self.tokenizer is None:
            reply_ids: list[int] = []
            count = math.ceil(len(reply.encode()) / BYTES_PER_TOKEN)
        else:
            reply_ids = turn_tokens(self.tokenizer, role, reply, self.turns[-1].token_ids)
            count = len(reply_ids)
            if not reply_ids:  # the chat template does not support replies
                return False
        if count >= self._remaining():
            self.finish_reason = "length"
            return False
        self.messages.append(Message(role=role, content=reply))
        self.tokens_used += count
        self._append(reply_ids, 0)
        return True

    def _remaining(self) -> int:
        """Returns the number of tokens left in the limit and in the window."""
        remaining = self.limits.tokens - self.tokens_used
        return (
            remaining
            if self.limits.window is None
            else min(remaining, self.limits.window - len(self.prompt) - self.tokens_used)
        )

    def _append(self, tokens: Sequence[int], sampled: int, logprobs: Sequence[float] = ()) -> None:
        self.response += tokens
        self.mask += [sampled] * len(tokens)
        self.logprobs += logprobs or [0.0] * len(tokens)


@runtime_checkable
class TokenPolicy(Policy, Protocol):
    """A policy that accepts and returns tokens: a checkpoint. Its episodes are played in tokens, as in GRPO."""

    tokenizer: "PreTrainedTokenizerBase"
    stop_ids: frozenset[int]
    """Tokens that end a turn."""

    @property
    def window(self) -> int | None:
        """The model's context window in tokens, or None if unknown."""
        ...

    def complete(
        self, prompts: Sequence[list[int]], sampling: Sampling, seeds: Sequence[int], limits: Sequence[int] | None = None
    ) -> list[Completion]:
        """Samples one completion for each prompt.

        Args:
            prompts: token ids, up to the start of the policy's turn.
            sampling: temperature, top_p, top_k, token limit and stop strings.
            seeds: the seed of each sample; `sampling.seed` is ignored.
            limits: token limit of each sample, instead of `sampling.max_tokens`.
        """
        ...


class Observer(Protocol):
    """Is told of samples while they grow. It is called in the thread that samples, and must return at once."""

    def grown(self, row: int, tokens: Sequence[int]) -> bool:
        """Called after each token with the sample's number and its tokens so far. True ends the sample."""
        ...

    def ended(self, row: int, completion: Completion) -> None:
        """Called when a sample has ended."""
        ...


@runtime_checkable
class SupportsObserver(Protocol):
    """A checkpoint whose samples can be observed."""

    def observed(
        self, prompts: Sequence[list[int]], sampling: Sampling, seeds: Sequence[int], limits: Sequence[int], observer: Observer
    ) -> None:
        """Samples as `TokenPolicy.complete` does. The observer gets the samples.

        Args:
            prompts: see `TokenPolicy.complete`.
            sampling: see `TokenPolicy.complete`.
            seeds: see `TokenPolicy.complete`.
            limits: see `TokenPolicy.complete`.
            observer: gets each sample when it ends, and its tokens before.
        """
        ...


def generate_from_tokens(
    policy: TokenPolicy, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None
) -> list[list[Completion]]:
    """Implements `Policy.generate` with `TokenPolicy.complete`.

    Args:
        policy: the policy.
        conversations: see `Policy.generate`.
        samples: see `Policy.generate`.
        sampling: see `Policy.generate`.
        keys: see `Policy.generate`.
    """
    keys = keys or [repr(list(conversation)) for conversation in conversations]
    prompts = [prompt for turns in conversations for prompt in [prompt_tokens(policy.tokenizer, turns)] * samples]
    seeds = [sample_seed(sampling.seed, key, sample) for key in keys for sample in range(samples)]
    sampled = policy.complete(prompts, sampling, seeds)
    return [sampled[i * samples : (i + 1) * samples] for i in range(len(conversations))]
