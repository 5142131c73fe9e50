"""Settings of a GRPO stage. `verl_config.overrides` fixes further settings of verl; all others keep verl's defaults."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ...core import UserError
from ...envs import registry
from ...policies.play.games import count_problems
from ..stage import CostEstimate, Extension, Stage
from ..trainer.lora import LORA, Lora
from ..trainer.settings import KEEP_CHECKPOINTS, is_none, rate_cautions
from . import filter as rl_filter

_SCHEDULE = re.compile(
    r"\+*actor_rollout_ref\.actor\.optim\.(lr_scheduler_type|warmup_style|lr_warmup_steps_ratio|min_lr_ratio|num_cycles)"
)
"""verl's settings of a learning rate that depends on the number of steps."""

MICRO_RATES = (1e-5, 3e-4)
"""Range of learning rates at which GRPO improves a `micro:` after SFT. Our choice, from the table below. The table has the mean
reward of the first and the last 5 of 20 steps (128 samples each), and the KL divergence from the starting policy at the end:

    rate      1e-6     1e-5     1e-4     3e-4     1e-3
    first     0.384    0.395    0.416    0.350    0.169
    last      0.430    0.467    0.619    0.405    0.011
    KL        0.000    0.003    0.042    0.183    3.320

Commands, on 2 cores: `tenfold run quickstart --until filter`, then in a copy of the run's folder for each rate
`tenfold run quickstart --only grpo --set grpo.steps=20 --set grpo.learning_rate=RATE`."""


def dotted(settings: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """Returns nested settings by dotted name. An empty mapping stays a value.

    Args:
        settings: values and nested mappings by name.
        prefix: text before each name.
    """
    found: dict[str, object] = {}
    for name, value in settings.items():
        found |= dotted(value, f"{prefix}{name}.") if isinstance(value, Mapping) and value else {f"{prefix}{name}": value}
    return found


def in_grammar(value: object) -> str:
    """Returns a JSON value in the grammar of Hydra's overrides, whose texts have no escapes except those of quotes."""
    if isinstance(value, str):
        # A backslash is an escape only before a quote.
        return '"' + re.sub(r'(\\*)("|\Z)', lambda found: found[1] * 2 + ('\\"' if found[2] else ""), value) + '"'
    if isinstance(value, list):
        return f"[{','.join(map(in_grammar, value))}]"
    return repr(value) if isinstance(value, float) else json.dumps(value)  # infinity is inf


class GRPOSettings(Stage):
    """Settings of a `grpo` stage. Fixed: one on-policy update per step, and truncated responses are not in the loss."""

    writes_policy: ClassVar[bool] = True
    may_change: ClassVar[frozenset[str]] = frozenset(
        {"micro_batch_size", "save_steps", "keep_checkpoints", "stall_seconds", "loggers", "min_reward_ratio", "min_entropy"}
        | {"max_zero_variance_steps", "max_without_score"}
    )

    kind: Literal["grpo"]
    environment: str = Field(description="id of a registered environment")
    options: dict[str, Any] = Field({}, description="keyword arguments for the environment")
    keep: str | None = Field(None, description="name of the filter stage whose kept problems to use; default: all problems")
    problems: int | None = Field(
        None,
        ge=1,
        description="number of problems, the first ones; default: as the environment reports; required if it reports none; "
        "ignored with keep",
    )
    steps: int = Field(ge=1, description="optimizer steps")
    batch_size: int = Field(8, ge=1, description="problems per step")
    samples: int = Field(8, ge=2, description="samples per problem (the size of a group)")
    micro_batch_size: int | None = Field(
        None,
        ge=1,
        description="samples per forward pass; default: as many as fit into cluster.tokens_per_gpu, on CPU all of a step",
    )
    learning_rate: float = Field(1e-6, gt=0, description="constant learning rate")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's weight decay")
    lora: Lora | None = Field(None, description=LORA)
    clip_low: float = Field(0.2, gt=0, lt=1, description="the probability ratio is clipped below 1 - clip_low (PPO)")
    clip_high: float = Field(0.28, gt=0, description="the probability ratio is clipped above 1 + clip_high (clip-higher, DAPO)")
    kl: float = Field(0.0, ge=0, description="weight of a KL term to the starting policy; 0: no term")
    track_kl: bool = Field(
        True,
        description="measure the KL to the start also if kl is 0; takes one more forward pass and a copy of the weights",
    )
    drop_zero_variance: bool = Field(
        False, description="before the update, replace each problem whose samples all have the same score by another problem"
    )
    entropy: float = Field(0.0, ge=0, description="weight of an entropy bonus")
    normalize_by_std: bool = Field(True, description="divide a group's advantages by their standard deviation")
    loss_agg_mode: Literal["token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"] = Field(
        "token-mean", description="aggregation of the loss over tokens and sequences"
    )
    max_staleness: int = Field(
        0,
        ge=0,
        description="optimizer steps by which the policy that samples may be older than the policy that is trained; 0: verl "
        "samples, then trains; 1: it samples the next batch while it trains (one step off); more: it samples as many batches "
        "ahead, and continues unfinished samples with new weights (fully asynchronous)",
    )
    rollout_is: Literal["auto", "none", "token", "sequence"] = Field(
        "auto",
        description="importance sampling: weights for the ratio of the trainer's to the rollout's probabilities, per token or "
        "per sequence (verl's rollout_is); auto: token if vLLM generates the samples, because vLLM rounds probabilities "
        "differently, or with max_staleness, else none",
    )
    rollout_is_threshold: float = Field(2.0, gt=1, description="largest such weight; larger ratios are truncated")
    temperature: float = Field(1.0, gt=0, description="softmax temperature of the samples")
    top_p: float = Field(
        1.0, gt=0, le=1, description="nucleus sampling: total probability of the most likely tokens to sample from"
    )
    max_prompt_tokens: int = Field(512, ge=1, description="longest prompt, in tokens; problems with longer prompts are skipped")
    max_response_tokens: int = Field(
        512,
        ge=1,
        description="maximum number of tokens per episode: all turns of the policy and the environment's replies "
        "between them, like the filter's max_tokens; a longer episode is truncated and left out of the loss",
    )
    max_turns: int | None = Field(
        None,
        ge=1,
        exclude_if=is_none,
        description="maximum number of turns of the policy per episode, like the filter's max_turns; default: the "
        "environment's max_episode_steps, or 16",
    )
    save_steps: int = Field(10, ge=1, description="steps between checkpoints")
    keep_checkpoints: int = Field(1, ge=0, description=KEEP_CHECKPOINTS)
    stall_seconds: float = Field(1800.0, gt=0, description="stop the run after this time without progress, in seconds")
    min_reward_ratio: float = Field(
        0.2, ge=0, lt=1, description="stop the run if its mean reward falls below this share of its best; 0: never"
    )
    min_entropy: float = Field(
        0.0, ge=0, description="stop the run if its entropy falls below this, in nats per token; 0: never"
    )
    max_zero_variance_steps: int = Field(
        20,
        ge=0,
        description="stop the run after this number of consecutive steps in which all groups have zero variance; 0: never",
    )
    max_without_score: float = Field(
        0.5, ge=0, le=1, description="stop the run if more than this share of a step's samples have no score"
    )
    loggers: list[Annotated[str, Field(pattern=r"^[a-z_]+$")]] = Field(
        [],
        description="verl's own experiment trackers (wandb, tensorboard, mlflow, ...), for this stage only; "
        "the recipe's trackers receive the figures of all stages",
    )
    verl: dict[str, Any] = Field({}, description="further settings of verl, by dotted name or nested")

    def check(self) -> None:
        """Checks that the environment can be made, here and in other processes, and has enough problems for a batch.

        `problems` is required if the environment does not report its number of problems and there is no filter stage.

        A filter stage (`keep`) can only lower the number of problems. `GRPO.run` checks the number of those that remain.
        """
        environment = registry.make(self.environment, **self.options)
        registry.declaration(environment, self.environment, self.options)
        available = count_problems(environment, max(self.problems or 0, self.batch_size))
        environment.close()
        if available is None and not self.problems and not self.keep:
            raise UserError(f"{self.environment} does not report its number of problems: set problems=")
        if self.problems and not self.keep:
            if available and self.problems > available:
                raise UserError(
                    f"problems: expected at most {available}, the number of problems of {self.environment}, got {self.problems}"
                )
            available = self.problems
        if available and available < self.batch_size:
            raise UserError(too_few_problems(self.batch_size, available))

    def extension(self, before: Mapping[str, Any]) -> Extension | None:
        """Returns how the stage continues with more steps. Its learning rate is constant, unless `verl` sets a schedule."""
        if self.steps <= before["steps"]:
            return None
        changing = (
            name for name, value in dotted(self.verl).items() if value not in ("constant", 0) and _SCHEDULE.fullmatch(name)
        )
        schedule = next(changing, "")
        reason = f"verl: {schedule} depends on the number of steps" if schedule else ""
        return Extension(before["steps"], frozenset({"steps"}), reason)

    def cautions(self, policy: str, origin: str) -> list[str]:
        """Returns a text if a policy that began as `micro:` will probably learn nothing, or lose what SFT has taught."""
        return rate_cautions(self.learning_rate, *MICRO_RATES, self.lora) if origin.startswith("micro:") else []

    def has_work(self, folder: Path) -> bool:
        """True if there are episodes, metrics or checkpoints."""
        files = (path for name in ("episodes", "metrics", "checkpoints") for path in (folder / name).rglob("*"))
        return any(path.is_file() and path.stat().st_size for path in files)

    def cost(self) -> CostEstimate:
        """Returns the cost if each prompt and response has the largest length, without samples of replaced problems."""
        trained = self.steps * self.batch_size * self.samples
        sampled = trained + self.max_staleness * self.batch_size * self.samples  # the last batches ahead are not trained on
        longest = self.max_prompt_tokens + self.max_response_tokens
        passes = 1 + (self.track_kl or self.kl > 0)  # of the policy before the update, and of the starting policy
        return CostEstimate(
            sampled,
            sampled * self.max_response_tokens,
            trained * longest,
            training_length=longest,
            forward_tokens=passes * trained * longest,
            prompt_tokens=self.max_prompt_tokens,
            samples_per_step=self.batch_size * self.samples,
        )

    def check_links(self, earlier: Mapping[str, Stage]) -> None:
        """Checks that `keep` names a filter stage with the same limits. See `Stage.check_links`."""
        if not self.keep:
            return
        filtered = earlier.get(self.keep)
        if not isinstance(filtered, rl_filter.Filter):
            filters = ", ".join(name for name, stage in earlier.items() if isinstance(stage, rl_filter.Filter)) or "none"
            raise UserError(f"{self.name}.keep: no earlier filter stage {self.keep!r}; earlier filter stages: {filters}")
        if filtered.problems and filtered.problems < self.batch_size:
            raise UserError(f"{self.name}: {too_few_problems(self.batch_size, filtered.problems, f' from {self.keep}')}")
        if difference := rl_filter.different_limit(filtered, self):
            raise UserError(difference)

    def named_stages(self) -> list[str]:
        """Returns the filter stage."""
        return [self.keep] if self.keep else []

    def files_read(self) -> dict[str, str]:
        """Returns the filter stage's table of problems."""
        return {self.keep: rl_filter.TABLE} if self.keep else {}


def too_few_problems(batch_size: int, available: int, skipped: str = "") -> str:
    """Returns the message for an environment with fewer problems than a batch.

    Args:
        batch_size: problems per step.
        available: number of problems.
        skipped: a note on problems that were skipped.
    """
    return f"expected at least batch_size={batch_size} problems, got {available}{skipped}; lower batch_size or add problems"
