"""A URI to a sequence of pairs: one prompt, the better of two responses, the worse.

    jsonl:FILE   parquet:FILE   hf:ORG/NAME   generate:MODULE:FUNCTION

as `problems.py` reads them. A row holds `prompt` (text or messages; or question, problem, messages), `chosen` and `rejected`
(text; or messages, of which the last is the response and the others are the prompt where the row has none). Refined responses
against unrefined ones come as such rows, too. A row of the form of GSM8K's model solutions, {question, some_model: {solution,
is_correct}, ...}, makes a pair of each right solution with each wrong one. Pairs of equal responses are left out. Options:

    prompt=COLUMN, chosen=COLUMN, rejected=COLUMN
    per_question=N       at most N pairs of one question, which ones is drawn by a hash
    skip=N, limit=N      leave out the first N rows, take at most N pairs
"""

import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from ...core import Message, UserError, message_text
from . import conversations, sources
from . import rows as row_formats

OPTIONS = ("prompt", "chosen", "rejected", "per_question", "skip", "limit")
SOURCES: dict[str, Callable[[str, str, dict[str, str]], Iterable[Any]]] = {
    "jsonl": sources.jsonl_rows,
    "parquet": sources.parquet_rows,
    "hf": sources.hub_rows,
    "generate": sources.generator_rows,
}


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two responses to one prompt."""

    prompt: tuple[Message, ...]
    chosen: str
    """The better one."""
    rejected: str
    group: str
    """The prompt as text: pairs of one question are never split between learning and measuring."""


def load(uri: str) -> Sequence[PreferencePair]:
    """The pairs that a URI names; read once a process, and again where its file has changed since.

    Raises:
        UserError: an unknown scheme or option, a missing file, a row that holds no pair (with its number), or no pair at all.
    """
    path = Path(uri.partition("?")[0].partition(":")[2]).expanduser()
    return _load(uri, path.stat().st_mtime_ns if path.is_file() else None)


@functools.lru_cache(maxsize=4)
def _load(uri: str, changed: int | None) -> Sequence[PreferencePair]:
    address, _, query = uri.partition("?")
    scheme, _, location = address.partition(":")
    if scheme not in SOURCES or not location:
        raise UserError(
            f"cannot read pairs from {uri!r}: a URI of pairs starts with one of {', '.join(f'{s}:' for s in SOURCES)}"
        )
    options = dict(parse_qsl(query, keep_blank_values=True))
    rows = SOURCES[scheme](uri, location, options)
    pairs = _pairs(uri, rows, options)
    if not pairs:
        raise UserError(f"{uri} holds no pair")
    return pairs


def in_held_out(group: str, share: float) -> bool:
    """Whether a question belongs to the held-out share, by a hash of its text: the same one in every file and run."""
    return int(_hash("held out", group)[:12], 16) < share * 16**12


def split(pairs: Sequence[PreferencePair], share: float) -> tuple[list[PreferencePair], list[PreferencePair]]:
    """The pairs to learn from and the pairs to measure on, which have no question in common."""
    held_out = [in_held_out(pair.group, share) for pair in pairs]
    return (
        [pair for pair, out in zip(pairs, held_out, strict=True) if not out],
        [pair for pair, out in zip(pairs, held_out, strict=True) if out],
    )


def _pairs(uri: str, rows: Iterable[Any], options: dict[str, str]) -> list[PreferencePair]:
    if unknown := set(options) - set(OPTIONS):
        raise UserError(f"{uri}: unknown option {min(unknown)!r}; there are {', '.join(OPTIONS)}")
    most, skip, limit = (sources.integer_option(uri, options, name) for name in ("per_question", "skip", "limit"))
    found: list[PreferencePair] = []
    of_question: dict[str, int] = {}
    for number, row in enumerate(rows, start=1):
        if number <= (skip or 0):
            continue
        for pair in _of_row(row, options, f"{uri}, row {number}"):
            if limit is not None and len(found) >= limit:
                return found
            seen = of_question.get(pair.group, 0)
            if pair.chosen.strip() != pair.rejected.strip() and (most is None or seen < most):
                of_question[pair.group] = seen + 1
                found.append(pair)
    return found


def _of_row(row: Any, options: Mapping[str, str], where: str) -> Iterator[PreferencePair]:
    """The pairs of a row: one, or each right solution with each wrong one, in an order drawn by a hash."""
    if not isinstance(row, Mapping):
        raise UserError(f"{where}: a mapping of columns is expected, not {type(row).__name__}")
    solutions = [value for value in row.values() if isinstance(value, Mapping) and {"solution", "is_correct"} <= value.keys()]
    if solutions and "chosen" not in row:
        prompt = _prompt(row, options, where)
        texts = [(str(solution["solution"]), bool(solution["is_correct"])) for solution in solutions]
        both = [(right, wrong) for right, is_right in texts if is_right for wrong, is_too in texts if not is_too]
        for right, wrong in sorted(dict.fromkeys(both), key=lambda two: _hash(*two)):
            yield PreferencePair(prompt, right, wrong, _text(prompt))
        return
    chosen, rejected = (_turns(row, options.get(name, name), where) for name in ("chosen", "rejected"))
    named = "prompt" in options or any(column in row for column in row_formats.PROMPT_COLUMNS)
    prompt = _prompt(row, options, where) if named else chosen[:-1]
    if not prompt:
        raise UserError(f"{where}: there is no prompt; name its column with prompt=COLUMN; the columns are {', '.join(row)}")
    yield PreferencePair(prompt, message_text(chosen[-1]), message_text(rejected[-1]), _text(prompt))


def _prompt(row: Mapping[str, Any], options: Mapping[str, str], where: str) -> tuple[Message, ...]:
    return conversations.messages(row[row_formats.column(row, options.get("prompt"), row_formats.PROMPT_COLUMNS, where)], where)


def _turns(row: Mapping[str, Any], column: str, where: str) -> tuple[Message, ...]:
    """A response as the last of its turns."""
    turns = conversations.messages(row[row_formats.column(row, column, (), where)], where)
    if not turns:
        raise UserError(f"{where}: {column} has no turn")
    return turns


def _text(prompt: Sequence[Message]) -> str:
    return "\n\n".join(map(message_text, prompt))


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()
