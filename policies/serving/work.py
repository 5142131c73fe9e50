"""What a request asks of the policy: its prompts in tokens, its draws, and the log-probabilities of their tokens."""

import asyncio
import secrets
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from ...core import TEXT, Completion, Message, Policy, UserError, sample_seed
from ...texts import without_surrogates
from ..chat.prompts import prompt_tokens
from ..chat.thinking import thinking
from ..likelihoods import SupportsTokenScores, TokenScore
from ..transcript import TokenPolicy
from . import messages, replies
from .batching import Batches, Draw, Result, Scoring, Work
from .errors import RequestError
from .requests import ChatRequest, CompletionRequest, Shared

UNLIMITED = 512
"""Token limit of a chat if neither the request nor the model's window sets one. Our choice."""
_SEEDS = 1 << 53


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt of a request."""

    conversation: Sequence[Message]
    tokens: list[int]
    """Empty for a policy without a tokenizer."""
    count: int
    """Number of tokens, or of words for a policy without a tokenizer."""


class Prompts:
    """Reads the prompts of requests for a policy."""

    def __init__(self, policy: Policy):
        """Sets the policy."""
        self.policy = policy
        self.tokens = policy if isinstance(policy, TokenPolicy) else None
        self._template = threading.Lock()
        """A request may set a variable of the chat template, which all share."""

    @property
    def window(self) -> int | None:
        """The model's context window in tokens, or None if unknown."""
        return self.tokens.window if self.tokens else None

    def of_chat(self, request: ChatRequest) -> Prompt:
        """Returns the prompt of a chat.

        Raises:
            RequestError: a message is not valid, or the chat template does not accept the messages.
        """
        turns = messages.conversation(request.messages, request.declared)
        enabled = request.enable_thinking
        if self.tokens is None:
            if enabled is not None:
                raise RequestError("the policy has no chat template with enable_thinking", param="chat_template_kwargs")
            return Prompt(turns, [], sum(len(turn["content"].split()) for turn in turns))
        with self._template:
            try:
                with thinking(self.policy, enabled):
                    tokens = prompt_tokens(self.tokens.tokenizer, turns)
            except UserError as error:
                raise RequestError(str(error), param="chat_template_kwargs") from None
            except Exception as error:  # templates raise exceptions of any type
                raise RequestError(
                    f"the chat template does not accept the messages: {' '.join(str(error).split())[:200]}", param="messages"
                ) from None
        return self._checked(Prompt(turns, tokens, len(tokens)))

    def of_text(self, prompt: str | list[int]) -> Prompt:
        """Returns a prompt that is plain text or tokens.

        Raises:
            RequestError: it has a token that the model does not have, or the policy has no tokens.
        """
        if isinstance(prompt, list):
            if self.tokens is None:
                raise RequestError("the policy has no tokenizer: send the prompt as text", param="prompt")
            if not all(0 <= token < self.vocabulary for token in prompt):
                raise RequestError(f"prompt: a token id is not between 0 and {self.vocabulary - 1}", param="prompt")
            turns = [Message(role=TEXT, content="")]
            return self._checked(Prompt(turns, prompt, len(prompt)))
        turns = [Message(role=TEXT, content=without_surrogates(prompt))]
        if self.tokens is None:
            return Prompt(turns, [], len(prompt.split()))
        with self._template:
            tokens = prompt_tokens(self.tokens.tokenizer, turns)
        return self._checked(Prompt(turns, tokens, len(tokens)))

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return len(self.tokens.tokenizer) if self.tokens else 0

    def _checked(self, prompt: Prompt) -> Prompt:
        """Returns a prompt; raises `RequestError` if it has no tokens or fills the window."""
        if not prompt.tokens:
            raise RequestError("the prompt has no tokens", param="prompt")
        if self.window is not None and prompt.count >= self.window:
            raise RequestError(
                f"this model's maximum context length is {self.window} tokens, and the prompt has {prompt.count} tokens: "
                "shorten it",
                code="context_length_exceeded",
            )
        return prompt

    def limit(self, asked: int | None, prompt: Prompt) -> int:
        """Returns the token limit of a sample. A sample also ends at the window.

        Args:
            asked: the request's limit, if it has one.
            prompt: the prompt.
        """
        if self.window is None:
            return UNLIMITED if asked is None else asked
        room = self.window - prompt.count
        return room if asked is None else min(asked, room)


def draws(request: Shared, prompt: Prompt, limit: int, first_seed: int) -> list[Draw]:
    """Returns the draws of a prompt.

    The first choice has the request's seed as its own, so that it equals the policy's sample with this seed.

    Args:
        request: the request.
        prompt: the prompt.
        limit: token limit.
        first_seed: the seed of the first choice.
    """
    seeds = [first_seed, *(sample_seed(first_seed, "choice", number) for number in range(1, request.choices))]
    sampling = request.sampling(limit)
    return [Draw(prompt.conversation, prompt.tokens, sampling, seed) for seed in seeds]


def seed_of(request: Shared) -> int:
    """Returns the request's seed, or a random one."""
    return secrets.randbelow(_SEEDS) if request.seed is None else request.seed % 2**64


def check_logprobs(policy: Policy, asked: bool, name: str = "logprobs") -> None:
    """Raises `RequestError` if a request asks for log-probabilities, and the policy has none."""
    if asked and not isinstance(policy, SupportsTokenScores):
        raise RequestError(
            f"the parameter {name} is not supported: this policy has no log-probabilities", 400, name, "unsupported_parameter"
        )


async def scored(batches: Batches, rows: Sequence[list[int]], request: Shared, top: int) -> list[list[TokenScore]]:
    """Returns the scores of rows of tokens under the request's distribution. The first token of a row has none."""
    sampling = request.sampling(1)
    works = [Scoring(row, sampling, top) for row in rows]
    return await results(batches, works, [work.result for work in works])


async def results(batches: Batches, works: Sequence[Work], futures: Sequence[Future[Result]]) -> list[Result]:
    """Submits work, and returns its results. Work whose request is cancelled is cancelled.

    Args:
        batches: runs the work.
        works: the work.
        futures: its results.
    """
    batches.submit(works)
    try:
        return list(await asyncio.gather(*map(asyncio.wrap_future, futures)))
    finally:
        for future in futures:
            future.cancel()


async def sampled(batches: Batches, draws: Sequence[Draw]) -> list[Completion]:
    """Returns the samples of draws; see `results`."""
    return [replies.checked(sample) for sample in await results(batches, draws, [draw.result for draw in draws])]


async def chat_logprobs(
    batches: Batches, prompts: Prompts, request: ChatRequest, prompt: Prompt, samples: Sequence[Completion]
) -> list[replies.Fields | None]:
    """Returns the log-probabilities of the samples of a chat; None if the request does not ask for them."""
    if not request.logprobs or prompts.tokens is None:
        return [None] * len(samples)
    scores: list[list[TokenScore]] | None = None
    if request.top_logprobs:
        rows = [[*prompt.tokens, *sample.token_ids] for sample in samples]
        scores = [row[prompt.count - 1 :] for row in await scored(batches, rows, request, request.top_logprobs)]
    tokenizer = prompts.tokens.tokenizer
    return [replies.chat_logprobs(tokenizer, sample, scores[place] if scores else None) for place, sample in enumerate(samples)]


async def text_logprobs(
    batches: Batches, prompts: Prompts, request: CompletionRequest, prompt: Prompt, samples: Sequence[Completion]
) -> list[replies.Fields | None]:
    """Returns the log-probabilities of the samples of a prompt; None if the request does not ask for them."""
    if request.logprobs is None or prompts.tokens is None:
        return [None] * len(samples)
    scores: list[list[TokenScore]] = [[] for _ in samples]
    if request.logprobs or request.echo:
        rows = [[*prompt.tokens, *sample.token_ids] for sample in samples]
        scores = await scored(batches, rows, request, request.logprobs)
    found: list[replies.Fields | None] = []
    for sample, row in zip(samples, scores, strict=True):
        after = row[prompt.count - 1 :]
        tops: list[Sequence[tuple[int, float]] | None] = [
            [(other, own if other == token else value) for other, value in score.top]
            for token, own, score in zip(sample.token_ids, sample.logprobs, after, strict=False)
        ] or [[] for _ in sample.token_ids]
        tokens, logprobs = [*sample.token_ids], [*sample.logprobs]
        known: list[float | None] = [*logprobs]
        if request.echo:
            before = row[: prompt.count - 1]
            tokens = [*prompt.tokens, *tokens]
            known = [None, *(score.logprob for score in before), *logprobs]
            tops = [None, *(score.top for score in before), *tops]
        found.append(replies.text_logprobs(prompts.tokens.tokenizer, tokens, known, tops))
    return found
