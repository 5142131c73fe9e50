"""Settings of a GRPO stage. What verl leaves at its default is not named here."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ...core import UserError
from ...envs import registry
from ...policies.rollout import MAX_TURNS
from ..stage import CostEstimate, Stage
from . import filter as rl_filter


class GRPOSettings(Stage):
    """Settings of a `grpo` stage. The recipe fixes: on policy, no KL term, truncated responses are not in the loss."""

    leaves_policy: ClassVar[bool] = True
    may_change: ClassVar[frozenset[str]] = frozenset(
        {"micro_batch_size", "save_steps", "stall_seconds", "loggers", "min_reward_ratio", "min_entropy"}
        | {"max_zero_variance_steps", "max_faults"}
    )

    kind: Literal["grpo"]
    environment: str = Field(description="id of a registered environment")
    options: dict[str, Any] = Field({}, description="keyword arguments for the environment")
    keep: str | None = Field(None, description="name of the filter stage whose problems to train on; default: all")
    problems: int | None = Field(None, ge=1, description="how many problems, where the environment does not tell")
    steps: int = Field(ge=1, description="optimizer steps")
    batch_size: int = Field(8, ge=1, description="problems a step")
    samples: int = Field(8, ge=2, description="samples a problem: the group whose rewards GRPO compares")
    micro_batch_size: int | None = Field(
        None,
        ge=1,
        description="samples a forward pass; default: all of a step, on GPUs as many as cluster.tokens_per_gpu holds",
    )
    learning_rate: float = Field(1e-6, gt=0, description="constant learning rate")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's weight decay")
    clip_low: float = Field(0.2, gt=0, lt=1, description="the probability ratio is clipped below 1 - clip_low (PPO)")
    clip_high: float = Field(0.28, gt=0, description="the probability ratio is clipped above 1 + clip_high (clip-higher, DAPO)")
    kl: float = Field(0.0, ge=0, description="weight of a KL term against the starting policy; 0: none")
    track_kl: bool = Field(
        True,
        description="measure the KL to the starting policy, also with kl: 0; one more forward pass over weights in main memory",
    )
    drop_zero_variance: bool = Field(
        False, description="a problem whose samples all score the same is replaced by another one before the update"
    )
    entropy: float = Field(0.0, ge=0, description="weight of an entropy bonus")
    normalize_by_std: bool = Field(True, description="divide a group's advantages by their standard deviation")
    loss: Literal["token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"] = "token-mean"
    temperature: float = Field(1.0, gt=0, description="softmax temperature of the samples")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus sampling: the smallest set of tokens with this probability")
    max_prompt_tokens: int = Field(512, ge=1, description="problems with longer prompts are left out")
    max_response_tokens: int = Field(
        512,
        ge=1,
        description="of all turns of an episode together, and of the replies between them; as the filter's max_tokens",
    )
    max_turns: int = Field(MAX_TURNS, ge=1, description="turns of the policy in an episode; as the filter's")
    save_steps: int = Field(10, ge=1, description="steps between checkpoints")
    stall_seconds: float = Field(1800.0, gt=0, description="a run that gets nowhere for so long is ended")
    min_reward_ratio: float = Field(
        0.2, ge=0, lt=1, description="a run whose mean reward falls below this share of its best is ended; 0: never"
    )
    min_entropy: float = Field(0.0, ge=0, description="and so is one whose entropy falls below this, in nats a token")
    max_zero_variance_steps: int = Field(
        20, ge=0, description="and one in which so many steps together had no problem whose samples score differently; 0: never"
    )
    max_faults: float = Field(0.5, ge=0, le=1, description="and one in which a larger share of a step's samples end in a fault")
    loggers: list[Annotated[str, Field(pattern=r"^[a-z_]+$")]] = Field(
        [], description="further trackers of verl's: wandb, tensorboard, mlflow, ..."
    )
    verl: dict[str, Any] = Field({}, description="any further settings of verl's, by their dotted names")

    def check(self) -> None:
        """The environment can be made."""
        registry.make(self.environment, **self.options).close()

    def cost(self) -> CostEstimate:
        """Every response as long as may be."""
        responses = self.steps * self.batch_size * self.samples
        return CostEstimate(
            responses, responses * self.max_response_tokens, responses * (self.max_prompt_tokens + self.max_response_tokens)
        )

    def check_links(self, earlier: Mapping[str, Stage]) -> None:
        """`keep` names a filter stage that plays the same game.

        Raises:
            UserError: it does not.
        """
        if not self.keep:
            return
        filtered = earlier.get(self.keep)
        if not isinstance(filtered, rl_filter.Filter):
            filters = ", ".join(name for name, stage in earlier.items() if isinstance(stage, rl_filter.Filter)) or "none"
            raise UserError(f"{self.name}.keep: no earlier filter stage {self.keep!r}; there are: {filters}")
        if said := rl_filter.plays_otherwise(filtered, self):
            raise UserError(said)

    def named_stages(self) -> list[str]:
        """The filter stage."""
        return [self.keep] if self.keep else []

    def reads_files(self) -> dict[str, str]:
        """The table of the problems that the filter stage kept."""
        return {self.keep: rl_filter.TABLE} if self.keep else {}
