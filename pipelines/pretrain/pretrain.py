"""The `pretrain` stage: training in phases, each with its own tokens, learning rate and mixture of sources.

With mixtures of better data in later phases this is FG-WSD, fine-grained warmup-stable-decay (the Nanbeige4-3B report).
With one mixture in all phases it is plain WSD.

    phases:
      - {name: warmup, tokens: 1e8, learning_rate: [0, 4.5e-4], mixture: {"*": 1}}
      - {name: diverse, tokens: 124e8, learning_rate: 4.5e-4, mixture: {"high/*, medium/*": 1}}
      - {name: high_quality, tokens: 65e8, learning_rate: 4.5e-4, mixture: {"high/*": 1}}
      - {name: decay, tokens: 40e8, learning_rate: [4.5e-4, 1.5e-6], schedule: cosine, context: 65536, rope_theta: 1e7,
         mixture: ...}

The order of the data depends only on the seed and the position (`pretrain/stream.py`). Documents in one row are independent:
position ids restart at each document, and attention does not cross documents.
"""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypedDict

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ...core import UserError
from ...policies import checkpoints
from .. import figures
from ..cluster import Cluster
from ..corpus import tokens
from ..launch import processes
from ..stage import Context, CostEstimate, Extension, Metrics, Stage
from ..trainer import limited_logits, recomputation, trainer
from ..trainer.settings import KEEP_CHECKPOINTS, PRECISION, Precision, check_batch, is_none
from . import held_out, stream
from .batch import batch_of
from .rotary import check_theta, set_theta
from .schedule import ScheduleName, Segment, learning_rate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_LOGGED_LOSSES = 1000
"""Approximate number of losses that are stored for a run. Our choice."""


class PhaseSettings(BaseModel):
    """Settings of one phase of the training."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    tokens: float = Field(gt=0, description="number of tokens; rounded to a whole number of steps")
    learning_rate: float | tuple[float, float] = Field(description="constant learning rate, or [start, end]")
    schedule: ScheduleName = Field("linear", description="curve of the learning rate between start and end")
    mixture: dict[str, Annotated[float, Field(ge=0)]] = Field(
        min_length=1, description='shares of the tokens, by pattern of sources: {"high/*": 0.6, "medium/*, low/*": 0.4}'
    )
    context: int = Field(1024, ge=2, description="tokens per sequence")
    rope_theta: float | None = Field(
        None, gt=0, description="base of the rotary position embedding from this phase on (ABF); default: unchanged"
    )

    @property
    def rates(self) -> tuple[float, float]:
        """The learning rate at the start and at the end."""
        return self.learning_rate if isinstance(self.learning_rate, tuple) else (self.learning_rate, self.learning_rate)

    @model_validator(mode="after")
    def _schedule_fits(self) -> "PhaseSettings":
        if min(self.rates) < 0:
            raise ValueError(f"learning_rate={min(self.rates):g} is negative; use 0 or more")
        if self.schedule == "exponential" and min(self.rates) == 0:
            raise ValueError(
                f"schedule={self.schedule} is not defined from {self.rates[0]:g} to {self.rates[1]:g}; use another schedule"
            )
        return self


class Pretrain(Stage):
    """Settings of a `pretrain` stage."""

    writes_policy: ClassVar[bool] = True
    data_parallel: ClassVar[bool] = True
    may_change: ClassVar[frozenset[str]] = frozenset(
        {"micro_batch_size", "save_steps", "keep_checkpoints", "gradient_checkpointing", "data_workers"}
    )

    kind: Literal["pretrain"]
    data: str = Field(description="folder of a mix stage, as in {stage:NAME}")
    phases: list[PhaseSettings] = Field(
        min_length=1, description="the phases in order, each with its tokens, learning rate and mixture"
    )
    batch_tokens: int = Field(ge=1, description="tokens per step, a multiple of the longest context")
    micro_batch_size: int | None = Field(
        None,
        ge=1,
        description="rows of the longest context per forward pass and process; default: all rows of the process",
    )
    max_passes: dict[str, float] = Field(
        {"*": 4.0},
        description="maximum number of passes over a source, by pattern (4: our choice after Muennighoff et al., 2023)",
    )
    weight_decay: float = Field(0.1, ge=0, description="weight decay of AdamW")
    beta2: float = Field(0.95, gt=0, lt=1, description="decay rate of AdamW's second moment")
    max_grad_norm: float = Field(1.0, gt=0, description="maximum norm of the gradient, by clipping")
    gradient_checkpointing: bool = Field(False, description=recomputation.DESCRIPTION)
    precision: Precision = Field(None, description=PRECISION, exclude_if=is_none)
    save_steps: int = Field(500, ge=1, description="steps between checkpoints")
    keep_checkpoints: int = Field(1, ge=0, description=KEEP_CHECKPOINTS)
    held_out_sequences: int = Field(64, ge=0, description="held-out sequences per source for the evaluation; 0: none")
    held_out_data: str | None = Field(
        None, description="folder of the mix stage with the held-out tokens; default: that of data", exclude_if=is_none
    )
    data_workers: int = Field(0, ge=0, description="data loading processes per training process")

    @field_validator("phases")
    @classmethod
    def _contexts_fit(cls, phases: list[PhaseSettings]) -> list[PhaseSettings]:
        longest = max(phase.context for phase in phases)
        for phase in phases:
            if longest % phase.context:
                raise ValueError(
                    f"{phase.name}.context={phase.context} does not divide the longest context, {longest}; change one"
                )
        return phases

    @model_validator(mode="after")
    def _steps_fit(self) -> "Pretrain":
        if self.batch_tokens % self.row_tokens:
            raise ValueError(f"batch_tokens={self.batch_tokens} is not a multiple of the longest context, {self.row_tokens}")
        if not self.peak:
            raise ValueError("learning_rate is 0 in all phases; give one a positive rate")
        for phase in self.phases:
            if phase.tokens < self.batch_tokens:
                raise ValueError(
                    f"{phase.name}.tokens={phase.tokens:g} is less than batch_tokens={self.batch_tokens}, one step"
                )
        return self

    @property
    def row_tokens(self) -> int:
        """Tokens per row: the longest context."""
        return max(phase.context for phase in self.phases)

    @property
    def batch_size(self) -> int:
        """Rows per step."""
        return self.batch_tokens // self.row_tokens

    @property
    def segments(self) -> list[Segment]:
        """The learning rate schedule: one segment per phase."""
        return [Segment(round(phase.tokens / self.batch_tokens), *phase.rates, phase.schedule) for phase in self.phases]

    @property
    def steps(self) -> int:
        """Number of steps of all phases."""
        return sum(segment.steps for segment in self.segments)

    @property
    def peak(self) -> float:
        """The largest learning rate."""
        return max(max(phase.rates) for phase in self.phases)

    def extension(self, before: Mapping[str, Any]) -> Extension | None:
        """Returns how the stage continues with further phases. A longer phase would have another order of the data.

        The optimizer's base rate is the peak, and sources are shuffled in pieces that depend on the contexts of all phases.
        Therefore the peak must be unchanged, and all phases must have the same context.
        """
        earlier = Pretrain.model_validate(before)
        added = self.phases[len(earlier.phases) :]
        same = self.phases[: len(earlier.phases)] == earlier.phases and self.peak == earlier.peak
        if not added or not same or len({phase.context for phase in self.phases}) > 1:
            return None
        return Extension(earlier.steps, frozenset({"phases", "max_passes"}))

    def check_cluster(self, cluster: Cluster) -> None:
        """Checks that batches can be split. See `Stage.check_cluster`."""
        check_batch(self.batch_size, self.micro_batch_size, cluster.world)

    def check(self) -> None:
        """Checks that the sources exist and have the tokens that the phases need."""
        sources = tokens.open_sources(self.data)
        self.plan(sources)
        held_out.open_sources(self.held_out_data, sources)

    def stream_phases(self) -> list[stream.Phase]:
        """Returns the phases with their sizes in sequences."""
        return [
            stream.Phase(phase.name, segment.steps * self.batch_tokens // phase.context, phase.context, phase.mixture)
            for phase, segment in zip(self.phases, self.segments, strict=True)
        ]

    def plan(self, sources: tokens.Sources) -> stream.Plan:
        """Returns how many sequences each phase takes from each source."""
        return stream.plan(self.stream_phases(), sources, self.max_passes)

    def cost(self) -> CostEstimate:
        """Returns the number of training tokens of all phases."""
        trained = self.steps * self.batch_tokens
        attended = sum(
            part.steps * self.batch_tokens * phase.context for part, phase in zip(self.segments, self.phases, strict=True)
        )
        return CostEstimate(trained_tokens=trained, training_length=attended / trained)

    def run(self, context: Context) -> Metrics:
        """Trains, in one process per GPU if there are several, evaluates, and writes the checkpoint to `policy`."""
        sources = tokens.open_sources(self.data)
        planned = self.plan(sources)
        metrics = processes.train_in_processes(self, context)
        model, _ = trainer.load(context.folder / "policy")
        model = model.to(trainer.device_of(context.cluster)).eval()
        limited_logits.limit_logits(model)
        measured = held_out.open_sources(self.held_out_data, sources)
        losses = held_out.losses_of(model, measured, self.row_tokens, self.held_out_sequences)
        return metrics | {"phases": _phase_metrics(self, sources, planned), "held_out": losses}

    def train(self, context: Context) -> Metrics:
        """Trains in this process, which may be one of several in a torch process group."""
        from transformers import Trainer

        context.waits()
        sources = tokens.open_sources(self.data)
        model, tokenizer = trainer.load(checkpoints.checkpoint(context.policy))
        if tokens.fingerprint(tokenizer) != sources.tokenizer:
            raise UserError(
                f"{self.name}: the tokens in {self.data} were made with another tokenizer than that of {context.policy}; "
                "set the mix stage's policy to the same one"
            )
        if sources.vocabulary > model.get_input_embeddings().num_embeddings:
            raise UserError(
                f"{self.name}: the tokenizer has {sources.vocabulary} tokens, but the model of {context.policy} has only "
                f"{model.get_input_embeddings().num_embeddings} embeddings; use another model"
            )
        for phase in self.phases:
            check_theta(model, phase.rope_theta)
        if not trainer.supports_packing(model):
            raise UserError(
                f"{self.name}: {type(model).__name__} cannot separate documents within a row; use an architecture that "
                "separates them by position ids, such as Llama or Qwen"
            )
        rows = stream.Stream(self.stream_phases(), sources, self.plan(sources), context.seed)
        model.config.max_position_embeddings = max(model.config.max_position_embeddings, self.row_tokens)
        limited_logits.limit_logits(model)
        segments, peak = self.segments, self.peak

        theta, steps = functools.partial(_theta, self), self.steps

        class PhasedTrainer(Trainer):
            """A trainer with the learning rates and rotary bases of the phases."""

            def create_scheduler(
                self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
            ) -> torch.optim.lr_scheduler.LRScheduler:
                self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                    optimizer or self.optimizer, lambda step: learning_rate(segments, step) / peak
                )
                return self.lr_scheduler

            def train(self, *arguments: Any, **named: Any) -> Any:
                output = super().train(*arguments, **named)
                # Needed if the run was killed after its last step, because then no training step sets the base.
                set_theta(self.accelerator.unwrap_model(self.model_wrapped), theta(steps))
                return output

            def training_step(
                self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None
            ) -> torch.Tensor:
                set_theta(self.accelerator.unwrap_model(model), theta(self.state.global_step))
                # Without an attention mask and a cache, transformers separates the documents by their position ids.
                return super().training_step(model, {**inputs, "use_cache": False}, num_items_in_batch)

        return trainer.fit(
            model,
            tokenizer,
            context,
            rows,
            functools.partial(batch_of, end=sources.end),
            steps=self.steps,
            batch_size=self.batch_size,
            micro_batch_size=self.micro_batch_size,
            gradient_checkpointing=self.gradient_checkpointing,
            precision=self.precision,
            save_steps=self.save_steps,
            keep_checkpoints=self.keep_checkpoints,
            trainer=PhasedTrainer,
            train_sampling_strategy="sequential",
            learning_rate=peak,
            weight_decay=self.weight_decay,
            adam_beta2=self.beta2,
            max_grad_norm=self.max_grad_norm,
            dataloader_num_workers=self.data_workers,
            logged=MAX_LOGGED_LOSSES,
        )

    def comparable(self, metrics: Metrics) -> dict[str, float]:
        """Returns the losses on held-out data."""
        return {f"loss on {name}": values["loss"] for name, values in metrics["held_out"].items()}

    def summary(self, metrics: Metrics) -> str:
        """Returns the losses at the end of the training."""
        held_out = "".join(f", {name} {values['loss']:.3f}" for name, values in metrics["held_out"].items())
        return f"{metrics['steps']} steps, loss {metrics['loss']:.3f}; held-out loss:{held_out[1:] or ' none'}"

    def figure(self, metrics: Metrics) -> "Figure":
        """Returns a plot of the loss over the steps."""
        return figures.loss_plot(metrics["losses"])

    def tables(self, metrics: Metrics) -> str:
        """Returns a table with a row per phase and source."""
        rows = [
            (phase["name"], phase["steps"], source, count, f"{phase['passes'][source]:.2f}")
            for phase in metrics["phases"]
            for source, count in phase["tokens"].items()
        ]
        return figures.table(("phase", "steps", "source", "tokens", "passes by the end of the phase"), rows)


def _theta(settings: Pretrain, step: int) -> float | None:
    """Returns the rotary base at a step, or None if no phase so far sets one."""
    theta = None
    for phase, segment in zip(settings.phases, settings.segments, strict=True):
        theta = phase.rope_theta or theta
        if step < segment.steps:
            break
        step -= segment.steps
    return theta


class PhaseMetrics(TypedDict):
    """What a phase was trained on."""

    name: str
    steps: int
    tokens: dict[str, int]
    """Tokens by source."""
    passes: dict[str, float]
    """Passes over each source since the start of the training, at the end of the phase."""


def _phase_metrics(settings: Pretrain, sources: tokens.Sources, planned: stream.Plan) -> list[PhaseMetrics]:
    """Returns the tokens and passes of each phase."""
    rows: list[PhaseMetrics] = []
    for phase, segment, parts in zip(settings.phases, settings.segments, planned, strict=True):
        trained = {part.source: part.sequences * phase.context for part in parts}
        passes = {
            part.source: round((part.first_piece + trained[part.source] / part.piece_tokens) / part.pieces, 3)
            for part in parts
            if part.pieces
        }
        rows.append({"name": phase.name, "steps": segment.steps, "tokens": trained, "passes": passes})
    return rows
