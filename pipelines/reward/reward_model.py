"""The `reward_model` stage: a language model is trained to output the letter of the better of two responses.

The reward model is an ordinary checkpoint, and `policies/preference.py` defines its prompt. Its answer is the token "A" or
"B". The loss is the cross-entropy of this token over the whole vocabulary (not over the two letters), because a server returns
only its most probable tokens (`top_logprobs`) and both letters must be among them. A pass over the pairs contains each pair in
one order, chosen by a hash, and the next pass contains it in the other order. A share of the problems is held out, chosen by a
hash of their text.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypedDict

import numpy
import torch
from pydantic import Field

from ...core import UserError
from ...envs.problems import pairs as pair_sources
from ...envs.problems.pairs import PreferencePair
from ...policies import checkpoints
from ...policies.chat.prompts import choice_tokens, prompt_tokens
from ...policies.preference import OPTIONS, pairwise_prompt, token_limit
from ...verifiers.pairwise import ResponsePair
from ..bench import scoreboard
from ..launch import processes
from ..stage import Context, CostEstimate, Metrics
from ..trainer import lora, trainer
from ..trainer.data import source_file
from ..trainer.data.by_number import ByNumber
from ..trainer.settings import Training
from . import perturbations, report, stored_pairs

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CHECKED = 10_000
"""Pairs that are checked before the first stage of a run. All others are checked when the stage prepares them. Our choice."""


class RewardModel(Training):
    """Settings of a `reward_model` stage."""

    is_default_start: ClassVar[bool] = False
    """The model judges policies, so later stages do not start from it by default."""
    may_change: ClassVar[frozenset[str]] = frozenset(
        {"micro_batch_size", "save_steps", "keep_checkpoints", "gradient_checkpointing", "judge_batch_size"}
    )

    kind: Literal["reward_model"]
    pairs: str = Field(description="URI of pairs; see envs/problems/pairs.py")
    batch_size: int = Field(32, ge=1, description="pairs per step, each in one order")
    micro_batch_size: int | None = Field(
        None, ge=1, description="pairs per process and forward pass; default: the process's whole share of the batch"
    )
    learning_rate: float = Field(2e-5, gt=0, description="peak learning rate")
    max_tokens: int = Field(
        1024, ge=2, description="maximum number of tokens of the reward model's prompt; the middle of longer texts is removed"
    )
    perturbed_share: float = Field(
        0.1, ge=0, le=1, description="share of examples whose rejected response is a perturbed copy of the chosen one"
    )
    held_out: float = Field(0.1, ge=0, lt=1, description="share of problems held out for measurement; 0: no measurement")
    held_out_pairs: int = Field(1000, ge=1, description="maximum number of held-out pairs to measure on")
    perturbed_responses: int = Field(100, ge=0, description="maximum number of held-out responses to perturb for measurement")
    judge: str | None = Field(None, description="URI of an untrained judge to measure for comparison; default: none")
    judge_batch_size: int = Field(16, ge=1, description="prompts per forward pass during measurement")

    def check(self) -> None:
        """Checks the first `CHECKED` pairs, and that there are pairs to train on and pairs to measure on."""
        missing = {False, True} - _parts(self.pairs, self.held_out)
        if False in missing or (self.held_out and missing):
            use = "training" if False in missing else "measurement"
            raise UserError(f"{self.pairs}: held_out={self.held_out} leaves no pair for {use}; change held_out or add pairs")
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise UserError(f"batch_size={self.batch_size} is not a multiple of micro_batch_size={self.micro_batch_size}")

    def cost(self) -> CostEstimate:
        """Returns an upper limit: every prompt has `max_tokens`."""
        return CostEstimate(trained_tokens=self.steps * self.batch_size * self.max_tokens, training_length=self.max_tokens)

    def prepared_bytes(self) -> float:
        """Returns twice the size of the file of pairs, because a shard has each prompt twice; see `Training`."""
        return 2.0 * source_file.size(self.pairs)

    def run(self, context: Context) -> Metrics:
        """Trains the model, writes it to `policy` and its measurement to `report.json`, `report.md` and `calibration.svg`."""
        metrics = processes.train_in_processes(self, context)
        if self.held_out:
            precision = trainer.dtype_of(self.precision, context.cluster)
            measurement = report.Measurement(
                self.held_out_pairs,
                self.perturbed_responses,
                self.judge,
                self.judge_batch_size,
                self.max_tokens,
                str(precision).removeprefix("torch."),
                self.steps,
            )
            stored = _stored(self, context)
            train, held_out = map(stored_pairs.StoredPairs, (stored.train, stored.held_out))
            device = trainer.device_of(context.cluster)
            with torch.autocast(device, precision, enabled=precision != torch.float32):  # as in the training
                metrics |= report.measure(measurement, context, train, held_out)
        return metrics

    def train(self, context: Context) -> Metrics:
        """Trains in this process, which may be one of several data-parallel processes."""
        from transformers import Trainer

        stored = trainer.by_main_process(context.cluster, lambda: _stored(self, context))
        pairs = stored_pairs.StoredPairs(stored.train)
        start = checkpoints.checkpoint(context.policy)
        context.waits()
        model, tokenizer = trainer.load(start)
        model = lora.with_adapter(model, self.lora, context.seed)
        longest = token_limit(checkpoints.window(start), self.max_tokens)
        seed = f"{context.seed}/{self.name}"  # so that two stages of a recipe have different seeds
        count = self.steps * self.batch_size
        examples = Schedule(pairs, count, self.perturbed_share, seed)
        shared, letters = choice_tokens(tokenizer, OPTIONS)

        class Examples(torch.utils.data.Dataset[TokenizedExample]):
            def __len__(self) -> int:
                return count

            def __getitem__(self, index: int) -> TokenizedExample:
                example = examples[index]
                tokens = prompt_tokens(tokenizer, pairwise_prompt(*example.pair, tokenizer, longest)) + shared
                return {"tokens": tokens, "letter": letters[OPTIONS.index(example.letter)]}

        class LetterTrainer(Trainer):
            def compute_loss(
                self,
                model: "PreTrainedModel",
                inputs: dict[str, torch.Tensor],
                return_outputs: bool = False,
                num_items_in_batch: object = None,
            ) -> Any:
                letter = inputs.pop("letter")
                output = model(**inputs, use_cache=False, logits_to_keep=1)
                loss = torch.nn.functional.cross_entropy(output.logits[:, -1].float(), letter)
                return (loss, output) if return_outputs else loss

        found = trainer.fit(
            model,
            tokenizer,
            context,
            Examples(),
            _collate,
            **trainer.fit_arguments(self),
            trainer=LetterTrainer,
            train_sampling_strategy="sequential",
        )
        counts = {"examples": count, "perturbed": sum(examples.perturbation(index) is not None for index in range(count))}
        return found | counts | {"pairs": len(pairs), "problems": stored.problems}

    def comparable(self, metrics: Metrics) -> dict[str, float]:
        """Returns the accuracy on held-out pairs."""
        held_out = metrics.get("held_out", {}).get("trained")
        return {"accuracy on held-out pairs": held_out["accuracy"]["mean"]} if held_out else {}

    def summary(self, metrics: Metrics) -> str:
        """Returns the final loss, and the accuracy on held-out pairs with its 95% interval over new problems."""
        held_out = metrics.get("held_out", {}).get("trained")
        accuracy = f", held-out accuracy {scoreboard.scored(held_out['accuracy'])} (95% over new problems)" if held_out else ""
        return f"{metrics['steps']} steps on {metrics['pairs']} pairs, loss {metrics['loss']:.3f}{accuracy}"


class TokenizedExample(TypedDict):
    """An example as tokens."""

    tokens: list[int]
    """The prompt, up to the letter."""
    letter: int
    """Token id of the correct letter."""


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """A pair of responses with the correct letter."""

    pair: ResponsePair
    letter: str
    perturbation: str | None
    """Kind of perturbation, if the rejected response is a perturbed copy of the chosen one."""


class Schedule(ByNumber[Example]):
    """The training examples in order. Each pass over the pairs has an order of its own.

    The correct letters alternate, so both are correct equally often in each step, up to a difference of one. Otherwise the
    model would learn to prefer one letter.
    """

    def __init__(self, pairs: Sequence[PreferencePair], count: int, share: float, seed: str) -> None:
        """Stores the settings.

        Args:
            pairs: training pairs.
            count: number of examples.
            share: share of examples with a perturbed response.
            seed: seed of all random choices, which are made by hashes.
        """
        self.pairs, self.size, self.share, self.seed = pairs, count, share, seed
        self._order = functools.lru_cache(2)(self._order_of)

    def __len__(self) -> int:
        return self.size

    def item(self, number: int) -> Example:
        """See `ByNumber`."""
        pair, kind, half = self.pairs[self._number(number)], self.perturbation(number), number % 2
        worse = perturbations.perturbed(kind, pair.chosen, "train") if kind else pair.rejected
        responses = (worse, pair.chosen) if half else (pair.chosen, worse)
        return Example((pair.prompt, *responses), OPTIONS[half], kind)

    def perturbation(self, index: int) -> str | None:
        """Returns the kind of perturbation of an example, or None."""
        turn, number = index // len(self.pairs), self._number(index)
        if _number(self.seed, "probe", turn, number) >= self.share * _NUMBERS:
            return None
        return [*perturbations.KINDS][_number(self.seed, "kind", turn, number) % len(perturbations.KINDS)]

    def _number(self, index: int) -> int:
        """Returns the number of an example's pair."""
        turn, within = divmod(index, len(self.pairs))
        return int(self._order(turn)[within])

    def _order_of(self, turn: int) -> numpy.ndarray:
        """Returns the numbers of the pairs in the order of a pass, (pairs,).

        Half of the pairs have the better response first. In the next pass it is the other half. With an odd number of pairs,
        every second pass begins with a pair whose better response is second, so that the letters also alternate from the end
        of a pass to the next pass.
        """
        start = turn * len(self.pairs) % 2
        keys = _numbers(len(self.pairs), self.seed, turn)
        halves = [self._ranks[(half + turn) % 2 :: 2] for half in (start, 1 - start)]
        first, second = (half[numpy.argsort(keys[half], kind="stable")] for half in halves)
        order = numpy.empty(len(self.pairs), numpy.int64)
        order[0::2], order[1::2] = first, second  # with an odd number of pairs, the first half is the larger one
        return order

    @functools.cached_property
    def _ranks(self) -> numpy.ndarray:
        """The numbers of the pairs, ordered by a hash, (pairs,)."""
        return numpy.argsort(_numbers(len(self.pairs), self.seed, "rank"), kind="stable")


_NUMBERS = 16**12
"""Range of `_number`."""


def _number(*parts: object) -> int:
    return int(hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:12], 16)


def _numbers(count: int, *parts: object) -> numpy.ndarray:
    """Returns `_number(*parts, number)` for each number below `count`, (count,)."""
    return numpy.fromiter((_number(*parts, number) for number in range(count)), numpy.int64, count)


def _parts(uri: str, held_out: float) -> set[bool]:
    """Returns the parts that have a pair: False for training, True for measurement.

    Args:
        uri: URI of pairs. After the first `CHECKED` pairs it is read only until both parts have one.
        held_out: share of the problems whose pairs are held out.
    """
    found = set[bool]()
    for number, pair in enumerate(pair_sources.load(uri)):
        if number >= CHECKED and (len(found) == 2 or not held_out):
            break
        found.add(pair_sources.in_held_out(pair.prompt_text, held_out))
    return found


def _stored(settings: RewardModel, context: Context) -> stored_pairs.Prepared:
    """See `stored_pairs.prepare`."""

    def progress(done: int) -> None:
        context.progress(0, settings.steps, read=f"{done:,} pairs")

    return stored_pairs.prepare(settings.pairs, settings.held_out, context.folder.resolve().parent, progress)


def _collate(batch: list[TokenizedExample]) -> dict[str, torch.Tensor]:
    """Returns a batch: ids, mask and positions, (examples, longest) each, and the letters.

    Padding is on the left, so that the last token of each row is the one before its letter.
    """
    width = max(len(example["tokens"]) for example in batch)
    mask = torch.tensor([[0] * (width - len(e["tokens"])) + [1] * len(e["tokens"]) for e in batch])
    return {
        "input_ids": torch.tensor([[0] * (width - len(e["tokens"])) + e["tokens"] for e in batch]),
        "attention_mask": mask,
        "position_ids": (mask.cumsum(-1) - 1).clamp(min=0),
        "letter": torch.tensor([e["letter"] for e in batch]),
    }
