"""Contamination: finds documents that contain a benchmark's problem, by runs of words.

By default a run has 13 words, as for GPT-3 (Brown et al., 2020, appendix C).

Words that many problems of a set share belong to the set's template ("What is the answer to ...") and identify no problem. A
word belongs to the template if a run of TEMPLATE_WORDS around it occurs in at least two problems and in at least 1% of the set.
A run of 13 words identifies a problem if at least MIN_WORDS of its words are outside the template. A problem without such a
run, because it is short or similar to the others, is searched as a whole if it has MIN_WORDS words. A shorter problem cannot be
searched and is counted.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from ....benchmarks import catalogue
from ....benchmarks.tasks import avg_at_k
from ....core import Message, Problem, UserError, message_text
from ....envs.problems import sources as problem_sources
from . import ngrams
from .ngrams import Hashes

CONTAMINATED = "contaminated"
"""Name of the reason for which a document is removed."""
MIN_WORDS = 8
"""Minimum number of words that identify a problem. Source: GPT-3's shortest runs have 8 words."""
TEMPLATE_WORDS = 5
"""Words in a run of a template. Our choice."""
TEMPLATE_SHARE = 0.01
"""A run belongs to the template if at least this share of a set's problems contains it. Our choice."""


class Index(NamedTuple):
    """The runs of words that are searched."""

    grams: Hashes
    """Hashes of the runs, sorted."""
    owner: NDArray[numpy.int32]
    """Problem of each run, as a position in `names`."""
    names: tuple[str, ...]
    """Problems, as SET#ID."""
    lengths: tuple[int, ...]
    """The different numbers of words in a run."""
    prefixes: NDArray[numpy.bool_]
    """Hash table of the first MIN_WORDS words of the runs, by the high bits of the hash. It rules out most positions."""
    unsearchable: tuple[str, ...]
    """Problems that cannot be searched."""


class Match(NamedTuple):
    """A problem that was found in a document."""

    problem: str
    start: int
    """Position of the first word."""
    length: int
    """Number of words."""


def problem_sets(names: Iterable[str], data: str | None = None) -> dict[str, Sequence[Problem]]:
    """Returns sets of problems by name.

    Args:
        names: URIs of problems, names of benchmark tasks and suites. Each part of an lm-eval task (lm_eval:NAME) is a set.
        data: folder with the files of the benchmark tasks, except those of lm-eval. None reads the files from the Hugging Face
            hub, which does not have all of them.

    Raises:
        UserError: a benchmark does not exist, or its problems cannot be loaded.
    """
    found: dict[str, Sequence[Problem]] = {}
    for name in names:
        if name.partition(":")[0] in problem_sources.SOURCES:
            found[name] = problem_sources.load(name)
            continue
        for entry in catalogue.expand([name]):
            if entry.task.startswith(catalogue.LM_EVAL):
                found |= _lm_eval_sets(entry.task)
                continue
            metadata = {"published": entry.task, **catalogue.settings(entry.task)["metadata"]}
            if "problems" not in metadata and data is None:
                raise UserError(
                    f"decontaminate: {entry.task} is published by {metadata['published']}: download it and "
                    "set data to its folder"
                )
            found[entry.task] = problem_sources.load(avg_at_k.source(metadata | ({"data": data} if data else {})))
    return found


def _lm_eval_sets(task: str) -> dict[str, Sequence[Problem]]:
    """Returns the problems of one of lm-eval's own tasks, with its prompts and without few-shot examples."""
    name = task.removeprefix(catalogue.LM_EVAL)
    manager = catalogue.lm_eval_tasks(name)
    if name not in manager.all_tasks:
        raise UserError(f"decontaminate: lm-eval has no task {name!r}; `lm_eval ls tasks` lists them")
    try:
        parts = manager.load([name])["tasks"]
        return {
            f"{catalogue.LM_EVAL}{part}": [
                Problem(str(number), (Message(role="user", content=_lm_eval_prompt(leaf, row)),), None, task)
                for number, row in enumerate(leaf.eval_docs)
            ]
            for part, leaf in parts.items()
        }
    except (ConnectionError, FileNotFoundError) as error:
        cause = str(error).splitlines()[0][:200]
        raise UserError(f"decontaminate: the data of {task} cannot be loaded from the hub or its cache ({cause})") from None


def _lm_eval_prompt(task: Any, row: Any) -> str:
    """Returns the prompt of a row, or its text if the task compares contexts and not answers, as WinoGrande does."""
    prompt = task.doc_to_text(row)
    if isinstance(prompt, int):  # the number of the correct context; the target is what follows every context
        prompt = f"{task.doc_to_choice(row)[prompt]} {task.doc_to_target(row)}"
    return str(prompt)


def build_index(names: Iterable[str], length: int = 13, data: str | None = None) -> Index:
    """Returns the index of all sets of problems.

    Args:
        names: names of sets, see `problem_sets`.
        length: words in a run.
        data: folder of downloaded benchmarks, see `problem_sets`.
    """
    return index_problems(problem_sets(names, data), length)


def index_problems(sets: dict[str, Sequence[Problem]], length: int = 13) -> Index:
    """Returns the index of sets of problems by name. Problems with the same words are indexed once."""
    found: dict[tuple[int, int], int] = {}  # (hash, words) of a run -> position of its problem
    prefixes: list[Hashes] = []
    names: list[str] = []
    unsearchable: list[str] = []
    for name, problems in sets.items():
        ids: dict[bytes, str] = {}
        for problem in problems:
            ids.setdefault(ngrams.word_hashes(ngrams.words(prompt(problem))).tobytes(), f"{name}#{problem.id}")
        hashed = {id: numpy.frombuffer(words, numpy.uint64) for words, id in ids.items()}
        counts = Counter(gram for words in hashed.values() for gram in set(ngrams.run_hashes(words, TEMPLATE_WORDS).tolist()))
        common = max(2.0, TEMPLATE_SHARE * len(hashed))
        template = numpy.array([gram for gram, count in counts.items() if count >= common], numpy.uint64)
        for id, words in hashed.items():
            runs = _identifying_runs(words, template, length)
            if not len(runs):
                unsearchable.append(id)
                continue
            names.append(id)
            prefixes.append(ngrams.combine(runs[:, :MIN_WORDS]))
            for gram in ngrams.combine(runs).tolist():
                found.setdefault((gram, runs.shape[1]), len(names) - 1)
    grams = numpy.array([gram for gram, _ in found], numpy.uint64)
    order = numpy.argsort(grams, kind="stable")
    owner = numpy.array(list(found.values()), numpy.int32)
    return Index(
        grams[order],
        owner[order],
        tuple(names),
        tuple(sorted({words for _, words in found})),
        _prefix_table(numpy.concatenate([numpy.empty(0, numpy.uint64), *prefixes])),
        tuple(unsearchable),
    )


def prompt(problem: Problem) -> str:
    """Returns the text of a problem that is searched: all messages of its prompt except the system message."""
    turns = [message_text(turn) for turn in problem.prompt if turn["role"] != "system"]
    return "\n".join(turns)


def _identifying_runs(words: Hashes, template: Hashes, length: int) -> NDArray[numpy.uint64]:
    """Returns the runs that identify a problem, one per row: runs of `length` words, or one run of all words."""
    covered = numpy.zeros(len(words), bool)
    for start in numpy.flatnonzero(numpy.isin(ngrams.run_hashes(words, TEMPLATE_WORDS), template)):
        covered[start : start + TEMPLATE_WORDS] = True
    if len(words) >= length:
        runs, of_template = ngrams.windows(words, length), numpy.lib.stride_tricks.sliding_window_view(covered, length)
        identifying = runs[(~of_template).sum(axis=1) >= MIN_WORDS]
        if len(identifying):
            return identifying
    return words[None, :] if len(words) >= MIN_WORDS else numpy.empty((0, length), numpy.uint64)


def _prefix_table(prefixes: Hashes) -> NDArray[numpy.bool_]:
    """Returns a hash table in which at most one entry in 16 is true."""
    table = numpy.zeros(1 << max(16, (16 * len(prefixes)).bit_length()), bool)
    table[_slot(prefixes, table)] = True
    return table


def _slot(hashed: Hashes, table: NDArray[numpy.bool_]) -> Hashes:
    """Returns the position of each hash in the table: its high bits."""
    return hashed >> numpy.uint64(65 - len(table).bit_length())


def find_problem(words: Hashes, index: Index) -> Match | None:
    """Returns a problem that a document contains, or None. The document is given by the hashes of its words."""
    starts = numpy.flatnonzero(index.prefixes[_slot(ngrams.run_hashes(words, MIN_WORDS), index.prefixes)])
    if not len(starts):
        return None
    for length in index.lengths:
        candidates = starts[starts + length <= len(words)]
        if not len(candidates):
            continue
        grams = ngrams.combine(ngrams.windows(words, length)[candidates])
        at = numpy.minimum(numpy.searchsorted(index.grams, grams), len(index.grams) - 1)
        hits = numpy.flatnonzero(index.grams[at] == grams)
        if len(hits):
            return Match(index.names[index.owner[at[hits[0]]]], int(candidates[hits[0]]), length)
    return None
