"""A benchmark stage: lm-eval tasks answered by the policy, each as avg@k with its interval."""

import dataclasses
from typing import ClassVar, Literal

from pydantic import Field

from ..policies import load_policy
from .context import Context, Metrics, Settings


class Bench(Settings):
    """Settings of a `bench` stage."""

    may_change: ClassVar[frozenset[str]] = frozenset({"batch_size"})

    kind: Literal["bench"]
    tasks: list[str] = Field(min_length=1, description="names of benchmark tasks")
    limit: int | None = Field(None, ge=1, description="only so many problems a task")
    problems: str | None = Field(None, description="problem URI instead of the tasks' own")
    batch_size: int = Field(256, ge=1, description="draws generated together")

    def check(self) -> None:
        """Every task is known, and its problems can be loaded."""
        from ..benchmarks import model

        for task in self.tasks:
            model.check(task, self.problems)


def run(settings: Bench, context: Context) -> Metrics:
    """Scores the policy on every task; draws and each problem's scores stay in the stage's folder."""
    from ..benchmarks import model

    policy = load_policy(context.policy, batch_size=settings.batch_size)
    results = {}
    for task in settings.tasks:
        score = model.evaluate(
            task,
            policy,
            made_with={"policy": context.policy},
            seed=context.seed,
            limit=settings.limit,
            problems=settings.problems,
            folder=context.folder,
            progress=lambda done, total, task=task: context.progress(done, total, task=task),
        )
        results[task] = dataclasses.asdict(score)
    return {"scores": results}
