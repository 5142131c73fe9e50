"""The `distill` stage: dual preference distillation (DPD).

The student learns the teacher's distributions on the teacher's correct responses (chosen) and on its own bad responses
(rejected), and it learns to prefer the chosen response:

    loss = nll x NLL(chosen)                               as in supervised fine-tuning
         + kd_positive x KL at the chosen response's tokens
         + kd_negative x KL at the rejected response's tokens
         + dpo x -log sigmoid(beta (margin - reference margin))    margin = log p(chosen) - log p(rejected)

By default kd_positive is 1, kd_negative and dpo are 0.1, and nll is 0. With equal weights the student's score is lower than
after supervised fine-tuning. With the defaults the score is about equal, and confident errors become rarer (`tenfold run
ablations/dpd_weights`). A confident error is a token of a rejected response that is likely for the student and unlikely for the
teacher (`responses.py`).

NLL and KL are means over a response's tokens, then over the pairs. log p is a sum over a response's tokens. The reference
margin is that of the initial policy. Source of the KL terms and the margin: the Nanbeige4-3B report. It does not state the
weights, the direction of the divergence, the temperature, top-k and beta; these defaults are our choice. With some weights at 0
the stage is fine-tuning, distillation or DPO (Rafailov et al., 2023) alone.

The logits are computed for a few tokens at a time (`chunked_loss.py`). The reference log-probabilities of the pairs that the
steps use are computed once, if `dpo` is positive. The teacher's distributions are computed during training, by a teacher whose
layers are sharded over the processes. With `cache_teacher` they are computed once before it, each process computes a part, and
only the top k tokens and their log-probabilities are stored. The sum of all other probabilities follows from them.

Before the first step the policy equals the reference, so every margin must equal its reference margin exactly. For this, the
reference is computed in the precision and in the batches of the training. Every pass has the same pairs in each batch, and with
`dpo` the policy trains without dropout.
"""

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy
import torch
from pydantic import Field, field_validator, model_validator

from ...core import UserError
from ...policies import checkpoints
from .. import figures
from ..launch import processes
from ..launch.nodes import release
from ..stage import Context, CostEstimate, Metrics, OtherPolicy
from ..trainer import chunked_loss, limited_logits, lora, recomputation, trainer
from ..trainer.settings import Training
from . import pairs as stored_pairs
from . import responses
from .fixed_batches import FixedBatches
from .sample_pairs import PAIRS, check_same_vocabulary, named_checkpoint
from .stored_arrays import Progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from transformers import PreTrainedModel

TERMS = ("nll", "kd_positive", "kd_negative", "dpo", "preferred")
"""Logged metrics: the terms of the loss before weighting, and the share of pairs with a margin above the reference margin."""


class Distill(Training):
    """Settings of a `distill` stage. Its `policy` is the student."""

    may_change: ClassVar[frozenset[str]] = frozenset(
        {"micro_batch_size", "save_steps", "keep_checkpoints", "gradient_checkpointing", "chunk_tokens"}
    )

    kind: Literal["distill"]
    pairs: str = Field(description="folder of a sample_pairs stage, as in {stage:NAME}")
    teacher: str = Field(description="URI of the teacher; it must have the student's vocabulary")
    nll: float = Field(0.0, ge=0, description="weight of the negative log-likelihood of the chosen response")
    kd_positive: float = Field(1.0, ge=0, description="weight of the KL divergence at the chosen response's tokens")
    kd_negative: float = Field(0.1, ge=0, description="weight of the KL divergence at the rejected response's tokens")
    dpo: float = Field(0.1, ge=0, description="weight of the DPO term")
    beta: float = Field(0.1, gt=0, description="factor of the margin in the DPO term")
    direction: chunked_loss.Direction = Field(
        "forward",
        description="forward: KL(teacher || student), mode-covering; reverse: KL(student || teacher), mode-seeking",
    )
    temperature: float = Field(1.0, gt=0, description="softmax temperature of both distributions in the KL terms")
    top_k: int | None = Field(
        None, ge=1, description="number of the teacher's most likely tokens to use; all others are summed; default: all tokens"
    )
    cache_teacher: bool = Field(
        False, description="compute the teacher's top_k once before training, and then move the teacher off the accelerator"
    )
    batch_size: int = Field(32, ge=1, description="pairs per step")
    micro_batch_size: int | None = Field(
        None, ge=1, description="pairs per process and forward pass; default: the process's whole share of the batch"
    )
    learning_rate: float = Field(1e-6, gt=0, description="peak learning rate")
    max_tokens: int = Field(
        4096, ge=2, description="longest response with its prompt, in tokens; pairs with a longer one are left out"
    )
    held_out: float = Field(0.1, ge=0, lt=1, description="share of the problems whose pairs are held out for measurement")
    held_out_pairs: int = Field(1000, ge=1, description="maximum number of held-out pairs to measure on")
    chunk_tokens: int = Field(chunked_loss.CHUNK, ge=1, description="tokens whose logits are in memory at once")

    @field_validator("teacher")
    @classmethod
    def _is_a_checkpoint(cls, teacher: str) -> str:
        return named_checkpoint(teacher, teacher)

    @model_validator(mode="after")
    def _has_a_loss(self) -> "Distill":
        if not (self.nll or self.kd_positive or self.kd_negative or self.dpo):
            raise ValueError("nll, kd_positive, kd_negative and dpo are all 0; give at least one a positive weight")
        if self.cache_teacher and not self.top_k:
            raise ValueError("cache_teacher: true needs top_k, because whole distributions are too large to store; set top_k")
        return self

    def check(self) -> None:
        """Checks that the teacher exists."""
        checkpoints.checkpoint(self.teacher)

    def cost(self) -> CostEstimate:
        """Returns an upper limit: every response has `max_tokens`. The reference and the teacher see each response once."""
        tokens = 2 * self.steps * self.batch_size * self.max_tokens
        teacher = OtherPolicy(self.teacher, forward_tokens=tokens)
        return CostEstimate(
            trained_tokens=tokens,
            training_length=self.max_tokens,
            forward_tokens=tokens,
            others=(teacher,) if self.kd_positive or self.kd_negative else (),
            written_bytes=tokens * (self.top_k or 0) * responses.STORED_BYTES if self.cache_teacher else 0,
        )

    def prepared_bytes(self) -> float:
        """Returns the size of the file of pairs, if it exists; see `Training`.

        A shard has at most 5 bytes for a token, and the file more: its id and its mask, each with a comma and a space.
        """
        path = Path(self.pairs) / PAIRS
        return float(path.stat().st_size) if path.is_file() else 0.0

    def run(self, context: Context) -> Metrics:
        """Trains the student with one process per GPU, writes it to `policy` and measures it on the held-out pairs."""
        metrics = processes.train_in_processes(self, context)
        return metrics | {"held_out": _measured(self, context)}

    def train(self, context: Context) -> Metrics:
        """Trains in this process, which may be one of several data-parallel processes."""
        device = trainer.processes(context.cluster).device
        uses_teacher = self.kd_positive or self.kd_negative
        context.waits("for the policy and the teacher to load")
        model, tokenizer = trainer.load(checkpoints.checkpoint(context.policy))
        teacher, teacher_tokenizer = trainer.load(checkpoints.checkpoint(self.teacher))
        check_same_vocabulary(tokenizer, teacher_tokenizer, self.teacher)
        model = lora.with_adapter(model, self.lora, context.seed)
        model.to(device)
        teacher.requires_grad_(False).eval()
        if uses_teacher and not self.cache_teacher:
            trainer.shard_layers(teacher, context.cluster)
        teacher.to(device)
        shards = trainer.by_main_process(context.cluster, lambda: _shards(self, context))
        pairs, held_out = map(stored_pairs.Pairs, shards)
        left_out = pairs.left_out()
        if not pairs:
            raise UserError(
                f"{self.name}: {self.pairs} has no pair for training within max_tokens={self.max_tokens}; raise max_tokens or "
                "sample more pairs"
            )
        pairs = pairs.shuffled(context.seed)
        reader = _reader(self, context, model, teacher)
        for each in (model, teacher):
            reader.check(each)
        if self.top_k and self.top_k > reader.vocabulary:
            raise UserError(
                f"{self.name}: top_k={self.top_k} is more than the vocabulary's {reader.vocabulary} tokens; lower it"
            )
        if max(pairs.largest(), held_out.largest()) >= reader.vocabulary:
            raise UserError(
                f"{self.name}: {self.pairs} has tokens that the student's vocabulary does not have; sample the pairs with this "
                "student and teacher"
            )

        def show(name: str, done: int, total: int) -> None:
            context.progress(0, self.steps, **{name: f"{done} of {total} pairs"})

        rows = _with_reference(self, context, reader, model, pairs, functools.partial(show, "reference"))
        stored = None
        if uses_teacher and self.cache_teacher:
            assert self.top_k is not None
            progress = functools.partial(show, "teacher")
            stored = responses.stored_top_k(reader, teacher, pairs, self.top_k, self.temperature, context.folder, progress)
        if stored or not uses_teacher:
            teacher.to("cpu")

        def distributions(inputs: responses.Inputs) -> chunked_loss.Dense | chunked_loss.TopK | None:
            if not uses_teacher:
                return None
            return stored.of(inputs) if stored else reader.distributions(teacher, inputs, self.top_k, self.temperature)

        without_dropout = recomputation.without_dropout(model) if self.dpo else None

        def forward_and_loss(inputs: responses.Inputs) -> tuple[torch.Tensor, dict[str, float]]:
            if without_dropout:
                without_dropout()  # as for the reference; the Trainer resets the mode before each step
            targets = reader.targets(model, inputs)
            with torch.autocast(device.type, enabled=False):  # autocast is for the layers before the head
                return loss(targets, reader.head(model), inputs, self, distributions(inputs))

        # DDP and FSDP only manage parameters that are used inside the model's forward, so the loss is computed there. The
        # argument is a function, because FSDP would round tensor arguments to the precision of the weights. FSDP rounds the
        # returned sum, which is harmless, because its gradient is 1.
        model.forward = lambda compute: compute()
        metrics = trainer.fit(
            model,
            tokenizer,
            context,
            rows,
            responses.collate,
            **trainer.fit_arguments(self),
            trainer=_trainer(self, forward_and_loss, context.seed),
            figures=TERMS,
            seed=context.seed,
            data_seed=context.seed,
        )
        return metrics | {"pairs": len(pairs), "left_out": left_out}

    def comparable(self, metrics: Metrics) -> dict[str, float]:
        """Returns the values on the held-out pairs after training; see `responses.compared`."""
        after = metrics["held_out"].get("after", {})
        return {f"held-out {name.replace('_', ' ')}": value for name, value in after.items() if value is not None}

    def summary(self, metrics: Metrics) -> str:
        """Returns the final loss, and the held-out probability of confident errors before and after training."""
        held_out, errors = metrics["held_out"], ""
        if held_out and held_out["confident_errors"]:
            before, after = (held_out[when]["confident_errors"] for when in ("before", "after"))
            errors = f"; probability of {held_out['confident_errors']} held-out confident errors {before:.2f} -> {after:.2f}"
        return f"{metrics['steps']} steps on {metrics['pairs']} pairs, loss {metrics['loss']:.3f}{errors}"

    def figure(self, metrics: Metrics) -> "Figure":
        """Returns the curves of the loss and its terms."""
        logged = {name: points for name, points in ({"loss": metrics["losses"]} | metrics["figures"]).items() if points}
        values = {name: [value for _, value in points] for name, points in logged.items()}
        return figures.line_plots(values, [step for step, _ in metrics["losses"]])


def _shards(settings: Distill, context: Context) -> stored_pairs.Prepared:
    """See `pairs.prepare`."""

    def progress(done: int, total: int) -> None:
        context.progress(0, settings.steps, read=f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB of pairs")

    run = context.folder.resolve().parent
    return stored_pairs.prepare(Path(settings.pairs) / PAIRS, settings.max_tokens, settings.held_out, run, progress)


def _reader(settings: Distill, context: Context, *models: "PreTrainedModel") -> responses.ModelReader:
    """Returns a `ModelReader` limited to the vocabulary rows that the output heads of all models have."""
    batch = max(1, trainer.rows_together(settings.max_tokens) // 2)
    precision = trainer.dtype_of(settings.precision, context.cluster)
    return responses.ModelReader(min(map(limited_logits.head_rows, models)), settings.chunk_tokens, batch, precision)


def _measured(settings: Distill, context: Context) -> Metrics:
    """Returns the metrics on the held-out pairs; empty without such pairs."""
    held_out = stored_pairs.Pairs(_shards(settings, context).held_out).sample(settings.held_out_pairs)
    if not held_out:
        return {}
    release()  # the memory of the training
    uris = (settings.teacher, context.policy, f"path:{context.folder / 'policy'}")
    models = [trainer.load(checkpoints.checkpoint(uri))[0] for uri in uris]
    reader = _reader(settings, context, *models)
    log_probs: list[list[torch.Tensor]] = []

    def progress(done: int) -> None:
        context.progress(len(log_probs) * len(held_out) + done, len(models) * len(held_out))

    for model in models:  # one at a time on the accelerator
        log_probs.append(reader.token_log_probs(model.to(trainer.device_of(context.cluster)), held_out, progress))
        model.to("cpu")
    return responses.compared(held_out, *log_probs)


def _with_reference(
    settings: Distill,
    context: Context,
    reader: responses.ModelReader,
    model: "PreTrainedModel",
    pairs: stored_pairs.Pairs,
    progress: Progress,
) -> stored_pairs.WithReference:
    """See `responses.with_reference`. Uses the precision of the training. Without `dpo` all values are NaN."""
    if not settings.dpo:
        return stored_pairs.WithReference(pairs, numpy.full((len(pairs), 2), numpy.nan, numpy.float32))
    state, precision = trainer.processes(context.cluster), reader.precision
    if precision != torch.float32 and state.num_processes > 1:
        # FSDP gathers all weights, the head included, in the precision of the layers.
        model = copy.deepcopy(model)
        for weights in model.parameters():
            weights.data = weights.data.to(precision)
    return responses.with_reference(
        reader,
        model,
        pairs,
        context.folder,
        progress,
        FixedBatches(len(pairs), settings.batch_size, context.seed).first(settings.steps),
        micro_batch=settings.micro_batch_size or max(1, settings.batch_size // state.num_processes),
    )


def _trainer(
    settings: Distill, forward_and_loss: Callable[[responses.Inputs], tuple[torch.Tensor, dict[str, float]]], seed: int
) -> type:
    """Returns a Trainer class with this loss. It logs the loss's terms and has the same batches in every pass."""
    from transformers import Trainer

    class DPDTrainer(Trainer):
        terms: ClassVar[list[dict[str, float]]] = []
        """Terms of the loss since the last log."""

        def get_train_dataloader(self) -> torch.utils.data.DataLoader[stored_pairs.Pair]:
            loader = super().get_train_dataloader()
            # If several processes resume within a pass, accelerate calls `set_epoch` only for a sampler that was set like this.
            loader.set_sampler(FixedBatches(len(self.train_dataset), settings.batch_size, seed))
            return loader

        def compute_loss(
            self,
            model: Callable[..., tuple[torch.Tensor, dict[str, float]]],
            inputs: responses.Inputs,
            return_outputs: bool = False,
            num_items_in_batch: object = None,
        ) -> torch.Tensor:
            total, terms = model(lambda: forward_and_loss(inputs))
            if not torch.isfinite(total):
                each = ", ".join(f"{name} {value:g}" for name, value in terms.items())
                raise UserError(
                    f"{settings.name}: the loss of step {self.state.global_step + 1} is {total:g} ({each}); lower the "
                    "learning_rate or beta in a new run"
                )
            self.terms.append(terms)
            return total

        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            if "loss" in logs and self.terms:
                means = torch.tensor([list(terms.values()) for terms in self.terms], device=self.args.device).mean(0)
                logs = logs | dict(zip(self.terms[0], self.accelerator.reduce(means, "mean").tolist(), strict=True))
                self.terms.clear()
            super().log(logs, *args, **kwargs)

    return DPDTrainer


def loss(
    targets: responses.Targets,
    head: chunked_loss.Head,
    inputs: responses.Inputs,
    settings: Distill,
    teacher: chunked_loss.Dense | chunked_loss.TopK | None,
) -> tuple[torch.Tensor, dict[str, float]]:
    """Returns the loss of a batch of pairs, and its terms before weighting.

    Args:
        targets: tokens of the responses, with the student's hidden states.
        head: the student's head.
        inputs: the batch; see `responses.collate`.
        settings: weights and other settings of the loss.
        teacher: the teacher's distributions at the tokens; None if no term uses them.
    """
    hidden, labels, row, length = targets
    hidden, pairs = hidden.to(head.weight.dtype), len(length) // 2
    chosen = row < pairs  # the chosen responses come first
    share = 1 / (length[row] * pairs)
    nll = settings.nll * share * chosen
    terms: dict[str, float] = {}
    if settings.dpo:
        log_probs = chunked_loss.log_probs(hidden, head, labels, settings.chunk_tokens)
        gains = responses.response_log_probs(log_probs, length) - inputs["reference"]
        margin = settings.beta * (gains[:pairs] - gains[pairs:])
        terms["dpo"] = float(-torch.nn.functional.logsigmoid(margin).mean())
        terms["preferred"] = float((margin > 0).float().mean())
        # The gradient of -log sigmoid(margin) is that of a sum of negative log-likelihoods with these weights.
        weight = settings.dpo * settings.beta * torch.sigmoid(-margin) / pairs
        nll = nll + torch.cat([weight, -weight])[row]
    weights = torch.where(chosen, settings.kd_positive, settings.kd_negative) * share if teacher is not None else None
    found = chunked_loss.weighted(
        hidden, head, labels, nll, weights, teacher, settings.direction, settings.temperature, settings.chunk_tokens
    )
    terms["nll"] = float((found.nll * share * chosen).sum())
    if teacher is not None:
        terms["kd_positive"] = float((found.kl * share * chosen).sum())
        terms["kd_negative"] = float((found.kl * share * ~chosen).sum())
    value = sum(getattr(settings, name) * terms[name] for name in ("nll", "dpo", "kd_positive", "kd_negative") if name in terms)
    return found.total + (value - found.total.detach()), terms
