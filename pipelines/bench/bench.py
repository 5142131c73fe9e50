"""The benchmark stage: avg@k of the policy on benchmark tasks, with intervals."""

import dataclasses
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ...core import UserError
from ...policies import identity as policies
from ...policies.server.hub import Unreachable
from ..launch import hosts
from ..launch.engines import load_policy
from ..stage import Context, CostEstimate, Metrics, Stage
from . import scoreboard

if TYPE_CHECKING:
    from ...benchmarks.result import Options


class Bench(Stage):
    """Measures avg@k of the policy on benchmark tasks."""

    may_change: ClassVar[frozenset[str]] = frozenset({"batch_size"})
    compared_in_identity: ClassVar[frozenset[str]] = frozenset({"data"})

    kind: Literal["bench"]
    tasks: list[str] = Field(
        min_length=1,
        description="names of benchmark tasks; env:ID for a registered environment; FILE.yaml for a task of your own; "
        '"trained" for the environments of all grpo stages of the recipe',
    )
    limit: int | None = Field(None, ge=1, description="maximum number of problems per task; default: all")
    problems: str | None = Field(None, description="URI of problems; default: the task's own problems")
    data: str | None = Field(None, description="folder with the tasks' files; default: the Hugging Face hub")
    samples: int | None = Field(None, ge=1, description="samples per problem (k); default: the task's own")
    temperature: float | None = Field(None, ge=0, description="softmax temperature of the samples; default: the task's own")
    top_p: float | None = Field(
        None, gt=0, le=1, description="total probability of the most likely tokens to sample from; default: the task's own"
    )
    top_k: int | None = Field(
        None, ge=1, description="number of the most likely tokens to sample from; default: the task's own, for most tasks all"
    )
    max_tokens: int | None = Field(None, ge=1, description="longest sample, in tokens; default: the task's own")
    judge: str | None = Field(None, description="URI of the policy that is the judge, for tasks that need one")
    baseline: str | None = Field(None, description="files with a baseline's answers for Arena-Hard, separated by commas")
    system: str | None = Field(None, description="system turn before the prompts; default: the task's own")
    fewshot: int | None = Field(None, ge=0, description="few-shot examples before each problem; default: the task's own")
    max_turns: int | None = Field(
        None, ge=1, description="limit of the policy's turns in an episode of an environment; default: 16"
    )
    text: bool | None = Field(
        None, description="prompts as plain text without a chat template, for base models; default: false"
    )
    thinking: Literal["on", "off"] | None = Field(
        None, description="value of enable_thinking in the policy's chat template; default: the template's own"
    )
    sampling: Literal["task", "model"] = Field(
        "task",
        description="source of the default temperature, top_p and top_k: the task, or the checkpoint's generation_config.json",
    )
    batch_size: int = Field(256, ge=1, description="samples generated together")

    def check(self) -> None:
        """Checks that each task exists and that its problems can be loaded."""
        from ...benchmarks import catalogue
        from ...benchmarks.task import check, missing

        options = self.options(seed=0)
        for request in catalogue.expand(self.tasks):
            if reason := missing(request.task, options):
                raise UserError(f"{self.name}: {request.name}: {reason}")
            check(request.name, options)

    def identity(self) -> dict[str, str]:
        """Returns the digests of the tasks' problems, prompts and verifiers, and of the judge."""
        from ...benchmarks import identity

        options = self.options(seed=0)
        return {name: value for task in self.tasks for name, value in identity.of_task(task, options).items()}

    def cost(self) -> CostEstimate:
        """Returns the cost if each sample has the largest length. The sizes of lm-eval's own tasks are unknown."""
        from ...benchmarks import catalogue
        from ...benchmarks.task import sampling_cost

        sizes: list[tuple[int, int]] = []
        unknown: dict[str, list[str]] = {}
        for task in catalogue.expand(self.tasks):
            if task.is_lm_eval:
                unknown.setdefault("lm-eval loads them", []).append(task.name)
                continue
            try:
                sizes.append(sampling_cost(task.name, self.options(0)))
            except Unreachable as error:
                unknown.setdefault(error.brief, []).append(task.name)
        listed = ", ".join(f"{', '.join(names)} ({reason})" for reason, names in unknown.items())
        return CostEstimate(
            sum(samples for samples, _ in sizes),
            sum(samples * tokens for samples, tokens in sizes),
            samples_per_copy=self.batch_size,
            unknown=f"the problems of {listed}" if listed else "",
        )

    def sampling_lines(self) -> list[str]:
        """Returns how each task is sampled, as lines, without the tasks of lm-eval, whose settings are read when they run."""
        from ...benchmarks import catalogue
        from ...benchmarks.result import sampling_text
        from ...benchmarks.task import sampling_of

        lines = []
        for request in catalogue.expand(self.tasks):
            if (found := sampling_of(request, self.options(0))) is not None:
                samples, sampling = found
                if self.sampling == "model":  # where the recipe sets none
                    sampling = {"max_gen_toks": sampling["max_gen_toks"]}
                own = ", other settings of the checkpoint's generation_config.json" if self.sampling == "model" else ""
                lines.append(f"{request.task}: avg@{samples}, {sampling_text(sampling)}{own}")
        return lines

    def options(self, seed: int) -> "Options":
        """Returns the options with which the tasks are run."""
        from ...benchmarks.result import Options

        return Options(seed, **{name: getattr(self, name) for name in Options.__slots__ if name != "seed"})

    def run(self, context: Context) -> Metrics:
        """Runs all tasks; writes the samples, the scores of each problem and a page that shows them to the stage's folder."""
        from ...benchmarks import catalogue, evaluate
        from ...benchmarks.report import page
        from ...benchmarks.task import with_model_sampling

        options = self.options(context.seed)
        if self.sampling == "model":
            options = with_model_sampling(options, context.policy)
        context.waits()
        policy = load_policy(context.policy, cluster=context.cluster, batch_size=self.batch_size)
        scores = {}
        for task in catalogue.expand(self.tasks):
            result = evaluate.run_task(
                task.name,
                policy,
                options,
                store_settings=policies.policy_identity(context.policy),
                folder=context.folder,
                progress=lambda done, total, name=task.name, **values: context.progress(done, total, task=name, **values),
                on_nodes=hosts.on_nodes(context.cluster),
            )
            others = {"hash": result.hash, "cautions": result.cautions, "sampling": result.settings.get("sampling") or {}}
            scores[result.task] = dataclasses.asdict(result.score) | others
        page.write(context.folder)
        return {"scores": scores}

    def comparable(self, metrics: Metrics) -> dict[str, float]:
        """Returns the scores."""
        return {task: score["mean"] for task, score in metrics["scores"].items()}

    def summary(self, metrics: Metrics) -> str:
        """Returns the score of each task, and how its samples were sampled."""
        sampled = scoreboard.sampled(metrics["scores"])
        return "; ".join(
            f"{task}: {scoreboard.scored(score)}"
            + "".join(f" (caution: {caution})" for caution in score.get("cautions", ()))
            + sampled.get(task, "")
            for task, score in metrics["scores"].items()
        )
