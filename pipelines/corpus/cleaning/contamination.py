"""Documents that hold a benchmark's problem, told by a run of its words: 13, as for GPT-3 (Brown et al., 2020, appendix C).

What many problems of a set have in common is the set's template ("What is the answer to ...") and says nothing of any of them.
A word belongs to the template where a run of TEMPLATE words around it is in at least two problems of the set and in one of 100;
a run of 13 counts where at least LEAST of its words do not. A problem with no such run, as it is short or hardly differs from
the others, is looked for as a whole, where it has LEAST words; one with fewer cannot be looked for, and is counted.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

from ....benchmarks import catalogue
from ....benchmarks.tasks import avg_at_k
from ....core import Message, Problem, UserError, message_text
from ....envs.problems import sources as problem_sources
from . import ngrams
from .ngrams import Hashes

CONTAMINATED = "contaminated"
"""Why a document is removed."""
LEAST = 8
"""Words by which a problem can be told; GPT-3's shortest runs have as many."""
TEMPLATE = 5
"""Words in a run that makes a template. Ours."""
COMMON = 0.01
"""The share of a set's problems that have what is its template. Ours."""


class Index(NamedTuple):
    """The runs of words that are looked for."""

    grams: Hashes
    """Their hashes, in order."""
    owner: NDArray[numpy.int32]
    """Which problem each is of, a position in `names`."""
    names: tuple[str, ...]
    """Problems, as SET#ID."""
    lengths: tuple[int, ...]
    """How many words there are in a run."""
    heads: NDArray[numpy.bool_]
    """By the high bits of the hash of LEAST words: whether a run may start so. Most places of a document need no more."""
    cannot: tuple[str, ...]
    """Problems that cannot be looked for."""


class Match(NamedTuple):
    """Where a document holds a problem."""

    problem: str
    start: int
    """Of the first word."""
    length: int
    """In words."""


def sets(against: Iterable[str], data: str | None = None) -> dict[str, Sequence[Problem]]:
    """Sets of problems by their names.

    Args:
        against: URIs of problems, names of benchmark tasks and suites; each part of lm-eval's tasks (lm_eval:NAME) is a set.
        data: folder with the files of benchmarks that are not read from where they were published.

    Raises:
        UserError: there is no such benchmark, or its problems cannot be had.
    """
    found: dict[str, Sequence[Problem]] = {}
    for name in against:
        if name.partition(":")[0] in problem_sources.SOURCES:
            found[name] = problem_sources.load(name)
            continue
        for asked in catalogue.expand([name]):
            if asked.task.startswith(catalogue.LM_EVAL):
                found |= _of_lm_eval(asked.task)
                continue
            metadata = {"published": asked.task, **catalogue.settings(asked.task)["metadata"]}
            if "problems" not in metadata and data is None:
                raise UserError(
                    f"against: {asked.task} is published by {metadata['published']}: download it, name its folder as data"
                )
            found[asked.task] = problem_sources.load(avg_at_k.source(metadata | ({"data": data} if data else {})))
    return found


def _of_lm_eval(task: str) -> dict[str, Sequence[Problem]]:
    """The problems of one of lm-eval's own tasks, worded as it words them, without examples."""
    name = task.removeprefix(catalogue.LM_EVAL)
    manager = catalogue.lm_eval_tasks(name)
    if name not in manager.all_tasks:
        raise UserError(f"against: lm-eval has no task {name!r}: `lm_eval ls tasks` lists them")
    try:
        parts = manager.load([name])["tasks"]
        return {
            f"{catalogue.LM_EVAL}{part}": [
                Problem(str(number), (Message(role="user", content=str(leaf.doc_to_text(row))),), None, task)
                for number, row in enumerate(leaf.eval_docs)
            ]
            for part, leaf in parts.items()
        }
    except (ConnectionError, FileNotFoundError) as error:
        cause = str(error).splitlines()[0][:200]
        raise UserError(f"against: the data of {task} cannot be had ({cause}); they come from the hub or its cache") from None


def index(against: Iterable[str], length: int = 13, data: str | None = None) -> Index:
    """What is looked for, of all sets of problems; see `sets`.

    Args:
        against: names of sets.
        length: words in a run.
        data: folder of downloaded benchmarks.
    """
    return of_problems(sets(against, data), length)


def of_problems(sets: dict[str, Sequence[Problem]], length: int = 13) -> Index:
    """What is looked for, of sets of problems by their names. Problems of equal words are one."""
    found: dict[tuple[int, int], int] = {}  # (hash, words) of a run: problem
    heads: list[Hashes] = []
    names: list[str] = []
    cannot: list[str] = []
    for name, problems in sets.items():
        ids: dict[bytes, str] = {}
        for problem in problems:
            ids.setdefault(ngrams.hashes(ngrams.words(prompt(problem))).tobytes(), f"{name}#{problem.id}")
        read = {id: numpy.frombuffer(words, numpy.uint64) for words, id in ids.items()}
        times = Counter(gram for words in read.values() for gram in set(ngrams.runs(words, TEMPLATE).tolist()))
        common = max(2.0, COMMON * len(read))
        template = numpy.array([gram for gram, of in times.items() if of >= common], numpy.uint64)
        for id, words in read.items():
            runs = _telling(words, template, length)
            if not len(runs):
                cannot.append(id)
                continue
            names.append(id)
            heads.append(ngrams.combined(runs[:, :LEAST]))
            for gram in ngrams.combined(runs).tolist():
                found.setdefault((gram, runs.shape[1]), len(names) - 1)
    grams = numpy.array([gram for gram, _ in found], numpy.uint64)
    order = numpy.argsort(grams, kind="stable")
    owner = numpy.array(list(found.values()), numpy.int32)
    return Index(
        grams[order],
        owner[order],
        tuple(names),
        tuple(sorted({words for _, words in found})),
        _table(numpy.concatenate([numpy.empty(0, numpy.uint64), *heads])),
        tuple(cannot),
    )


def prompt(problem: Problem) -> str:
    """What is looked for of a problem: all that is said before the answer, but for the system's turn."""
    turns = [message_text(turn) for turn in problem.prompt if turn["role"] != "system"]
    return "\n".join(turns)


def _telling(words: Hashes, template: Hashes, length: int) -> NDArray[numpy.uint64]:
    """The runs of a problem's words that tell it, a row each: of `length` words, or one of all of them."""
    covered = numpy.zeros(len(words), bool)
    for start in numpy.flatnonzero(numpy.isin(ngrams.runs(words, TEMPLATE), template)):
        covered[start : start + TEMPLATE] = True
    if len(words) >= length:
        runs, of_template = ngrams.windows(words, length), numpy.lib.stride_tricks.sliding_window_view(covered, length)
        telling = runs[(~of_template).sum(axis=1) >= min(LEAST, length)]
        if len(telling):
            return telling
    return words[None, :] if len(words) >= LEAST else numpy.empty((0, length), numpy.uint64)


def _table(heads: Hashes) -> NDArray[numpy.bool_]:
    """At most one place in 16 is true."""
    table = numpy.zeros(1 << max(16, (16 * len(heads)).bit_length()), bool)
    table[_place(heads, table)] = True
    return table


def _place(hashed: Hashes, table: NDArray[numpy.bool_]) -> Hashes:
    return hashed >> numpy.uint64(65 - len(table).bit_length())


def match(words: Hashes, index: Index) -> Match | None:
    """The first problem that a document holds, by the hashes of its words; None where it holds none."""
    starts = numpy.flatnonzero(index.heads[_place(ngrams.runs(words, LEAST), index.heads)])
    if not len(starts):
        return None
    for length in index.lengths:
        here = starts[starts + length <= len(words)]
        if not len(here):
            continue
        grams = ngrams.combined(ngrams.windows(words, length)[here])
        at = numpy.minimum(numpy.searchsorted(index.grams, grams), len(index.grams) - 1)
        hits = numpy.flatnonzero(index.grams[at] == grams)
        if len(hits):
            return Match(index.names[index.owner[at[hits[0]]]], int(here[hits[0]]), length)
    return None
