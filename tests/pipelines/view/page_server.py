"""A small server for tests of the page, which answers from lists in memory with the viewer's headers, and tabs that show it."""

import json
import queue
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import tenfold

STATIC = Path(tenfold.__file__).parent / "pipelines/view/static"
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
RATES = [n / 10 for n in range(11)]

Json = dict[str, Any]


@dataclass
class StageData:
    """What a stage has. An episode has all fields of its row and of its page."""

    steps: Json | None = None
    episodes: list[Json] = field(default_factory=list)
    results: list[Json] | None = None
    corpus: list[Json] | None = None
    more: Json = field(default_factory=dict)
    """Further entries of the lists of episodes and groups."""


@dataclass
class Site:
    """All that the server answers. `changed` tells pages that a run has changed."""

    runs: list[Json]
    details: dict[str, Json]
    stages: dict[tuple[str, str], StageData]
    requests: list[str] = field(default_factory=list)
    listeners: list["queue.Queue[str | None]"] = field(default_factory=list)

    def changed(self, run: str, stage: str | None = None) -> None:
        """Sends an event to all pages that listen."""
        for listener in self.listeners:
            listener.put(json.dumps({"run": run, "stage": stage}))

    def answer(self, path: str, query: dict[str, str]) -> Json:
        """Returns the answer of a request. Raises LookupError if there is none."""
        match path.strip("/").split("/")[1:]:
            case ["runs"]:
                return {"runs": self.runs}
            case ["runs", run]:
                return self.details[run]
            case ["runs", run, "stages", stage, view]:
                return VIEWS[view](self.stages[run, unquote(stage)], query)
            case ["runs", run, "stages", stage, "episodes", number]:
                return self.stages[run, unquote(stage)].episodes[int(number)]
            case ["compare"]:
                return self.compare(query["a"], query["b"])
        raise LookupError(path)

    def compare(self, a: str, b: str) -> Json:
        """Pairs the problems of two stages."""
        first, second = ({row["problem_id"]: row for row in problem_rows(self.stages[tuple(one.split("/"))])} for one in (a, b))
        rows = [
            {"problem_id": key, "a": first[key]["mean"], "b": second[key]["mean"], "prompt": first[key]["prompt"]}
            for key in first
            if key in second
        ]
        rows.sort(key=lambda row: row["a"] - row["b"])
        mean = sum(row["b"] - row["a"] for row in rows) / len(rows)
        return {"a": a, "b": b, "difference": {"value": mean, "low": mean - 0.05, "high": mean + 0.05}, "problems": rows}


def episode_rows(stage: StageData, query: dict[str, str]) -> list[Json]:
    """Returns the episodes that fit the filters, sorted."""

    def fits(row: Json) -> bool:
        if any(name in query and str(row[name]) != query[name] for name in ("step", "problem", "sample", "status", "finish")):
            return False
        for name in ("score", "tokens"):
            low, high = query.get(f"min_{name}"), query.get(f"max_{name}")
            if (low or high) and (row[name] is None or not float(low or "-inf") <= row[name] <= float(high or "inf")):
                return False
        return query.get("text", "").lower() in row["messages"][-1]["content"].lower()

    sort = query.get("sort", "number")
    name = sort.removeprefix("-")
    rows = [row for row in stage.episodes if fits(row)]
    known = sorted((row for row in rows if row[name] is not None), key=lambda row: row[name], reverse=sort.startswith("-"))
    return known + [row for row in rows if row[name] is None]


def part(rows: list[Json], query: dict[str, str]) -> list[Json]:
    """Returns the rows of one page."""
    offset = int(query.get("offset", 0))
    return rows[offset : offset + int(query.get("limit", 50))]


def episodes(stage: StageData, query: dict[str, str]) -> Json:
    """Returns a page of episodes, without their messages."""
    rows = episode_rows(stage, query)
    facets = {name: Counter(row[name] for row in rows) for name in ("status", "finish")}
    hidden = ("messages", "verdict", "gold")
    return {
        "total": len(rows),
        "facets": facets,
        "rows": [{name: row[name] for name in row if name not in hidden} for row in part(rows, query)],
        **stage.more,
    }


def mean(scores: list[float | None]) -> float | None:
    """Returns the mean of the scores that exist."""
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else None


def groups(stage: StageData, query: dict[str, str]) -> Json:
    """Returns the samples of each problem at one step."""
    steps = sorted({row["step"] for row in stage.episodes if row["step"] is not None})
    step = int(query["step"]) if "step" in query else steps[-1] if steps else None
    found: dict[tuple[int, int], list[Json]] = {}
    for row in stage.episodes:
        if row["step"] == step:
            found.setdefault((row["problem"], row["attempt"]), []).append(row)
    rows = []
    for (problem, attempt), members in sorted(found.items()):
        scores = [row["score"] for row in members]
        rows.append(
            {"problem": problem, "attempt": attempt, "problem_id": members[0]["problem_id"], "prompt": members[0]["prompt"]}
            | {"scores": scores, "numbers": [row["number"] for row in members], "mean": mean(scores)}
            | {"advantages": [row["advantage"] for row in members], "finishes": [row["finish"] for row in members]}
            | {"zero_variance": len(scores) > 1 and len(set(scores)) == 1}
        )
    return {"step": step, "steps": steps, "total": len(rows), "rows": part(rows, query), **stage.more}


def problem_rows(stage: StageData) -> list[Json]:
    """Returns the problems with their mean scores."""
    found: dict[int, list[Json]] = {}
    for row in stage.episodes:
        found.setdefault(row["problem"], []).append(row)
    rows = []
    for problem, members in sorted(found.items()):
        steps = sorted({row["step"] for row in members if row["step"] is not None})
        by_step = [[step, mean([row["score"] for row in members if row["step"] == step])] for step in steps]
        rows.append(
            {
                "problem": problem,
                "problem_id": members[0]["problem_id"],
                "prompt": members[0]["prompt"],
                "samples": len(members),
            }
            | {"mean": mean([row["score"] for row in members]), "by_step": by_step}
        )
    return rows


def problems(stage: StageData, query: dict[str, str]) -> Json:
    """Returns a page of problems."""
    low, high = float(query.get("min_rate", "-inf")), float(query.get("max_rate", "inf"))
    rows = [
        row
        for row in problem_rows(stage)
        if ("min_rate" not in query and "max_rate" not in query) or low <= (row["mean"] or 0) <= high
    ]
    sort = query.get("sort", "problem")
    key: Callable[[Json], Any] = (lambda row: row["problem"]) if sort == "problem" else (lambda row: row["mean"] or 0)
    rows.sort(key=key, reverse=sort.startswith("-"))
    return {"total": len(rows), "rows": part(rows, query)}


def histogram(stage: StageData, query: dict[str, str]) -> Json:
    """Returns counts of problems by mean score, or of episodes by score or tokens."""
    of = query["of"]
    rows, name = (problem_rows(stage), "mean") if of == "rate" else (stage.episodes, of)
    values = [row[name] for row in rows if row[name] is not None]
    if not values:
        return {"edges": [], "counts": []}
    most = max(values)
    edges = RATES if of != "tokens" else [n * (most // 10 + 1) for n in range(most // (most // 10 + 1) + 2)]
    counts = [sum(low <= value < high or (high == edges[-1] == value) for value in values) for low, high in pairwise(edges)]
    return {"edges": edges, "counts": counts}


VIEWS: dict[str, Callable[[StageData, dict[str, str]], Json]] = {
    "steps": lambda stage, _: stage.steps or {"names": [], "steps": [], "values": {}},
    "episodes": episodes,
    "groups": groups,
    "problems": problems,
    "histogram": histogram,
    "results": lambda stage, _: {"tasks": stage.results or []},
    "corpus": lambda stage, _: {"tables": stage.corpus or []},
}


@contextmanager
def serve(site: Site) -> Iterator[str]:
    """Serves the page and the site's answers. Yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            site.requests.append(self.path)
            if url.path == "/api/events":
                return self.events()
            if url.path.startswith("/api/"):
                try:
                    status, body = 200, site.answer(url.path, dict(parse_qsl(url.query)))
                except (LookupError, ValueError):
                    status, body = 404, {"error": "there is nothing under this name"}
                return self.send(status, "application/json", json.dumps(body).encode())
            file = STATIC / ("index.html" if url.path == "/" else url.path.rpartition("/")[2])
            if not file.is_file():
                return self.send(404, "text/plain", b"not found")
            return self.send(200, TYPES[file.suffix], file.read_bytes())

        def send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            for name, value in (HEADERS | {"Content-Type": kind, "Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def events(self) -> None:
            listener: queue.Queue[str | None] = queue.Queue()
            site.listeners.append(listener)
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(b": hello\n\n")
            while (text := listener.get()) is not None:
                self.wfile.write(f"data: {text}\n\n".encode())

        def log_message(self, *_: object) -> None:
            """Requests are recorded in `site.requests`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        for listener in site.listeners:
            listener.put(None)
        server.shutdown()
        thread.join()
        server.server_close()


def open_tab(browser: Any, errors: list[str], **options: Any) -> Any:
    """Opens a tab that records errors, refusals of the content security policy, and requests to other servers."""
    tab = browser.new_page(**options)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda message: errors.append(message.text) if "Content Security Policy" in message.text else None)
    tab.on("request", lambda request: None if is_own(request.url) else errors.append(f"request of {request.url}"))
    return tab


def is_own(address: str) -> bool:
    return address.startswith(("http://127.0.0.1:", "data:,", "blob:", "file:"))


def show(tab: Any, view: str) -> None:
    """Goes to a view and waits for its data."""
    tab.evaluate("view => { location.hash = view }", view)
    tab.wait_for_function(
        "view => location.hash === view && !/Loading…/.test(document.querySelector('main').innerText)", arg=view
    )
    tab.locator("h1").wait_for()


def until(tab: Any, condition: str) -> None:
    """Waits until a condition holds in the page. A function works under the page's policy; a text would be evaluated."""
    tab.wait_for_function(f"() => {condition}")


def cells(tab: Any, column: int) -> list[str]:
    """Returns the texts of a column of the table."""
    return [row.locator("th, td").nth(column).inner_text() for row in tab.locator("main table tbody tr").all()]
