"""The endpoints for samples: `/v1/chat/completions` and `/v1/completions`."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from ...core import Completion, Policy
from ..transcript import SupportsObserver
from . import messages, replies, stream, work
from .batching import Batches, Draw
from .errors import RequestError
from .requests import ChatRequest, CompletionRequest, Shared
from .stream import Delta, Growing

Answer = replies.Fields | AsyncIterator[bytes]
"""A reply, or its events."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """A policy behind the API."""

    policy: Policy
    name: str
    """The name of the model."""
    batches: Batches
    prompts: work.Prompts

    def check_model(self, request: Shared) -> None:
        """Raises `RequestError` if a request names another model."""
        if request.model not in (None, self.name):
            words = f"the model {request.model!r:.200} does not exist; this server has {self.name!r}"
            raise RequestError(words, 404, "model", "model_not_found")

    async def chat(self, request: ChatRequest) -> Answer:
        """Answers a request to `/v1/chat/completions`.

        Args:
            request: the request.

        Raises:
            RequestError: the request gets no answer.
        """
        self.check_model(request)
        work.check_logprobs(self.policy, bool(request.logprobs))
        if request.limit == 0:
            raise RequestError("max_tokens must be at least 1", param="max_tokens")
        if request.top_logprobs and not request.logprobs:
            raise RequestError("top_logprobs needs logprobs: true", param="top_logprobs")
        prompt = await asyncio.to_thread(self.prompts.of_chat, request)
        draws = work.draws(request, prompt, self.prompts.limit(request.limit, prompt), work.seed_of(request))
        if request.stream:
            return self._chat_events(request, prompt, draws)
        samples = await work.sampled(self.batches, draws)
        logprobs = await work.chat_logprobs(self.batches, self.prompts, request, prompt, samples)
        parts = [messages.said(sample.text, request.declared) for sample in samples]
        return {
            **replies.head("chat.completion", "chatcmpl", self.name),
            "choices": [replies.chat_choice(i, samples[i], parts[i], logprobs[i]) for i in range(len(samples))],
            "usage": replies.usage(prompt.count, _tokens(samples)),
        }

    def _chat_events(self, request: ChatRequest, prompt: work.Prompt, draws: list[Draw]) -> AsyncIterator[bytes]:
        if request.top_logprobs:
            raise RequestError("top_logprobs is not supported in a stream: omit one of them", param="top_logprobs")
        head = replies.head("chat.completion.chunk", "chatcmpl", self.name)
        tokens = self.prompts.tokens
        declared = request.declared

        def chunk(number: int, delta: Delta | None, completion: Completion | None) -> list[replies.Fields]:
            if delta is None:
                return [_chunk(head, number, {"role": "assistant", "content": ""})]
            fields: replies.Fields = {
                name: text for name, text in zip(("reasoning_content", "content"), delta, strict=True) if text
            }
            if completion is None:
                return [_chunk(head, number, fields)]
            said = messages.said(completion.text, declared)
            logprobs = None
            if growing is None:
                fields = {name: value for name, value in said.message.items() if name != "role" and value}
                if request.logprobs and tokens:
                    logprobs = replies.chat_logprobs(tokens.tokenizer, completion, None)
            if said.calls:
                fields["tool_calls"] = [{"index": place, **call} for place, call in enumerate(said.calls)]
            reason = replies.finish_reason(completion, bool(said.calls))
            return [*([_chunk(head, number, fields, None, logprobs)] if fields else []), _chunk(head, number, {}, reason)]

        growing = self._growing(draws, True) if not declared and not request.logprobs else None
        self.batches.submit(draws)
        return stream.events(draws, growing, chunk, self._last(request, head, prompt.count))

    async def text(self, request: CompletionRequest) -> Answer:
        """Answers a request to `/v1/completions`.

        Args:
            request: the request.

        Raises:
            RequestError: the request gets no answer.
        """
        self.check_model(request)
        work.check_logprobs(self.policy, request.logprobs is not None)
        if len(request.prompts) * request.choices > self.batches.most_waiting:
            raise RequestError(f"more than {self.batches.most_waiting} samples in a request; send several requests")
        prompts = await asyncio.to_thread(lambda: [self.prompts.of_text(prompt) for prompt in request.prompts])
        seed, limits = work.seed_of(request), [self.prompts.limit(request.limit, prompt) for prompt in prompts]
        if request.limit == 0:
            request.sampling(1)  # checks it
            if request.stream:
                raise RequestError("max_tokens: 0 is not supported in a stream", param="max_tokens")
            rows = [[Completion("", "length")] * request.choices for _ in prompts]
        else:
            by_prompt = [work.draws(request, prompt, limit, seed) for prompt, limit in zip(prompts, limits, strict=True)]
            draws = [draw for row in by_prompt for draw in row]
            if request.stream:
                return self._text_events(request, prompts, draws)
            samples = await work.sampled(self.batches, draws)
            rows = [samples[i * request.choices : (i + 1) * request.choices] for i in range(len(prompts))]
        choices: list[replies.Fields] = []
        found = await asyncio.gather(
            *(
                work.text_logprobs(self.batches, self.prompts, request, prompt, row)
                for prompt, row in zip(prompts, rows, strict=True)
            )
        )
        for prompt, row, logprobs in zip(prompts, rows, found, strict=True):
            before = self._echoed(prompt) if request.echo else ""
            choices += [replies.text_choice(len(choices) + i, sample, before, logprobs[i]) for i, sample in enumerate(row)]
        return {
            **replies.head("text_completion", "cmpl", self.name),
            "choices": choices,
            "usage": replies.usage(sum(prompt.count for prompt in prompts), sum(map(_tokens, rows))),
        }

    def _text_events(
        self, request: CompletionRequest, prompts: Sequence[work.Prompt], draws: list[Draw]
    ) -> AsyncIterator[bytes]:
        if request.logprobs is not None:
            raise RequestError("logprobs is not supported in a stream of /v1/completions: omit one of them", param="logprobs")
        head = replies.head("text_completion", "cmpl", self.name)

        def chunk(number: int, delta: Delta | None, completion: Completion | None) -> list[replies.Fields]:
            if delta is None:
                before = self._echoed(prompts[number // request.choices]) if request.echo else ""
                return [_text_chunk(head, number, before)] if before else []
            if completion is None:
                return [_text_chunk(head, number, delta[1])]
            text = delta[1] if growing else completion.text
            return [_text_chunk(head, number, text, replies.finish_reason(completion))]

        growing = self._growing(draws, False)
        self.batches.submit(draws)
        return stream.events(draws, growing, chunk, self._last(request, head, sum(prompt.count for prompt in prompts)))

    def _echoed(self, prompt: work.Prompt) -> str:
        """Returns the text of a prompt."""
        text = prompt.conversation[0]["content"]
        return text or (self.prompts.tokens.tokenizer.decode(prompt.tokens) if self.prompts.tokens else "")

    def _growing(self, draws: Sequence[Draw], splits: bool) -> list[Growing] | None:
        """Returns the growing texts of draws; None if the policy cannot be observed."""
        if self.prompts.tokens is None or not isinstance(self.policy, SupportsObserver):
            return None
        return [Growing(self.prompts.tokens, draw, splits) for draw in draws]

    def _last(self, request: Shared, head: replies.Fields, prompts: int) -> "stream.Last":
        """Returns the function for the last chunk of a stream, which has the numbers of tokens if the request asks for them."""

        def last(samples: Sequence[Completion]) -> list[replies.Fields]:
            if not (request.stream_options and request.stream_options.include_usage):
                return []
            return [{**head, "choices": [], "usage": replies.usage(prompts, _tokens(samples))}]

        return last


def _tokens(samples: Sequence[Completion]) -> int:
    return sum(len(sample.token_ids) for sample in samples)


def _chunk(
    head: replies.Fields, number: int, delta: replies.Fields, reason: str | None = None, logprobs: replies.Fields | None = None
) -> replies.Fields:
    return {**head, "choices": [{"index": number, "delta": delta, "logprobs": logprobs, "finish_reason": reason}]}


def _text_chunk(head: replies.Fields, number: int, text: str, reason: str | None = None) -> replies.Fields:
    return {**head, "choices": [{"index": number, "text": text, "logprobs": None, "finish_reason": reason}]}
