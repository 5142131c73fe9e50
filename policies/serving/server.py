"""The HTTP server: who may ask, limits, and the endpoints."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ...core import Policy
from ..server import listening
from . import access, requests, stream, work
from .batching import Batches
from .endpoints import Endpoints
from .errors import RequestError

MOST_BYTES = 8 << 20
"""Largest body of a request. Our choice."""
BODY_SECONDS = 60.0
"""Seconds in which the body of a request must come. Our choice."""
END_SECONDS = 5.0
"""Seconds for a batch to end when the server ends. Our choice."""
CLOSED_REQUEST = 499
"""Status of a request whose client has disconnected. Nobody reads it."""

Result = TypeVar("Result")


class Guard:
    """ASGI middleware: refuses requests that are not allowed."""

    def __init__(self, app: ASGIApp, host: str, token: str = ""):
        """Wraps an application.

        Args:
            app: the application.
            host: name or address that the server listens on.
            token: secret that requests must have in the header Authorization; empty if none is needed.
        """
        self.app, self.token = app, token
        self.names, self.any_address = listening.allowed_names(host), listening.is_any(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            refusal = self._refusal(scope)
            await (_reply(refusal) if refusal else self.app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> RequestError | None:
        """Returns the error for a request that is not allowed; None if it is."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if not listening.is_named(headers.get(b"host", ""), self.names, self.any_address):
            return RequestError("the Host header is not a name of this server", 421)
        if headers.get(b"sec-fetch-site") in ("cross-site", "same-site"):
            return RequestError("a page of another site may not ask", 403)
        if scope["method"] == "POST" and headers.get(b"content-type", "").partition(";")[0].strip() != "application/json":
            return RequestError("the header Content-Type must be application/json", 415)
        scheme, _, given = headers.get(b"authorization", "").partition(" ")
        if (
            self.token
            and scope["path"] != "/health"
            and not (scheme.lower() == "bearer" and listening.is_equal(given.strip(), self.token))
        ):
            words = "this server needs the token that it printed, as the API key (Authorization: Bearer TOKEN)"
            return RequestError(words, 401, code="invalid_api_key")
        return None


def application(policy: Policy, name: str, host: str = "127.0.0.1", token: str = "") -> ASGIApp:
    """Returns the server as an ASGI application.

    Args:
        policy: the policy.
        name: the name of the model.
        host: name or address that it listens on.
        token: secret that each request must have; empty for none.
    """
    batches = Batches(policy)
    endpoints = Endpoints(policy, name, batches, work.Prompts(policy))

    async def models(request: Request) -> Response:
        model = {"id": name, "object": "model", "created": 0, "owned_by": "tenfold", "root": name}
        window = endpoints.prompts.window
        return JSONResponse({"object": "list", "data": [model | ({"max_model_len": window} if window else {})]})

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def chat(request: Request) -> Response:
        asked = requests.read(requests.ChatRequest, await _body(request))
        return await _answered(request, endpoints.chat(asked))

    async def text(request: Request) -> Response:
        asked = requests.read(requests.CompletionRequest, await _body(request))
        return await _answered(request, endpoints.text(asked))

    async def tokenize(request: Request) -> Response:
        asked = requests.read(requests.TokenizeRequest, await _body(request))
        tokenizer = _tokenizer(endpoints)
        encoded = await run_in_threadpool(tokenizer, asked.prompt, add_special_tokens=asked.add_special_tokens)
        tokens = encoded["input_ids"]
        return JSONResponse({"tokens": tokens, "count": len(tokens), "max_model_len": endpoints.prompts.window})

    async def detokenize(request: Request) -> Response:
        asked = requests.read(requests.DetokenizeRequest, await _body(request))
        tokenizer = _tokenizer(endpoints)
        if not all(0 <= token < endpoints.prompts.vocabulary for token in asked.tokens):
            raise RequestError("tokens: there is no such token", param="tokens")
        return JSONResponse({"prompt": await run_in_threadpool(tokenizer.decode, asked.tokens)})

    async def tokenizer_info(request: Request) -> Response:
        tokenizer = _tokenizer(endpoints)
        template = tokenizer.chat_template if isinstance(tokenizer.chat_template, str) else None
        names = {"bos_token": tokenizer.bos_token, "eos_token": tokenizer.eos_token, "pad_token": tokenizer.pad_token}
        return JSONResponse({"tokenizer_class": type(tokenizer).__name__, **names, "chat_template": template})

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        batches.close()
        await run_in_threadpool(batches.join, END_SECONDS)

    async def no_address(request: Request, error: Exception) -> Response:
        return _reply(RequestError(f"there is no {request.method} {request.url.path}", getattr(error, "status_code", 404)))

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestError)
        return _reply(error)

    async def failed(request: Request, error: Exception) -> Response:
        return _reply(stream.fault(error))

    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", models),
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/completions", text, methods=["POST"]),
            Route("/tokenize", tokenize, methods=["POST"]),
            Route("/detokenize", detokenize, methods=["POST"]),
            Route("/tokenizer_info", tokenizer_info),
        ],
        lifespan=lifespan,
        exception_handlers={404: no_address, 405: no_address, RequestError: refused, Exception: failed},
    )
    app.state.batches = batches
    return Guard(app, host, token)


def _tokenizer(endpoints: Endpoints) -> Any:  # a tokenizer of transformers
    if endpoints.prompts.tokens is None:
        raise RequestError("the policy has no tokenizer", 404)
    return endpoints.prompts.tokens.tokenizer


def _reply(error: RequestError) -> JSONResponse:
    headers = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}, 503: {"Retry-After": "1"}}.get(error.status)
    return JSONResponse(error.body, error.status, headers)


async def _body(request: Request) -> bytes:
    """Returns the body of a request; raises `RequestError` if it is too large or takes too long."""
    too_large = RequestError(f"the request has more than {MOST_BYTES >> 20} MiB", 413)
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > MOST_BYTES:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > MOST_BYTES:
                    raise too_large
    except TimeoutError:
        raise RequestError("the body of the request did not come in time", 408) from None
    except ClientDisconnect:
        raise RequestError("the client has disconnected", CLOSED_REQUEST) from None
    return bytes(body)


async def _answered(request: Request, answering: Coroutine[Any, Any, Any]) -> Response:
    """Returns the reply to a request. If the client disconnects before, its work is cancelled."""
    answer = await _unless_disconnected(request.receive, answering)
    if isinstance(answer, dict):
        return Response(json.dumps(answer, ensure_ascii=False), media_type="application/json")
    return StreamingResponse(answer, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


async def _unless_disconnected(receive: Callable[[], Awaitable[Any]], answering: Coroutine[Any, Any, Result]) -> Result:
    """Returns a result; raises `RequestError` if the client disconnects before."""
    answer = asyncio.ensure_future(answering)
    gone = asyncio.ensure_future(receive())  # after the body, the next message is that the client has disconnected
    try:
        await asyncio.wait([answer, gone], return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise RequestError("the client has disconnected", CLOSED_REQUEST)
        return answer.result()
    finally:
        answer.cancel()
        gone.cancel()


class Server(uvicorn.Server):
    """uvicorn's server. Requests whose samples are not finished do not keep it from ending."""

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        """Ends the samples first."""
        guard = self.config.app
        if isinstance(guard, Guard) and isinstance(guard.app, Starlette):
            guard.app.state.batches.close()
        await super().shutdown(sockets)


def serve(
    load: Callable[[], Policy], name: str, host: str, port: int, with_token: bool, show: Callable[[str, str], None]
) -> None:
    """Serves until it is interrupted.

    Args:
        load: returns the policy.
        name: the name of the model.
        host: name or address to listen on.
        port: port; 0: a free one.
        with_token: whether requests need a token also on the loopback address.
        show: called with the URL and a new token, which is empty if none is needed or the user has set it.

    Raises:
        UserError: the policy cannot be loaded, or the address is not free.
    """
    with listening.bound(host, port) as bound:
        token, is_new = access.token(host, with_token)
        options = uvicorn.Config(
            application(load(), name, host, token),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,
            lifespan="on",
            limit_concurrency=1024,
            ws="none",
            proxy_headers=False,
        )
        show(f"{listening.url(host, bound)}/v1", token if is_new else "")
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn ends, and then raises the signal again
            Server(options).run(sockets=[bound])
