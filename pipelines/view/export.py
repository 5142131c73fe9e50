"""`tenfold view --export`: one HTML file with the page, its scripts, and the answers that it would ask the server for."""

import base64
import hashlib
import html
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, urlencode

from ... import disk
from ...core import UserError
from .folders import Folders
from .parameters import MAX_LIMIT
from .queries import Answer
from .runs import Runs
from .server import STATIC, answer, encoded, failure

PAGE = 500
"""Rows that are asked for at once."""
MAX_STEPS = 50
"""Steps whose groups the page has: the last ones of those whose episodes it has. Our choice."""
_LINK = re.compile(r'<link\b[^>]*\brel="(stylesheet|modulepreload)"[^>]*\bhref="(?:\./)?(?:static/)?([\w.-]+)"[^>]*>')
_SCRIPT = re.compile(r'<script\b([^>]*)\bsrc="(?:\./)?(?:static/)?([\w.-]+)"([^>]*)>\s*</script>')
_IMPORT = re.compile(r'^import\s[^;]*?["\'][^"\']*["\'];?[ \t]*$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async |function|class|const|let|var))", re.MULTILINE)


def write(path: Path, folders: Sequence[str], limit: int) -> int:
    """Writes the page and returns its size in bytes.

    Args:
        path: the HTML file.
        folders: runs, folders of runs, and benchmark folders.
        limit: number of episodes of each stage; 0: the page has no episodes, and no prompts of problems.

    Raises:
        UserError: a folder does not exist, or has no run.
    """
    runs = Runs(Folders(folders))
    try:
        if not runs.folders.entries():
            raise UserError(f"there is no run in {', '.join(folders)}; name a run, a folder of runs, or one of `tenfold bench`")
        data = {address: found for address, found in answers(runs, limit)}
    finally:
        runs.close()
    text = page(STATIC, encoded(data).decode())
    disk.write(path, text)
    return len(text.encode())


def answers(runs: Runs, limit: int) -> Iterator[tuple[str, Answer]]:
    """Yields each address that the page may ask for, with its answer.

    Args:
        runs: the runs.
        limit: number of episodes of each stage: half of them the first ones, half the last ones. With 0 the page
            has no prompts of problems either.
    """

    def ask(path: str, **query: object) -> Iterator[tuple[str, Answer]]:
        typed = {name: str(value) for name, value in query.items()}
        try:
            yield address_of(path, typed), answer(runs, path, typed)
        except Exception as error:
            if failure(error) is None:
                raise

    listed = runs.listing()
    yield "/api/runs", listed
    for run in listed["runs"]:
        path = f"/api/runs/{run['id']}"
        detail = runs.run(run["id"], 120)
        if not limit:
            shown = [{**stage, "has": [view for view in stage["has"] if view != "episodes"]} for stage in detail["stages"]]
            detail = {**detail, "stages": shown}
        yield path, detail
        for stage in detail["stages"]:
            at = f"{path}/stages/{stage['name']}"
            yield from ask(f"{at}/steps") if "steps" in stage["has"] else ()
            yield from ask(f"{at}/results") if "result" in stage["has"] else ()
            yield from ask(f"{at}/corpus") if "corpus" in stage["has"] else ()
            if "episodes" in stage["has"]:
                yield from _episodes(runs, run["id"], stage["name"], limit, ask)
    yield from _comparisons(runs, listed["runs"], ask) if limit else ()


Ask = Callable[..., Iterator[tuple[str, Answer]]]


def address_of(path: str, query: Mapping[str, str]) -> str:
    """Returns the address of a request as the page writes it, with encodeURIComponent and URLSearchParams."""
    named = quote(path, safe="/!'()*", errors="replace")
    return f"{named}?{urlencode(query, safe='*', errors='replace').replace('~', '%7E')}" if query else named


def _episodes(runs: Runs, id: str, name: str, limit: int, ask: Ask) -> Iterator[tuple[str, Answer]]:
    """Yields the answers about a stage's episodes: the first and last ones, groups, problems, histograms."""
    entry, stage = runs.stage(id, name)
    index = runs.indexer.ask(entry.folder, stage.folder)
    while index.progress < 1 and not index.error:
        runs.indexer.ask(entry.folder, stage.folder, 10)
    if index.error:  # without its episodes, the page would look complete
        raise UserError(f"{name}: {index.error}")
    path = f"/api/runs/{id}/stages/{name}"
    at = address_of(path, {})
    first, total = _listed(runs, path, (limit + 1) // 2, "number")
    last, _ = _listed(runs, path, min(limit // 2, max(0, total["total"] - len(first))), "-number")
    rows = [*first, *last[::-1]]
    yield f"{at}/episodes?offset=0&limit=100000", {**total, "rows": rows}
    for row in rows:
        for _, one in ask(f"{path}/episodes/{row['number']}"):
            yield f"{at}/episodes/{row['number']}", one
    for _, groups in ask(f"{path}/groups", offset=0, limit=MAX_LIMIT):
        yield f"{at}/groups?offset=0&limit=100000", groups
        for step in sorted({row["step"] for row in rows if row["step"] is not None})[-MAX_STEPS:]:
            for _, of_step in ask(f"{path}/groups", step=step, offset=0, limit=min(limit, MAX_LIMIT)):
                yield f"{at}/groups?step={step}", of_step
    for _, problems in ask(f"{path}/problems", offset=0, limit=MAX_LIMIT):
        yield f"{at}/problems?offset=0&limit=100000", problems
    for of in ("rate", "score", "tokens"):
        for _, bars in ask(f"{path}/histogram", of=of):
            yield f"{at}/histogram?of={of}", bars


def _listed(runs: Runs, path: str, limit: int, sort: str) -> tuple[list[Answer], Answer]:
    """Returns the first `limit` episodes in an order, and the answer about all."""
    found = answer(runs, f"{path}/episodes", {"sort": sort, "limit": "0"})
    rows: list[Answer] = []
    while len(rows) < limit:
        size = min(PAGE, limit - len(rows))
        part = answer(runs, f"{path}/episodes", {"sort": sort, "offset": str(len(rows)), "limit": str(size)})["rows"]
        rows += part
        if len(part) < size:
            break
    return rows, found


def _comparisons(runs: Runs, listed: Sequence[Answer], ask: Ask) -> Iterator[tuple[str, Answer]]:
    """Yields the comparison of each bench stage with the one before it in its run."""
    for run in listed:
        benches = [stage["name"] for stage in runs.run(run["id"])["stages"] if "result" in stage["has"]]
        for before, after in itertools.pairwise(benches):
            yield from ask("/api/compare", a=f"{run['id']}/{before}", b=f"{run['id']}/{after}")


def page(static: Path, data: str) -> str:
    """Returns the page as one text.

    Args:
        static: folder of `index.html`, its scripts and its styles.
        data: the answers by address, as JSON.

    Raises:
        UserError: the page names a file that is missing.
    """
    source = (static / "index.html").read_text(encoding="utf-8")
    hashes: dict[str, list[str]] = {"script": [], "style": []}

    def inline(kind: str, attributes: str, text: str) -> str:
        text = text.replace(f"</{kind}", f"<\\/{kind}")
        digest = hashlib.sha256(text.encode()).digest()
        hashes[kind].append(f"'sha256-{base64.b64encode(digest).decode()}'")
        return f"<{kind}{attributes}>{text}</{kind}>"

    def read(name: str) -> str:
        try:
            return (static / name).read_text(encoding="utf-8")
        except OSError:
            raise UserError(f"the page names {name}, which is missing; install tenfold again") from None

    modules = [name for kind, name in _LINK.findall(source) if kind == "modulepreload"]

    def link(match: re.Match[str]) -> str:
        return inline("style", "", read(match[2])) if match[1] == "stylesheet" else ""

    def script(match: re.Match[str]) -> str:
        name = match[2]
        if 'type="module"' not in match[1] + match[3]:
            return inline("script", "", read(name))
        ordered = [*dict.fromkeys([*modules, name])]
        return inline("script", ' type="module"', "\n".join(_as_part(read(module)) for module in ordered))

    text = _SCRIPT.sub(script, _LINK.sub(link, source))
    policy = (
        f"default-src 'none'; script-src {' '.join(hashes['script']) or chr(39) + 'none' + chr(39)}; style-src "
        f"{' '.join(hashes['style']) or chr(39) + 'none' + chr(39)}; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    safe = data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    head = (
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">'
        f'<script type="application/json" id="data">{safe}</script>'
    )
    mark = re.search(r"<meta charset=[^>]*>", text)
    place = mark.end() if mark else 0
    return text[:place] + head + text[place:]


def _as_part(text: str) -> str:
    """Returns a module as part of one script that has all modules."""
    return _EXPORT.sub("", _IMPORT.sub("", text))
