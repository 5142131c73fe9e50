"""The `synthesize` stage and command: replace the tests of coding problems by generated ones, see `suites.py`.

tenfold synthesize human_eval: --out tests.jsonl
tenfold.make("tenfold/MBPP-v0", problems="jsonl:tests.jsonl")

The stage writes `problems.jsonl`, for environments with problems: "jsonl:{stage:NAME}/problems.jsonl".
"""

import contextlib
import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Literal, NotRequired, TypedDict, cast

from pydantic import Field
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
from ..launch import hosts
from ..stage import Context, Metrics, Stage
from .examples import examples_in


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
    """The reason why the problem has no tests."""


PACKAGES = ("hypothesis", "cosmic_ray")
"""Modules of the extra `synthesis`, which other stages do not need."""


class Synthesize(Stage):
    """Settings of a `synthesize` stage."""

    reads_policy: ClassVar[bool] = False

    kind: Literal["synthesize"]
    problems: str = Field(description="URI of coding problems with solutions")
    limit: int | None = Field(None, ge=1, description="maximum number of problems, the first ones; default: all")
    inputs_per_round: int = Field(60, ge=1, description="inputs generated in each round")
    public_tests: int = Field(
        2,
        ge=0,
        description="number of public tests, which a policy may see; if no other test is left, private ones are public, too",
    )
    min_private_tests: int = Field(
        8, ge=1, description="number of private tests per problem to reach; fewer if too few inputs have a stable output"
    )

    def check(self) -> None:
        """Checks that the packages are installed and that the problems can be loaded."""
        extras.require(f"the stage {self.name}", *PACKAGES)
        problem_sources.load(self.problems)

    def run(self, context: Context) -> Metrics:
        """Writes `problems.jsonl` with the problems that have tests, and `tests.jsonl` with a report on each."""
        rows = synthesize(
            self.problems,
            context.folder / "tests.jsonl",
            self.limit,
            progress=context.progress,
            on_nodes=hosts.on_nodes(context.cluster, limit=1),
            inputs_per_round=self.inputs_per_round,
            public_tests=self.public_tests,
            min_private_tests=self.min_private_tests,
            seed=context.seed,
        )
        written = [row for row in rows if "left_out" not in row]
        if not written:
            reason = rows[0]["left_out"]
            raise UserError(f"{self.name}: no tests for any of {len(rows)} problems; the first one: {reason}")
        disk.write(context.folder / "problems.jsonl", "".join(json.dumps(row) + "\n" for row in written))
        scores = [row["report"]["score"] for row in written if row["report"]["score"] is not None]
        mean = sum(scores) / len(scores) if scores else None
        return {"problems": len(rows), "written": len(written), "mean_mutation_score": mean}

    def summary(self, metrics: Metrics) -> str:
        """Returns for how many problems tests were generated."""
        return f"tests for {metrics['written']} of {metrics['problems']} problems"


def synthesize(
    uri: str,
    out: str | Path,
    limit: int | None = None,
    compare: bool = False,
    progress: Callable[..., None] | None = None,
    on_nodes: OnNodes | None = None,
    **options: int,
) -> list[Row]:
    """Generates tests for coding problems and stores one row per problem. An incomplete file is continued.

    Args:
        uri: URI of problems with solutions.
        out: JSONL file with the settings in its first line and one problem per further line, for `jsonl:`.
        limit: maximum number of problems, the first ones.
        compare: also measure the problems' own tests. A problem whose solution does not pass them is left out.
        progress: called with the numbers of finished problems and of all problems.
        on_nodes: starts the processes that generate tests, each for one problem at a time; the default is this process.
        options: options of `suites.synthesize` (inputs_per_round, public_tests, min_private_tests, seed).

    Returns:
        The rows. A row without tests has "left_out" with the reason, and no answer.

    Raises:
        UserError: no problem has tests and a solution, the file has other settings, a package of the extra is missing, or the
            sandbox failed.
    """
    extras.require("a test suite", *PACKAGES)
    chosen = [problem for problem in problem_sources.load(uri) if _entry_point(problem)][:limit]
    if not chosen:
        raise UserError(f"{uri} has no coding problem with a solution and a single function to call; use other problems")
    store_settings = {"problems": uri, "content": identity.of_problems(uri), "compare": compare, **options}
    with disk.locked_file(out), contextlib.ExitStack() as stack:
        store: Store[Row] = Store(out, store_settings, _check)
        done = {row["id"]: row for row in store.rows}
        missing = {problem.id: problem for problem in chosen if problem.id not in done}
        rows = stack.enter_context(_rows([*missing.values()], functools.partial(Suites, compare, options), on_nodes))
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

    def row(self, problem: Problem) -> Row:
        """Returns the row of a problem."""
        return _row(problem, self.compare, self.options, self.box)


@contextlib.contextmanager
def _rows(problems: Sequence[Problem], make: Callable[[], Suites], on_nodes: OnNodes | None) -> Iterator[Iterator[Row]]:
    """Yields the rows of problems in their order, with their tests generated on all nodes or here.

    Args:
        problems: the problems.
        make: makes what generates tests.
        on_nodes: see `synthesize`.
    """
    with on_nodes(make) if on_nodes and problems else contextlib.nullcontext() as started:
        if started is None:
            here = make()
            with here.opened:
                yield map(here.row, problems)
            return
        threads = ThreadPoolExecutor(started.concurrency)
        try:
            yield (row for row, _ in threads.map(functools.partial(started.call, "row"), problems))
        except HostDied as died:
            raise UserError(f"{ATTEMPTS} processes that generate tests died; the last cause: {died}") from None
        finally:
            threads.shutdown(cancel_futures=True)


def _check(row: Mapping[str, Any]) -> None:
    """Raises an error if a row does not have the form of `_row`."""
    if not isinstance(row["id"], str):
        raise TypeError(row["id"])
    row["left_out"] if "left_out" in row else (row["answer"], row["report"]["score"])


def _row(problem: Problem, compare: bool, options: Mapping[str, Any], box: Sandbox) -> Row:
    """Returns the row of a problem, with tests or with the reason why it has none."""
    from . import suites

    tests = cast(CodeTests, problem.answer)
    program, entry_point = code.complete_program(str(problem.meta["solution"]), tests), _entry_point(problem)
    assert entry_point is not None
    row: Row = {"id": problem.id, "prompt": list(problem.prompt), "solution": str(problem.meta["solution"])}
    if tests.get("checker"):
        return row | {"left_out": "a checker judges its outputs, so the expected output is not unique"}
    compared: dict[str, Any] = {name: value for name in ("unordered", "tolerance") if (value := tests.get(name)) is not None}
    try:
        suite = suites.synthesize(program, entry_point, _examples(problem, entry_point), box=box, **compared, **options)
        own_score = suites.mutation_score(tests, program) if compare else None
    except UserError as error:
        return row | {"left_out": str(error)}
    except SandboxFault as fault:
        raise UserError(f"{problem.id}: the sandbox failed ({fault}); repeat the command to continue from here") from None
    answer = suite.answer() | {key: tests.get(key) for key in ("header", "footer", "limits") if key in tests}
    row |= {"answer": answer, "report": asdict(suite.report) | {"score": suite.report.score}}
    return row | ({"own_score": own_score} if compare else {})


def _entry_point(problem: Problem) -> str | None:
    """Returns the function that a problem's tests call, or None if there is no solution or not exactly one function."""
    answer = problem.answer
    if not isinstance(answer, Mapping) or not problem.meta.get("solution"):
        return None
    functions = answer.get("functions") or []
    return answer.get("entry_point") or (functions[0] if len(functions) == 1 else None)


def _examples(problem: Problem, entry_point: str) -> list[list[object]]:
    """Returns argument lists from the prompt and the public tests or, if these contain none, from `test` and `asserts`."""
    tests = cast(CodeTests, problem.answer)
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
