"""Where text comes from: a URI to documents, and the stage that gathers them into shards.

    text:PATTERN                files, a document each: text:books/**/*.txt
    jsonl:FILE, parquet:FILE    a document a row; of a pattern (parquet:shards/*.parquet) several files are read at a time
    hf:ORG/NAME                 a data set of the Hugging Face hub (name=, split=, revision=)
    python:code                 the sources of the standard library and of the packages that are installed
    python:documentation        their docstrings, the library's help topics, the packages' readmes
    problems:URI                problems with their worked solutions (`envs/problems/sources.py`), with the URI's own options
    generate:MODULE:FUNCTION    whatever your function yields for the options given: problems, or rows

Options of every source: domain=NAME (what its documents are counted as), holds=CHARACTERS (what the source has, for the sum
that `supply.py` does before a run); of all but patterns of rows limit=N documents, characters=N in all. Options of rows:
text=COLUMN, id=COLUMN. Of python: of=stdlib or of=packages. A row's own `domain` and `source` are kept.

What cannot be read is passed over and counted by its reason: no UTF-8, no JSON, empty, or longer than max_characters.
"""

import ast
import functools
import glob
import hashlib
import html
import inspect
import itertools
import json
import os
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl, urlencode

import pyarrow
import pyarrow.parquet
from pydantic import Field, field_validator

from ... import disk
from ...core import Problem, UserError, message_text, without_surrogates
from ...envs.problems import sources as problem_sources
from .. import figures
from ..stage import Context, Metrics, Stage
from . import shards
from .shards import Document

Found = tuple[str, str | bytes | None, str]
"""Where a text was found, the text (bytes are yet to be decoded, None is no text), and its domain."""
Options = dict[str, str]


class Documents(Stage):
    """Settings of a `documents` stage."""

    reads_policy: ClassVar[bool] = False

    kind: Literal["documents"]
    sources: list[str] = Field(min_length=1, description="URIs of documents")
    max_characters: int = Field(1_000_000, ge=1, description="longer documents are passed over, and counted")

    @field_validator("sources")
    @classmethod
    def _distinct(cls, sources: list[str]) -> list[str]:
        if twice := [uri for uri, times in Counter(sources).items() if times > 1]:
            raise ValueError(f"{twice[0]} is named twice")
        return sources

    def check(self) -> None:
        """Every source has a document."""
        for uri in self.sources:
            if all(next(read(part), None) is None for part in files(uri)):
                raise UserError(f"{uri} holds no document")

    def run(self, context: Context) -> Metrics:
        """Gathers the documents of all sources into shards; a source that was read to its end is not read again."""
        (context.folder / shards.DOCUMENTS).mkdir(exist_ok=True)
        counted: list[dict[str, Any]] = []
        for number, uri in enumerate(self.sources):
            parts = files(uri)
            names = [f"{number:03}-{part:05}" for part in range(len(parts))] if len(parts) > 1 else [f"{number:03}"]
            records = [context.folder / f"{name}.json" for name in names]
            waiting = [
                {"uri": part, "name": name}
                for part, name, record in zip(parts, names, records, strict=True)
                if not record.is_file()
            ]
            # What is told on the way would not come back from another process.
            tell = functools.partial(context.progress, number, len(self.sources)) if len(parts) == 1 else None
            work = functools.partial(_gather, most=self.max_characters, folder=str(context.folder.resolve()), tell=tell)
            done = len(parts) - len(waiting)
            for _ in shards.each(waiting, work, context):
                done += 1
                context.progress(number, len(self.sources), files=f"{done} of {len(parts)}")
            counted.append({"source": uri, **_together([_counted(record) for record in records])})
            context.progress(number + 1, len(self.sources))
        total = sum(source["characters"] for source in counted)
        if not total:
            raise UserError(f"{self.name}: no source holds a document that can be read")
        domains: Counter[str] = Counter()
        for source in counted:
            domains.update(source["domains"])
        return {
            "documents": sum(source["documents"] for source in counted),
            "characters": total,
            "shares": {domain: round(count / total, 4) for domain, count in domains.most_common()},
            "sources": counted,
        }

    def summary(self, metrics: Metrics) -> str:
        """How much was gathered."""
        passed_over = sum(sum(source["passed_over"].values()) for source in metrics["sources"])
        said = f", {passed_over:,} passed over" if passed_over else ""
        return f"{metrics['documents']:,} documents, {metrics['characters'] / 1e6:.1f} million characters{said}"

    def tables(self, metrics: Metrics) -> str:
        """A row a source, and the shares of the domains."""
        rows = [
            (source["source"], source["documents"], source["characters"], figures.counts(source["passed_over"]))
            for source in metrics["sources"]
        ]
        shares = ", ".join(f"{domain} {share:.1%}" for domain, share in metrics["shares"].items())
        table = figures.table(("source", "documents", "characters", "passed over"), rows)
        return f"{table}<p>Of all characters: {html.escape(shares)}</p>"


def _counted(record: Path) -> dict[str, Any]:
    """What was counted in a source, or in one of its files."""
    remedy = "remove it, and that source is read again"
    found = disk.read_object(record, remedy)
    with disk.reading(record, remedy):
        disk.check_types(found, documents=int, characters=int, domains=dict, passed_over=dict)
    return found


def _gather(item: shards.Item, most: int, folder: str, tell: Callable[..., None] | None) -> shards.Item:
    """Writes the shards of one source, or of one of its files, and last `NAME.json`: how many documents and characters, those
    by domain, and how many were passed over for what."""
    passed_over: Counter[str] = Counter()
    domains: Counter[str] = Counter()
    waiting: list[Document] = []
    size = written = documents = 0
    out, name = Path(folder) / shards.DOCUMENTS, item["name"]

    def write() -> None:
        nonlocal size, written
        if waiting:
            shards.write(out / f"{name}-{written:05}.parquet", pyarrow.Table.from_pylist(waiting, schema=shards.SCHEMA))
            written, size = written + 1, 0
            waiting.clear()

    for half in out.glob(f"{name}-*"):
        half.unlink()
    try:
        for source, text, domain in read(item["uri"]):
            decoded, trouble = _decoded(text, most)
            if trouble:
                passed_over[trouble] += 1
                continue
            source, domain = without_surrogates(source), without_surrogates(domain)
            id = hashlib.sha256(source.encode()).hexdigest()[:16]
            waiting.append(Document(id=id, text=decoded, source=source, domain=domain))
            domains[domain] += len(decoded)
            size, documents = size + len(decoded), documents + 1
            if size >= shards.SHARD_BYTES:
                write()
                if tell:
                    tell(documents=documents)
    except UserError as error:
        return item | {"trouble": str(error)}
    write()
    found = {"documents": documents, "characters": sum(domains.values()), "domains": domains, "passed_over": passed_over}
    disk.write(Path(folder) / f"{name}.json", json.dumps(found))
    return item


def _together(files: list[dict[str, Any]]) -> dict[str, Any]:
    """What was found in the files of one source."""
    summed: dict[str, Any] = {name: sum(file[name] for file in files) for name in ("documents", "characters")}
    for name in ("domains", "passed_over"):
        summed[name] = dict(sum((Counter(file[name]) for file in files), Counter()))
    return summed


def files(uri: str) -> list[str]:
    """A source as one of each of its files, where it is a pattern for files of rows, and as it is where it is not.

    Raises:
        UserError: no file is like the pattern.
    """
    address, sign, query = uri.partition("?")
    scheme, _, pattern = address.partition(":")
    named = Path(pattern).expanduser()
    if scheme not in ("jsonl", "parquet") or not glob.has_magic(pattern) or named.is_file():
        return [uri]
    found = [path for path in map(Path, sorted(glob.glob(str(named), recursive=True))) if path.is_file()]
    if not found:
        raise UserError(f"{uri}: no file is found there")
    if unknown := {"limit", "characters"} & dict(parse_qsl(query, keep_blank_values=True)).keys():
        raise UserError(f"{uri}: {min(unknown)} counts the rows of one file: name the file, or leave it out")
    return [f"{scheme}:{path.resolve()}{sign}{query}" for path in found]


def _decoded(text: str | bytes | None, most: int) -> tuple[str, str]:
    """The text, and why it cannot be had where it cannot."""
    if isinstance(text, bytes):
        if len(text) > 4 * most:
            return "", "too long"
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError:
            return "", "no UTF-8"
    if text is None:
        return "", "no text"
    if not text.strip():
        return "", "empty"
    if len(text) > most:
        return "", "too long"
    return without_surrogates(text), ""


def read(uri: str) -> Iterator[Found]:
    """The documents that a URI names, as they are found.

    Raises:
        UserError: an unknown scheme or option, a file that is not there.
    """
    address, _, query = uri.partition("?")
    scheme, _, location = address.partition(":")
    if scheme not in SOURCES or not location:
        raise UserError(
            f"cannot read documents from {uri!r}: such a URI starts with one of {', '.join(f'{s}:' for s in SOURCES)}"
        )
    options = dict(parse_qsl(query, keep_blank_values=True))
    limit, characters = (problem_sources.integer_option(uri, options, name) for name in ("limit", "characters"))
    domain = options.pop("domain", None)
    problem_sources.integer_option(uri, options, "holds")  # for `supply.py`
    for name in ("limit", "characters", "holds"):
        options.pop(name, None)
    found = SOURCES[scheme](uri, location, options)
    return _within(((source, text, domain or own) for source, text, own in found), limit, characters)


def _within(found: Iterable[Found], limit: int | None, characters: int | None) -> Iterator[Found]:
    """At most so many documents, and so many characters (or bytes, where they are not decoded yet)."""
    said = 0
    for source, text, domain in itertools.islice(found, limit):
        said += len(text or "")
        if characters is not None and said > characters:
            return
        yield source, text, domain


def _none_left(uri: str, options: Mapping[str, str], *known: str) -> None:
    if unknown := set(options) - set(known):
        there = ", ".join((*known, "domain", "limit", "characters", "holds"))
        raise UserError(f"{uri}: unknown option {min(unknown)!r}; there are {there}")


def _text(uri: str, location: str, options: Options) -> Iterator[Found]:
    _none_left(uri, options)
    files = sorted(path for path in glob.glob(str(Path(location).expanduser()), recursive=True) if Path(path).is_file())
    if not files:
        raise UserError(f"{uri}: no file is found there")
    return ((f"text:{path}", Path(path).read_bytes(), "text") for path in files)


def _rows(uri: str, rows: Iterable[Mapping[str, Any] | None], options: Options) -> Iterator[Found]:
    """Rows with a column of text; None is a row that could not be read."""
    _none_left(uri, options, "text", "id")
    text, id = options.get("text", "text"), options.get("id", "id")
    name = uri.partition("?")[0]
    for number, row in enumerate(rows):
        if row is None:
            yield f"{name}#{number}", None, "text"
            continue
        if text not in row:
            raise UserError(f"{uri}, row {number + 1}: there is no column {text!r}; the columns are {', '.join(row)}")
        said = row[text] if isinstance(row[text], str | None) else str(row[text])
        yield str(row.get("source") or f"{name}#{row.get(id, number)}"), said, str(row.get("domain") or "text")


def _jsonl(uri: str, location: str, options: Options) -> Iterator[Found]:
    def rows() -> Iterator[Mapping[str, Any] | None]:
        with problem_sources.file_at(location).open("rb") as lines:
            for line in filter(bytes.strip, lines):
                try:
                    row = json.loads(line.decode("utf-8-sig"))
                except (ValueError, RecursionError):
                    row = None
                yield row if isinstance(row, dict) else None

    problem_sources.file_at(location)
    return _rows(uri, rows(), options)


def _parquet(uri: str, location: str, options: Options) -> Iterator[Found]:
    try:
        file = pyarrow.parquet.ParquetFile(problem_sources.file_at(location))
    except pyarrow.ArrowException as error:
        raise UserError(f"{location} is no parquet file: {str(error).splitlines()[0]}") from None
    return _rows(uri, (row for batch in file.iter_batches(1024) for row in batch.to_pylist()), options)


def _hub(uri: str, location: str, options: Options) -> Iterator[Found]:
    return _rows(uri, problem_sources.hub_rows(uri, location, options), options)


def _problems(uri: str, location: str, options: Options) -> Iterator[Found]:
    inner = location + (f"?{urlencode(options)}" if options else "")
    return (_of_problem(problem) for problem in problem_sources.load(inner))


def _generate(uri: str, location: str, options: Options) -> Iterator[Found]:
    made = problem_sources.generator_rows(uri, location, options)
    _none_left(uri, options, "text", "id")

    def rows() -> Iterator[Found]:
        for number, item in enumerate(made):
            if isinstance(item, Problem):
                yield _of_problem(item)
            else:
                ((source, text, domain),) = _rows(uri, [item], options)
                yield source if "source" in item else f"{uri}#{number}", text, domain

    return rows()


def _of_problem(problem: Problem) -> Found:
    """The prompt and the worked answer; no text where the problem has no answer."""
    said = problem.meta.get("solution", problem.answer)
    text = None if said is None else "\n".join([*map(message_text, problem.prompt), str(said)])
    return f"{problem.source}#{problem.id}", text, "problems"


def _python(uri: str, location: str, options: Options) -> Iterator[Found]:
    """Files in the order of a hash of their names, so that a few of them are a sample of all."""
    _none_left(uri, options, "of")
    of = options.get("of", "all")
    if location not in ("code", "documentation") or of not in ("all", "stdlib", "packages"):
        raise UserError(f"{uri}: write python:code or python:documentation, with of=stdlib or of=packages where one is meant")
    roots = {"stdlib": Path(sysconfig.get_paths()["stdlib"]), "packages": Path(sysconfig.get_paths()["purelib"])}
    files = []
    for name, root in roots.items():
        if of in ("all", name):
            wanted: tuple[str, ...] = (".py",) if location == "code" else (".py", ".rst", ".md", os.sep + "METADATA")
            for folder, folders, names in os.walk(root):
                if name == "stdlib":  # which may hold the packages, too
                    folders[:] = [inner for inner in folders if inner != "site-packages"]
                found = (Path(folder, file) for file in names if f"{os.sep}{file}".endswith(wanted))
                files += [(f"python:{name}/{path.relative_to(root)}", path) for path in found if path.is_file()]
    files.sort(key=lambda file: (hashlib.sha256(file[0].encode()).digest(), file[0]))
    if location == "code":
        return ((source, path.read_bytes(), "code") for source, path in files)
    return itertools.chain(_topics(), ((f"{s}:doc", text, "text") for s, p in files if (text := _documentation(p))))


def _topics() -> Iterator[Found]:
    """The chapters of the language's reference that come with the interpreter for help()."""
    from pydoc_data.topics import topics

    return ((f"python:topics/{name}", text, "text") for name, text in sorted(topics.items()))


def _documentation(path: Path) -> str | bytes:
    """A module's docstrings, with what they document; of other files all."""
    if path.suffix != ".py":
        return path.read_bytes()
    try:
        module = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    said = []
    for node in ast.walk(module):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                said.append(docstring if isinstance(node, ast.Module) else f"{node.name}\n\n{inspect.cleandoc(docstring)}")
    return "\n\n\n".join(said)


SOURCES: dict[str, Callable[[str, str, Options], Iterator[Found]]] = {
    "text": _text,
    "jsonl": _jsonl,
    "parquet": _parquet,
    "hf": _hub,
    "python": _python,
    "problems": _problems,
    "generate": _generate,
}
