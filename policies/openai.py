"""An OpenAI-compatible server as a policy. Requests are sent concurrently, each with its own seed."""

import math
import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

import openai

from ..core import TEXT, Completion, Conversation, PromptRefused, Sampling, SamplingIncomplete, UserError, sample_seed
from ..texts import without_secrets, without_surrogates
from .server import errors as server_errors
from .server import keys, messages, parameters, replies
from .server import requests as at_once
from .server.errors import ErrorKind
from .server.parameters import DISTRIBUTION, LIMIT, NEW_LIMIT, OPTIONAL

TOP_LOGPROBS = 20
"""Number of tokens whose log-probabilities are requested: the maximum of OpenAI and vLLM."""
INVALID_REPLY_RETRIES = 4
"""Number of retries after replies with status 200 but no answer. Our choice."""
PAUSE, LONGEST_PAUSE = 0.25, 8.0
"""Pause before the first of these retries, and the longest pause, in seconds. The pause doubles at each retry. Our choice."""
NO_KEY = "none"
"""Placeholder to send as the key if there is no key, because OpenAI's client requires one."""
ACCOUNT_HEADERS = ("openai-organization", "openai-project")
"""Headers that OpenAI's client sets from environment variables. OPENAI_CUSTOM_HEADERS may add others."""
_INCOMPLETE_REPLY = ("RemoteProtocolError", "DecodingError", "ReadError")
"""Errors of the HTTP client for a reply that ends early."""

Read = TypeVar("Read")


class _URL(Protocol):
    """The fields of the HTTP client's URL that this module uses."""

    @property
    def scheme(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int | None: ...


class _Request(Protocol):
    """The fields of the HTTP client's request that this module uses."""

    @property
    def url(self) -> _URL: ...
    @property
    def headers(self) -> MutableMapping[str, str]: ...


class UnclearRefusal(Exception):
    """The server rejected a request permanently, and it is unclear whether the prompt is the reason."""


class OpenAIPolicy:
    """Samples from a server through `/v1/chat/completions`.

    Temporary errors (408, 409, 429, 5xx, a lost connection) are retried with growing pauses by OpenAI's client; if the server
    stays unavailable, `SamplingIncomplete` is raised. A request whose reply has no answer (no choices, an error under status
    200, HTML, truncated JSON) is retried; if all retries fail, only this sample is a fault. A prompt that the server will never
    answer (a content filter, a context that is too long) gives a sample with the finish reason "refused". Equal seeds give
    equal samples only if the server supports this: vLLM does, OpenAI promises best effort.

    Lone surrogates become U+FFFD in requests and replies.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key_env: str | None = None,
        batch_size: int = 64,
        max_retries: int = 8,
        timeout: float = 600.0,
        response_format: Mapping[str, object] | None = None,
        omit_parameters: str = "",
    ):
        """Creates the client. No request is sent yet.

        Args:
            model: name of the model on the server.
            base_url: URL of the server, such as "http://localhost:8000/v1"; default: $OPENAI_BASE_URL, then OpenAI's.
            api_key_env: environment variable with the key. A key is sent only to servers that the user has allowed (`keys.py`).
                Default: OPENAI_API_KEY if the server may receive it, else no key.
            batch_size: number of concurrent requests.
            max_retries: number of retries of a request.
            timeout: time limit of a request, in seconds.
            response_format: format of all replies, in the server's syntax: {"type": "json_schema", ...}.
            omit_parameters: comma-separated parameters that the server sets itself and that are not sent: "temperature,top_p".
        """
        self.omitted = {name.strip() for name in omit_parameters.split(",") if name.strip()}
        """Parameters that are not sent, because of `omit_parameters` or because the server rejected them."""
        if unknown := self.omitted - {*DISTRIBUTION, *OPTIONAL}:
            raise UserError(
                f"openai: omit_parameters contains {min(unknown)!r}; the parameters are {', '.join((*DISTRIBUTION, *OPTIONAL))}"
            )
        self.model, self.batch_size, self.response_format = model, batch_size, response_format
        self.max_retries, self.limit, self.has_answered = max_retries, LIMIT, False
        self.tool_forms = messages.Forms()
        """The forms of tools that the server accepts, as far as is known."""
        self.enable_thinking: bool | None = None
        """See `chat.thinking.SupportsThinking`."""
        if url := base_url or os.environ.get("OPENAI_BASE_URL", "").strip():
            keys.reject_keys_in(url)
            keys.check_base_url(url)
        http = openai.DefaultHttpxClient(event_hooks={"request": [self._set_key]})
        self.client = openai.OpenAI(
            base_url=base_url, api_key=NO_KEY, max_retries=max_retries, timeout=timeout, http_client=http
        )
        self.variable = api_key_env or keys.OPENAI
        server = _server(self.client.base_url)
        self.key_withheld = False
        """True if there is a key that this server may not receive."""
        if api_key_env or keys.may_receive(self.variable, server):
            key = keys.key(self.variable, server) or (NO_KEY if base_url and not api_key_env else None)
            if key is None:
                remedy = "omit api_key_env=" if base_url else "set base_url="
                raise UserError(f"openai: set ${self.variable} to a key, or {remedy} for a server that needs no key")
            self.client.api_key = key
        else:
            self.key_withheld = bool(os.environ.get(self.variable))

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """See `Policy.generate`. Samples without an answer have the finish reason "refused" or "fault".

        Args:
            conversations: see `Policy.generate`.
            samples: see `Policy.generate`.
            sampling: see `Policy.generate`.
            keys: see `Policy.generate`.

        Raises:
            SamplingIncomplete: the server is unavailable, or rejects a setting of the request. The error has the finished
                samples.
        """
        keys = keys or [repr(list(conversation)) for conversation in conversations]
        requests = [
            (conversation, sample_seed(sampling.seed, key, sample))
            for conversation, key in zip(conversations, keys, strict=True)
            for sample in range(samples)
        ]
        futures = at_once.finished(lambda request: self._sample(*request, sampling), requests, self.batch_size)
        prompt_refused = self._is_refusal_of_prompt(futures, len(conversations))
        sampled = [_sampled(future, prompt_refused) for future in futures]
        by_conversation = [sampled[i * samples : (i + 1) * samples] for i in range(len(conversations))]
        failures = [
            error
            for future, completion in zip(futures, sampled, strict=True)
            if completion is None and (error := future.exception())
        ]
        interrupts = [error for error in failures if isinstance(error, KeyboardInterrupt)]
        if failed := next(iter([*interrupts, *failures]), None):
            raise SamplingIncomplete(self._message(failed), by_conversation) from failed
        return [[completion for completion in row if completion] for row in by_conversation]

    def choice_probabilities(self, conversations: Sequence[Conversation], options: Sequence[str]) -> list[list[float]]:
        """Returns the probability of each option, given that the answer is one of them. Each option is one token.

        The probabilities are computed from the server's `top_logprobs`. Without them, the sampled token has probability 1.

        Returns:
            For each conversation a list with one probability for each option, with the sum 1. All are NaN if this conversation
            has no answer but others have one.

        Raises:
            UserError: the server fails, or no conversation gets one of the options as the answer.
        """
        futures = at_once.finished(lambda conversation: self._choose(conversation, options), conversations, self.batch_size)
        sample_errors = (PromptRefused, UnclearRefusal, replies.InvalidReply)
        errors = [error for future in futures if (error := future.exception())]
        for error in errors:
            if not isinstance(error, sample_errors) or len(errors) == len(futures):
                raise error if isinstance(error, UserError | KeyboardInterrupt) else UserError(self._message(error)) from error
        return [[math.nan] * len(options) if future.exception() else future.result() for future in futures]

    def _choose(self, conversation: Conversation, options: Sequence[str]) -> list[float]:
        request = self._request(conversation, Sampling(temperature=0.0, max_tokens=1)) | {"top_logprobs": TOP_LOGPROBS}
        text, top = self._send(self.client.chat.completions, request, replies.first_token)
        chances = [sum(math.exp(logprob) for token, logprob in top if token.strip() == option) for option in options]
        if not sum(chances):
            chances = [float(text.strip() == option) for option in options]
        if not sum(chances):
            raise replies.InvalidReply(f"the model must answer with one of {', '.join(options)}, got {text[:80]!r}")
        return [chance / sum(chances) for chance in chances]

    def _sample(self, conversation: Conversation, seed: int, sampling: Sampling) -> Completion:
        def read(reply: Mapping[str, Any]) -> Completion:
            return replies.completion(reply, sampling.max_tokens)

        request = self._request(conversation, sampling) | {"seed": seed}
        if sampling.stop:
            request["stop"] = [*map(without_surrogates, sampling.stop)]
        if [message["role"] for message in conversation] == [TEXT]:  # plain text, without a chat template
            plain = {name: value for name, value in request.items() if name != "messages"}
            plain |= {"prompt": without_surrogates(conversation[0]["content"]), "logprobs": 1}  # here a number of tokens
            sampled = self._send(self.client.completions, plain, read)
        else:
            if self.response_format:
                request["response_format"] = dict(self.response_format)
            if self.enable_thinking is not None:
                request[parameters.TEMPLATE] = {"enable_thinking": self.enable_thinking}
            sampled = self._send(self.client.chat.completions, request, read)
        return _stopped(sampled, sampling.stop) if "stop" in self.omitted else sampled

    def _request(self, conversation: Conversation, sampling: Sampling) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": conversation,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            LIMIT: sampling.max_tokens,
            "logprobs": True,
            **({parameters.TOP_K: sampling.top_k} if sampling.top_k else {}),
        }

    def _accepted(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the request in the server's form, without parameters that it does not accept."""
        if "messages" in request:
            request = {**request, **self.tool_forms.parameters(request["messages"])}
        named = {self.limit if name == LIMIT else name: value for name, value in request.items()}
        omitted = self.omitted | ({"top_logprobs"} if "logprobs" in self.omitted else set())  # it requires logprobs
        return {name: value for name, value in named.items() if name not in omitted}

    def _send(self, endpoint: Any, request: Mapping[str, Any], read: Callable[[Mapping[str, Any]], Read]) -> Read:
        """Sends a request, with retries, and returns what `read` returns for the reply.

        Raises:
            PromptRefused: the server will never answer this prompt.
            UnclearRefusal: the server may never answer this prompt.
            InvalidReply: no reply had an answer.
            UserError: the server rejects a setting of the user.
            openai.OpenAIError: the server is unavailable after all retries.
        """
        pauses = iter(min(LONGEST_PAUSE, PAUSE * 2**number) for number in range(min(INVALID_REPLY_RETRIES, self.max_retries)))
        lowered = 0
        while True:
            sent = self._accepted(request)
            try:
                reply = endpoint.with_raw_response.create(**parameters.as_arguments(sent))
                result = read(replies.parsed(reply.content))
            except openai.APIStatusError as error:
                shorter = server_errors.lowered(request, error.body or error.response.text)
                if shorter and lowered < server_errors.LOWERED:  # the sample would end at the window anyway
                    request, lowered = shorter, lowered + 1
                    continue
                if not self._is_adapted(error.status_code, error.body or error.response.text, request, sent):
                    raise
                continue
            except openai.APIConnectionError as error:
                if type(error.__cause__).__name__ in _INCOMPLETE_REPLY:
                    raise replies.InvalidReply(f"the reply ended early ({error.__cause__})") from error
                raise
            except replies.InvalidReply as invalid:
                if isinstance(invalid, replies.ErrorReply) and self._is_adapted(invalid.status, invalid.error, request, sent):
                    continue
                if (pause := next(pauses, None)) is None:
                    raise
                time.sleep(pause)
                continue
            self.has_answered = True
            return result

    def _is_adapted(self, status: int | None, body: object, request: Mapping[str, Any], sent: Mapping[str, Any]) -> bool:
        """True if the request was changed and can be sent again at once; False if the error may be temporary.

        The change: the parameter that the server rejects is left out, or sent under its other name or in another form.

        Args:
            status: HTTP status of the error. For an error under status 200, it is the status in the reply's body, or None.
            body: body of the error.
            request: the whole request.
            sent: the parameters of the request that were sent.

        Raises:
            PromptRefused, UnclearRefusal, UserError: the error is permanent; see `_send`.
        """
        message = self._redacted(f"{status or 'an error'}: {replies.one_line(body)}")
        names = [name for name in sent if name in parameters.NAMED_IN_ERRORS]
        name = server_errors.rejected_parameter(status or 400, body, names)
        if name is not None:
            self._leave_out(name, sent[name], message)
            return True
        kind = server_errors.kind_of(status or 400, body)
        if kind == ErrorKind.UNCLEAR and (rejected := self.tool_forms.adapt(sent, message)) is not None:
            if rejected:
                warnings.warn(self._at(rejected), stacklevel=2)
            return True
        if kind == ErrorKind.REFUSED:
            window = server_errors.window(body)
            if window is not None and window <= request.get(LIMIT, 0):
                raise UserError(self._at(f"{message}; max_tokens={request[LIMIT]} leaves no tokens for the prompt: lower it"))
            raise PromptRefused(message)
        if kind == ErrorKind.USER:
            server = _server(self.client.base_url)
            hint = (
                f"; the key in {self.variable} is not sent there: {keys.advice(self.variable, server)}"
                if self.key_withheld
                else ""
            )
            raise UserError(self._at(message) + hint)
        if kind == ErrorKind.UNCLEAR and status is not None:
            raise UnclearRefusal(message)
        return False

    def _leave_out(self, name: str, value: object, message: str) -> None:
        """Leaves out a parameter from now on, or sends the token limit under its other name.

        Raises:
            UserError: the parameter changes the samples.
        """
        if name == LIMIT:
            self.limit = NEW_LIMIT
            return
        if (remedy := parameters.remedy(name, value)) is not None:
            raise UserError(self._at(f"does not accept {name}={value!r:.40} ({message}): {remedy}"))
        if name not in self.omitted:
            self.omitted.add(name)
            effects = {"seed": "samples cannot be reproduced", "stop": "the client applies stop strings"}
            warnings.warn(self._at(f"does not accept {name}: {effects.get(name, 'it is left out')}"), stacklevel=2)

    def _is_refusal_of_prompt(self, futures: Iterable["Future[Completion]"], conversations: int) -> bool:
        """True if unclear rejections are due to their prompts.

        This is so if the server answered another prompt of this batch, or, for a batch of one prompt, an earlier prompt.
        """
        return any(not future.exception() for future in futures) or (self.has_answered and conversations == 1)

    def _set_key(self, request: "_Request") -> None:
        """Removes the user's key and account headers from a request to a server that may not receive them.

        The client calls it for each request, also after a redirect.
        """
        server = _server(request.url)
        if not keys.may_receive(keys.OPENAI, server):
            lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines()
            for name in (*ACCOUNT_HEADERS, *(line.partition(":")[0].strip() for line in lines)):
                request.headers.pop(name, None)
            key = self.client.api_key if keys.may_receive(self.variable, server) else NO_KEY
            request.headers["Authorization"] = f"Bearer {key}"

    def _redacted(self, text: str) -> str:
        """Returns a text of the server without the key and without secrets in URLs."""
        key = self.client.api_key
        return without_secrets(text.replace(key, "***") if len(key) > 7 else text)

    def _at(self, message: str) -> str:
        return f"{self.model} at {self.client.base_url}: {self._redacted(message)}"

    def _message(self, error: BaseException) -> str:
        if isinstance(error, UserError):
            return str(error)
        if isinstance(error, KeyboardInterrupt):
            return "interrupted"
        if isinstance(error, openai.APIStatusError):
            return self._at(f"{error.status_code} {replies.one_line(error.body or error.message)}")
        if isinstance(error, PromptRefused | UnclearRefusal | replies.InvalidReply):
            return self._at(str(error))
        if isinstance(error, openai.APIConnectionError):
            return self._redacted(f"{self.client.base_url} does not answer: {error.__cause__ or error}")
        raise error


def _server(url: "_URL") -> keys.Server:
    """Returns the server of a URL as the HTTP client parses it."""
    return keys.Server(url.scheme, url.host, url.port or keys.PORTS.get(url.scheme, 0))


def _sampled(future: "Future[Completion]", prompt_refused: bool) -> Completion | None:
    """Returns the sample, or a sample without an answer; None for an error of the whole batch."""
    error = future.exception()
    if isinstance(error, PromptRefused) or (prompt_refused and isinstance(error, UnclearRefusal)):
        return Completion("", "refused", error=str(error))
    if isinstance(error, replies.InvalidReply):
        return Completion("", "fault", error=str(error))
    return None if error else future.result()


def _stopped(sampled: Completion, stop: Sequence[str]) -> Completion:
    """Truncates a sample before the first stop string."""
    starts = [start for text in stop if (start := sampled.text.find(text)) >= 0]
    if not starts:
        return sampled
    return Completion(sampled.text[: min(starts)], "stop", sampled.token_ids, sampled.logprobs)
