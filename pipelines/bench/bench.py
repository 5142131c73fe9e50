"""A benchmark stage: lm-eval tasks answered by the policy, each as avg@k with its interval."""

import dataclasses
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ...policies import identity as policies
from ..cluster import load_policy
from ..stage import Context, CostEstimate, Metrics, Stage
from . import scoreboard

if TYPE_CHECKING:
    from ...benchmarks.result import Options


class Bench(Stage):
    """Settings of a `bench` stage."""

    may_change: ClassVar[frozenset[str]] = frozenset({"batch_size"})
    compared_in_identity: ClassVar[frozenset[str]] = frozenset({"data"})

    kind: Literal["bench"]
    tasks: list[str] = Field(min_length=1, description="names of benchmark tasks")
    limit: int | None = Field(None, ge=1, description="only so many problems a task")
    problems: str | None = Field(None, description="problem URI instead of the tasks' own")
    data: str | None = Field(None, description="folder with the tasks' files, instead of the hub")
    samples: int | None = Field(None, ge=1, description="samples a problem, instead of the task's own k")
    temperature: float | None = Field(None, ge=0, description="instead of the task's own")
    top_p: float | None = Field(None, gt=0, le=1, description="instead of the task's own")
    max_tokens: int | None = Field(None, ge=1, description="longest sample, instead of the task's own")
    judge: str | None = Field(None, description="policy that judges the tasks that want a judge")
    baseline: str | None = Field(None, description="files of a baseline's answers for Arena-Hard, with commas between")
    batch_size: int = Field(256, ge=1, description="samples generated together")

    def check(self) -> None:
        """Every task is known, and its problems can be loaded."""
        from ...benchmarks import evaluate

        for task in self.tasks:
            evaluate.check(task, self.options(seed=0))

    def identity(self) -> dict[str, str]:
        """The tasks' problems, wording and verifiers, and the judge."""
        from ...benchmarks import identity

        options = self.options(seed=0)
        return {name: value for task in self.tasks for name, value in identity.of_task(task, options).items()}

    def cost(self) -> CostEstimate:
        """Every sample of every task of ours as long as may be; how many problems lm-eval's own have nobody knows yet."""
        from ...benchmarks import catalogue, evaluate

        sizes = [evaluate.size(asked.name, self.options(0)) for asked in catalogue.expand(self.tasks)]
        return CostEstimate(sum(samples for samples, _ in sizes), sum(samples * tokens for samples, tokens in sizes))

    def options(self, seed: int) -> "Options":
        """How the tasks are run."""
        from ...benchmarks.result import Options

        return Options(seed, **{name: getattr(self, name) for name in Options.__slots__ if name != "seed"})

    def run(self, context: Context) -> Metrics:
        """Scores the policy on every task; samples, each problem's scores and a page of them stay in the stage's folder."""
        from ...benchmarks import catalogue, evaluate
        from ...benchmarks.report import page

        policy = load_policy(context.policy, cluster=context.cluster, batch_size=self.batch_size)
        found = {}
        for asked in catalogue.expand(self.tasks):
            result = evaluate.run_task(
                asked.name,
                policy,
                self.options(context.seed),
                made_with=policies.who(context.policy),
                folder=context.folder,
                progress=lambda done, total, task=asked.name: context.progress(done, total, task=task),
            )
            found[result.task] = dataclasses.asdict(result.score) | {"hash": result.hash}
        page.write(context.folder)
        return {"scores": found}

    def summary(self, metrics: Metrics) -> str:
        """The score of every task."""
        return "; ".join(f"{task}: {scoreboard.scored(score)}" for task, score in metrics["scores"].items())
