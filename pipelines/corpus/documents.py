"""Sources of documents: reads a URI into documents; the `documents` stage writes them into shards.

    text:PATTERN                files, one document each: text:books/**/*.txt
    jsonl:FILE, parquet:FILE    one document per row; files of a pattern (parquet:shards/*.parquet) are read in parallel; files
                                that end in .gz or .zst are decompressed
    hf:ORG/NAME                 a data set of the Hugging Face hub (options name=, split=, revision=, streaming=true)
    python:code                 source files of the standard library and of the installed packages
    python:documentation        their docstrings, the library's help topics, the packages' readmes
    problems:URI                problems with their worked solutions (`envs/problems/sources.py`), with the URI's own options
    generate:MODULE:FUNCTION    problems or rows that a function yields; the URI's options are its arguments

Options of every source: domain=NAME sets the domain of all its documents; holds=CHARACTERS declares its size for the check in
`pretrain/supply.py`; limit=N and characters=N limit the documents and characters that are read (not for patterns of jsonl and
parquet files). Options of rows: text=COLUMN, id=COLUMN. Options of python: of=stdlib or of=packages. Without the option domain,
a row's own `domain` is used. A row's own `source` is always used. Rows with the same `source` have different ids.

Unreadable documents are skipped and counted by reason: no text (or no JSON), no UTF-8, empty, too long."""

import ast
import functools
import hashlib
import html
import itertools
import json
import os
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, NotRequired, TypedDict, cast
from urllib.parse import parse_qsl, urlencode

import pyarrow
from pydantic import Field, field_validator

from ... import disk
from ...core import Problem, UserError, message_text
from ...envs.problems import cells
from ...envs.problems import sources as problem_sources
from ...envs.problems.stored import files, tables
from ...texts import without_surrogates
from .. import figures
from ..stage import Context, CostEstimate, Metrics, Stage
from . import shards
from .shards import Document
from .source_size import characters, file_uris

RawDocument = tuple[str, str | bytes | None, str]
"""Source, text and domain of a document. The text is bytes before decoding, and None if the row has none."""
Options = dict[str, str]
_COMMON = ("domain", "limit", "characters", "holds")
"""Options of every source."""


class SourceCounts(TypedDict):
    """The counts of one source, or of one of its files."""

    source: NotRequired[str]  # only in the metrics
    documents: int
    characters: int
    domains: dict[str, int]
    """Characters by domain."""
    skipped: dict[str, int]
    """Skipped documents by reason."""


class Documents(Stage):
    """Settings of a `documents` stage."""

    reads_policy: ClassVar[bool] = False

    kind: Literal["documents"]
    sources: list[str] = Field(min_length=1, description="URIs of documents")
    max_characters: int = Field(1_000_000, ge=1, description="maximum length of a document; longer ones are skipped")

    @field_validator("sources")
    @classmethod
    def _distinct(cls, sources: list[str]) -> list[str]:
        if twice := [uri for uri, times in Counter(sources).items() if times > 1]:
            raise ValueError(f"sources: {twice[0]} is listed twice; list it once")
        return sources

    def check(self) -> None:
        """Checks that every source contains a document."""
        for uri in self.sources:
            if all(next(read(part), None) is None for part in file_uris(uri)):
                raise UserError(f"{uri} contains no document")

    def cost(self) -> CostEstimate:
        """Returns the bytes to write: a byte for each character, if the sizes of all sources are known."""
        sizes = [characters(uri) for uri in self.sources]
        known = [size for size in sizes if size is not None]
        return CostEstimate(written_bytes=sum(known) if len(known) == len(sizes) else None)

    def run(self, context: Context) -> Metrics:
        """Writes the documents of all sources into shards. A source that was read completely is not read again."""
        (context.folder / shards.DOCUMENTS).mkdir(exist_ok=True)
        counted: list[SourceCounts] = []
        for number, uri in enumerate(self.sources):
            parts = file_uris(uri)
            names = [f"{number:03}-{part:05}" for part in range(len(parts))] if len(parts) > 1 else [f"{number:03}"]
            records = [context.folder / f"{name}.json" for name in names]
            waiting = [
                {"uri": part, "name": name}
                for part, name, record in zip(parts, names, records, strict=True)
                if not record.is_file()
            ]
            # Several files are read in other processes, which cannot report progress.
            report = functools.partial(context.progress, number, len(self.sources)) if len(parts) == 1 else None
            work = functools.partial(_gather, limit=self.max_characters, folder=str(context.folder.resolve()), report=report)
            done = len(parts) - len(waiting)
            for _ in shards.map_items(waiting, work, context):
                done += 1
                context.progress(number, len(self.sources), files=f"{done} of {len(parts)}")
            counted.append({"source": uri, **_sum([_read_counts(record) for record in records])})
            context.progress(number + 1, len(self.sources))
        total = _sum(counted)
        if not total["characters"]:
            raise UserError(f"{self.name}: no source contains a document that can be read; check sources")
        domains = Counter(total["domains"])
        return {
            "documents": total["documents"],
            "characters": total["characters"],
            "shares": {domain: round(count / total["characters"], 4) for domain, count in domains.most_common()},
            "sources": counted,
        }

    def summary(self, metrics: Metrics) -> str:
        """Returns the numbers of documents, characters and skipped documents."""
        skipped = sum(sum(source["skipped"].values()) for source in metrics["sources"])
        suffix = f", {skipped:,} skipped" if skipped else ""
        return f"{metrics['documents']:,} documents, {metrics['characters'] / 1e6:.1f} million characters{suffix}"

    def tables(self, metrics: Metrics) -> str:
        """Returns a table with a row per source, and the share of each domain."""
        rows = [
            (source["source"], source["documents"], source["characters"], figures.counts_text(source["skipped"]))
            for source in metrics["sources"]
        ]
        shares = ", ".join(f"{domain} {share:.1%}" for domain, share in metrics["shares"].items())
        table = figures.table(("source", "documents", "characters", "skipped"), rows)
        return f"{table}<p>Share of the characters: {html.escape(shares)}</p>"


def _read_counts(record: Path) -> SourceCounts:
    """Returns the stored counts of a source, or of one of its files."""
    remedy = "remove it and run the stage again to read this source again"
    counts = disk.read_object(record, remedy)
    with disk.reading(record, remedy):
        disk.check_types(counts, documents=int, characters=int, domains=dict, skipped=dict)
    return cast(SourceCounts, counts)


def _gather(item: shards.Item, limit: int, folder: str, report: Callable[..., None] | None) -> shards.Item:
    """Writes the shards of one source, or of one of its files, and then its counts (`SourceCounts`) into `NAME.json`."""
    skipped: Counter[str] = Counter()
    domains: Counter[str] = Counter()
    waiting: list[Document] = []
    size = written = documents = 0
    out, name = Path(folder) / shards.DOCUMENTS, item["name"]
    label, of_rows = _label(item["uri"]), item["uri"].startswith(("jsonl:", "parquet:", "hf:", "generate:"))

    def write() -> None:
        nonlocal size, written
        if waiting:
            shards.write(out / f"{name}-{written:05}.parquet", pyarrow.Table.from_pylist(waiting, schema=shards.SCHEMA))
            written, size = written + 1, 0
            waiting.clear()

    for partial in out.glob(f"{name}-*"):
        partial.unlink()
    for number, (source, text, domain) in enumerate(read(item["uri"])):
        decoded, fault = _decode(text, limit)
        if fault:
            skipped[fault] += 1
            continue
        # A row's own source is often the name of a collection, which many rows have.
        place = f"\n{label}#{number}" if of_rows and not source.startswith(f"{label}#") else ""
        id = hashlib.sha256(without_surrogates(source + place).encode()).hexdigest()[:16]
        source, domain = without_surrogates(source), without_surrogates(domain)
        waiting.append(Document(id=id, text=decoded, source=source, domain=domain))
        domains[domain] += len(decoded)
        size, documents = size + len(decoded), documents + 1
        if size >= shards.SHARD_CHARACTERS:
            write()
            if report:
                report(documents=documents)
    write()
    counts = {"documents": documents, "characters": sum(domains.values()), "domains": domains, "skipped": skipped}
    disk.write(Path(folder) / f"{name}.json", json.dumps(counts))
    return item


def _sum(parts: Sequence[SourceCounts]) -> SourceCounts:
    """Returns the sum of several counts."""
    return {
        "documents": sum(part["documents"] for part in parts),
        "characters": sum(part["characters"] for part in parts),
        "domains": dict(sum((Counter(part["domains"]) for part in parts), Counter())),
        "skipped": dict(sum((Counter(part["skipped"]) for part in parts), Counter())),
    }


def _decode(text: str | bytes | None, limit: int) -> tuple[str, str]:
    """Returns the decoded text and "", or "" and the reason why the document is skipped."""
    if isinstance(text, bytes):
        if len(text) > 4 * limit:
            return "", "too long"
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError:
            return "", "no UTF-8"
    if text is None:
        return "", "no text"
    if not text.strip():
        return "", "empty"
    if len(text) > limit:
        return "", "too long"
    return without_surrogates(text), ""


def read(uri: str) -> Iterator[RawDocument]:
    """Yields the documents of a source, not yet decoded.

    Raises:
        UserError: the scheme or an option is unknown, or a file does not exist.
    """
    address, _, query = uri.partition("?")
    scheme, _, location = address.partition(":")
    if scheme not in SOURCES or not location:
        raise UserError(
            f"cannot read documents from {uri!r}: expected a URI that starts with {', '.join(f'{s}:' for s in SOURCES)}"
        )
    given = dict(parse_qsl(query, keep_blank_values=True))
    limit, characters, _ = (problem_sources.integer_option(uri, given, name) for name in ("limit", "characters", "holds"))
    found = SOURCES[scheme](uri, location, {name: value for name, value in given.items() if name not in _COMMON})
    return _limited(((source, text, given.get("domain") or own) for source, text, own in found), limit, characters)


def _limited(found: Iterable[RawDocument], limit: int | None, characters: int | None) -> Iterator[RawDocument]:
    """Yields at most `limit` documents with at most `characters` characters in all (bytes, if they are not decoded yet)."""
    total = 0
    for source, text, domain in itertools.islice(found, limit):
        total += len(text or "")
        if characters is not None and total > characters:
            return
        yield source, text, domain


def _check_options(uri: str, options: Mapping[str, str], *allowed: str) -> None:
    if unknown := set(options) - set(allowed):
        choices = ", ".join((*allowed, *_COMMON))
        raise UserError(f"{uri}: unknown option {min(unknown)!r}; use one of {choices}")


def _text(uri: str, location: str, options: Options) -> Iterator[RawDocument]:
    _check_options(uri, options)
    return ((f"text:{path}", path.read_bytes(), "text") for path in files.matching(location))


def _label(uri: str) -> str:
    """Returns a URI without the options in `_COMMON`. If a row has no source, its source is this label and the row's id."""
    address, _, query = uri.partition("?")
    own = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name not in _COMMON]
    return address + (f"?{urlencode(own)}" if own else "")


def _rows(uri: str, rows: Iterable[Mapping[str, object] | Problem | None], options: Options) -> Iterator[RawDocument]:
    """Yields a document per row or problem. None stands for a row that could not be parsed."""
    _check_options(uri, options, "text", "id")
    text, id = options.get("text", "text"), options.get("id", "id")
    label, has_column = _label(uri), False
    for number, row in enumerate(rows):
        if isinstance(row, Problem):
            yield _of_problem(row)
            continue
        if row is None:
            yield f"{label}#{number}", None, "text"
            continue
        if not isinstance(row, Mapping):
            raise UserError(f"{uri}, row {number + 1}: expected a problem or a mapping of columns, got {type(row).__name__}")
        has_column = has_column or text in row  # JSON often omits a missing value
        if not has_column:
            raise UserError(f"{uri}, row {number + 1}: no column {text!r}; use one of {', '.join(row)}")
        value = row.get(text)
        content = value if isinstance(value, str | bytes) else None if cells.plain(value) is None else str(value)
        source, domain, key = (cells.plain(row.get(name)) for name in ("source", "domain", id))
        yield str(source or f"{label}#{number if cells.is_missing(key) else key}"), content, str(domain or "text")


def _jsonl(uri: str, location: str, options: Options) -> Iterator[RawDocument]:
    def rows() -> Iterator[Mapping[str, object] | None]:
        with files.content(path) as lines:
            for line in filter(bytes.strip, lines):
                try:
                    row = json.loads(line.decode("utf-8-sig"))
                except (ValueError, RecursionError):
                    row = None
                yield row if isinstance(row, dict) else None

    (path,) = files.matching(location)
    return _rows(uri, rows(), options)


def _parquet(uri: str, location: str, options: Options) -> Iterator[RawDocument]:
    (path,) = files.matching(location)
    return _rows(uri, tables.rows(path), options)


def _hub(uri: str, location: str, options: Options) -> Iterator[RawDocument]:
    return _rows(uri, problem_sources.hub_rows(uri, location, options), options)


def _problems(uri: str, location: str, options: Options) -> Iterator[RawDocument]:
    return map(_of_problem, problem_sources.load(location + (f"?{urlencode(options)}" if options else "")))


def _generate(uri: str, location: str, options: Options) -> Iterator[RawDocument]:
    return _rows(uri, problem_sources.generator_rows(uri, location, options), options)


def _of_problem(problem: Problem) -> RawDocument:
    """Returns the prompt and the worked solution (else the answer) as a document. Its text is None if both are missing."""
    solution = problem.answer if cells.is_missing(worked := problem.meta.get("solution")) else worked
    text = None if solution is None else "\n".join([*map(message_text, problem.prompt), str(solution)])
    return f"{problem.source}#{problem.id}", text, "problems"


def _python(uri: str, location: str, options: Options) -> Iterator[RawDocument]:
    """Yields help topics (python:documentation), then files, ordered by a hash so that the first ones are a random sample."""
    _check_options(uri, options, "of")
    of = options.get("of", "all")
    if location not in ("code", "documentation") or of not in ("all", "stdlib", "packages"):
        raise UserError(f"{uri}: expected python:code or python:documentation, with option of=stdlib, of=packages or none")
    roots = {"stdlib": Path(sysconfig.get_paths()["stdlib"]), "packages": Path(sysconfig.get_paths()["purelib"])}
    listed = []
    for name, root in roots.items():
        if of in ("all", name):
            suffixes: tuple[str, ...] = (".py",) if location == "code" else (".py", ".rst", ".md", os.sep + "METADATA")
            for folder, folders, names in os.walk(root):
                if name == "stdlib":  # the folder of packages may be inside it
                    folders[:] = [inner for inner in folders if inner != "site-packages"]
                found = (Path(folder, file) for file in names if f"{os.sep}{file}".endswith(suffixes))
                listed += [(f"python:{name}/{path.relative_to(root)}", path) for path in found if path.is_file()]
    listed.sort(key=lambda file: (hashlib.sha256(file[0].encode()).digest(), file[0]))
    if location == "code":
        return ((source, path.read_bytes(), "code") for source, path in listed)
    topics = () if of == "packages" else _topics()
    return itertools.chain(topics, ((f"{s}:doc", text, "text") for s, p in listed if (text := _documentation(p))))


def _topics() -> Iterator[RawDocument]:
    """Yields the chapters of the language reference that the interpreter has for help()."""
    from pydoc_data.topics import topics

    return ((f"python:topics/{name}", text, "text") for name, text in sorted(topics.items()))


def _documentation(path: Path) -> str | bytes:
    """Returns the docstrings of a module with the names of what they document, or the whole content of another file."""
    if path.suffix != ".py":
        return path.read_bytes()
    try:
        module = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    nodes = (n for n in ast.walk(module) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef))
    found = ((node, ast.get_docstring(node)) for node in nodes)
    return "\n\n\n".join(text if isinstance(node, ast.Module) else f"{node.name}\n\n{text}" for node, text in found if text)


SOURCES: dict[str, Callable[[str, str, Options], Iterator[RawDocument]]] = {
    "text": _text,
    "jsonl": _jsonl,
    "parquet": _parquet,
    "hf": _hub,
    "python": _python,
    "problems": _problems,
    "generate": _generate,
}
