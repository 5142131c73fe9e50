"""Any OpenAI-compatible server as a policy: many requests at once, each with its own seed."""

import json
import math
import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import openai

from ..core import (
    TEXT,
    Completion,
    Conversation,
    Incomplete,
    Message,
    Refused,
    Sampling,
    UserError,
    sample_seed,
    without_secrets,
    without_surrogates,
)
from .server import errors as server_errors
from .server import keys, replies
from .server import requests as at_once
from .server.errors import ErrorKind

TOP_LOGPROBS = 20
"""Tokens whose probabilities are asked for: the most that OpenAI and vLLM give."""
ODD_RETRIES = 4
"""Times that a request is sent again whose reply, of status 200, holds no answer. Ours."""
PAUSE, LONGEST_PAUSE = 0.25, 8.0
"""Seconds before the first of them, doubled each time."""
LIMIT, NEW_LIMIT = "max_tokens", "max_completion_tokens"
"""How the most tokens of a sample are called; OpenAI's reasoning models take the second name alone."""
OPTIONAL = ("logprobs", "top_logprobs", "seed", "stop")
"""Parameters that a server may refuse without changing what its samples are worth; stop strings are then cut here."""
CHOSEN = ("temperature", "top_p")
"""Parameters that decide what is sampled; 1 is the default of every server."""
NO_KEY = "none"
"""What is sent where there is no key: OpenAI's client wants one."""
ACCOUNT = ("openai-organization", "openai-project")
"""Headers that OpenAI's client fills from the environment by itself; OPENAI_CUSTOM_HEADERS names further ones."""
_CUT_OFF = ("RemoteProtocolError", "DecodingError", "ReadError")
"""What the HTTP client raises where a server answers, but not to the end."""

Read = TypeVar("Read")


class UnclearRefusal(Exception):
    """A request was refused for good, and the server does not say whether that is its prompt's doing."""


class OpenAIPolicy:
    """Answers conversations through `/v1/chat/completions`.

    A request that fails for a while (408, 409, 429, 5xx, a lost connection) is sent again with growing pauses, as OpenAI's
    client does it; a server that does not come back ends in `Incomplete`. A reply without an answer (no choices, an error
    under status 200, HTML, cut JSON) is asked for again, and then a fault of its sample alone. A prompt that will never be
    answered (a content filter, a context that is too long) is a sample that is refused. Whether equal seeds give equal samples
    is the server's to keep: vLLM does, OpenAI's own promises best effort.

    Lone surrogates become U+FFFD, in what is sent and in what is said.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key_env: str | None = None,
        batch_size: int = 64,
        max_retries: int = 8,
        timeout: float = 600.0,
        response_format: Mapping[str, Any] | None = None,
        leave_out: str = "",
    ):
        """Describes the server; nothing is sent yet.

        Args:
            model: the model's name on the server.
            base_url: the server, as in "http://localhost:8000/v1"; defaults to $OPENAI_BASE_URL, then OpenAI's.
            api_key_env: the environment variable that holds the key, which goes to no server that its user has not named
                (`keys.py`); default: OPENAI_API_KEY where it may go there, else no key, as a server of your own may want none.
            batch_size: requests under way at once.
            max_retries: times that one request is sent again.
            timeout: seconds to wait for one answer.
            response_format: what every answer is held to, as the server takes it: {"type": "json_schema", ...}.
            leave_out: parameters that are never sent, with commas between, as in "temperature,top_p": the server chooses them.
        """
        self.left_out = {name.strip() for name in leave_out.split(",") if name.strip()}
        """Parameters that are not sent: the user says so, or the server has refused them."""
        if unknown := self.left_out - {*CHOSEN, *OPTIONAL}:
            raise UserError(f"openai: leave_out names {min(unknown)!r}; there are {', '.join((*CHOSEN, *OPTIONAL))}")
        self.model, self.batch_size, self.response_format = model, batch_size, response_format
        self.max_retries, self.limit, self.answered = max_retries, LIMIT, False
        keys.refuse_keys_in(base_url or os.environ.get("OPENAI_BASE_URL", ""))
        http = openai.DefaultHttpxClient(event_hooks={"request": [self._without_keys]})
        self.client = openai.OpenAI(
            base_url=base_url, api_key=NO_KEY, max_retries=max_retries, timeout=timeout, http_client=http
        )
        self.variable = api_key_env or keys.OPENAI
        server = _server(self.client.base_url)
        self.withheld = False
        """Whether there is a key that does not go to this server."""
        if api_key_env or keys.may_receive(self.variable, server):
            key = keys.key(self.variable, server) or (NO_KEY if base_url else None)
            if key is None:
                raise UserError(f"openai: wants a key in ${self.variable}, or a base_url= of a server that needs none")
            self.client.api_key = key
        else:
            self.withheld = bool(os.environ.get(self.variable))

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """See `Policy.generate`.

        Samples without an answer have the finish reason "refused" or "fault".

        Raises:
            Incomplete: the server is gone, or refuses what the user has set; it holds the samples that were made.
        """
        keys = keys or [repr(list(conversation)) for conversation in conversations]
        requests = [
            (conversation, sample_seed(sampling.seed, key, sample))
            for conversation, key in zip(conversations, keys, strict=True)
            for sample in range(samples)
        ]
        asked = at_once.wait_for_all(at_once.submit(lambda request: self._ask(*request, sampling), requests, self.batch_size))
        peculiar = self._peculiar(asked, len(conversations))
        sampled = [_sampled(future, peculiar) for future in asked]
        by_conversation = [sampled[i * samples : (i + 1) * samples] for i in range(len(conversations))]
        failures = [
            error
            for future, completion in zip(asked, sampled, strict=True)
            if completion is None and (error := future.exception())
        ]
        interrupts = [error for error in failures if isinstance(error, KeyboardInterrupt)]
        if failed := next(iter([*interrupts, *failures]), None):
            raise Incomplete(self._said(failed), by_conversation) from failed
        return [[completion for completion in row if completion] for row in by_conversation]

    def choices(self, conversations: Sequence[Conversation], options: Sequence[str]) -> list[list[float]]:
        """How likely each option, of one token, is as the answer to each conversation, if it is one of them.

        By the server's `top_logprobs`; where it gives none, the token that it says has probability 1.

        Returns:
            One list a conversation, of a probability an option; they sum to 1. All are NaN where one conversation of several
            has no answer.

        Raises:
            UserError: the server fails, or a model never says one of the options.
        """
        asked = at_once.wait_for_all(
            at_once.submit(lambda conversation: self._choose(conversation, options), conversations, self.batch_size)
        )
        own = (Refused, UnclearRefusal, replies.InvalidReply)
        errors = [error for future in asked if (error := future.exception())]
        for error in errors:
            if not isinstance(error, own) or len(errors) == len(asked):
                raise error if isinstance(error, UserError | KeyboardInterrupt) else UserError(self._said(error)) from error
        return [[math.nan] * len(options) if future.exception() else future.result() for future in asked]

    def _choose(self, conversation: Conversation, options: Sequence[str]) -> list[float]:
        request = self._request(conversation, Sampling(temperature=0.0, max_tokens=1)) | {"top_logprobs": TOP_LOGPROBS}
        said, top = self._send(self.client.chat.completions, request, replies.first_token)
        chances = [sum(math.exp(logprob) for token, logprob in top if token.strip() == option) for option in options]
        if not sum(chances):
            chances = [float(said.strip() == option) for option in options]
        if not sum(chances):
            raise replies.InvalidReply(f"{said[:80]!r} where one of {', '.join(options)} is asked for")
        return [chance / sum(chances) for chance in chances]

    def _ask(self, conversation: Conversation, seed: int, sampling: Sampling) -> Completion:
        def read(reply: Mapping[str, Any]) -> Completion:
            return replies.completion(reply, sampling.max_tokens)

        request = self._request(conversation, sampling) | {"seed": seed}
        if sampling.stop:
            request["stop"] = [*map(without_surrogates, sampling.stop)]
        if [message["role"] for message in conversation] == [TEXT]:  # a text as it stands
            told = {name: value for name, value in request.items() if name not in ("messages", "logprobs")}
            sampled = self._send(self.client.completions, told | {"prompt": request["messages"][0]["content"]}, read)
        else:
            if self.response_format:
                request["response_format"] = dict(self.response_format)
            sampled = self._send(self.client.chat.completions, request, read)
        return _stopped(sampled, sampling.stop) if "stop" in self.left_out else sampled

    def _request(self, conversation: Conversation, sampling: Sampling) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": [_sent(message) for message in conversation],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            LIMIT: sampling.max_tokens,
            "logprobs": True,
        }

    def _fitted(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The request without what the server does not take."""
        named = {self.limit if name == LIMIT else name: value for name, value in request.items()}
        return {name: value for name, value in named.items() if name not in self.left_out}

    def _send(self, endpoint: Any, request: Mapping[str, Any], read: Callable[[Mapping[str, Any]], Read]) -> Read:
        """Sends a request until its reply can be read.

        Raises:
            Refused: this prompt will never be answered.
            UnclearRefusal: it may be so.
            InvalidReply: no reply held an answer.
            UserError: the server refuses what the user has set.
            openai.OpenAIError: it cannot be reached, or fails for longer than the client tries.
        """
        pauses = iter(min(LONGEST_PAUSE, PAUSE * 2**number) for number in range(min(ODD_RETRIES, self.max_retries)))
        while True:
            sent = self._fitted(request)
            try:
                reply = endpoint.with_raw_response.create(**sent)
                found = read(replies.parsed(reply.content))
            except openai.APIStatusError as error:
                if not self._settled(error.status_code, error.body or error.response.text, request, sent):
                    raise
                continue
            except openai.APIConnectionError as error:
                if type(error.__cause__).__name__ in _CUT_OFF:
                    raise replies.InvalidReply(f"a reply that was cut off ({error.__cause__})") from error
                raise
            except replies.InvalidReply as odd:
                if isinstance(odd, replies.ErrorReply) and self._settled(odd.status, odd.error, request, sent):
                    continue
                if (pause := next(pauses, None)) is None:
                    raise
                time.sleep(pause)
                continue
            self.answered = True
            return found

    def _settled(self, status: int | None, body: Any, request: Mapping[str, Any], sent: Mapping[str, Any]) -> bool:
        """Whether an error was about a parameter that is now left out; False where only time may help.

        Args:
            status: of the error; None where it came under status 200 and names none.
            body: the error.
            request, sent: what was asked for, and what was sent of it.

        Raises:
            Refused, UnclearRefusal, UserError: the error is for good; see `_send`.
        """
        told = self._hidden(f"{status or 'an error'}: {replies.one_line(body)}")
        known = [name for name in sent if name in (LIMIT, "response_format", *CHOSEN, *OPTIONAL)]
        name = server_errors.refused_parameter(status or 400, body, known)
        if name is not None:
            self._leave_out(name, sent[name], told)
            return True
        means = server_errors.kind_of(status or 400, body)
        if means == ErrorKind.REFUSED:
            most = server_errors.window(body)
            if most is not None and most <= request[LIMIT]:
                raise UserError(self._at(f"{told}; max_tokens={request[LIMIT]} leaves no room for a prompt: lower it"))
            raise Refused(told)
        if means == ErrorKind.USER:
            server = _server(self.client.base_url)
            hint = (
                f"; the key in {self.variable} does not go there: {keys.advice(self.variable, server)}" if self.withheld else ""
            )
            raise UserError(self._at(told) + hint)
        if means == ErrorKind.UNCLEAR and status is not None:
            raise UnclearRefusal(told)
        return False

    def _leave_out(self, name: str, value: Any, told: str) -> None:
        """Does without a parameter, where that does not decide what is sampled.

        Raises:
            UserError: it does.
        """
        if name == LIMIT:
            self.limit = NEW_LIMIT
            return
        if name == "response_format" or (name in CHOSEN and value != 1):
            help_ = f"set {name} to 1, or add leave_out={name} to the policy's URI: then the server chooses it"
            if name == "response_format":
                help_ = "name a model that can be held to a form"
            raise UserError(self._at(f"takes no {name}={value!r:.40} ({told}): {help_}"))
        if name not in self.left_out:
            self.left_out.add(name)
            means = {"seed": "its samples cannot be made again", "stop": "stop strings are cut off here"}
            warnings.warn(self._at(f"takes no {name}: {means.get(name, 'it is left out')}"), stacklevel=2)

    def _peculiar(self, asked: Iterable["Future[Completion]"], conversations: int) -> bool:
        """Whether unclear refusals are their prompts' doing: the server has answered others of this batch, or, where one
        prompt is all that was asked, an earlier one."""
        return any(not future.exception() for future in asked) or (self.answered and conversations == 1)

    def _without_keys(self, request: Any) -> None:
        """Takes keys out of a request to a server that may not have them; called for each one, redirected ones too."""
        server = _server(request.url)
        if not keys.may_receive(keys.OPENAI, server):
            lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines()
            for name in (*ACCOUNT, *(line.partition(":")[0].strip() for line in lines)):
                request.headers.pop(name, None)
            key = self.client.api_key if keys.may_receive(self.variable, server) else NO_KEY
            request.headers["Authorization"] = f"Bearer {key}"

    def _hidden(self, told: str) -> str:
        """What a server says, without the key and without those of addresses."""
        key = self.client.api_key
        return without_secrets(told.replace(key, "***") if len(key) > 7 else told)

    def _at(self, told: str) -> str:
        return f"{self.model} at {self.client.base_url}: {self._hidden(told)}"

    def _said(self, error: BaseException) -> str:
        if isinstance(error, UserError):
            return str(error)
        if isinstance(error, KeyboardInterrupt):
            return "interrupted"
        if isinstance(error, openai.APIStatusError):
            return self._at(f"{error.status_code} {replies.one_line(error.body or error.message)}")
        if isinstance(error, Refused | UnclearRefusal | replies.InvalidReply):
            return self._at(str(error))
        if isinstance(error, openai.APIConnectionError):
            return self._hidden(f"{self.client.base_url} does not answer: {error.__cause__ or error}")
        raise error


def _server(url: Any) -> keys.Server:
    """Whom the HTTP client asks, as it reads the address itself."""
    return keys.Server(url.scheme, url.host, url.port or keys.PORTS.get(url.scheme, 0))


def _sampled(future: "Future[Completion]", peculiar: bool) -> Completion | None:
    """The sample, or one without an answer; None where the whole batch is concerned."""
    error = future.exception()
    if isinstance(error, Refused) or (peculiar and isinstance(error, UnclearRefusal)):
        return Completion("", "refused", error=str(error))
    if isinstance(error, replies.InvalidReply):
        return Completion("", "fault", error=str(error))
    return None if error else future.result()


def _sent(message: Message) -> dict[str, Any]:
    """A message as the server takes it: arguments of tool calls are JSON there."""
    told: dict[str, Any] = dict(message)
    if "tool_calls" in message:
        told["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": json.dumps(call["function"]["arguments"])}}
            for call in message["tool_calls"]
        ]
    sent: dict[str, Any] = json.loads(without_surrogates(json.dumps(told, ensure_ascii=False)))
    return sent


def _stopped(sampled: Completion, stop: Sequence[str]) -> Completion:
    """A sample that ends before the first of the stop strings."""
    places = [place for text in stop if (place := sampled.text.find(text)) >= 0]
    if not places:
        return sampled
    return Completion(sampled.text[: min(places)], "stop", sampled.token_ids, sampled.logprobs)
