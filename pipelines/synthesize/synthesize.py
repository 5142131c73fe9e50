"""Coding problems with tests of our own making, in place of those they came with (`pipelines/synthesize/suites.py` says how).

tenfold synthesize human_eval: --out tests.jsonl
tenfold.make("tenfold/MBPP-v0", problems="jsonl:tests.jsonl")

As a stage of a recipe it leaves them in `problems.jsonl`, for environments with problems: "jsonl:{stage:NAME}/problems.jsonl".
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from pydantic import Field
from rich.table import Table

from ... import disk, extras
from ...core import Problem, UserError
from ...envs import identity
from ...envs.problems import sources as problem_sources
from ...golds import CodeTests
from ...policies.store import Store
from ...verifiers import code
from ...verifiers.programs import forms
from ...verifiers.sandbox import SandboxFault
from ..stage import Context, Metrics, Stage


class Synthesize(Stage):
    """Settings of a `synthesize` stage."""

    reads_policy: ClassVar[bool] = False

    kind: Literal["synthesize"]
    problems: str = Field(description="URI of coding problems with worked solutions")
    limit: int | None = Field(None, ge=1, description="only so many problems, the first ones")
    count: int = Field(60, ge=1, description="inputs drawn in each round")
    public: int = Field(2, ge=0, description="tests that a policy may see; the others are private")
    least: int = Field(8, ge=1, description="tests without which a problem is left out")

    def check(self) -> None:
        """The problems can be loaded."""
        problem_sources.load(self.problems)

    def run(self, context: Context) -> Metrics:
        """Writes tests: `problems.jsonl` has the problems with tests, `tests.jsonl` all of them with reports."""
        rows = synthesize(
            self.problems,
            context.folder / "tests.jsonl",
            self.limit,
            progress=context.progress,
            count=self.count,
            public=self.public,
            least=self.least,
            seed=context.seed,
        )
        written = [row for row in rows if "left_out" not in row]
        if not written:
            raise UserError(f"{self.name}: tests could be written for none of {len(rows)} problems ({rows[0]['left_out']})")
        disk.write(context.folder / "problems.jsonl", "".join(json.dumps(row) + "\n" for row in written))
        scores = [row["report"]["score"] for row in written if row["report"]["score"] is not None]
        mean = sum(scores) / len(scores) if scores else None
        return {"problems": len(rows), "written": len(written), "mutants_noticed": mean}

    def summary(self, metrics: Metrics) -> str:
        """How many problems got tests."""
        return f"tests for {metrics['written']} of {metrics['problems']} problems"


def synthesize(
    uri: str,
    out: str | Path,
    limit: int | None = None,
    compare: bool = False,
    progress: Callable[..., None] | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Writes tests for the solutions of coding problems, one row a problem; a file that was begun is gone on with.

    Args:
        uri: problems with worked solutions.
        out: JSONL, a problem a line for `jsonl:`, the settings in its first line.
        limit: only so many problems, the first ones.
        compare: also measures the tests that the problems came with.
        progress: called with how many are done and how many there are.
        options: of `synthesis.synthesize` (count, public, least, seed).

    Returns:
        The rows. One whose tests could not be written has "left_out", which says why, and no answer.

    Raises:
        UserError: no problem has tests and a solution, the file was made with other settings, or hypothesis is not installed.
    """
    extras.require("a test suite", "hypothesis", "cosmic_ray")
    from . import suites  # recipes of other stages do without hypothesis

    chosen = [problem for problem in problem_sources.load(uri) if _entry_point(problem)][:limit]
    if not chosen:
        raise UserError(f"{uri} holds no coding problem with a worked solution and a function to call")
    made_with = {"problems": uri, "content": identity.of_problems(uri), "compare": compare, **options}
    with disk.locked_file(out), suites.sandbox_of_two() as box:
        store: Store[dict[str, Any]] = Store(out, made_with, _check)
        done = {row["id"]: row for row in store.rows}
        for number, problem in enumerate(chosen, start=1):
            if problem.id not in done:
                done[problem.id] = _row(problem, compare, options | {"box": box})
                store.append([done[problem.id]])
            if progress is not None:
                progress(number, len(chosen))
    return [done[problem.id] for problem in chosen]


def _check(row: Mapping[str, Any]) -> None:
    """Raises where a row is none of `_row`."""
    if not isinstance(row["id"], str):
        raise TypeError(row["id"])
    row["left_out"] if "left_out" in row else (row["answer"], row["report"]["score"])


def _row(problem: Problem, compare: bool, options: Mapping[str, Any]) -> dict[str, Any]:
    from . import suites

    tests = cast(CodeTests, problem.answer)
    program, entry_point = code.completed(str(problem.meta["solution"]), tests), _entry_point(problem)
    assert entry_point is not None
    row: dict[str, Any] = {"id": problem.id, "prompt": list(problem.prompt), "solution": problem.meta["solution"]}
    if "checker" in tests:
        return row | {"left_out": "a checker judges it, which takes more outputs than the solution's"}
    compared: dict[str, Any] = {name: value for name in ("unordered", "tolerance") if (value := tests.get(name))}
    try:
        suite = suites.synthesize(program, entry_point, _examples(problem, entry_point), **compared, **options)
        came_with = suites.score_of(tests, program) if compare else None
    except UserError as why:
        return row | {"left_out": str(why)}
    except SandboxFault as fault:
        raise UserError(f"{problem.id}: the sandbox failed ({fault}); the same command goes on from here") from None
    answer = suite.answer() | {key: tests.get(key) for key in ("header", "limits") if key in tests}
    row |= {"answer": answer, "report": asdict(suite.report) | {"score": suite.report.score}}
    return row | ({"came_with": came_with} if compare else {})


def _entry_point(problem: Problem) -> str | None:
    """The one function that a problem's tests call; None where it is no such problem, or has no solution."""
    answer = problem.answer
    if not isinstance(answer, Mapping) or not problem.meta.get("solution"):
        return None
    functions = answer.get("functions", ())
    return answer.get("entry_point") or (functions[0] if len(functions) == 1 else None)


def _examples(problem: Problem, entry_point: str) -> list[list[Any]]:
    """Argument lists from what a policy may read; from the tests only where that has none."""
    from . import inputs

    given = cast(CodeTests, problem.answer)
    told = "\n".join([*(turn["content"] for turn in problem.prompt), *forms.shown(given)])
    found = inputs.examples_in(told, entry_point)
    if found:
        return found
    tests = "\n".join([given.get("test", ""), *given.get("asserts", ())])
    return inputs.examples_in(re.sub(r"\bcandidate\(", f"{entry_point}(", tests), entry_point)


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """What came of each problem, and the means over those whose programs have mutants."""
    compared = any("came_with" in row for row in rows)
    shown = Table("problem", "inputs", "unusable", "mutants", "tests", "score", *(["score of its own"] if compared else []))
    for row in rows:
        if "left_out" in row:
            shown.add_row(row["id"], f"left out: {row['left_out']}")
            continue
        report = row["report"]
        counts = (report["inputs"], report["failing"] + report["unstable"], report["mutants"], report["private"])
        scores = (report["score"], *([row["came_with"]] if compared else []))
        shown.add_row(row["id"], *map(str, counts), *map(_share, scores))
    measured = [row for row in rows if "report" in row and row["report"]["score"] is not None]
    if measured:
        own = sum(row["report"]["score"] for row in measured) / len(measured)
        theirs = [_share(sum(row["came_with"] for row in measured) / len(measured))] if compared else []
        shown.add_section()
        shown.add_row(f"mean of {len(measured)}", "", "", "", "", _share(own), *theirs)
    return shown


def _share(score: float | None) -> str:
    return "" if score is None else f"{score:.3f}"
