"""The pass-rate filter: which problems can the policy learn from now?

Each problem is drawn 16 times with the current policy; those solved strictly more often than 10% and less often than 90%
stay (the recipe's numbers). An always-solved or never-solved problem gives GRPO a group without a difference.
"""

import functools
import json
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from ...core import Sampling, UserError
from ...envs import registry
from ...policies import load_policy
from ...policies.rollout import pass_rate, rollout
from ..context import Context, Metrics, Settings

BINS = 10


class Filter(Settings):
    """Settings of a `filter` stage."""

    may_change: ClassVar[frozenset[str]] = frozenset({"batch_size"})

    kind: Literal["filter"]
    environment: str = Field(description="id of a registered environment")
    options: dict[str, Any] = Field({}, description="keyword arguments for the environment")
    problems: int | None = Field(None, ge=1, description="how many of its problems to try; default: all")
    samples: int = Field(16, ge=2, description="draws a problem (the recipe's number)")
    above: float = Field(0.1, ge=0, lt=1, description="pass rates must be strictly above this (the recipe's number)")
    below: float = Field(0.9, gt=0, le=1, description="and strictly below this (the recipe's number)")
    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(512, ge=1)
    batch_size: int = Field(256, ge=1, description="draws generated together")

    @model_validator(mode="after")
    def _band(self) -> "Filter":
        if self.above >= self.below:
            raise ValueError(f"above={self.above} must be less than below={self.below}")
        return self

    def check(self) -> None:
        """The environment can be made."""
        registry.make(self.environment, **self.options).close()


def run(settings: Filter, context: Context) -> Metrics:
    """Draws, keeps what lies in the band, and writes `kept.json`: indices and ids, kept and dropped, with pass rates."""
    make = functools.partial(registry.make, settings.environment, **settings.options)
    episodes = rollout(
        make,
        load_policy(context.policy, batch_size=settings.batch_size),
        settings.samples,
        problems=settings.problems,
        sampling=Sampling(settings.temperature, settings.top_p, settings.max_tokens, context.seed),
        store=context.folder / "episodes.jsonl",
        progress=context.progress,
    )
    problems: list[dict[str, Any]] = []
    for index in range(len(episodes) // settings.samples):
        played = episodes[index * settings.samples : (index + 1) * settings.samples]
        rate, problem_id = pass_rate(played), played[0].problem_id
        kept = rate is not None and settings.above < rate < settings.below
        problems.append({"index": index, "id": problem_id, "pass_rate": rate, "kept": kept})
    (context.folder / "kept.json").write_text(json.dumps({"environment": settings.environment, "problems": problems}, indent=1))
    rates = [row["pass_rate"] for row in problems if row["pass_rate"] is not None]
    kept_count = sum(row["kept"] for row in problems)
    if not kept_count:
        mean = sum(rates) / len(rates) if rates else float("nan")
        raise UserError(
            f"{settings.name}: none of {len(problems)} problems has a pass rate between {settings.above:g} and "
            f"{settings.below:g} (mean {mean:.3f}); choose easier or harder problems, or widen the band"
        )
    return {
        "problems": len(problems),
        "kept": kept_count,
        "dropped": len(problems) - kept_count,
        "pass_rate": sum(rates) / len(rates),
        "histogram": histogram(rates),
        "faults": sum(episode.verdict.score is None for episode in episodes),
    }


def histogram(rates: list[float]) -> list[int]:
    """How many pass rates lie in each tenth of 0..1; the last takes 1 itself."""
    counts = [0] * BINS
    for rate in rates:
        counts[min(int(rate * BINS), BINS - 1)] += 1
    return counts
