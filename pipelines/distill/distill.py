"""DPD, dual preference distillation: the student learns what the teacher would say, over the teacher's right responses
and over its own wrong ones, and to prefer the first to the second.

    loss = nll x NLL(chosen)                          the chosen response, as supervised fine-tuning would learn it
         + kd_positive x KL over the chosen's tokens       the teacher's distribution at each of them
         + kd_negative x KL over the rejected's tokens     what the teacher would have said where the student went wrong
         + dpo x -log sigmoid(beta (margin - margin of the start))    margin = log p(chosen) - log p(rejected)

NLL and KL are means over a response's tokens, then over the pairs; log p is a sum over a response's tokens. The two KL terms
and the margin are the Nanbeige4-3B report's; their weights, the divergence's direction, temperature, top-k and beta it leaves
open: the defaults are ours. With some weights 0 it is fine-tuning, distillation or DPO (Rafailov et al., 2023) alone.

The projection to the vocabulary goes some tokens at a time (`chunked_loss.py`). The log-probabilities of the start (the
reference) are taken once; the teacher's distributions as training goes, or, with `stored`, once as well: its top-k and the
mass of the rest.

Before the first step the policy is the reference, and every margin is 0. So the reference is taken in the precision and in the
batches of the training, which holds the same pairs in a batch each time, and with `dpo` the policy trains without dropout.
"""

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy
import torch
from pydantic import Field, model_validator

from ...core import UserError
from ...policies import checkpoints
from .. import figures
from ..launch import processes
from ..launch.nodes import release
from ..stage import Context, CostEstimate, Metrics
from ..trainer import chunked_loss, trainer
from ..trainer.settings import Training
from . import responses
from .fixed_batches import FixedBatches
from .sample_pairs import PAIRS, check_same_vocabulary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TERMS = ("nll", "kd_positive", "kd_negative", "dpo", "preferred")
"""What is logged of the loss, before it is weighted; preferred: share of the pairs with a margin above the start's."""


class Distill(Training):
    """Settings of a `distill` stage. Its `policy` is the student."""

    may_change: ClassVar[frozenset[str]] = frozenset({"micro_batch_size", "save_steps", "chunk_tokens"})

    kind: Literal["distill"]
    pairs: str = Field(description="folder of a sample_pairs stage, as in {stage:NAME}")
    teacher: str = Field(description="URI of the teacher, of the student's vocabulary")
    nll: float = Field(0.0, ge=0, description="weight of plain fine-tuning on the chosen response")
    kd_positive: float = Field(1.0, ge=0, description="weight of the KL to the teacher on the chosen response's tokens")
    kd_negative: float = Field(1.0, ge=0, description="weight of the KL to the teacher on the rejected response's tokens")
    dpo: float = Field(1.0, ge=0, description="weight of the preference for the chosen response over the rejected")
    beta: float = Field(0.1, gt=0, description="how soon DPO is content: its margin is counted in 1 / beta nats")
    direction: chunked_loss.Direction = Field(
        "forward",
        description="forward: KL(teacher || student), covers the teacher; reverse: KL(student || teacher), seeks its modes",
    )
    temperature: float = Field(1.0, gt=0, description="that both distributions are softened by before they are compared")
    top_k: int | None = Field(None, ge=1, description="of the teacher's distribution only so many tokens, and the rest's mass")
    stored: bool = Field(False, description="the teacher's top_k are taken once, before training, and it is not kept in memory")
    batch_size: int = Field(32, ge=1, description="pairs a step")
    micro_batch_size: int | None = Field(None, ge=1, description="pairs a forward pass; default: the whole batch")
    learning_rate: float = Field(1e-6, gt=0, description="peak learning rate")
    max_tokens: int = Field(4096, ge=2, description="pairs with a longer response, its prompt included, are left out")
    held_out: float = Field(0.1, ge=0, lt=1, description="share of the problems whose pairs are measured on, not trained on")
    chunk_tokens: int = Field(chunked_loss.CHUNK, ge=1, description="tokens whose logits are laid out at once")

    @model_validator(mode="after")
    def _has_a_loss(self) -> "Distill":
        if not (self.nll or self.kd_positive or self.kd_negative or self.dpo):
            raise ValueError("nll, kd_positive, kd_negative and dpo are all 0: give one of them a weight")
        if self.stored and not self.top_k:
            raise ValueError("stored wants top_k: whole distributions are too large to be kept")
        return self

    def cost(self) -> CostEstimate:
        """Both responses of every pair as long as may be."""
        return CostEstimate(trained_tokens=2 * self.steps * self.batch_size * self.max_tokens)

    def run(self, context: Context) -> Metrics:
        """Trains on the pairs, on several GPUs in as many processes, leaves the checkpoint in `policy` and measures it."""
        metrics = processes.trained(self, context)
        return metrics | {"held_out": _measured(self, context)}

    def train(self, context: Context) -> Metrics:
        """Trains in this process, which may be one of several that torch has joined."""
        device = trainer.processes(context.cluster).device
        model, tokenizer = checkpoints.load(checkpoints.checkpoint(context.policy), torch.float32)
        teacher, teachers = checkpoints.load(checkpoints.checkpoint(self.teacher), torch.float32)
        check_same_vocabulary(tokenizer, teachers, self.teacher)
        model.to(device)
        teacher.to(device).requires_grad_(False).eval()
        pairs, _, left_out = _pairs(self)
        if not pairs:
            raise UserError(f"{self.name}: {self.pairs} holds no pair within max_tokens={self.max_tokens} to train on")
        pairs = [pairs[number] for number in numpy.random.default_rng(context.seed).permutation(len(pairs))]
        reads = _reads(self, model, teacher)
        for each in (model, teacher):
            reads.check(each)

        def tell(what: str, done: int, total: int) -> None:
            context.progress(0, self.steps, **{what: f"{done} of {total} pairs"})

        rows = _with_reference(self, context, reads, model, pairs, functools.partial(tell, "reference"))
        asked = self.kd_positive or self.kd_negative
        stored = None
        if asked and self.stored:
            assert self.top_k is not None
            told = functools.partial(tell, "teacher")
            stored = responses.stored_top_k(reads, teacher, pairs, self.top_k, self.temperature, context.folder, told)
        if stored or not asked:
            teacher.to("cpu")

        def distributions(inputs: responses.Inputs) -> chunked_loss.Dense | chunked_loss.TopK | None:
            if not asked:
                return None
            return stored.of(inputs) if stored else reads.distributions(teacher, inputs, self.top_k, self.temperature)

        forward = model.forward

        def whole(inputs: responses.Inputs) -> tuple[torch.Tensor, dict[str, float]]:
            if self.dpo:
                model.eval()  # no dropout, which the reference has none of; the Trainer sets this back before each step
            targets = reads.targets(forward, inputs)
            with torch.autocast(device.type, enabled=False):  # which is for the layers before the head
                return loss(targets, reads.head(model), inputs, self, distributions(inputs))

        # DDP and FSDP watch the model's forward alone, so what the loss does with the head has to happen in there. It is given
        # no tensor, which FSDP would round as it rounds weights; of what comes out it rounds the sum, whose gradient is 1.
        model.forward = lambda compute: compute()
        metrics = trainer.fit(
            model,
            tokenizer,
            context,
            rows,
            responses.collate,
            **trainer.fit_arguments(self),
            trainer=_trainer(self, whole, context.seed),
            figures=TERMS,
            seed=context.seed,
            data_seed=context.seed,
        )
        return metrics | {"pairs": len(pairs), "left_out": left_out}

    def summary(self, metrics: Metrics) -> str:
        """The loss at the end, and the probability of confident errors before and after on held-out pairs."""
        held_out, errors = metrics["held_out"], ""
        if held_out and held_out["confident_errors"]:
            before, after = (held_out[when]["confident_errors"] for when in ("before", "after"))
            errors = f"; held-out confident errors ({held_out['confident_errors']} tokens) from {before:.2f} to {after:.2f}"
        return f"{metrics['steps']} steps on {metrics['pairs']} pairs, loss {metrics['loss']:.3f}{errors}"

    def figure(self, metrics: Metrics) -> "Figure":
        """The loss and its parts over the steps."""
        logged = {name: points for name, points in ({"loss": metrics["losses"]} | metrics["figures"]).items() if points}
        values = {name: [value for _, value in points] for name, points in logged.items()}
        return figures.curves(values, [step for step, _ in metrics["losses"]])


def _pairs(settings: Distill) -> tuple[list[responses.Pair], list[responses.Pair], int]:
    """See `responses.load`."""
    return responses.load(Path(settings.pairs) / PAIRS, settings.max_tokens, settings.held_out)


def _reads(settings: Distill, *models: Any) -> responses.Reads:
    """The rows of the heads that all models have."""
    return responses.Reads(min(map(responses.width, models)), settings.chunk_tokens)


def _measured(settings: Distill, context: Context) -> Metrics:
    """What the training did to the pairs that were kept back; nothing where there are none."""
    _, held_out, _ = _pairs(settings)
    if not held_out:
        return {}
    release()  # of what was trained
    uris = (settings.teacher, context.policy, f"path:{context.folder / 'policy'}")
    models = [checkpoints.load(checkpoints.checkpoint(uri), torch.float32)[0] for uri in uris]
    reads = _reads(settings, *models)
    told = []
    for model in models:  # one after the other on the accelerator, where there is one
        told.append(reads.tokens(model.to(trainer.device_of(context.cluster)), held_out))
        model.to("cpu")
    return responses.compared(held_out, *told)


def _with_reference(
    settings: Distill, context: Context, reads: responses.Reads, model: Any, pairs: list[responses.Pair], tell: responses.Tell
) -> list[responses.Pair]:
    """See `responses.with_reference`; in the precision of the training."""
    state, precision = trainer.processes(context.cluster), trainer.precision(context.cluster)
    if precision != torch.float32 and state.num_processes > 1:
        # FSDP gathers the weights in the precision of the layers, and so their head, too.
        model = copy.deepcopy(model)
        for weights in model.parameters():
            weights.data = weights.data.to(precision)
    return responses.with_reference(
        reads,
        model,
        pairs,
        context.folder,
        tell,
        micro_batch=settings.micro_batch_size or max(1, settings.batch_size // state.num_processes),
        precision=lambda: torch.autocast(state.device.type, precision, enabled=precision != torch.float32),
    )


def _trainer(settings: Distill, whole: Callable[[responses.Inputs], tuple[torch.Tensor, dict[str, float]]], seed: int) -> type:
    """A Trainer with this loss, which logs its terms, over the same batches in every pass."""
    from transformers import Trainer

    class DPDTrainer(Trainer):
        told: ClassVar[list[dict[str, float]]] = []

        def _get_train_sampler(self, *args: Any, **kwargs: Any) -> FixedBatches:
            return FixedBatches(len(self.train_dataset), settings.batch_size, seed)

        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
            total, terms = model(lambda: whole(inputs))
            if not torch.isfinite(total):
                each = ", ".join(f"{name} {value:g}" for name, value in terms.items())
                raise UserError(
                    f"{settings.name}: the loss of step {self.state.global_step + 1} is {total:g} ({each}): lower the "
                    "learning_rate or beta in a new run; this one's last checkpoint is before it"
                )
            self.told.append(terms)
            return total

        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            if "loss" in logs and self.told:
                means = torch.tensor([list(terms.values()) for terms in self.told], device=self.args.device).mean(0)
                logs = logs | dict(zip(self.told[0], self.accelerator.reduce(means, "mean").tolist(), strict=True))
                self.told.clear()
            super().log(logs, *args, **kwargs)

    return DPDTrainer


def loss(
    targets: responses.Targets,
    head: chunked_loss.Head,
    inputs: responses.Inputs,
    settings: Distill,
    teacher: chunked_loss.Dense | chunked_loss.TopK | None,
) -> tuple[torch.Tensor, dict[str, float]]:
    """The loss of some pairs, and its terms before they are weighted.

    Args:
        targets: what the student has in mind before each token of the responses.
        head: the student's.
        inputs: as `responses.collate` makes them.
        settings: weights, beta and the rest.
        teacher: of the responses' tokens; None where no term wants one.
    """
    hidden, labels, row, length = targets
    hidden, pairs = hidden.to(head.weight.dtype), len(length) // 2
    chosen = row < pairs  # rows: the chosen responses, then the rejected ones
    share = 1 / (length[row] * pairs)
    nll = settings.nll * share * chosen
    terms: dict[str, float] = {}
    if settings.dpo:
        likely = chunked_loss.log_probs(hidden, head, labels, settings.chunk_tokens)
        gained = responses.summed(likely, length) - inputs["reference"]
        margin = settings.beta * (gained[:pairs] - gained[pairs:])
        terms["dpo"] = float(-torch.nn.functional.logsigmoid(margin).mean())
        terms["preferred"] = float((margin > 0).float().mean())
        # The gradient of -log sigmoid(margin) is that of a sum of log-likelihoods with these weights.
        pull = settings.dpo * settings.beta * torch.sigmoid(-margin) / pairs
        nll = nll + torch.cat([pull, -pull])[row]
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
