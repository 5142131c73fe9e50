"""Sources of preference pairs: a prompt with a better and a worse response.

    jsonl:FILE   parquet:FILE   hf:ORG/NAME   generate:MODULE:FUNCTION

These URIs are read as in `sources.py`. A row has a prompt, `chosen` and `rejected`. The prompt is text or messages, and its
column has one of the names in `sources.py`. The responses are text, or messages whose last turn is the response; the other
turns of `chosen` are the prompt if the row has none. The refine stage writes such rows, too.

A row in the format of GSM8K's model solutions, {question, some_model: {solution, is_correct}, ...}, makes one pair of each
combination of a correct and an incorrect solution. Pairs of equal responses are dropped. Options:

    prompt=COLUMN, chosen=COLUMN, rejected=COLUMN
    per_question=N       use the first N pairs of each prompt; pairs of model solutions are ordered by a hash
    skip=N, limit=N      skip the first N rows, use at most N pairs
    name, split, revision    of `hf:` only, see `sources.py`
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from ... import extras
from ...core import Message, UserError, message_text
from . import cells, conversations, sources
from . import rows as row_formats

OPTIONS = ("prompt", "chosen", "rejected", "per_question", "skip", "limit")
SOURCES: dict[str, Callable[[str, str, dict[str, str]], Iterable[object]]] = {
    "jsonl": sources.jsonl_rows,
    "parquet": sources.parquet_rows,
    "hf": sources.hub_rows,
    "generate": sources.generator_rows,
}


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two responses to one prompt, with a preference."""

    prompt: tuple[Message, ...]
    chosen: str
    """The better response."""
    rejected: str
    prompt_text: str
    """The prompt as text. All pairs of one prompt are either in the training part or in the held-out part."""


def load(uri: str) -> Iterator[PreferencePair]:
    """Yields the pairs of a URI one by one, because a file may not fit in memory.

    Raises:
        UserError: an unknown scheme or option, a missing file, a row without a prompt or a response (with its number), or no
            pair at all.
    """
    address, _, query = uri.partition("?")
    scheme, _, location = address.partition(":")
    if scheme not in SOURCES or not location:
        raise UserError(
            f"cannot read pairs from {uri!r}: a URI of pairs starts with one of {', '.join(f'{s}:' for s in SOURCES)}"
        )
    options = dict(parse_qsl(query, keep_blank_values=True))
    count = 0
    with extras.required_by(address):
        for pair in _pairs(uri, SOURCES[scheme](uri, location, options), options):
            count += 1
            yield pair
    if not count:
        raise UserError(f"{uri}: there are no pairs")


def in_held_out(prompt_text: str, share: float) -> bool:
    """True if a prompt is in the held-out share. This depends only on a hash of its text, not on the file or the run."""
    return int(_hash("held out", prompt_text)[:12], 16) < share * 16**12


def _pairs(uri: str, rows: Iterable[object], options: dict[str, str]) -> Iterator[PreferencePair]:
    if unknown := set(options) - set(OPTIONS):
        raise UserError(f"{uri}: unknown option {min(unknown)!r}; the options are {', '.join(OPTIONS)}")
    per_prompt, skip, limit = (sources.integer_option(uri, options, name) for name in ("per_question", "skip", "limit"))
    sparse = uri.startswith(("parquet:", "hf:"))
    found = 0
    counts: dict[str, int] = {}
    for number, row in enumerate(rows, start=1):
        if number <= (skip or 0):
            continue
        for pair in _of_row(row, options, f"{uri}, row {number}", sparse):
            if limit is not None and found >= limit:
                return
            if pair.chosen.strip() == pair.rejected.strip():
                continue
            if per_prompt is not None:
                counts[pair.prompt_text] = counts.get(pair.prompt_text, 0) + 1
                if counts[pair.prompt_text] > per_prompt:
                    continue
            found += 1
            yield pair


def _of_row(given: object, options: Mapping[str, str], where: str, sparse: bool) -> Iterator[PreferencePair]:
    """Yields the pairs of a row: one, or each correct solution with each incorrect one, in an order set by a hash."""
    if not isinstance(given, Mapping):
        raise UserError(f"{where}: expected a mapping of columns, got {type(given).__name__}")
    row: Mapping[str, Any] = cells.plain(given)
    solutions = [value for value in row.values() if isinstance(value, Mapping) and {"solution", "is_correct"} <= value.keys()]
    if solutions and "chosen" not in row and not {"chosen", "rejected"} & options.keys():
        prompt = _prompt(row, options, where, sparse)
        given_texts = [solution for solution in solutions if not cells.is_missing(solution["solution"])]  # a table has nulls
        texts = [(str(solution["solution"]), bool(solution["is_correct"])) for solution in given_texts]
        correct = [text for text, is_correct in texts if is_correct]
        incorrect = [text for text, is_correct in texts if not is_correct]
        for better, worse in sorted({(a, b) for a in correct for b in incorrect}, key=lambda two: _hash(*two)):
            yield PreferencePair(prompt, better, worse, _text(prompt))
        return
    chosen, rejected = (_turns(row, options.get(name, name), where, sparse) for name in ("chosen", "rejected"))
    has_prompt = "prompt" in options or not all(cells.is_missing(row.get(name)) for name in row_formats.PROMPT_COLUMNS)
    prompt = _prompt(row, options, where, sparse) if has_prompt else chosen[:-1]
    if not prompt:
        raise UserError(
            f"{where}: there is no prompt: name its column with prompt=COLUMN; the columns are {', '.join(map(str, row))}"
        )
    yield PreferencePair(prompt, message_text(chosen[-1]), message_text(rejected[-1]), _text(prompt))


def _prompt(row: Mapping[str, Any], options: Mapping[str, str], where: str, sparse: bool) -> tuple[Message, ...]:
    column = row_formats.find_column(row, options.get("prompt"), row_formats.PROMPT_COLUMNS, where)
    return row_formats.conversation(row, column, where, sparse)


def _turns(row: Mapping[str, Any], column: str, where: str, sparse: bool) -> tuple[Message, ...]:
    """Returns the turns of a column; the last one is the response."""
    response = row[row_formats.find_column(row, column, (), where)]
    if not isinstance(response, str | list | Mapping):
        raise UserError(f"{where}: {column} must be text or a list of messages, got {response!r:.80}")
    turns = conversations.messages(response, where, sparse)
    if not turns:
        raise UserError(f"{where}: {column} has no turns")
    return turns


def _text(prompt: Sequence[Message]) -> str:
    return "\n\n".join(map(message_text, prompt))


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()
