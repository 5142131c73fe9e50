"""The pass-rate filter, which keeps problems that the current policy solves sometimes.

Each problem is sampled up to 16 times. It is kept if its pass rate is strictly between 10% and 90% (numbers of the Nanbeige4-3B
report). A problem that is always or never solved gives GRPO a group with zero variance.

Sampling of a problem stops as soon as no further sample can change the decision (`decided`). With 16 samples and the band 10%
to 90%, two correct and two incorrect samples are enough. The decision is the same as with all 16 samples. The mean score
of the samples taken is biased, so the stage reports unbiased estimates of the pass rates (`pass_rates.py`).

With `raise_level_above`, the levels of the environment are sampled in order. The next level is sampled only if the mean pass
rate of the level before is above this number.
"""

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pandas
from pydantic import Field, field_validator

from ...core import Episode, Sampling, Status, UserError
from ...envs import registry
from ...envs.rollout import turn_limit
from ...policies.play.games import count_problems
from ...policies.rollout import play
from ..launch import hosts
from ..launch.engines import load_policy
from ..stage import Context, CostEstimate, Metrics, Stage
from ..trainer.settings import is_none
from . import pass_rates

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 10
"""Bins of the histogram of pass rates."""
TABLE = "problems.parquet"
"""The filter's table with a row for each problem: kept or dropped, unbiased pass rate, number of samples, their mean score
(biased if sampling stopped early), and numbers of samples without a score and of refused samples."""

Band = tuple[float, float]


class Filter(Stage):
    """Keeps the problems of an environment that the policy solves sometimes."""

    may_change: ClassVar[frozenset[str]] = frozenset({"batch_size", "max_without_score"})

    kind: Literal["filter"]
    environment: str = Field(description="id of a registered environment")
    options: dict[str, Any] = Field({}, description="keyword arguments for the environment")
    problems: int | None = Field(None, ge=1, description="number of problems to sample; default: all")
    samples: int = Field(16, ge=2, description="samples per problem; default: as in the Nanbeige4-3B report")
    band: Band = Field(
        (0.1, 0.9), description="lower and upper bound of pass rates, both excluded; default: as in the Nanbeige4-3B report"
    )
    max_without_score: float = Field(
        0.5,
        ge=0,
        le=1,
        description="fail the stage if more than this share of the samples has no score (refused ones do not count)",
    )
    raise_level_above: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="sample the next level of the environment only if the mean pass rate of the level before is above this; "
        "the levels are the environments of a mixture; a class of your own gives the level of each problem in its attribute "
        "`levels`; default: sample all problems",
    )
    all_samples: bool = Field(
        False, description="take all samples, also after the decision is certain, for more precise pass rates"
    )
    temperature: float = Field(1.0, ge=0, description="softmax temperature of the samples")
    top_p: float = Field(
        1.0, gt=0, le=1, description="nucleus sampling: total probability of the most likely tokens to sample from"
    )
    max_tokens: int = Field(
        512, ge=1, description="maximum number of tokens per episode: all turns of the policy and the replies between them"
    )
    max_turns: int | None = Field(
        None,
        ge=1,
        exclude_if=is_none,
        description="maximum number of turns of the policy per episode; default: the environment's max_episode_steps, or 16",
    )
    batch_size: int = Field(256, ge=1, description="samples generated together")

    @field_validator("band")
    @classmethod
    def _in_order(cls, band: Band) -> Band:
        if not 0 <= band[0] < band[1] <= 1:
            raise ValueError(f"expected two increasing numbers in 0..1, such as {[0.1, 0.9]}")
        return band

    def check(self) -> None:
        """Checks that the environment can be made, and that it reports its number of problems and its levels if needed."""
        self._levels()

    def cost(self) -> CostEstimate:
        """Returns the cost of all samples of all problems, without early stopping."""
        responses = self.samples * problem_count(self.environment, self.options, self.problems)
        return CostEstimate(responses, responses * self.max_tokens, samples_per_copy=self.batch_size)

    def run(self, context: Context) -> Metrics:
        """Samples the problems, decides which to keep, and writes `problems.parquet`."""
        context.waits()
        stops = functools.partial(decided, samples=self.samples, band=self.band)
        sample = functools.partial(
            play,
            functools.partial(registry.make, self.environment, **self.options),
            load_policy(context.policy, cluster=context.cluster, batch_size=self.batch_size),
            self.samples,
            sampling=Sampling(self.temperature, self.top_p, self.max_tokens, context.seed),
            max_turns=turn_limit(self.environment, self.max_turns),
            store=context.folder / "episodes.jsonl",
            store_settings={"policy": context.policy, "identity": context.identity},
            progress=context.progress,
            on_nodes=hosts.for_environment(context.cluster, self.environment, self.options),
            is_decided=None if self.all_samples else lambda episodes: stops([game.verdict.score for game in episodes]),
        )
        played: dict[int, list[Episode]] = {}
        rows: list[dict[str, Any]] = []
        level_rates: dict[str, float | None] = {}
        for level, problems in self._levels().items():
            of_level = sample(problems=problems)
            new = [self._row(index, episodes, stops) for index, episodes in of_level.items()]
            played, rows = played | of_level, rows + new
            if self.raise_level_above is None:
                break
            rates = [row["pass_rate"] for row in new if row["pass_rate"] is not None]
            level_rates[str(level)] = rate = math.fsum(rates) / len(rates) if rates else None
            if rate is None or rate <= self.raise_level_above:
                break
        table = pandas.DataFrame(rows).sort_values("index", ignore_index=True)
        table.to_parquet(context.folder / TABLE)
        verdicts = [episode.verdict for episodes in played.values() for episode in episodes]
        fault = next((verdict.reason for verdict in verdicts if verdict.status == Status.FAULT), "")
        samples, missing, refused = (int(table[column].sum()) for column in ("samples", "without_score", "refused"))
        if missing - refused > self.max_without_score * samples:
            reason = next(verdict.reason for verdict in verdicts if verdict.score is None and verdict.method != "refused")
            raise UserError(
                f"{self.name}: {missing - refused} of {samples} samples have no score, more than the share max_without_score="
                f"{self.max_without_score:g} (the first: {reason[:400]}); run the same command to "
                "repeat the samples with a fault; samples with an undecided verdict stay without a score"
            )
        count = int(table["kept"].sum())
        low, high = self.band
        if not count and table["pass_rate"].isna().all():
            raise UserError(
                f"{self.name}: none of the {samples} samples has a score ({refused} refused); use another policy or verifier"
            )
        if not count:
            raise UserError(
                f"{self.name}: none of {len(table)} problems has a pass rate between {low:g} and {high:g} "
                f"(mean {table['pass_rate'].mean():.3f}); use easier or harder problems, or widen the band"
            )
        return {
            "problems": len(table),
            "kept": count,
            "dropped": len(table) - count,
            "pass_rate": float(table["pass_rate"].mean()),  # the mean over problems of their unbiased estimates
            "histogram": histogram(table["pass_rate"].dropna().tolist()),
            "samples": samples,
            "samples_skipped": 1 - samples / (self.samples * len(table)),
            "without_score": missing,
            "refused": refused,
            **({"fault": fault} if fault else {}),
            **({"levels": level_rates} if level_rates else {}),
        }

    def _levels(self) -> dict[int, Sequence[int] | int | None]:
        """Returns the problems of each level, from the lowest level; a single level if `raise_level_above` is not set.

        Raises:
            UserError: the environment cannot be made, or does not report its levels or its number of problems.
        """
        environment = registry.make(self.environment, **self.options)
        levels, available = getattr(environment.unwrapped, "levels", None), count_problems(environment, 1)
        environment.close()
        if self.raise_level_above is None:
            if self.problems is None and available is None:
                raise UserError(f"{self.environment} does not report its number of problems: set problems=")
            return {0: self.problems}
        if levels is None:
            raise UserError(
                f"raise_level_above needs levels, which {self.environment} does not have: use a mixture "
                "(entry_point: tenfold.envs.mixture:Mixture), or give the class an attribute `levels`"
            )
        numbers = levels[: self.problems]
        return {level: [i for i, each in enumerate(numbers) if each == level] for level in sorted({*numbers})}

    def _row(self, index: int, episodes: Sequence[Episode], stops: pass_rates.Decided) -> dict[str, Any]:
        """Returns the row of a problem in `problems.parquet`."""
        scores = [episode.verdict.score for episode in episodes]
        scored = [score for score in scores if score is not None]
        mean = math.fsum(scored) / len(scored) if scored else None
        return {
            "index": index,
            "id": episodes[0].problem_id,
            "prompt": "\n\n".join(turn["content"] for turn in episodes[0].messages if turn["role"] != "assistant"),
            "kept": kept(scores, self.samples, self.band),
            "pass_rate": mean if self.all_samples else pass_rates.estimate(scores, stops),
            "samples": len(scores),
            "mean_score": mean,
            "without_score": scores.count(None),
            "refused": sum(episode.verdict.method == "refused" for episode in episodes),
        }

    def comparable(self, metrics: Metrics) -> dict[str, float]:
        """Returns the mean pass rate."""
        return {"pass rate": metrics["pass_rate"]}

    def summary(self, metrics: Metrics) -> str:
        """Returns the number of kept problems and the mean pass rate."""
        skipped = f", {metrics['samples_skipped']:.0%} of the samples not needed" if metrics["samples_skipped"] else ""
        refused = f", {metrics['refused']} samples refused" if metrics.get("refused") else ""
        kept = f"kept {metrics['kept']} of {metrics['problems']} problems, mean pass rate {metrics['pass_rate']:.3f}"
        rates = [f"level {level} {rate:.3f}" for level, rate in metrics.get("levels", {}).items() if rate is not None]
        levels = f" ({', '.join(rates)})" if rates else ""
        lost = ""
        if "fault" in metrics:
            lost = f", {metrics['without_score']} samples without a score (the first fault: {metrics['fault']})"
        return f"{kept}{levels}{skipped}{refused}{lost}"

    def figure(self, metrics: Metrics) -> "Figure":
        """Returns the histogram of pass rates, with the band shaded."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 2.6), layout="constrained")
        axes, bins = figure.subplots(), len(metrics["histogram"])
        axes.bar([(i + 0.5) / bins for i in range(bins)], metrics["histogram"], width=0.9 / bins)
        axes.axvspan(*self.band, alpha=0.15)
        axes.set(xlabel="estimated pass rate (shaded: the band)", ylabel="problems")
        return figure


def problem_count(environment: str, options: dict[str, Any], problems: int | None) -> int:
    """Returns the number of problems that a stage plays: all of an environment, up to a limit; 0 if unknown.

    It is the limit if the environment's problems cannot be read yet.

    Args:
        environment: id of the environment.
        options: its keyword arguments.
        problems: the limit; None: no limit.
    """
    try:
        made = registry.make(environment, **options)
    except UserError:
        if problems is None:
            raise
        return problems
    count = count_problems(made, problems)
    made.close()
    return (problems if count is None else count) or 0


def kept(scores: Sequence[float | None], samples: int, band: Band) -> bool:
    """True if a problem is kept: its pass rate lies in the band, whatever the remaining samples score.

    Args:
        scores: scores of the samples so far; None for a sample without a score, which does not count.
        samples: number of samples without early stopping.
        band: bounds, both excluded.
    """
    lowest, highest = _bounds(scores, samples)
    return band[0] < lowest and highest < band[1]


def decided(scores: Sequence[float | None], samples: int, band: Band) -> bool:
    """True if no further sample can change whether a problem is kept.

    Args:
        scores: scores of the samples so far; None for a sample without a score, which does not count.
        samples: number of samples without early stopping.
        band: bounds, both excluded.
    """
    lowest, highest = _bounds(scores, samples)
    return highest <= band[0] or lowest >= band[1] or kept(scores, samples, band)


def _bounds(scores: Sequence[float | None], samples: int) -> tuple[float, float]:
    """Returns the pass rates if all remaining samples were incorrect, or correct.

    If a remaining sample gets no score, the pass rate lies between the two.
    """
    scored = [score for score in scores if score is not None]
    remaining = samples - len(scores)
    if not scored and not remaining:
        return 0.0, 0.0  # no scores: the pass rate is unknown, and the problem is dropped
    total, count = math.fsum(scored), len(scored) + remaining
    return total / count, math.fsum([*scored, remaining]) / count


def different_limit(filtered: Stage, grpo: Stage) -> str | None:
    """Returns the first limit that differs between a filter and the GRPO stage that trains on the filter's problems, as text;
    None if all are equal.

    Pass rates depend on these limits, so the filter's decisions hold only under equal limits.
    """
    for name, filter_name in (("max_response_tokens", "max_tokens"), ("max_turns", "max_turns")):
        value, filter_value = getattr(grpo, name), getattr(filtered, filter_name)
        if value != filter_value:
            value, filter_value = ("the default" if limit is None else limit for limit in (value, filter_value))
            return (
                f"{grpo.name} has {name}={value}, but its filter {filtered.name} has {filter_name}={filter_value}: pass rates "
                "depend on this limit; set both to the same number"
            )
    return None


def histogram(rates: list[float]) -> list[int]:
    """Returns the number of pass rates in each of `BINS` equal bins of 0..1. The last bin includes 1."""
    counts = [0] * BINS
    for rate in rates:
        counts[min(int(rate * BINS), BINS - 1)] += 1
    return counts
