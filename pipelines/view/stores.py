"""The stored episodes of a stage: which files have them, and what the viewer's index keeps of each.

    episodes/*.jsonl         a GRPO stage; one file for each process
    episodes.jsonl           a filter
    student.jsonl, ...       other stores of episodes (`policies/store.py`): their first line names an environment
    TASK.scores.jsonl        a benchmark: verdicts by problem; the texts are in its file of samples

Rows may be of any form and any size: those of another form are counted and left out.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, cast

from ... import disk
from ...core import Message, message_text
from ...texts import without_surrogates
from ..stage import STEPS
from .folders import NotFoundError, small_file, within

MAX_LINE = 32 * 2**20
"""Longest line in bytes that is read. A longer one counts as broken. Our choice."""
SNIPPET, REASON, NAME = 200, 300, 100
"""Longest texts in characters that the index keeps of a response or prompt, of a reason, and of a name."""
SEARCHED = 20_000
"""Characters of an episode's responses that the search covers: the first and the last half of this number. Our choice."""
TASK_SPAN = 10**9
"""Numbers of problems of the n-th file of a benchmark begin at n times this number, because each task counts from 0."""
MAX_INT = 2**53
ESTIMATES = "problems.parquet"
NOT_EPISODES = frozenset({STEPS, "log.jsonl", "pairs.jsonl", "labels.jsonl"})
_IDEOGRAPHS = re.compile(r"([\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff])")
"""Characters that are words by themselves for the search, because texts in Chinese and Japanese have no spaces."""


class Source(NamedTuple):
    """A file with episodes."""

    path: Path
    name: str
    """Such as "student" or the name of a task; empty if the stage has one kind of episodes."""
    form: Literal["episodes", "scores"]
    samples: Path | None = None
    """The file of samples of a benchmark's scores."""


class Line(NamedTuple):
    """A complete line of a file."""

    offset: int
    text: bytes
    """Empty if the line is too long."""
    length: int


class Indexed(NamedTuple):
    """What the index keeps of an episode."""

    step: int
    """-1 if the stage has no steps."""
    problem: int
    sample: int
    attempt: int
    score: float | None
    status: str
    finish: str
    tokens: int
    turns: int
    place: int
    """Number of the sample in its line; -1 if the line is an episode."""
    problem_id: str
    prompt: str
    start: str
    method: str
    reason: str
    text: str
    """The responses, for the search."""


def sources(root: Path, folder: Path) -> list[Source]:
    """Returns the files with episodes of a stage or a benchmark folder, the least recently written first.

    Args:
        root: folder of the run; files outside of it are left out.
        folder: folder of the stage.
    """
    found: list[Source] = []
    if within(root, folder) is None:
        return found
    found += (Source(path, "", "episodes") for path in sorted((folder / "episodes").glob("*.jsonl")))
    for path in sorted(folder.glob("*.jsonl")):
        if (
            path.name not in NOT_EPISODES
            and not path.name.endswith((".samples.jsonl", ".scores.jsonl"))
            and _has_episodes(root, path)
        ):
            found.append(Source(path, "" if path.stem == "episodes" else path.stem, "episodes"))
    for path in sorted(folder.glob("*.result.json")):
        task = path.name.removesuffix(".result.json")
        scores, samples = folder / f"{task}.scores.jsonl", _samples_of(root, path, task)
        found.append(Source(scores, task, "scores", samples))
    inside = [source for source in found if _is_text(source.path) and within(root, source.path) and source.path.is_file()]
    return sorted(inside, key=lambda source: (_changed(source.path), source.path))


def _is_text(path: Path) -> bool:
    """True if the name of a file is text. The index has no other names."""
    return without_surrogates(path.name) == path.name


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _has_episodes(root: Path, path: Path) -> bool:
    """True if the first line of a store names an environment."""
    try:
        if not within(root, path) or not path.is_file():
            return False
        with path.open("rb") as file:
            row = disk.parse_row(file.readline(MAX_LINE), lambda row: row["settings"]["environment"])
    except OSError:
        return False
    return row is not None


def _samples_of(root: Path, result: Path, task: str) -> Path | None:
    """Returns the file of samples that a result names, if it is in the result's folder."""
    if small_file(root, result) is None:
        return None
    try:
        row = disk.parse_row(result.read_bytes(), lambda row: disk.check_types(row, task=str))
    except OSError:
        return None
    name = row.get("store") if row else None
    if not isinstance(name, str) or not name or Path(name).name != name or without_surrogates(name) != name:
        name = f"{task.rsplit('_avg', 1)[0]}.samples.jsonl"
    path = within(root, result.parent / name)
    return path if path and path.is_file() else None


def lines(file: BinaryIO, offset: int) -> Iterator[Line]:
    """Yields the complete lines of a file from an offset. A last line without a newline is left out: it is being written."""
    file.seek(offset)
    while True:
        text = file.readline(MAX_LINE)
        length, ended = len(text), text.endswith(b"\n")
        while not ended:
            more = file.readline(MAX_LINE)
            if not more:
                return
            length, ended = length + len(more), more.endswith(b"\n")
            text = text + more if length <= MAX_LINE else b""
        yield Line(offset, text, length)
        offset += length


def parse(line: bytes) -> disk.Row | None:
    """Returns the JSON object of a line, or None."""
    return disk.parse_row(line, bool) if line.strip() else None


def episode(row: disk.Row) -> Indexed | None:
    """Returns what the index keeps of a stored episode, or None for a row of another form."""
    try:
        messages, verdict = _messages(row["messages"]), row["verdict"]
        first = next((place for place, turn in enumerate(messages) if turn[0] == "assistant"), len(messages))
        turns = [text for role, text in messages if role == "assistant"]
        return Indexed(
            _whole(row["step"]) if row.get("step") is not None else -1,
            _whole(row["problem"]),
            _whole(row["sample"]),
            _whole(row.get("attempt", 0)),
            _score(verdict["score"]),
            _text(verdict["status"], NAME),
            _text(row["finish_reason"], NAME),
            _whole(row["tokens"]),
            len(turns),
            -1,
            _text(row["problem_id"], SNIPPET),
            _prompt(messages[:first]),
            turns[-1][:SNIPPET] if turns else "",
            _text(verdict["method"], NAME),
            _text(verdict["reason"], REASON),
            _searched(turns),
        )
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError):
        return None


def scored(row: disk.Row, number: int, responses: Sequence["Response"]) -> list[Indexed]:
    """Returns what the index keeps of a benchmark's problem: one entry for each sample; empty for a row of another form.

    Args:
        row: the problem with its verdicts (`ScoredProblem`).
        number: number of the problem.
        responses: the responses to it, by sample.
    """
    try:
        prompt = _prompt(_messages(row["prompt"]))
        problem_id = _text(str(row["problem"]), SNIPPET)
        found = []
        for place, sample in enumerate(row["samples"]):
            turns = responses[place].turns if place < len(responses) else []
            found.append(
                Indexed(
                    -1,
                    number,
                    place,
                    0,
                    _score(sample["score"]),
                    _text(sample["status"], NAME),
                    _text(sample.get("finish_reason", ""), NAME),
                    _whole(sample.get("tokens", 0)),
                    max(len(turns), 1),
                    place,
                    problem_id,
                    prompt,
                    turns[-1][:SNIPPET] if turns else "",
                    _text(sample["method"], NAME),
                    _text(sample["reason"], REASON),
                    _searched(turns),
                )
            )
        return found
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError):
        return []


class Response(NamedTuple):
    """A response in a benchmark's file of samples."""

    turns: list[str]
    offset: int
    """-1 if the file has no such sample."""
    length: int


def response_turns(row: disk.Row) -> list[str]:
    """Returns the policy's turns in a row of a file of samples: a sample, or an episode."""
    try:
        if "messages" in row:
            return [text for role, text in _messages(row["messages"]) if role == "assistant"]
        return [_text(row["text"])]
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        return []


def sample_key(row: disk.Row) -> tuple[str, int] | None:
    """Returns the request and the number of a stored sample, which a benchmark's scores name; None for other rows."""
    try:
        request = row["request"] if "request" in row else str(row["problem"])
        return _text(request), _whole(row["sample"])
    except (LookupError, TypeError, ValueError):
        return None


def read_line(root: Path, path: Path, offset: int, length: int) -> disk.Row:
    """Returns the row at a place of a file.

    Raises:
        NotFoundError: the file has changed.
    """
    row = None
    if within(root, path) and 0 < length <= MAX_LINE:
        try:
            with path.open("rb") as file:
                file.seek(offset)
                row = parse(file.read(length))
        except OSError:
            row = None
    if row is None:
        raise NotFoundError("the file of this episode has changed; search again")
    return row


def as_json(value: object) -> str:
    """Returns a value as JSON, for a gold answer that is no text."""
    return json.dumps(value, ensure_ascii=False)


def shown(messages: Sequence[disk.Row]) -> list[disk.Row]:
    """Returns messages whose content is text."""
    texts = [turn["content"] if isinstance(turn["content"], str) else as_json(turn["content"]) for turn in messages]
    return [{**turn, "role": _text(turn["role"]), "content": text} for turn, text in zip(messages, texts, strict=True)]


def _messages(value: object) -> list[tuple[str, str]]:
    if not isinstance(value, list):
        raise TypeError("messages")
    return [(_text(turn["role"], NAME), without_surrogates(_content(turn))) for turn in value]


def _content(turn: disk.Row) -> str:
    if not isinstance(turn["content"], str):
        return as_json(turn["content"])
    return message_text(cast(Message, turn))


def _prompt(messages: Sequence[tuple[str, str]]) -> str:
    users = [text for role, text in messages if role == "user"] or [text for _, text in messages]
    return users[-1][:SNIPPET] if users else ""


def _text(value: object, limit: int | None = None) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return without_surrogates(value[:limit])


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= MAX_INT:
        raise TypeError("not a whole number")
    return value


def _score(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError("not a score")
    return float(value)


def _searched(turns: Sequence[str]) -> str:
    text = "\n".join(turns)
    return words(text if len(text) <= SEARCHED else f"{text[: SEARCHED // 2]}\n{text[-SEARCHED // 2 :]}")


def table_of_estimates(root: Path, folder: Path) -> Path | None:
    """Returns a filter's table of problems, which has their unbiased pass rates; None if there is none."""
    path = within(root, folder / ESTIMATES)
    return path if path and path.is_file() else None


def estimates(table: Path) -> list[tuple[float | None, int]]:
    """Returns the pass rate and the index of each problem in a filter's table; empty for another table."""
    try:
        import pyarrow.parquet

        columns = pyarrow.parquet.read_table(table, columns=["index", "pass_rate"]).to_pydict()
        pairs = zip(columns["pass_rate"], columns["index"], strict=True)
        return [(_score(rate) if rate == rate else None, _whole(index)) for rate, index in pairs]
    except (ImportError, OSError, LookupError, TypeError, ValueError, NotImplementedError):  # pyarrow has errors of these kinds
        return []


def words(text: str) -> str:
    """Returns a text in which ideographs are words by themselves, as the search's tokenizer needs it."""
    return text if text.isascii() else _IDEOGRAPHS.sub(r" \1 ", text)
