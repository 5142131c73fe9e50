"""The tokens of one episode, turn by turn, and the rules by which it ends.

The player of episodes (`rollout.py`: filter, `sample_pairs`, `tenfold.rollout`) and GRPO's agent loop both keep one, so that
both play a problem by the same rules: what the policy reads, how much it may say, when it is cut, what is judged.

An episode has a limit of turns, and a budget of tokens for all turns together and the environment's replies between them (as
verl has it). It ends

    with the environment,                                        finish reason "stop", or "length" where the last turn was cut
    after a turn that was cut,                                   "length"
    after the last turn that is allowed,                         "stop"
    when a reply leaves no room for another turn of the policy,  "length"

with the rewards that it has by then.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from ..core import (
    Completion,
    Conversation,
    Message,
    Policy,
    Sampling,
    sample_seed,
    without_surrogates,
)
from .chat_tokens import turn_tokens
from .checkpoints import prompt_tokens
from .completions import completion

BYTES_A_TOKEN = 4
"""By which replies are counted where the policy's tokenizer is not known, as a server's is not. A rule of thumb."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be said in an episode."""

    tokens: int
    """All turns of the policy, and the replies between them."""
    turns: int
    """Turns of the policy."""
    window: int | None = None
    """Prompt and all that follows it: what the model can read."""


@dataclass(slots=True)
class Transcript:
    """An episode so far."""

    limits: Limits
    messages: list[Message]
    """The conversation. It begins with what the environment posed."""
    tokenizer: Any = None
    """The policy's; None where it is not known. Then no tokens are kept, but counted."""
    stop_ids: Collection[int] = ()
    """Tokens that end a turn."""
    turns: list[Completion] = field(default_factory=list)
    """The policy's."""
    prompt: list[int] = field(init=False, default_factory=list)
    """Tokens before the policy's first turn."""
    response: list[int] = field(init=False, default_factory=list)
    """Tokens after them: the policy's as they were sampled, and those of the replies. Only ever appended to."""
    mask: list[int] = field(init=False, default_factory=list)
    """1 for each token of the response that the policy drew, 0 for the others."""
    logprobs: list[float] = field(init=False, default_factory=list)
    """Of each token of the response; 0 where it is not known."""
    used: int = field(init=False, default=0)
    """Tokens of the budget that are spent."""
    finish_reason: str = field(init=False, default="stop")
    """Of the last turn, and when the episode is over, of the episode; see the module."""

    def __post_init__(self) -> None:
        self.messages = [{**message, "content": without_surrogates(message["content"])} for message in self.messages]
        if self.tokenizer is not None:
            self.prompt = prompt_tokens(self.tokenizer, self.messages)

    @property
    def tokens(self) -> list[int]:
        """All tokens: what the policy reads before its next turn."""
        return self.prompt + self.response

    @property
    def left(self) -> int:
        """Tokens that the policy's next turn may have, one at least."""
        return max(1, self._room())

    def sample(self, tokens: Sequence[int], logprobs: Sequence[float] = ()) -> Completion:
        """Takes the policy's next turn, as tokens."""
        said = completion(self.tokenizer, self.tokens, tokens, self.stop_ids, logprobs=logprobs)
        self.say(said)
        return said

    def say(self, said: Completion) -> None:
        """Takes the policy's next turn."""
        said = replace(said, text=without_surrogates(said.text))
        self.turns.append(said)
        self.messages.append(Message(role="assistant", content=said.text))
        self.used += len(said.token_ids)
        self.finish_reason = said.finish_reason
        if self.tokenizer is not None:
            self._append(said.token_ids, 1, said.logprobs)

    def goes_on(self, ended: bool, role: str, reply: str) -> bool:
        """Takes what the environment says to the policy's last turn.

        Args:
            ended: whether the environment has ended the episode; it then has nothing to say.
            role, reply: who speaks, and what is said.

        Returns:
            Whether the policy has another turn. Where it has none, `finish_reason` tells why, and the reply is left out.
        """
        reply = without_surrogates(reply)
        cut = self.turns[-1].finish_reason == "length"
        if ended or cut or len(self.turns) >= self.limits.turns:
            return False
        if self.tokenizer is None:
            heard: list[int] = []
            count = math.ceil(len(reply.encode()) / BYTES_A_TOKEN)
        else:
            heard = turn_tokens(self.tokenizer, role, reply, self.turns[-1].token_ids)
            count = len(heard)
            if not heard:  # the chat template has no place for a reply
                return False
        if count >= self._room():
            self.finish_reason = "length"
            return False
        self.messages.append(Message(role=role, content=reply))
        self.used += count
        self._append(heard, 0)
        return True

    def _room(self) -> int:
        """Tokens of the budget and of the window that are left."""
        room = self.limits.tokens - self.used
        return room if self.limits.window is None else min(room, self.limits.window - len(self.prompt) - self.used)

    def _append(self, tokens: Sequence[int], sampled: int, logprobs: Sequence[float] = ()) -> None:
        self.response += tokens
        self.mask += [sampled] * len(tokens)
        self.logprobs += logprobs or [0.0] * len(tokens)


@runtime_checkable
class TokenPolicy(Policy, Protocol):
    """A policy whose tokens are known here: a checkpoint. Its episodes are played in tokens, as GRPO plays them."""

    tokenizer: Any
    stop_ids: frozenset[int]
    """Tokens that end its turn."""

    @property
    def window(self) -> int | None:
        """Most tokens that it reads and writes together."""
        ...

    def complete(
        self, prompts: Sequence[list[int]], sampling: Sampling, seeds: Sequence[int], limits: Sequence[int] | None = None
    ) -> list[Completion]:
        """One completion for each prompt, with a seed of its own.

        Args:
            prompts: token ids, with the opening of the policy's turn.
            sampling: temperature, length, stop strings.
            seeds: of the samples; `sampling.seed` is not looked at.
            limits: tokens that each sample may have, instead of `sampling.max_tokens`.
        """
        ...


def generate(
    policy: TokenPolicy, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None
) -> list[list[Completion]]:
    """`Policy.generate` of a policy whose tokens are known: each sample is a completion of the conversation's tokens."""
    keys = keys or [repr(list(conversation)) for conversation in conversations]
    prompts = [prompt for asked in conversations for prompt in [prompt_tokens(policy.tokenizer, asked)] * samples]
    seeds = [sample_seed(sampling.seed, key, sample) for key in keys for sample in range(samples)]
    sampled = policy.complete(prompts, sampling, seeds)
    return [sampled[i * samples : (i + 1) * samples] for i in range(len(conversations))]
