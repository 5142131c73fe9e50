"""The pass-rate filter: which problems can the policy learn from now?

Each problem is sampled 16 times with the current policy; those solved strictly more often than 10% and less often than 90%
stay (the recipe's numbers). An always-solved or never-solved problem gives GRPO a group without a difference.

A problem is not sampled on once no further samples could change whether it stays (`decided`): of 16 samples in the band 10% to
90%, two right and two wrong ones are enough. What is decided so is what all 16 would have decided. The mean score of samples
that stop so is biased; the pass rates that are reported are estimates without that bias (`pass_rates.py`).
"""

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pandas
from pydantic import Field, field_validator

from ...core import Sampling, UserError
from ...envs import registry
from ...policies.rollout import MAX_TURNS, count_problems, play
from ..cluster import load_policy
from ..stage import Context, CostEstimate, Metrics, Stage
from . import pass_rates

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 10
TABLE = "problems.parquet"
"""What a filter leaves: a row a problem, kept or dropped, with its pass rate (an estimate without bias), how many samples were
made, their mean score (which is biased where they stopped early) and how many of them are faults."""

Band = tuple[float, float]


class Filter(Stage):
    """Settings of a `filter` stage."""

    may_change: ClassVar[frozenset[str]] = frozenset({"batch_size", "max_faults"})

    kind: Literal["filter"]
    environment: str = Field(description="id of a registered environment")
    options: dict[str, Any] = Field({}, description="keyword arguments for the environment")
    problems: int | None = Field(None, ge=1, description="how many of its problems to try; default: all")
    samples: int = Field(16, ge=2, description="samples a problem (the recipe's number)")
    band: Band = Field((0.1, 0.9), description="pass rates must lie strictly between these two (the recipe's numbers)")
    max_faults: float = Field(0.5, ge=0, le=1, description="a larger share of samples that end in a fault fails the stage")
    all_samples: bool = Field(False, description="sample on where it is decided whether a problem stays, for a surer pass rate")
    temperature: float = Field(1.0, ge=0, description="softmax temperature of the samples")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus sampling: the smallest set of tokens with this probability")
    max_tokens: int = Field(512, ge=1, description="of all turns of an episode together, and of the replies between them")
    max_turns: int = Field(MAX_TURNS, ge=1, description="turns of the policy in an episode")
    batch_size: int = Field(256, ge=1, description="samples generated together")

    @field_validator("band")
    @classmethod
    def _in_order(cls, band: Band) -> Band:
        if not 0 <= band[0] < band[1] <= 1:
            raise ValueError(f"the band's ends lie in 0..1, the lower one first, as in {[0.1, 0.9]}")
        return band

    def check(self) -> None:
        """The environment can be made."""
        registry.make(self.environment, **self.options).close()

    def cost(self) -> CostEstimate:
        """All samples of all problems; what is decided early is not sampled."""
        responses = self.samples * problems_played(self.environment, self.options, self.problems)
        return CostEstimate(responses, responses * self.max_tokens)

    def run(self, context: Context) -> Metrics:
        """Samples, keeps what lies in the band, and writes `problems.parquet`: every problem, with its pass rate and
        samples."""
        stops = functools.partial(decided, samples=self.samples, band=self.band)
        played = play(
            functools.partial(registry.make, self.environment, **self.options),
            load_policy(context.policy, cluster=context.cluster, batch_size=self.batch_size),
            self.samples,
            problems=self.problems,
            sampling=Sampling(self.temperature, self.top_p, self.max_tokens, context.seed),
            max_turns=self.max_turns,
            store=context.folder / "episodes.jsonl",
            made_with={"policy": context.policy, "identity": context.identity},
            progress=context.progress,
            decided=None if self.all_samples else stops,
        )
        rows = []
        for index, episodes in played.items():
            scores = [episode.verdict.score for episode in episodes]
            given = [score for score in scores if score is not None]
            mean = math.fsum(given) / len(given) if given else None
            rows.append(
                {
                    "index": index,
                    "id": episodes[0].problem_id,
                    "prompt": "\n\n".join(turn["content"] for turn in episodes[0].messages if turn["role"] != "assistant"),
                    "kept": kept(scores, self.samples, self.band),
                    "pass_rate": mean if self.all_samples else pass_rates.estimate(scores, stops),
                    "samples": len(scores),
                    "mean_score": mean,
                    "faults": scores.count(None),
                    "refused": sum(episode.verdict.method == "refused" for episode in episodes),
                }
            )
        table = pandas.DataFrame(rows)
        table.to_parquet(context.folder / TABLE)
        samples, faults, refused = (int(table[column].sum()) for column in ("samples", "faults", "refused"))
        if faults - refused > self.max_faults * samples:
            lost = (game.verdict for row in played.values() for game in row if game.verdict.score is None)
            reason = next(verdict.reason for verdict in lost if verdict.method != "refused")
            raise UserError(
                f"{self.name}: {faults - refused} of {samples} samples ended in a fault, more than "
                f"max_faults={self.max_faults:g} of them (the first: {reason[:200]}); the same command samples them again"
            )
        count = int(table["kept"].sum())
        low, high = self.band
        if not count:
            raise UserError(
                f"{self.name}: none of {len(table)} problems has a pass rate between {low:g} and {high:g} "
                f"(mean {table['pass_rate'].mean():.3f}); choose easier or harder problems, or widen the band"
            )
        return {
            "problems": len(table),
            "kept": count,
            "dropped": len(table) - count,
            "pass_rate": float(table["pass_rate"].mean()),  # of problems, each by its estimate without bias
            "histogram": histogram(table["pass_rate"].dropna().tolist()),
            "samples": samples,
            "samples_skipped": 1 - samples / (self.samples * len(table)),
            "faults": faults,
            "refused": refused,
        }

    def summary(self, metrics: Metrics) -> str:
        """How many problems were kept."""
        skipped = f", {metrics['samples_skipped']:.0%} of the samples skipped" if metrics["samples_skipped"] else ""
        refused = f", {metrics['refused']} samples refused" if metrics.get("refused") else ""
        kept = f"kept {metrics['kept']} of {metrics['problems']} problems, mean pass rate {metrics['pass_rate']:.3f}"
        return f"{kept}{skipped}{refused}"

    def figure(self, metrics: Metrics) -> "Figure":
        """The histogram of pass rates, with the band shaded."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 2.6), layout="constrained")
        axes, bins = figure.subplots(), len(metrics["histogram"])
        axes.bar([(i + 0.5) / bins for i in range(bins)], metrics["histogram"], width=0.9 / bins)
        axes.axvspan(*self.band, alpha=0.15)
        axes.set(xlabel="estimated pass rate (shaded: the band)", ylabel="problems")
        return figure


def problems_played(environment: str, options: dict[str, Any], problems: int | None) -> int:
    """How many problems of an environment are played: all it has, at most so many; 0 where nobody knows."""
    made = registry.make(environment, **options)
    has = count_problems(made)
    made.close()
    return min((number for number in (has, problems) if number is not None), default=0)


def kept(scores: Sequence[float | None], samples: int, band: Band) -> bool:
    """Whether a problem stays: the pass rate that its samples have, or must come to, lies in the band.

    Args:
        scores: of its samples so far, None for those without a verdict, which do not count.
        samples: samples it would have in all.
        band: the ends, which are not in it.
    """
    lowest, highest = _bounds(scores, samples)
    return band[0] < lowest and highest < band[1]


def decided(scores: Sequence[float | None], samples: int, band: Band) -> bool:
    """Whether no further samples, whatever they score, can change if a problem stays."""
    lowest, highest = _bounds(scores, samples)
    return highest <= band[0] or lowest >= band[1] or kept(scores, samples, band)


def _bounds(scores: Sequence[float | None], samples: int) -> tuple[float, float]:
    """The pass rate if all samples to come were wrong, and if all were right; further faults would leave it between the two."""
    given = [score for score in scores if score is not None]
    left = samples - len(scores)
    if not given and not left:
        return 0.0, 0.0  # nothing but faults: nobody knows, and it does not stay
    right, most = math.fsum(given), len(given) + left
    return right / most, math.fsum([*given, left]) / most


def plays_otherwise(filtered: Stage, grpo: Stage) -> str | None:
    """What differs between the game of a filter and that of the GRPO stage that keeps its problems, in one line; None if
    nothing does. The filter's band is one of pass rates under its own limits."""
    for ours, its in (("max_response_tokens", "max_tokens"), ("max_turns", "max_turns")):
        played, measured = getattr(grpo, ours), getattr(filtered, its)
        if played != measured:
            return (
                f"{grpo.name} has {ours}={played}, and {filtered.name}, whose problems it keeps, {its}={measured}: the pass "
                "rates would be those of another game; give both the same number"
            )
    return None


def histogram(rates: list[float]) -> list[int]:
    """How many pass rates lie in each tenth of 0..1; the last takes 1 itself."""
    counts = [0] * BINS
    for rate in rates:
        counts[min(int(rate * BINS), BINS - 1)] += 1
    return counts
