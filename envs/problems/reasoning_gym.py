"""Problems of reasoning-gym's generators: distinct prompts of a part, at a level of the generator's own curriculum.

    reasoning_gym:chain_sum?part=train&size=500&seed=0&level=2

A level sets all attributes of the curriculum, such as the number of terms and the number of digits. Level 0 is the easiest.
An attribute with fewer levels stays at its highest. Options of the generator take precedence over the level.

Some generators take a second per problem, and only one problem in ten is in the held-out part. Therefore problems are generated
when they are first read (`GeneratedProblems`).
"""

import contextlib
import functools
import hashlib
import itertools
import json
import operator
import random
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, overload

from ... import extras
from ...core import Problem, UserError
from ...verifiers import pool
from ...verifiers.answers.extraction.boxes import is_placeholder
from .conversations import messages
from .parts import in_part, integer

COMPOSED = ("chain_sum", "gcd", "lcm", "letter_counting", "number_sorting", "spell_backward")
"""The generators that `reasoning_gym:composite` mixes if its option `datasets` is not given. Our choice."""
IN_WORKER = frozenset(
    "bf codeio intermediate_integration isomorphic_strings knight_swap list_functions polynomial_multiplication ransom_note "
    "word_ladder".split()
)
"""Generators that run in a worker process. `bf` runs there because it prints. The others iterate over sets or use Python's
global random generator. The worker fixes the order of sets and seeds the generator, because the problems would otherwise differ
between processes. Found by comparing 30 problems in two processes (reasoning-gym 0.1.25)."""
EXAMPLES = ("possible_answer", "example_answer", "example_correct_answer")
"""Entries of the metadata that are a correct answer."""
MAX_SECONDS = 3_600.0
"""Processor time limit of a worker that generates problems. Our choice."""
FIRST = 8
"""Number of problems that a worker generates first. It generates all of them when a further one is read. Our choice."""


def problems(
    uri: str, generator: str, size: int, seed: int, part: str, level: int | None, options: Mapping[str, object]
) -> "GeneratedProblems":
    """Returns problems of a generator with distinct prompts.

    Args:
        uri: the URI, for the problems' source and for errors.
        generator: name of the generator.
        size: number of problems.
        seed: seed of the generator.
        part: all, train or held_out; see `parts.in_part`.
        level: level of the generator's curriculum; None for the generator's defaults.
        options: options of the generator.

    Raises:
        UserError: the package is not installed, or `size` is 0. Reading a problem raises it too, if the generator rejects the
            options or has too few problems.
    """
    integer("size", size, 1)
    extras.require(f"reasoning_gym:{generator}", "reasoning_gym")
    return GeneratedProblems(functools.partial(_problems, uri, generator, size, seed, part, level, options))


def _problems(uri: str, generator: str, *arguments: Any) -> Iterator[Problem]:
    """Yields the problems; see `problems`."""
    try:
        for entry in _from_worker(generator, *arguments) if generator in IN_WORKER else entries(generator, *arguments):
            yield Problem(
                f"{generator}/{hashlib.sha256(entry['question'].encode()).hexdigest()[:12]}",
                messages(entry["question"]),
                entry["answer"],
                uri,
                {"metadata": entry["metadata"], **_solution(entry)},
            )
    except (UserError, pool.TimeLimit, pool.MemoryLimit, pool.WorkerFault) as error:
        raise UserError(f"{uri}: {error}") from None


def _solution(entry: Mapping[str, Any]) -> dict[str, str]:
    """Returns the example solution of a problem with many solutions and no gold answer."""
    examples = (entry["metadata"].get(name) for name in EXAMPLES)
    example = next((example for example in examples if example is not None), None)
    if entry["answer"] is not None or example is None:
        return {}
    return {"solution": f"<answer>{example if isinstance(example, str) else json.dumps(example)}</answer>"}


def _from_worker(generator: str, size: int, *arguments: Any) -> Iterator[dict[str, Any]]:
    """Yields the entries that a worker generates; see `entries`."""
    workers = pool.shared(f"{__name__}:seeded_entries", MAX_SECONDS, 4 << 30)
    seen = set[str]()
    for count in sorted({min(size, FIRST), size}):
        try:
            found = workers.call(count, generator, size, *arguments)  # starts with the first problem again
        finally:  # a worker with all generators takes more than 100 MB, and its problems depend on its earlier calls
            workers.close()
        if isinstance(found, str):
            raise UserError(found)
        new = [entry for entry in found if entry["question"] not in seen][: count - len(seen)]
        seen |= {entry["question"] for entry in new}  # a few programs of `codeio` depend on the time, so its entries may differ
        yield from new


def seeded_entries(count: int, generator: str, size: int, seed: int, *arguments: Any) -> list[dict[str, Any]] | str:
    """Seeds Python's global random generator, then returns the first entries, or the error. Runs in a worker.

    Args:
        count: number of entries.
        generator, size, seed, arguments: see `entries`.
    """
    random.seed(seed)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # `codeio` runs programs that write files
        try:
            return list(itertools.islice(entries(generator, size, seed, *arguments), count))
        except UserError as error:
            return str(error)


def entries(
    generator: str, size: int, seed: int, part: str, level: int | None, options: Mapping[str, object]
) -> Iterator[dict[str, Any]]:
    """Yields the entries of a generator with distinct questions.

    Args:
        generator, size, seed, part, level, options: see `problems`.

    Raises:
        UserError: the generator rejects the options, or has fewer than `size` problems.
    """
    in_part("", part)
    import reasoning_gym

    attempts = 50 * size + 1_000
    try:
        config: dict[str, Any] = {**(_at_level(generator, level) if level is not None else {}), **options}
        if generator == "composite":
            config["datasets"] = _composed(config.get("datasets", COMPOSED))
        generated = reasoning_gym.create_dataset(generator, size=attempts, seed=seed, **config)
    except Exception as error:  # invalid options raise AssertionError, TypeError or ValueError
        raise UserError(f"reasoning-gym rejects these options ({_first_line(error)})") from None
    found = set[str]()
    for index in range(attempts):
        try:
            entry = generated[index]
        except Exception as error:  # some generators fail on options that they accept
            raise UserError(f"the generator fails ({type(error).__name__}: {_first_line(error)})") from None
        if is_placeholder(str(entry["answer"])) or "Integral(" in str(entry["answer"]):
            continue  # "" or "[]", which no response can state as its final answer, or an integral that sympy did not find
        if entry["question"] not in found and in_part(entry["question"], part):
            found.add(entry["question"])
            yield {name: entry[name] for name in ("question", "answer", "metadata")}
        if len(found) == size:
            return
    raise UserError(f"the generator has only {len(found)} distinct problems; lower size={size}")


def _at_level(generator: str, level: int) -> dict[str, Any]:
    """Returns the options that the generator's curriculum sets at a level."""
    from reasoning_gym.factory import CURRICULA, create_curriculum

    if generator not in CURRICULA:
        raise ValueError(f"level={level}: {generator} has no levels")
    curriculum = create_curriculum(generator)
    attributes = curriculum.attributes.values()
    if level >= (levels := max(len(attribute.levels) for attribute in attributes)):
        raise ValueError(f"level={level}: {generator} has the levels 0 to {levels - 1}")
    curriculum.set_global_level(level)
    config = curriculum.generate_configuration()
    kinds = ("field_name", "lower_field_name", "upper_field_name")
    names = [getattr(attribute, kind) for attribute in attributes for kind in kinds if hasattr(attribute, kind)]
    return {name: getattr(config, name) for name in names}


def _composed(datasets: Any) -> list[Any]:
    """Returns reasoning-gym's declarations of the generators that are mixed: names, or {"name": ..., "weight": ..., ...}."""
    from reasoning_gym.composite import DatasetSpec

    listed = [datasets] if isinstance(datasets, str) else datasets
    rows = [{"name": row} if isinstance(row, str) else row for row in listed]
    return [DatasetSpec(**{"weight": 1, "config": {}, **row}) for row in rows]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


class GeneratedProblems(Sequence[Problem]):
    """Problems that are generated, in order, when they are first read. The length needs all of them.

    Reading a problem raises a `UserError` if it cannot be generated. Several threads may read.
    """

    def __init__(self, generate: Callable[[], Iterator[Problem]]):
        """Stores the source of the problems.

        Args:
            generate: yields the problems, always the same ones.
        """
        self._generate = generate
        self._found: list[Problem] = []
        self._rest: Iterator[Problem] | None = None
        self._lock = threading.Lock()

    @overload
    def __getitem__(self, index: int) -> Problem: ...
    @overload
    def __getitem__(self, index: slice) -> list[Problem]: ...
    def __getitem__(self, index: int | slice) -> Problem | list[Problem]:
        """Returns a problem, or a list of them."""
        if isinstance(index, slice):
            is_forward = (index.start or 0) >= 0 and (index.step or 1) > 0
            return self._until(index.stop if is_forward and index.stop is not None and index.stop >= 0 else None)[index]
        index = operator.index(index)  # also an integer of numpy
        return self._until(index + 1 if index >= 0 else None)[index]

    def __len__(self) -> int:
        """Returns the number of problems."""
        return len(self._until(None))

    def __bool__(self) -> bool:
        """True if there is a problem."""
        return bool(self._until(1))

    def _until(self, stop: int | None) -> list[Problem]:
        """Generates the problems before index `stop` (None: all problems), and returns all problems generated so far."""
        with self._lock:
            if self._rest is None:
                self._rest = itertools.islice(self._generate(), len(self._found), None)
            try:
                self._found.extend(itertools.islice(self._rest, None if stop is None else max(0, stop - len(self._found))))
            except BaseException:
                self._rest = None  # after an error, an iterator ends as if it had no further problems
                raise
            return self._found
