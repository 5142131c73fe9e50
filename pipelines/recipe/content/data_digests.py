"""Digests of the data at URIs of problems, pairs and documents, for the identity of a stage."""

from urllib.parse import parse_qsl, urlencode

from .... import digests
from ....envs import identity as environments
from ....envs.problems import pairs
from ....envs.problems import sources as problem_sources
from ....envs.problems.stored import files


def of_files(uri: str, by_content: bool) -> str:
    """Returns the digest of the files that a URI names.

    Args:
        uri: URI of a file or a pattern.
        by_content: several files are compared by their contents; otherwise by their names and sizes.
    """
    parts = files.named(uri)
    if len(parts) == 1 and (parts[0].uri == uri or not by_content):
        return digests.of_file(parts[0].path)
    if by_content:
        return digests.of([[part.stem, digests.of_file(part.path)] for part in parts])
    paths = [part.path if uri.startswith("text:") else part.path.resolve() for part in parts]
    return digests.of([[str(path), path.stat().st_size] for path in paths])


def of_data(kind: str, uri: str) -> str | None:
    """Returns the digest of the data at a URI of problems, pairs or documents.

    Returns None for a scheme that has no digest here, such as `python:`, and for documents of the hub that are streamed,
    because all of them would have to be read.
    """
    scheme, _, location = uri.partition("?")[0].partition(":")
    if kind == "pairs":
        return digests.of_all(pairs.load(uri)) if scheme in pairs.SOURCES else None
    if scheme == "text":
        return of_files(uri, by_content=False)
    if scheme == "generate" and kind in ("sources", "uri"):
        return digests.of_source(location.partition(":")[0])
    if scheme == "hf" and kind in ("sources", "uri"):
        options = dict(parse_qsl(uri.partition("?")[2], keep_blank_values=True))
        fingerprint = getattr(problem_sources.hub_rows(uri, location, options), "_fingerprint", None)
        return None if fingerprint is None else str(fingerprint)
    problems = _without_options_of_documents(uri).removeprefix("problems:")
    return environments.of_problems(problems) if problems.partition(":")[0] in problem_sources.SOURCES else None


def _without_options_of_documents(uri: str) -> str:
    """Returns the URI of documents that are made from problems without the options that sources of problems do not have."""
    address, _, query = uri.partition("?")
    options = parse_qsl(query, keep_blank_values=True)
    kept = [(name, value) for name, value in options if name not in ("domain", "holds", "characters")]
    if not uri.startswith("problems:") or kept == options:
        return uri
    return address + (f"?{urlencode(kept)}" if kept else "")
