"""The `synthesize` stage: coding problems with generated tests and, if wanted, with statements that a policy writes.

From solutions alone, it makes problems in the reverse order, as in the Nanbeige4-3B report:

1. A policy (`example_writer`) writes example inputs. The tests are generated from them as well.
2. Tests are generated from the solution (`suites.py`). Programs and inputs run in the sandbox only.
3. A policy (`statement_writer`) writes the statement from the solution and the public tests. The statement is checked
   (`statements.py`) and, if it is refused, written again.

Prompts, checks and number of attempts are our choice. The stage writes:

    answers.jsonl       all answers of the policies, by key
    tests.jsonl         one line per problem: its tests and a report on them, or why it has none
    statements.jsonl    one line per problem with tests: its statement, or why it has none
    problems.jsonl      the problems, for environments with problems: "jsonl:{stage:NAME}/problems.jsonl"
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

from pydantic import Field

from ... import disk, extras
from ...core import Problem, UserError
from ..launch import engines, hosts
from ..refine.answer_cache import FAULTS, AnswerCache
from ..stage import Context, CostEstimate, Metrics, OtherPolicy, Stage
from ..trainer.settings import is_none
from . import rows as tested
from . import writers
from .rows import Row, Written

ATTEMPTS, MAX_TOKENS, BATCH_SIZE = 3, 1024, 64
"""Default values of `max_attempts`, `max_tokens` and `batch_size`. Our choice."""


class Synthesize(Stage):
    """Settings of a `synthesize` stage."""

    reads_policy: ClassVar[bool] = False
    may_change: ClassVar[frozenset[str]] = frozenset({"batch_size"})

    kind: Literal["synthesize"]
    problems: str = Field(description="URI of coding problems with solutions, or of functions")
    limit: int | None = Field(None, ge=1, description="maximum number of problems, the first ones; default: all")
    inputs_per_round: int = Field(60, ge=1, description="inputs generated in each round")
    public_tests: int = Field(
        2,
        ge=0,
        description="number of public tests, which may be shown in the prompt; if the private tests use all tests, the first "
        "private tests are public as well",
    )
    min_private_tests: int = Field(
        8, ge=1, description="number of private tests per problem to reach; fewer if too few inputs have a stable output"
    )
    example_writer: str | None = Field(
        None, exclude_if=is_none, description="URI of a policy that writes example inputs; default: none are written"
    )
    statement_writer: str | None = Field(
        None,
        exclude_if=is_none,
        description="URI of a policy that writes statements, which replace the prompts; default: the prompts stay",
    )
    max_attempts: int | None = Field(
        None,
        ge=1,
        exclude_if=is_none,
        description="maximum number of answers of a writer for each problem, until one can be used; the first is at "
        f"temperature 0; default: {ATTEMPTS}",
    )
    max_tokens: int | None = Field(
        None, ge=1, exclude_if=is_none, description=f"longest answer of a writer, in tokens; default: {MAX_TOKENS}"
    )
    batch_size: int | None = Field(
        None, ge=1, exclude_if=is_none, description=f"answers of a writer generated together; default: {BATCH_SIZE}"
    )

    @property
    def _writers(self) -> list[str]:
        return [uri for uri in (self.example_writer, self.statement_writer) if uri]

    @property
    def _attempts(self) -> int:
        return self.max_attempts or ATTEMPTS

    def check(self) -> None:
        """Checks that the packages are installed, that each problem has or gets a prompt, and that the writers exist."""
        extras.require(f"the stage {self.name}", *tested.PACKAGES)
        problems = tested.problems_of(self.problems, self.limit)
        without = [problem.id for problem in problems if not any(turn["content"].strip() for turn in problem.prompt)]
        if without and not self.statement_writer:
            raise UserError(f"{len(without)} of the problems have no prompt, such as {without[0]}: set statement_writer")
        for uri in self._writers:
            engines.check_policy(uri)

    def cost(self) -> CostEstimate:
        """Returns an upper limit: all attempts of the writers, with the longest answers."""
        if not self._writers:
            return CostEstimate()
        try:
            count = len(tested.problems_of(self.problems, self.limit))
        except UserError:  # the problems cannot be read yet
            if self.limit is None:
                raise
            count = self.limit
        each, tokens = count * self._attempts, self.max_tokens or MAX_TOKENS
        others = [OtherPolicy(uri, each, each * tokens) for uri in self._writers]
        samples = sum(other.samples for other in others)
        return CostEstimate(samples, samples * tokens, samples_per_copy=self.batch_size or BATCH_SIZE, others=tuple(others))

    def run(self, context: Context) -> Metrics:
        """Writes the files that the module's docstring lists."""
        problems = {problem.id: problem for problem in tested.problems_of(self.problems, self.limit)}
        done, total = Counter[str](), len(problems) + self.cost().samples

        def progress(what: str, count: int) -> None:
            done[what] = count
            context.progress(done.total(), total)

        ask = self._cache(context, lambda count: progress("answers", count)) if self._writers else None
        written: Written | None = None
        if ask and self.example_writer:
            written = writers.write_examples(ask, self.example_writer, problems, self._attempts)
        rows = tested.synthesize(
            self.problems,
            context.folder / "tests.jsonl",
            self.limit,
            progress=lambda count, _: progress("tests", count),
            on_nodes=hosts.on_nodes(context.cluster, limit=1),
            written=written,
            inputs_per_round=self.inputs_per_round,
            public_tests=self.public_tests,
            min_private_tests=self.min_private_tests,
            seed=context.seed,
        )
        kept = [row for row in rows if "left_out" not in row]
        reasons = Counter(f"no tests: {_general(row, problems)}" for row in rows if "left_out" in row)
        found: Metrics = {"problems": len(rows), "with_tests": len(kept)}
        if written is not None:
            found["with_examples"] = sum(row["report"]["written"] > 0 for row in kept)
        if ask and self.statement_writer:
            made = writers.write_statements(ask, self.statement_writer, problems, kept, self._attempts)
            disk.write(
                context.folder / "statements.jsonl",
                "".join(json.dumps(each.row(id)) + "\n" for id, each in made.items() if each.is_final),
            )
            if faults := sum(each.faults for each in made.values() if not each.is_final):
                raise UserError(FAULTS.format(count=faults, uri=self.statement_writer))
            kept = [made[row["id"]].posed(row) for row in kept if made[row["id"]].prompt]
            reasons.update(f"no statement: {each.refused[-1]}" for each in made.values() if not each.text)
            refused = Counter(flaw for each in made.values() for flaw in each.refused)
            found |= {"with_statement": len(kept), "statements_refused": dict(refused.most_common())}
        if not kept:
            counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
            files = "tests.jsonl and statements.jsonl" if self.statement_writer else "tests.jsonl"
            raise UserError(f"{self.name}: none of {len(rows)} problems is left ({counts}); see {files}")
        disk.write(context.folder / "problems.jsonl", "".join(json.dumps(row) + "\n" for row in kept))
        scores = [row["report"]["score"] for row in kept if row["report"]["score"] is not None]
        mean = sum(scores) / len(scores) if scores else None
        return found | {"written": len(kept), "mean_mutation_score": mean, "left_out": dict(reasons.most_common())}

    def _cache(self, context: Context, progress: Callable[[int], None]) -> AnswerCache:
        """Returns the stored answers of the writers, and asks for those that are missing."""
        settings = self.model_dump(mode="json", exclude=set(self.may_change))
        return AnswerCache(
            context.folder / "answers.jsonl",
            settings | {"seed": context.seed, "identity": context.identity},
            lambda uri: engines.load_for(context, uri, self.batch_size or BATCH_SIZE),
            self.max_tokens or MAX_TOKENS,
            context.seed,
            progress,
            keep_all_loaded=context.cluster.on_cpu(),
        )

    def summary(self, metrics: Metrics) -> str:
        """Returns how many problems have tests and statements, the mean mutation score, and why problems are left out."""
        parts = [f"tests for {metrics.get('with_tests', metrics['written'])} of {metrics['problems']} problems"]
        if "with_statement" in metrics:
            parts[0] += f", statements for {metrics['with_statement']}"
        if (mean := metrics["mean_mutation_score"]) is not None:
            parts.append(f"mean mutation score {mean:.3f}")
        if left_out := metrics.get("left_out"):
            parts.append(f"left out: {', '.join(f'{count} {reason}' for reason, count in left_out.items())}")
        return "; ".join(parts)


def _general(row: Row, problems: Mapping[str, Problem]) -> str:
    """Returns why a row has no tests, without what is particular to it, so that equal reasons can be counted."""
    name = tested.entry_point_of(problems[row["id"]]) or ""
    return re.sub(rf"\b{re.escape(name)}\b", "the function", row["left_out"].partition(":")[0])
