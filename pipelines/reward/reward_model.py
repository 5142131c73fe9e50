"""A pairwise reward model: a language model learns to say which of two responses is better, "A" or "B".

It is a checkpoint like any other, and asked as `policies/preference.py` words it. The loss is the cross-entropy of that one
token, over the whole vocabulary, so that a server's `top_logprobs` hold it, too. Each pass over the pairs shows each pair in
one order, drawn by a hash, and the next pass in the other. A share of the questions is held out, by a hash of their text.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from ...core import UserError
from ...envs.problems import pairs as pair_sources
from ...envs.problems.pairs import Pair
from ...policies import checkpoints
from ...policies.preference import OPTIONS, window, worded
from ...verifiers.pairwise import Question
from ..bench import scoreboard
from ..launch import processes
from ..stage import Context, CostEstimate, Metrics
from ..trainer import trainer
from ..trainer.settings import Training
from . import perturbations, report


class RewardModel(Training):
    """Settings of a `reward_model` stage."""

    feeds_next: ClassVar[bool] = False
    """It judges policies: no later stage starts from it unless it names it."""
    may_change: ClassVar[frozenset[str]] = frozenset({"micro_batch_size", "save_steps", "judge_batch_size"})

    kind: Literal["reward_model"]
    pairs: str = Field(description="URI of pairs, see envs/problems/pairs.py")
    batch_size: int = Field(32, ge=1, description="pairs a step, each in one order")
    micro_batch_size: int | None = Field(None, ge=1, description="pairs a forward pass; default: the whole batch")
    learning_rate: float = Field(2e-5, gt=0, description="peak learning rate")
    max_tokens: int = Field(1024, ge=2, description="longer questions lose the middle of what they show")
    probes: float = Field(
        0.1, ge=0, le=1, description="share of examples whose rejected response is the chosen one, doctored; the share is ours"
    )
    held_out: float = Field(0.1, ge=0, lt=1, description="share of the questions that is measured on; 0: nothing is measured")
    held_out_pairs: int = Field(1000, ge=1, description="most pairs measured on")
    probed: int = Field(100, ge=0, description="most held-out answers that probes are made of")
    judge: str | None = Field(None, description="a policy that was not trained for it, measured beside: the plain judge")
    judge_batch_size: int = Field(16, ge=1, description="questions a forward pass where it is measured")

    def check(self) -> None:
        """There are pairs on both sides of the split."""
        train, held_out = pair_sources.split(pair_sources.load(self.pairs), self.held_out)
        if not train or (self.held_out and not held_out):
            raise UserError(
                f"{self.pairs}: held_out={self.held_out} leaves {len(train)} pairs to learn from, {len(held_out)} to measure"
            )
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise UserError(f"batch_size={self.batch_size} is no multiple of micro_batch_size={self.micro_batch_size}")

    def cost(self) -> CostEstimate:
        """Every question as long as may be."""
        return CostEstimate(trained_tokens=self.steps * self.batch_size * self.max_tokens)

    def run(self, context: Context) -> Metrics:
        """Trains, leaves the checkpoint in `policy`, and measures it: `report.json`, `report.md`, `calibration.svg`."""
        metrics = processes.trained(self, context)
        if self.held_out:
            measured = report.Measured(self.held_out_pairs, self.probed, self.judge, self.judge_batch_size, self.max_tokens)
            metrics |= report.measure(measured, context, *_split(self))
        return metrics

    def train(self, context: Context) -> Metrics:
        """Trains in this process, which may be one of several that torch has joined."""
        from transformers import Trainer

        pairs, _ = _split(self)
        start = checkpoints.checkpoint(context.policy)
        model, tokenizer = checkpoints.load(start, torch.float32)
        longest = window(checkpoints.window(start), self.max_tokens)
        seed = f"{context.seed}/{self.name}"  # a seed of the stage's own
        count = self.steps * self.batch_size
        asked = list(schedule(pairs, count, self.probes, seed))
        shared, letters = checkpoints.choice_tokens(tokenizer, OPTIONS)

        class Asked(torch.utils.data.Dataset[dict[str, Any]]):
            def __len__(self) -> int:
                return count

            def __getitem__(self, place: int) -> dict[str, Any]:
                example = asked[place]
                tokens = checkpoints.prompt_tokens(tokenizer, worded(*example.question, tokenizer, longest)) + shared
                return {"tokens": tokens, "letter": letters[OPTIONS.index(example.letter)]}

        class LetterTrainer(Trainer):
            def compute_loss(
                self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
            ) -> Any:
                letter = inputs.pop("letter")
                output = model(**inputs, use_cache=False, logits_to_keep=1)
                loss = torch.nn.functional.cross_entropy(output.logits[:, -1].float(), letter)
                return (loss, output) if return_outputs else loss

        found = trainer.fit(
            model,
            tokenizer,
            context,
            Asked(),
            _collate,
            **trainer.fit_arguments(self),
            trainer=LetterTrainer,
            train_sampling_strategy="sequential",
        )
        told = {"examples": count, "doctored": sum(example.probe is not None for example in asked)}
        return found | told | {"pairs": len(pairs), "questions": len({pair.group for pair in pairs})}

    def summary(self, metrics: Metrics) -> str:
        """The loss at the end, and the accuracy on held-out pairs."""
        held_out = metrics.get("held_out", {}).get("trained")
        right = f", right on {scoreboard.scored(held_out['accuracy'])}" if held_out else ""
        return f"{metrics['steps']} steps on {metrics['pairs']} pairs, loss {metrics['loss']:.3f}{right}"


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """A question with its right answer."""

    question: Question
    letter: str
    probe: str | None
    """The kind of doctoring, where the rejected response is the chosen one, doctored."""


def schedule(pairs: Sequence[Pair], count: int, share: float, seed: str) -> Iterator[Example]:
    """What is learnt from, in order: `count` examples, pass by pass over the pairs, each pass in an order of its own.

    A and B are balanced: a step in which one letter was right more often would teach the model to say that letter.

    Args:
        pairs: to learn from.
        count: examples.
        share: of examples with a doctored response.
        seed: of all that is drawn, each draw by a hash.
    """
    ranks = sorted(range(len(pairs)), key=lambda pair: _number(seed, "rank", pair))
    for place in range(count):
        turn, within = divmod(place, len(pairs))
        if not within:
            # Half of the pairs have the better response first, the other half in the next pass.
            halves = [sorted(ranks[(half + turn) % 2 :: 2], key=lambda pair: _number(seed, turn, pair)) for half in (0, 1)]
            order = [(pair, half) for two in zip_longest(*halves) for half, pair in enumerate(two) if pair is not None]
        number, half = order[within]
        pair = pairs[number]
        probe = None
        if _number(seed, "probe", turn, number) < share * _WHOLE:
            probe = [*perturbations.KINDS][_number(seed, "kind", turn, number) % len(perturbations.KINDS)]
        worse = perturbations.doctored(probe, pair.chosen, "train") if probe else pair.rejected
        two = (worse, pair.chosen) if half else (pair.chosen, worse)
        yield Example((pair.prompt, *two), OPTIONS[half], probe)


_WHOLE = 16**12


def _number(*parts: object) -> int:
    return int(hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:12], 16)


def _split(settings: RewardModel) -> tuple[list[Pair], list[Pair]]:
    """Pairs to learn from, and pairs to measure with."""
    return pair_sources.split(pair_sources.load(settings.pairs), settings.held_out)


def _collate(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Pads on the left, so that every row ends where its letter follows: ids, mask and positions are (examples, longest)."""
    width = max(len(example["tokens"]) for example in batch)
    mask = torch.tensor([[0] * (width - len(e["tokens"])) + [1] * len(e["tokens"]) for e in batch])
    return {
        "input_ids": torch.tensor([[0] * (width - len(e["tokens"])) + e["tokens"] for e in batch]),
        "attention_mask": mask,
        "position_ids": (mask.cumsum(-1) - 1).clamp(min=0),
        "letter": torch.tensor([e["letter"] for e in batch]),
    }
