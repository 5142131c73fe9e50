"""Who may ask the server, and the headers of every answer.

The server listens on the loopback address by default. A page of the web must not reach it through the user's browser: the Host
header must be a name of the address (a page with another name that resolves to it, "DNS rebinding", is refused), answers carry
no CORS header, requests of a browser for pages of other sites are refused, and only GET is allowed. On another address every
request needs a token, which the printed URL has.
"""

from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...policies.server import listening

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
OPENED = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=/"><title>tenfold view'
    '</title><p><a href="/">tenfold view</a></p></html>'
)
"""The answer to the URL with the token. It is no redirect: after a link on a page of another site, such as a notebook's
terminal, a browser follows a redirect without the cookie, which is for this site only."""


class Guard:
    """ASGI middleware: refuses requests that are not allowed, and adds the headers."""

    def __init__(self, app: ASGIApp, host: str, token: str = ""):
        """Wraps an application.

        Args:
            app: the application.
            host: name or address that the server listens on.
            token: secret that requests must have; empty if none is needed.
        """
        self.app, self.token = app, token
        self.names, self.any_address = listening.allowed_names(host), listening.is_any(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        if scope["type"] != "http":  # a websocket
            return
        refusal = self._refusal(scope)
        await (refusal or self.app)(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """Returns the answer to a request that is not allowed; None if it is."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if not listening.is_named(headers.get(b"host", ""), self.names, self.any_address):
            return _error("the Host header is not a name of this server", 421)
        if scope["method"] != "GET":
            response = _error("only GET is allowed", 405)
            response.headers["Allow"] = "GET"
            return response
        if headers.get(b"sec-fetch-site") in ("cross-site", "same-site") and scope["path"] != "/":
            return _error("a page of another site may not ask", 403)
        return self._without_token(scope, headers) if self.token else None

    def _without_token(self, scope: Scope, headers: dict[bytes, str]) -> Response | None:
        cookie = f"tenfold_view_{(scope.get('server') or ('', 0))[1]}"  # browsers share cookies between the ports of a host
        try:
            given = SimpleCookie(headers.get(b"cookie", "")).get(cookie)
        except CookieError:
            given = None
        if given is not None and listening.is_equal(given.value, self.token):
            return None
        (typed,) = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[:1]
        if scope["path"] == "/" and typed and listening.is_equal(typed, self.token):
            response = HTMLResponse(OPENED)
            response.set_cookie(cookie, self.token, httponly=True, samesite="strict")
            return response
        return _error("this server needs the token of the URL that it printed", 403)


def _error(text: str, status: int) -> JSONResponse:
    return JSONResponse({"error": text}, status)
