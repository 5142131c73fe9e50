"""Where the web search of BFCL-V4 gets its results: from a file (`Recorded`), or from SerpApi and the web (`Live`).

    search=searches.jsonl                                           recorded results
    search=serpapi:https://serpapi.com/search.json                  SerpApi, with the key in SERPAPI_API_KEY
    search=serpapi:https://serpapi.com/search.json?record=FILE.jsonl    the same; each result is also recorded

A file has a line of JSON for each query and each page. What was recorded last counts:

    {"query": "most expensive tea", "region": "wt-wt", "results": [{"title": "...", "href": "https://...", "body": "..."}]}
    {"url": "https://...", "html": "<html>..."}
    {"url": "https://...", "error": "HTTP Error 404: Not Found"}

What comes from the web is data: nothing of it is executed. The key is sent to the named server only, if the user allows that
(`policies/server/keys.py`). Pages are read from public addresses only, because the policy chooses the URL.
"""

import functools
import http.client
import ipaddress
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode, urlsplit

from ... import disk
from ...core import UserError
from ...policies.server import keys
from ...texts import without_surrogates

KEY = "SERPAPI_API_KEY"
"""The environment variable with the key, as on the leaderboard."""
SCHEME = "serpapi:"
ENGINE = "duckduckgo"
"""The leaderboard's search engine."""
ATTEMPTS, PAUSE_SECONDS = 6, 2.0
"""Attempts of a query that the server rejects for now, and the first pause. Each further pause is twice as long."""
TIMEOUT_SECONDS = 20.0
"""The leaderboard's limit for a page."""
MAX_BYTES = 5 << 20
"""Bytes that are read of a page or of a list of results. Our choice."""
_HEADERS = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "Accept-Language": "en-US,en;q=0.9"}
_T = TypeVar("_T")

Found = Mapping[str, str]
"""A search result: `title`, `href` and `body`, a part of the page."""
Results = list[Found]


class NotFound(Exception):
    """There is no result. The policy sees the message."""


class Unavailable(BaseException):
    """The search failed, not the policy's query. Not an `Exception`, so that it does not become the result of a call."""


class Search(Protocol):
    """Finds pages and reads them."""

    def query(self, keywords: str, region: str) -> Results:
        """Returns search results. Raises `NotFound` and `Unavailable`."""
        ...

    def page(self, url: str) -> str:
        """Returns the source text of a page. Raises `NotFound`."""
        ...


def opened(search: str | None) -> Search:
    """Returns the search that a setting names; see the module's docstring.

    Raises:
        UserError: nothing is named, the file has another form, or the key is missing or not allowed.
    """
    if not search:
        raise UserError(
            "web search of BFCL-V4 needs search results: set search=FILE (recorded) or search=serpapi:URL; see "
            "docs/guides/tools.md"
        )
    if not isinstance(search, str):
        raise UserError(f"search: expected FILE or serpapi:URL, got {search!r:.80}")
    if not search.startswith(SCHEME):
        return Recorded(search)
    address, _, record = search.removeprefix(SCHEME).partition("?record=")
    if record and not record.endswith(".jsonl"):  # a recipe may name the file, and must not write other kinds of files
        raise UserError(f"search: the results can be recorded in a file whose name ends in .jsonl, not in {record}")
    if not (key := keys.key(KEY, keys.server_of(address))):
        raise UserError(f"search: the environment variable {KEY} with the key of {address} is not set")
    live = Live(address, key)
    return Recording(live, record) if record else live


class Recorded:
    """Results from a file."""

    def __init__(self, path: str):
        """Reads the file.

        Raises:
            UserError: there is no such file, or it has another form.
        """
        file = disk.expanded(path)
        if not file.is_file():
            raise UserError(f"search: there is no file {path}")
        status = file.stat()
        self.rows = _read(str(file), status.st_mtime_ns, status.st_size)

    def query(self, keywords: str, region: str) -> Results:
        """See `Search.query`."""
        results: Results = _value(self.rows, _query_key(keywords, region), "results")
        return results

    def page(self, url: str) -> str:
        """See `Search.page`."""
        return str(_value(self.rows, url, "html"))


class Live:
    """Results of SerpApi, and pages of the web."""

    def __init__(self, address: str, key: str):
        """Takes the URL of SerpApi and the key."""
        self.address, self._key = address, key

    def query(self, keywords: str, region: str) -> Results:
        """See `Search.query`."""
        asked = urlencode({"engine": ENGINE, "q": keywords, "kl": region, "api_key": self._key}, errors="replace")
        for attempt in range(ATTEMPTS):
            try:
                request = urllib.request.Request(f"{self.address}?{asked}", headers=_HEADERS)
                with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as reply:
                    found = json.loads(reply.read(MAX_BYTES))
                if "429" not in str(found.get("error", "")):
                    return _results(found)
                cause = "too many requests"
            except urllib.error.HTTPError as error:
                cause = f"HTTP status {error.code}"
                if error.code not in (408, 429) and error.code < 500:
                    break
            except (OSError, ValueError, AttributeError, http.client.HTTPException) as error:
                cause = type(error).__name__  # its message may contain the URL with the key
            if attempt + 1 < ATTEMPTS:
                time.sleep(PAUSE_SECONDS * 2**attempt)
        raise Unavailable(f"{self.address} gives no search results: {cause}")

    def page(self, url: str) -> str:
        """See `Search.page`."""
        try:
            with _public().open(urllib.request.Request(url, headers=_HEADERS), timeout=TIMEOUT_SECONDS) as reply:
                return _content(reply).decode(reply.headers.get_content_charset() or "utf-8", "replace")
        except (OSError, ValueError, LookupError, http.client.HTTPException) as error:
            raise NotFound(str(error)) from None


def _content(reply: http.client.HTTPResponse) -> bytes:
    """Returns the first `MAX_BYTES` of a page.

    Raises:
        TimeoutError: the server sends the page too slowly. The limit of the connection holds for each part alone.
    """
    end, parts, size = time.monotonic() + TIMEOUT_SECONDS, list[bytes](), 0
    while size < MAX_BYTES and (part := reply.read1(MAX_BYTES - size)):
        parts.append(part)
        size += len(part)
        if time.monotonic() > end:
            raise TimeoutError(f"the page is not complete after {TIMEOUT_SECONDS:g} seconds")
    return b"".join(parts)


class Recording:
    """Results of a search, which are recorded. What is recorded already is not asked again."""

    def __init__(self, search: Search, path: str):
        """Reads what is recorded.

        Args:
            search: gives the results.
            path: the file; it is created with the first result.

        Raises:
            UserError: the file has another form.
        """
        self.search, self.path, self.lock = search, disk.expanded(path), threading.Lock()
        self.rows = dict(Recorded(path).rows) if self.path.exists() else {}

    def query(self, keywords: str, region: str) -> Results:
        """See `Search.query`."""
        row = {"query": keywords, "region": region}
        return self._recorded(_query_key(keywords, region), row, "results", lambda: self.search.query(keywords, region))

    def page(self, url: str) -> str:
        """See `Search.page`."""
        return self._recorded(url, {"url": url}, "html", lambda: self.search.page(url))

    def _recorded(self, key: str, row: dict[str, Any], name: str, ask: Callable[[], _T]) -> _T:
        if key not in self.rows:
            try:
                row[name] = ask()
            except NotFound as error:
                row["error"] = str(error)
            with self.lock, self.path.open("a", encoding="utf-8") as file:
                file.write(f"{without_surrogates(json.dumps(row, ensure_ascii=False))}\n")
                self.rows[key] = row
        found: _T = _value(self.rows, key, name)
        return found


def _query_key(keywords: str, region: str) -> str:
    return f"{region} {keywords}"


def _value(rows: Mapping[str, Mapping[str, Any]], key: str, name: str) -> Any:
    if (row := rows.get(key)) is None:
        raise NotFound("nothing is recorded for it")
    if name not in row:
        raise NotFound(str(row["error"]))
    return row[name]


@functools.lru_cache(maxsize=4)
def _read(path: str, changed: int, size: int) -> Mapping[str, Mapping[str, Any]]:
    """Returns the rows of a file by their keys. `changed` and `size` tell different contents of it apart."""
    found: dict[str, Mapping[str, Any]] = {}
    for number, line in enumerate(Path(path).read_bytes().splitlines(), start=1):
        try:
            row = json.loads(line)
            key = row["url"] if "url" in row else _query_key(row["query"], row.get("region", "wt-wt"))
            disk.check_types(row, **{"error": str} if "error" in row else {"html": str} if "url" in row else {"results": list})
            for result in row.get("results", ()):
                disk.check_types(result, title=str, href=str, body=str)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"search: {path}, line {number}: expected a query with results or a url with html") from None
        found[key] = row
    return found


def _results(found: Mapping[str, Any]) -> Results:
    if "organic_results" not in found:
        raise NotFound("the search engine has no results for this query")
    listed = [{**row, "href": row.get("link", ""), "body": row.get("snippet", "")} for row in found["organic_results"]]
    return [{name: str(row.get(name, "")) for name in ("title", "href", "body")} for row in listed]


class _Public(http.client.HTTPConnection):
    """A connection to a public address."""

    def connect(self) -> None:
        super().connect()
        _check_peer(self)


class _PublicTLS(http.client.HTTPSConnection):
    """A connection to a public address."""

    def connect(self) -> None:
        super().connect()
        _check_peer(self)


def _check_peer(connection: http.client.HTTPConnection) -> None:
    """Checks the address after the connection, so that a name that resolves differently each time cannot avoid it."""
    address = ipaddress.ip_address(connection.sock.getpeername()[0].partition("%")[0])
    if not address.is_global:
        connection.close()
        raise OSError(f"{urlsplit(f'//{connection.host}').hostname} is not on the public web")


class _HTTP(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Public, req)


class _HTTPS(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_PublicTLS, req)


def _public() -> urllib.request.OpenerDirector:
    """Returns what opens pages of the public web. It knows no other schemes and no proxies."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        _HTTP(),
        _HTTPS(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener
