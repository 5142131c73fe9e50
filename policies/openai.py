"""Any OpenAI-compatible server as a policy: many requests at once, each with its own seed."""

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai

from ..core import TEXT, Completion, Conversation, Incomplete, Sampling, UserError, draw_seed

TOP_LOGPROBS = 20
"""Tokens whose probabilities are asked for: the most that OpenAI and vLLM give."""


class OpenAIPolicy:
    """Answers conversations through `/v1/chat/completions`.

    A request that fails for a while (429, 5xx, a lost connection) is sent again with growing pauses, as OpenAI's client
    does it. Whether equal seeds give equal draws is the server's to keep: vLLM does, OpenAI's own promises best effort.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        batch_size: int = 64,
        max_retries: int = 8,
        timeout: float = 600.0,
        response_format: Mapping[str, Any] | None = None,
    ):
        """Describes the server; nothing is sent yet.

        Args:
            model: the model's name on the server.
            base_url: the server, as in "http://localhost:8000/v1"; defaults to $OPENAI_BASE_URL, then OpenAI's.
            api_key_env: the environment variable that holds the key; a server of your own may want none.
            batch_size: requests under way at once.
            max_retries: times that one request is sent again.
            timeout: seconds to wait for one answer.
            response_format: what every answer is held to, as the server takes it: {"type": "json_schema", ...}.
        """
        key = os.environ.get(api_key_env, "none" if base_url else None)
        if key is None:
            raise UserError(f"openai: wants a key in ${api_key_env}, or a base_url= of a server that needs none")
        self.model, self.batch_size, self.response_format = model, batch_size, response_format
        self.client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=max_retries, timeout=timeout)

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """See `Policy.generate`."""
        keys = keys or [repr(list(conversation)) for conversation in conversations]
        requests = [
            (conversation, draw_seed(sampling.seed, key, sample))
            for conversation, key in zip(conversations, keys, strict=True)
            for sample in range(samples)
        ]
        with ThreadPoolExecutor(self.batch_size) as threads:
            asked = [threads.submit(self._ask, conversation, seed, sampling) for conversation, seed in requests]
        drawn = [None if future.exception() else future.result() for future in asked]
        by_conversation = [drawn[i * samples : (i + 1) * samples] for i in range(len(conversations))]
        if failed := next((error for future in asked if (error := future.exception())), None):
            raise Incomplete(self._said(failed), by_conversation) from failed
        return [[completion for completion in row if completion] for row in by_conversation]

    def choices(self, conversations: Sequence[Conversation], options: Sequence[str]) -> list[list[float]]:
        """How likely each option, of one token, is as the answer to each conversation, if it is one of them.

        By the server's `top_logprobs`; where it gives none, the token that it says has probability 1.

        Returns:
            One list a conversation, of a probability an option; they sum to 1.

        Raises:
            UserError: the server fails, or a model says something else.
        """
        with ThreadPoolExecutor(self.batch_size) as threads:
            asked = [threads.submit(self._choose, conversation, options) for conversation in conversations]
        if failed := next((error for future in asked if (error := future.exception())), None):
            raise failed if isinstance(failed, UserError) else UserError(self._said(failed)) from failed
        return [future.result() for future in asked]

    def _choose(self, conversation: Conversation, options: Sequence[str]) -> list[float]:
        reply = self.client.chat.completions.create(
            model=self.model,
            messages=[dict(message) for message in conversation],  # type: ignore[misc]
            temperature=0.0,
            max_tokens=1,
            logprobs=True,
            top_logprobs=TOP_LOGPROBS,
        )
        choice = reply.choices[0]
        top = choice.logprobs.content[0].top_logprobs if choice.logprobs and choice.logprobs.content else None
        chances = [sum(math.exp(told.logprob) for told in top or () if told.token.strip() == option) for option in options]
        if not sum(chances):
            chances = [float((choice.message.content or "").strip() == option) for option in options]
        if not sum(chances):
            raise UserError(f"{self.model} says {choice.message.content!r} where one of {', '.join(options)} is asked for")
        return [chance / sum(chances) for chance in chances]

    def _said(self, error: BaseException) -> str:
        if isinstance(error, openai.APIStatusError):
            return f"{self.model} at {self.client.base_url}: {error.status_code} {error.message[:200]}"
        if isinstance(error, openai.APIConnectionError):
            return f"{self.client.base_url} does not answer: {error.__cause__ or error}"
        raise error

    def _ask(self, conversation: Conversation, seed: int, sampling: Sampling) -> Completion:
        if [message["role"] for message in conversation] == [TEXT]:
            return self._continue(conversation[0]["content"], seed, sampling)
        reply = self.client.chat.completions.create(
            model=self.model,
            messages=[dict(message) for message in conversation],  # type: ignore[misc]
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            seed=seed,
            stop=list(sampling.stop) or openai.omit,
            logprobs=True,
            response_format=self.response_format or openai.omit,  # type: ignore[arg-type]
        )
        choice = reply.choices[0]
        logprobs = [token.logprob for token in (choice.logprobs.content or [])] if choice.logprobs else []
        reason = "length" if choice.finish_reason == "length" else "stop"
        count = reply.usage.completion_tokens if reply.usage else len(logprobs)
        return Completion(_with_thinking(choice.message), reason, tuple(range(count)), tuple(logprobs))

    def _continue(self, text: str, seed: int, sampling: Sampling) -> Completion:
        """A text as it stands, through `/v1/completions`."""
        reply = self.client.completions.create(
            model=self.model,
            prompt=text,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            seed=seed,
            stop=list(sampling.stop) or openai.omit,
        )
        choice = reply.choices[0]
        reason = "length" if choice.finish_reason == "length" else "stop"
        return Completion(choice.text, reason, tuple(range(reply.usage.completion_tokens if reply.usage else 0)))


def _with_thinking(message: Any) -> str:
    """What was said, behind the thinking that some servers set apart; thinking that was cut stays open."""
    thinking = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    if not thinking:
        return message.content or ""
    return f"<think>\n{thinking}\n</think>\n{message.content}" if message.content else f"<think>\n{thinking}"
