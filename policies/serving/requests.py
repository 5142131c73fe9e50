"""Requests in the form of OpenAI's API: their fields, and which parameters are refused."""

import json
from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

import pydantic

from ...core import Sampling, UserError
from .errors import RequestError, not_supported

MOST_CHOICES = 128
"""Largest `n`, as in OpenAI's API."""
MOST_PROMPTS = 1024
"""Largest number of prompts in a request to `/v1/completions`. Our choice."""
MOST_STOPS = 64
"""Largest number of stop strings. Our choice; OpenAI's is 4."""
TOP = 20
"""Largest `top_logprobs`, as in OpenAI's API."""
DEFAULT_TOKENS = 16
"""Token limit of `/v1/completions` if the request has none, as in OpenAI's API."""
HARMLESS = frozenset(
    "user metadata store service_tier safety_identifier prompt_cache_key prompt_cache_retention request_id priority "
    "stream_options".split()
)
"""Parameters that do not change the reply."""
NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "logit_bias": ({},),
    "min_p": (0,),
    "min_tokens": (0,),
    "best_of": (1,),
    "suffix": ("",),
    "ignore_eos": (False,),
    "response_format": ({"type": "text"},),
    "parallel_tool_calls": (True,),
    "modalities": (["text"],),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "chat_template_kwargs": ({},),
    "include_reasoning": (True,),
    "stop_token_ids": ([],),
    "functions": ([],),
}
"""Values of parameters that this server does not have, with which they do not change the reply."""


class StreamOptions(pydantic.BaseModel):
    """Options of a stream."""

    include_usage: bool = False


class Shared(pydantic.BaseModel, extra="allow", strict=True):
    """The fields of all requests for samples."""

    model: str | None = None
    max_tokens: int | None = pydantic.Field(None, ge=0)
    temperature: float | None = pydantic.Field(None, ge=0, allow_inf_nan=False)
    top_p: float | None = pydantic.Field(None, gt=0, le=1)
    top_k: int | None = None
    """0 and -1 mean all tokens."""
    n: int | None = pydantic.Field(None, ge=1, le=MOST_CHOICES)
    seed: int | None = pydantic.Field(None, ge=-(2**63), lt=2**64)
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def choices(self) -> int:
        """Number of samples of each prompt."""
        return self.n or 1

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings. Empty ones, which some clients send for none, are left out."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(dict.fromkeys(text for text in given if text))

    def sampling(self, max_tokens: int) -> Sampling:
        """Returns the sampling settings. The defaults are those of OpenAI's API: temperature 1 and top_p 1."""
        if len(self.stops) > MOST_STOPS:
            raise RequestError(f"stop has more than {MOST_STOPS} texts", param="stop")
        try:
            return Sampling(
                temperature=1.0 if self.temperature is None else self.temperature,
                top_p=1.0 if self.top_p is None else self.top_p,
                max_tokens=max_tokens,
                stop=self.stops,
                top_k=None if self.top_k in (0, -1) else self.top_k,
            )
        except UserError as error:
            raise RequestError(str(error), param=str(error).partition(":")[0]) from None


class ChatRequest(Shared):
    """A request to `/v1/chat/completions`. `messages` and `tools` are checked in `messages.py`."""

    messages: list[dict[str, object]] = pydantic.Field(min_length=1)
    max_completion_tokens: int | None = pydantic.Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = pydantic.Field(None, ge=0, le=TOP)
    tools: list[dict[str, object]] | None = None
    tool_choice: str | dict[str, object] | None = None
    chat_template_kwargs: dict[str, object] | None = None

    @property
    def limit(self) -> int | None:
        """The token limit, if the request has one."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def enable_thinking(self) -> Literal["on", "off"] | None:
        """The variable `enable_thinking` of the chat template, in the words of `chat.thinking`."""
        given = self.chat_template_kwargs or {}
        for name, value in given.items():
            if name != "enable_thinking" or not isinstance(value, bool):
                raise not_supported("chat_template_kwargs", 'the only variable is "enable_thinking", true or false')
        return ("on" if given["enable_thinking"] else "off") if given else None

    @property
    def declared(self) -> Sequence[Mapping[str, object]]:
        """The functions that the policy may call."""
        if self.tool_choice not in (None, "auto", "none"):
            raise not_supported("tool_choice", 'it may be "auto" or "none"')
        return () if self.tool_choice == "none" else self.tools or ()


class CompletionRequest(Shared):
    """A request to `/v1/completions`."""

    prompt: str | list[str] | list[int] | list[list[int]]
    echo: bool | None = None
    logprobs: int | None = pydantic.Field(None, ge=0, le=TOP)

    @property
    def prompts(self) -> list[str | list[int]]:
        """The prompts."""
        given = self.prompt
        if isinstance(given, str):
            return [given]
        if not given:
            raise RequestError("prompt is empty", param="prompt")
        if isinstance(given[0], int):
            return [[token for token in given if isinstance(token, int)]]
        found = [one for one in given if not isinstance(one, int)]
        if len(found) > MOST_PROMPTS:
            raise RequestError(f"more than {MOST_PROMPTS} prompts; send several requests", param="prompt")
        return found

    @property
    def limit(self) -> int:
        """The token limit."""
        return DEFAULT_TOKENS if self.max_tokens is None else self.max_tokens


class TokenizeRequest(pydantic.BaseModel, strict=True):
    """A request to `/tokenize`."""

    prompt: str
    add_special_tokens: bool = True


class DetokenizeRequest(pydantic.BaseModel, strict=True):
    """A request to `/detokenize`."""

    tokens: list[int]


Body = TypeVar("Body", bound=pydantic.BaseModel)


def read(kind: type[Body], body: bytes) -> Body:
    """Returns a request.

    Args:
        kind: its class.
        body: JSON.

    Raises:
        RequestError: the body is not such a request, or a parameter that changes the reply is unknown.
    """
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestError("the body is not JSON") from None
    if not isinstance(fields, dict):
        raise RequestError("the body is not a JSON object")
    fields = {name: value for name, value in fields.items() if value is not None}
    try:
        request = kind.model_validate(fields)
    except (pydantic.ValidationError, RecursionError) as error:
        raise _invalid(error) from None
    if isinstance(request, Shared):
        for name, value in (request.model_extra or {}).items():
            if name not in HARMLESS and value not in NEUTRAL.get(name, ()):
                raise not_supported(name)
    return request


def _invalid(error: Exception) -> RequestError:
    if not isinstance(error, pydantic.ValidationError):
        return RequestError("the body is nested too deeply")
    first = error.errors(include_url=False, include_input=False)[0]
    place = [str(part) for part in first["loc"]]
    name = place[0] if place else None
    return RequestError(f"{'.'.join(place[:1])}: {first['msg']}", param=name)
