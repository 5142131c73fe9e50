"""Pretraining in phases, each with its own budget of tokens, learning rate and mixture: FG-WSD, fine-grained warm-up, stable
and decay, shows better data later (the Nanbeige4-3B report). The same code with one mixture throughout is plain WSD.

    phases:
      - {name: warmup, tokens: 1e8, learning_rate: [0, 4.5e-4], mixture: {"*": 1}}
      - {name: diverse, tokens: 124e8, learning_rate: 4.5e-4, mixture: {"high/*, medium/*": 1}}
      - {name: high_quality, tokens: 65e8, learning_rate: 4.5e-4, mixture: {"high/*": 1}}
      - {name: decay, tokens: 40e8, learning_rate: [4.5e-4, 1.5e-6], law: cosine, context: 65536, rope_theta: 1e7, mixture: ...}

The order of the data is a function of the seed and the position (`corpus/stream.py`). Documents that lie in one row do not see
one another: positions begin again at each, and attention stays within it.
"""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy
import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ...core import UserError
from ...policies import checkpoints
from .. import figures
from ..corpus import tokens
from ..launch import processes
from ..stage import Context, CostEstimate, Metrics, Stage
from ..trainer import trainer
from ..trainer.trainer import IGNORED
from . import stream
from .schedule import LawName, Leg, learning_rate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOGGED = 1000
"""Losses that are kept of a run, about."""
EVALUATED = 16
"""Rows that are evaluated together."""


class Phase(BaseModel):
    """One phase of the training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    tokens: float = Field(gt=0, description="budget; whole steps of it are used")
    learning_rate: float | tuple[float, float] = Field(description="a rate, or where it starts and ends")
    law: LawName = Field("linear", description="how the rate goes from its start to its end")
    mixture: dict[str, float] = Field(
        min_length=1, description='shares of the tokens, by patterns of sources: {"high/*": 0.6, "medium/*, low/*": 0.4}'
    )
    context: int = Field(1024, ge=2, description="tokens of a sequence")
    rope_theta: float | None = Field(None, gt=0, description="base of the rotary positions from here on (ABF)")

    @property
    def rates(self) -> tuple[float, float]:
        """Where the learning rate starts and ends."""
        return self.learning_rate if isinstance(self.learning_rate, tuple) else (self.learning_rate, self.learning_rate)

    @model_validator(mode="after")
    def _law_fits(self) -> "Phase":
        if min(self.rates) < 0 or (self.law == "exponential" and min(self.rates) == 0):
            raise ValueError(f"law={self.law} cannot go from {self.rates[0]:g} to {self.rates[1]:g}")
        return self


class Pretrain(Stage):
    """Settings of a `pretrain` stage."""

    leaves_policy: ClassVar[bool] = True
    data_parallel: ClassVar[bool] = True
    may_change: ClassVar[frozenset[str]] = frozenset({"micro_batch_size", "save_steps", "data_workers"})

    kind: Literal["pretrain"]
    data: str = Field(description="folder of a mix stage, as in {stage:NAME}")
    phases: list[Phase] = Field(
        min_length=1, description="what is trained on, in order: each with its tokens, rates and mixture"
    )
    batch_tokens: int = Field(ge=1, description="tokens a step, a multiple of the longest context")
    micro_batch_size: int | None = Field(
        None, ge=1, description="rows of the longest context that a process passes forward at once; default: all of its share"
    )
    max_repetitions: dict[str, float] = Field(
        {"*": 4.0}, description="how often a source may be gone through in all, by patterns (4: Muennighoff et al., 2023; ours)"
    )
    weight_decay: float = Field(0.1, ge=0, description="AdamW's weight decay")
    beta2: float = Field(0.95, gt=0, lt=1, description="AdamW's decay of the second moment")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are clipped to this norm")
    save_steps: int = Field(500, ge=1, description="steps between checkpoints")
    held_out_sequences: int = Field(64, ge=0, description="of each source, for the loss on text that was not trained on")
    data_workers: int = Field(0, ge=0, description="processes that read the data, for each that trains")

    @field_validator("phases")
    @classmethod
    def _contexts_fit(cls, phases: list[Phase]) -> list[Phase]:
        longest = max(phase.context for phase in phases)
        for phase in phases:
            if longest % phase.context:
                raise ValueError(f"{phase.name}.context={phase.context} does not divide the longest context, {longest}")
        return phases

    @model_validator(mode="after")
    def _steps_fit(self) -> "Pretrain":
        if self.batch_tokens % self.row_tokens:
            raise ValueError(f"batch_tokens={self.batch_tokens} is no multiple of the longest context, {self.row_tokens}")
        for phase in self.phases:
            if phase.tokens < self.batch_tokens:
                raise ValueError(f"{phase.name}.tokens={phase.tokens:g} is less than one step of {self.batch_tokens}")
        return self

    @property
    def row_tokens(self) -> int:
        """Tokens of a row: the longest context."""
        return max(phase.context for phase in self.phases)

    @property
    def batch_size(self) -> int:
        """Rows a step."""
        return self.batch_tokens // self.row_tokens

    @property
    def legs(self) -> list[Leg]:
        """The learning rates of all phases."""
        return [Leg(round(phase.tokens / self.batch_tokens), *phase.rates, phase.law) for phase in self.phases]

    @property
    def steps(self) -> int:
        """Of all phases together."""
        return sum(leg.steps for leg in self.legs)

    def check(self) -> None:
        """The sources are there, and hold what the phases ask for."""
        self.planned(tokens.open_sources(self.data))

    def wanted(self) -> list[stream.Phase]:
        """The phases in sequences."""
        return [
            stream.Phase(phase.name, leg.steps * self.batch_tokens // phase.context, phase.context, phase.mixture)
            for phase, leg in zip(self.phases, self.legs, strict=True)
        ]

    def planned(self, sources: tokens.Sources) -> stream.Plan:
        """What each phase takes of each source."""
        return stream.plan(self.wanted(), sources, self.max_repetitions)

    def cost(self) -> CostEstimate:
        """Every phase's tokens."""
        return CostEstimate(trained_tokens=self.steps * self.batch_tokens)

    def run(self, context: Context) -> Metrics:
        """Trains, on several GPUs as a child of as many processes, and leaves the checkpoint in `policy`."""
        sources = tokens.open_sources(self.data)
        planned = self.planned(sources)
        metrics = processes.trained(self, context)
        model, _ = checkpoints.load(context.folder / "policy", torch.float32)
        model = model.to(trainer.device_of(context.cluster)).eval()
        held_out = held_out_losses(model, sources, self.row_tokens, self.held_out_sequences)
        return metrics | {"phases": _shown(self, sources, planned), "held_out": held_out}

    def train(self, context: Context) -> Metrics:
        """Trains in this process, which may be one of several that torch has joined."""
        from transformers import Trainer

        sources = tokens.open_sources(self.data)
        model, tokenizer = checkpoints.load(checkpoints.checkpoint(context.policy), torch.float32)
        if tokens.fingerprint(tokenizer) != sources.tokenizer:
            raise UserError(f"{self.name}: the tokens in {self.data} are of another tokenizer than {context.policy}'s")
        if sources.vocabulary > model.get_input_embeddings().num_embeddings:
            raise UserError(
                f"{self.name}: the tokenizer has {sources.vocabulary} tokens, and the model of {context.policy} "
                f"{model.get_input_embeddings().num_embeddings} embeddings"
            )
        for phase in self.phases:
            check_theta(model, phase.rope_theta)
        if not trainer.supports_packing(model):
            raise UserError(
                f"{self.name}: {type(model).__name__} reads on from one document into the next in a row: choose an "
                "architecture that tells them apart by their positions, as Llama and Qwen do"
            )
        rows = stream.Stream(self.wanted(), sources, self.planned(sources), context.seed)
        model.config.max_position_embeddings = max(model.config.max_position_embeddings, self.row_tokens)
        legs, peak = self.legs, max(max(phase.rates) for phase in self.phases)

        theta, steps = functools.partial(_theta, self), self.steps

        class PhasedTrainer(Trainer):
            """The phases' learning rates and bases of positions."""

            def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
                of = optimizer or self.optimizer
                self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(of, lambda step: learning_rate(legs, step) / peak)
                return self.lr_scheduler

            def train(self, *arguments: Any, **named: Any) -> Any:
                done = super().train(*arguments, **named)
                # A run that was killed after its last step takes none in which the base would be set.
                set_theta(self.accelerator.unwrap_model(self.model_wrapped), theta(steps))
                return done

            def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
                set_theta(self.accelerator.unwrap_model(model), theta(self.state.global_step))
                # Without a mask and without a cache, the model tells from the positions which tokens belong together.
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
            save_steps=self.save_steps,
            trainer=PhasedTrainer,
            train_sampling_strategy="sequential",
            learning_rate=peak,
            weight_decay=self.weight_decay,
            adam_beta2=self.beta2,
            max_grad_norm=self.max_grad_norm,
            dataloader_num_workers=self.data_workers,
            logged=LOGGED,
        )

    def summary(self, metrics: Metrics) -> str:
        """The losses at the end."""
        held_out = "".join(f", {name} {figures['loss']:.3f}" for name, figures in metrics["held_out"].items())
        return f"{metrics['steps']} steps, loss {metrics['loss']:.3f}; held out{held_out[1:] or ' nothing'}"

    def figure(self, metrics: Metrics) -> "Figure":
        """The loss over the steps."""
        return figures.losses(metrics["losses"])

    def tables(self, metrics: Metrics) -> str:
        """A row a phase and source."""
        rows = [
            (phase["name"], phase["steps"], source, count, f"{phase['passes'][source]:.2f}")
            for phase in metrics["phases"]
            for source, count in phase["tokens"].items()
        ]
        return figures.table(("phase", "steps", "source", "tokens", "passes by its end"), rows)


def batch_of(rows: Sequence[tuple[numpy.ndarray, int]], end: int) -> dict[str, torch.Tensor]:
    """A batch for the model: each document's positions begin at 0, and the label of its first token is masked.

    Args:
        rows: tokens, (row_tokens,), and how long the sequences are that lie in the row side by side.
        end: the end-of-text token.

    Returns:
        input_ids, position_ids and labels, (rows, row_tokens) each.
    """
    ids = torch.as_tensor(numpy.stack([row for row, _ in rows]))
    lengths = torch.tensor([length for _, length in rows])[:, None]
    places = torch.arange(ids.shape[1]).expand_as(ids)
    begins = places % lengths == 0
    begins[:, 1:] |= ids[:, :-1] == end
    positions = places - (places * begins).cummax(dim=1).values
    return {"input_ids": ids, "position_ids": positions, "labels": ids.masked_fill(begins, IGNORED)}


def _theta(settings: Pretrain, step: int) -> float | None:
    """The base of the rotary positions at a step; None where no phase so far has set one."""
    theta = None
    for phase, leg in zip(settings.phases, settings.legs, strict=True):
        theta = phase.rope_theta or theta
        if step < leg.steps:
            break
        step -= leg.steps
    return theta


def set_theta(model: Any, theta: float | None) -> None:
    """Gives a model's rotary positions another base ("adjusted base frequency", Xiong et al., 2023); None leaves it as it is.

    Raises:
        UserError: see `check_theta`.
    """
    check_theta(model, theta)
    if theta is None or model.config.rope_parameters["rope_theta"] == theta:
        return
    model.config.rope_parameters["rope_theta"] = theta
    for module in model.modules():
        if hasattr(module, "inv_freq"):
            frequencies, _ = module.compute_default_rope_parameters(model.config, module.inv_freq.device)
            module.inv_freq.copy_(frequencies)
            module.original_inv_freq = module.inv_freq.clone()


def check_theta(model: Any, theta: float | None) -> None:
    """Whether a model's positions can be given that base.

    Raises:
        UserError: the model has no rotary positions of one base, or scales them in another way.
    """
    if theta is None:
        return
    positions = getattr(model.config, "rope_parameters", None) or {}
    if "rope_theta" not in positions:
        raise UserError(f"rope_theta cannot be set: {type(model).__name__} has no rotary positions of one base")
    if positions["rope_theta"] != theta and positions["rope_type"] != "default":
        raise UserError(f"rope_theta cannot be set: this model's positions are of the type {positions['rope_type']}")


def _shown(settings: Pretrain, sources: tokens.Sources, planned: stream.Plan) -> list[dict[str, Any]]:
    """What each phase saw of each source, in tokens, and how often it had gone through it by then."""
    shown = []
    for phase, leg, parts in zip(settings.phases, settings.legs, planned, strict=True):
        seen = {part.source: part.sequences * phase.context for part in parts}
        through = {
            part.source: round((part.before + part.sequences * phase.context / part.piece) / part.of, 3)
            for part in parts
            if part.of
        }
        shown.append({"name": phase.name, "steps": leg.steps, "tokens": seen, "passes": through})
    return shown


def held_out_losses(model: Any, sources: tokens.Sources, length: int, most: int) -> dict[str, dict[str, float]]:
    """The mean loss a token on what was held out of each source: {source: {loss, tokens}}.

    Args:
        model: where it is to run.
        sources: what `mix` left.
        length: of the sequences.
        most: sequences of a source, the first ones.
    """
    losses = {}
    for source in sources.held_out:
        data = tokens.mapped(tokens.file_of(sources.folder, source, held_out=True), sources.dtype)
        whole = len(data) // length * length
        rows = [(row.astype(numpy.int64), length) for row in data[:whole].reshape(-1, length)[:most]]
        total = count = 0.0
        for first in range(0, len(rows), EVALUATED):
            batch = batch_of(rows[first : first + EVALUATED], sources.end)
            known = int((batch["labels"][:, 1:] != IGNORED).sum())
            with torch.inference_mode():
                loss = model(**{name: tensor.to(model.device) for name, tensor in batch.items()}, use_cache=False).loss
            total, count = total + float(loss) * known, count + known
        if count:
            losses[source] = {"loss": total / count, "tokens": count}
    return losses
