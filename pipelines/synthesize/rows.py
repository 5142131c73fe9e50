"""Replaces the tests of coding problems by generated ones (`suites.py`), and stores a row for each problem.

tenfold synthesize human_eval: --out tests.jsonl
tenfold.make("tenfold/MBPP-v0", problems="jsonl:tests.jsonl")
"""

import contextlib
import functools
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from rich.table import Table

from ... import disk, extras
from ...core import Message, Problem, UserError
from ...envs import identity
from ...envs.problems import sources as problem_sources
from ...golds import CodeTests
from ...policies.play.hosts import ATTEMPTS, HostDied, OnNodes
from ...policies.store import Store
from ...verifiers import code
from ...verifiers.programs import forms
from ...verifiers.sandbox import Sandbox, SandboxFault
from .examples import Value, examples_in


class Row(TypedDict):
    """A problem with generated tests, or with the reason why it has none."""

    id: str
    prompt: list[Message]
    solution: str
    answer: NotRequired[dict[str, Any]]
    """The gold answer for the verifier `code`."""
    report: NotRequired[dict[str, Any]]
    """`suites.Report` and its score."""
    own_score: NotRequired[float | None]
    """Mutation score of the problem's own tests, if it was measured."""
    left_out: NotRequired[str]
    """The reason why the problem has no tests, or no statement."""


PACKAGES = ("hypothesis", "cosmic_ray")
"""Modules of the extra `synthesis`, which other stages do not need."""
Written = Mapping[str, Sequence[Sequence[Value]]]
"""Argument lists that a policy has written, by the problem's id."""


def problems_of(uri: str, limit: int | None = None) -> list[Problem]:
    """Returns the problems that have a solution and a single function to call.

    Args:
        uri: URI of problems with solutions, or of functions.
        limit: maximum number of problems, the first ones.
    """
    return list(itertools.islice(filter(entry_point_of, problem_sources.load(uri)), limit))


def synthesize(
    uri: str,
    out: str | Path,
    limit: int | None = None,
    compare: bool = False,
    progress: Callable[..., None] | None = None,
    on_nodes: OnNodes | None = None,
    written: Written | None = None,
    **options: int,
) -> list[Row]:
    """Generates tests for coding problems and stores one row per problem. An incomplete file is continued.

    Args:
        uri: URI of problems with solutions, or of functions, whose prompts are empty.
        out: JSONL file with the settings in its first line and one problem per further line, for `jsonl:`.
        limit: maximum number of problems, the first ones.
        compare: also measure the problems' own tests. A problem whose solution does not pass them is left out.
        progress: called with the numbers of finished problems and of all problems.
        on_nodes: starts the processes that generate tests, each for one problem at a time; the default is this process.
        written: argument lists that a policy has written. Their calls run in the sandbox, and those that fail are not used.
        options: options of `suites.synthesize` (inputs_per_round, public_tests, min_private_tests, seed).

    Returns:
        The rows. A row without tests has "left_out" with the reason, and no answer.

    Raises:
        UserError: no problem has tests and a solution, the file has other settings, a package of the extra is missing, or the
            sandbox failed.
    """
    extras.require("a test suite", *PACKAGES)
    chosen = problems_of(uri, limit)
    if not chosen:
        raise UserError(f"{uri} has no coding problem with a solution and a single function to call; use other problems")
    store_settings = {"problems": uri, "content": identity.of_problems(uri), "compare": compare, **options}
    store_settings |= {} if written is None else {"written": True}  # not the argument lists: a fault may repeat an answer
    with disk.locked_file(out), contextlib.ExitStack() as stack:
        store: Store[Row] = Store(out, store_settings, _check)
        done = {row["id"]: row for row in store.rows}
        missing = [(problem, (written or {}).get(problem.id, ())) for problem in chosen if problem.id not in done]
        rows = stack.enter_context(_rows(missing, functools.partial(Suites, compare, options), on_nodes))
        for number, problem in enumerate(chosen, start=1):
            if problem.id not in done:
                done[problem.id] = next(rows)
                store.append([done[problem.id]])
            if progress is not None:
                progress(number, len(chosen))
    return [done[problem.id] for problem in chosen]


class Suites:
    """Generates tests, one problem after the other, in a sandbox of its own."""

    def __init__(self, compare: bool, options: Mapping[str, int]):
        """Takes arguments of `synthesize`."""
        from . import suites  # here, because recipes without this stage do not need hypothesis

        self.compare, self.options, self.opened = compare, options, contextlib.ExitStack()
        self.box = self.opened.enter_context(suites.two_worker_sandbox())

    def row(self, problem: Problem, written: Sequence[Sequence[Value]]) -> Row:
        """Returns the row of a problem.

        Args:
            problem: the problem.
            written: argument lists that a policy has written.
        """
        return _row(problem, written, self.compare, self.options, self.box)


@contextlib.contextmanager
def _rows(
    problems: Sequence[tuple[Problem, Sequence[Sequence[Value]]]], make: Callable[[], Suites], on_nodes: OnNodes | None
) -> Iterator[Iterator[Row]]:
    """Yields the rows of problems in their order, with their tests generated on all nodes or here.

    Args:
        problems: the arguments of `Suites.row`.
        make: makes what generates tests.
        on_nodes: see `synthesize`.
    """
    with on_nodes(make) if on_nodes and problems else contextlib.nullcontext() as started:
        if started is None:
            here = make()
            with here.opened:
                yield itertools.starmap(here.row, problems)
            return
        threads = ThreadPoolExecutor(started.concurrency)
        try:
            yield (row for row, _ in threads.map(lambda each: started.call("row", *each), problems))
        except HostDied as died:
            raise UserError(f"{ATTEMPTS} processes that generate tests died; the last cause: {died}") from None
        finally:
            threads.shutdown(cancel_futures=True)


def _check(row: Mapping[str, Any]) -> None:
    """Raises an error if a row does not have the form of `_row`."""
    if not isinstance(row["id"], str):
        raise TypeError(row["id"])
    row["left_out"] if "left_out" in row else (row["answer"], row["report"]["score"])


def _row(problem: Problem, written: Sequence[Sequence[Value]], compare: bool, options: Mapping[str, Any], box: Sandbox) -> Row:
    """Returns the row of a problem, with tests or with the reason why it has none."""
    from . import suites

    tests, program, entry_point = _tests(problem), program_of(problem), entry_point_of(problem)
    assert entry_point is not None
    row: Row = {"id": problem.id, "prompt": list(problem.prompt), "solution": str(problem.meta["solution"])}
    if tests.get("checker"):
        return row | {"left_out": "a checker judges its outputs, so the expected output is not unique"}
    compared: dict[str, Any] = {name: value for name in ("unordered", "tolerance") if (value := tests.get(name)) is not None}
    try:
        suite = suites.synthesize(
            program, entry_point, _examples(problem, entry_point), written, box=box, **compared, **options
        )
        own_score = suites.mutation_score(tests, program) if compare else None
    except UserError as error:
        return row | {"left_out": str(error)}
    except SandboxFault as fault:
        raise UserError(f"{problem.id}: the sandbox failed ({fault}); repeat the command to continue from here") from None
    answer = suite.answer() | {key: tests.get(key) for key in ("header", "footer", "limits") if key in tests}
    row |= {"answer": answer, "report": asdict(suite.report) | {"score": suite.report.score}}
    return row | ({"own_score": own_score} if compare else {})


def _tests(problem: Problem) -> CodeTests:
    """Returns the problem's own tests; none for a function without tests."""
    return cast(CodeTests, problem.answer) if isinstance(problem.answer, Mapping) else {}


def program_of(problem: Problem) -> str:
    """Returns the problem's solution as a complete program."""
    return code.complete_program(str(problem.meta["solution"]), _tests(problem))


def entry_point_of(problem: Problem) -> str | None:
    """Returns the function that a problem's tests call, or None if there is no solution or not exactly one function."""
    if not problem.meta.get("solution"):
        return None
    if name := problem.meta.get("entry_point"):
        return str(name)
    answer = _tests(problem)
    functions = answer.get("functions") or []
    return answer.get("entry_point") or (functions[0] if len(functions) == 1 else None)


def _examples(problem: Problem, entry_point: str) -> list[list[object]]:
    """Returns argument lists from the prompt and the public tests or, if these contain none, from `test` and `asserts`."""
    tests = _tests(problem)
    visible = "\n".join([*(turn["content"] for turn in problem.prompt), *forms.public_test_texts(tests)])
    found = examples_in(visible, entry_point)
    if any(found):  # "the function f()" in a prompt is no example
        return found
    private = "\n".join([tests.get("test") or "", *(tests.get("asserts") or ())])
    return examples_in(re.sub(r"\bcandidate\(", f"{entry_point}(", private), entry_point)


def table(rows: Sequence[Row]) -> Table:
    """Returns a table of all problems, and the means over those whose programs have mutants."""
    compared = any("own_score" in row for row in rows)
    titles = (
        "problem",
        "inputs",
        "unusable",
        "mutants",
        "private tests",
        "score",
        *(["score of its own tests"] if compared else []),
    )
    result = Table(*titles)
    for row in rows:
        if "left_out" in row:
            result.add_row(row["id"], f"no tests: {row['left_out']}")
            continue
        report = row["report"]
        counts = (report["inputs"], report["failing"] + report["unstable"], report["mutants"], report["private"])
        scores = (report["score"], *([row["own_score"]] if compared else []))
        result.add_row(row["id"], *map(str, counts), *map(_format, scores))
    measured = [row for row in rows if "report" in row and row["report"]["score"] is not None]
    if measured:
        mean = sum(row["report"]["score"] for row in measured) / len(measured)
        own_mean = [_format(sum(row["own_score"] or 0.0 for row in measured) / len(measured))] if compared else []
        result.add_section()
        result.add_row(f"mean of {len(measured)}", "", "", "", "", _format(mean), *own_mean)
    return result


def _format(score: float | None) -> str:
    return "" if score is None else f"{score:.3f}"
