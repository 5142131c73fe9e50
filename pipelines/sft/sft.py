"""Supervised fine-tuning on worked answers, with the transformers Trainer: the loss is on the answer alone."""

import dataclasses
import functools
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator

from ... import disk, verifiers
from ...core import UserError
from ...envs.problems import sources as problem_sources
from ...policies import checkpoints
from .. import figures
from ..bench.bench import Bench
from ..launch import processes
from ..stage import Context, CostEstimate, Metrics
from ..trainer import trainer
from ..trainer.settings import Training
from .examples import Example, can_be_learnt, example, in_shares, worked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW_TOKENS = 128
"""Tokens of the rows that short examples are laid in."""
MEASURED, SCORES = "bench-", "scores.json"
"""What the folder of a checkpoint's benchmarks is called, before the step, and what is written there last."""


class SFT(Training):
    """Settings of an `sft` stage."""

    may_change: ClassVar[frozenset[str]] = frozenset(
        {"micro_batch_size", "packed", "save_steps", "gradient_checkpointing", "bench", "bench_limit"}
    )

    kind: Literal["sft"]
    problems: str | list[str] = Field(
        description="problem URI, or several; meta['solution'] is the target where there is one, else the answer"
    )
    shares: list[float] | None = Field(
        None, description="each URI's share of the tokens; default: all examples alike, as many as there are of each"
    )
    verifier: str | None = Field(None, description="an answer that this verifier does not hold for right is left out")
    template: str = Field("{prompt}", description="how the user's turn is worded")
    system: str | None = Field(None, description="system turn before the prompt")
    answer: str = Field("{answer}", description="how the target is worded")
    thinking_as: str | None = Field(
        None,
        description="how meta['thinking'] and the answer are written, with {thinking} and {answer}; '': without the thinking; "
        "default: in <think> tags, where the model knows them",
    )
    max_tokens: int = Field(1024, ge=2, description="longer examples are left out, and counted")
    cut: bool = Field(False, description="longer examples are cut at max_tokens instead, and lose their end")
    gradient_checkpointing: bool = Field(False, description="less memory for a third more time")
    packed: bool = Field(True, description="short examples share a row; false: each has its own, filled up with padding")
    bench: list[str] = Field([], description="names of benchmark tasks that every checkpoint is measured by")
    bench_limit: int | None = Field(None, ge=1, description="only so many problems a task")

    @model_validator(mode="after")
    def _shares_fit(self) -> "SFT":
        if self.shares is not None:
            if len(self.shares) != len(self.sources):
                raise ValueError(f"shares has {len(self.shares)} numbers, and problems {len(self.sources)} URIs")
            if min(self.shares) <= 0 or abs(sum(self.shares) - 1) > 1e-6:
                raise ValueError(f"shares are above 0 and sum to 1; these sum to {sum(self.shares):g}")
        return self

    def check(self) -> None:
        """The problems can be loaded, and the verifier."""
        for uri in self.sources:
            problem_sources.load(uri)
        if self.verifier:
            verifiers.load(self.verifier)
        if measured := self.measured_by:
            measured.check()

    def identity(self) -> dict[str, str]:
        """The benchmarks of every checkpoint."""
        return measured.identity() if (measured := self.measured_by) else {}

    @property
    def measured_by(self) -> Bench | None:
        """The benchmarks of every checkpoint."""
        asked = {"kind": "bench", "name": "bench", "tasks": self.bench, "limit": self.bench_limit}
        return Bench.model_validate(asked) if self.bench else None

    @property
    def sources(self) -> list[str]:
        """The URIs of all problems."""
        return [self.problems] if isinstance(self.problems, str) else self.problems

    def cost(self) -> CostEstimate:
        """Every example as long as may be."""
        return CostEstimate(trained_tokens=self.steps * self.batch_size * self.max_tokens)

    def run(self, context: Context) -> Metrics:
        """Trains on the problems' worked answers, in a process for each GPU, and leaves the checkpoint in `policy`."""
        if self.bench and context.cluster.world > 1:
            raise UserError(
                f"{self.name}: bench measures what one process trains: leave it out, and add a bench stage after this"
            )
        return processes.trained(self, context)

    def train(self, context: Context) -> Metrics:
        """Trains in this process, which may be one of several that torch has joined."""
        model, tokenizer = checkpoints.load(checkpoints.checkpoint(context.policy), torch.float32)
        if self.packed and not trainer.supports_packing(model):
            raise UserError(f"{self.name}: {type(model).__name__} reads on into the example beside one: set packed: false")
        sources, left_out = zip(*(_examples(uri, self, tokenizer) for uri in self.sources), strict=True)
        for uri, examples, lost in zip(self.sources, sources, left_out, strict=True):
            if not examples and (self.shares or not any(sources)):
                reasons = ", ".join(f"{count} {why}" for why, count in lost.items())
                raise UserError(f"{self.name}: nothing of {uri} can be learnt ({reasons}; max_tokens={self.max_tokens})")

        # A seed of the stage's own, so that two stages of one recipe do not see their examples in one order.
        seed = int(hashlib.sha256(f"{context.seed}/{self.name}".encode()).hexdigest()[:8], 16) >> 1
        learnt = [example for examples in sources for example in examples]
        told: Metrics = {}
        if self.shares:
            lengths = [[len(example["input_ids"]) for example in examples] for examples in sources]
            chosen = in_shares(lengths, self.shares, self.steps * self.batch_size, seed)
            learnt = [sources[source][number] for source, number in chosen]
            tokens = [
                sum(lengths[source][number] for source, number in chosen if source == which) for which in range(len(sources))
            ]
            told = {"shares": {uri: count / sum(tokens) for uri, count in zip(self.sources, tokens, strict=True)}}
        metrics = trainer.fit(
            model,
            tokenizer,
            context,
            learnt,
            functools.partial(in_rows if self.packed else padded, pad=tokenizer.pad_token_id),
            **trainer.fit_arguments(self),
            train_sampling_strategy="sequential" if self.shares else "random",
            gradient_checkpointing=self.gradient_checkpointing,
            saved=functools.partial(_measure, self, context) if self.bench else None,
            seed=seed,
            data_seed=seed,
        )
        if self.bench:
            found = {
                int(path.parent.name.removeprefix(MEASURED)): path for path in context.folder.glob(f"{MEASURED}*/{SCORES}")
            }
            told["benchmarks"] = {step: disk.record(found[step], "remove it, and run again") for step in sorted(found)}
        all_lost: Counter[str] = sum(left_out, Counter())
        cut = all_lost.pop("cut", 0)
        counted = {"cut": cut, "left_out": all_lost.total(), "why_left_out": dict(all_lost)}
        return metrics | told | {"examples": sum(map(len, sources)), **counted}

    def summary(self, metrics: Metrics) -> str:
        """The loss at the end."""
        return f"{metrics['steps']} steps on {metrics['examples']} examples, loss {metrics['loss']:.3f}"

    def figure(self, metrics: Metrics) -> "Figure":
        """The loss over the steps."""
        return figures.losses(metrics["losses"])


def _measure(settings: SFT, context: Context, step: int, checkpoint: Path) -> None:
    """Scores a checkpoint, in a folder of its own, which is whole when it holds the scores."""
    folder = context.folder / f"{MEASURED}{step}"
    folder.mkdir(exist_ok=True)
    of = dataclasses.replace(context, folder=folder, policy=f"path:{checkpoint}", progress=lambda *_, **__: None)
    assert settings.measured_by is not None
    disk.write(folder / SCORES, json.dumps(settings.measured_by.run(of)["scores"]))


def _examples(uri: str, settings: SFT, tokenizer: Any) -> tuple[list[Example], Counter[str]]:
    """What there is to learn of a source, and how many of its problems are left out, and why."""
    verify = verifiers.load(settings.verifier) if settings.verifier else None
    examples: list[Example] = []
    lost: Counter[str] = Counter()
    for problem in problem_sources.load(uri):
        if not can_be_learnt(problem):
            lost["without an answer"] += 1
            continue
        if verify:
            verdict = verify(problem, worked(problem, settings.answer))
            if verdict.score is None or verdict.score < 1:
                lost["not right" if verdict.score is not None else f"without a verdict ({verdict.status.value})"] += 1
                continue
        made = example(problem, tokenizer, settings.template, settings.system, settings.answer, settings.thinking_as)
        if len(made["input_ids"]) > settings.max_tokens:
            lost["cut" if settings.cut else "too long"] += 1
            made = {name: row[: settings.max_tokens] for name, row in made.items()}
            if not settings.cut or all(label == trainer.IGNORED for label in made["labels"]):
                continue
        examples.append(made)
    return examples, lost


def in_rows(batch: list[Example], pad: int) -> dict[str, torch.Tensor]:
    """Lays examples side by side in rows, the longest first, each where there is room: hardly anything is padding.

    Every example's positions begin at 0, from which the model tells that it does not belong to its neighbours; so each is
    learnt as it would be alone, and the loss is what it would be with a row for each.

    Args:
        batch: examples with input_ids and labels.
        pad: the token that fills a row up.

    Returns:
        input_ids, position_ids and labels, (rows, width) each; a row is as long as the longest example, or ROW_TOKENS.
    """
    from transformers import DataCollatorWithFlattening

    width = max(ROW_TOKENS, *(len(row["input_ids"]) for row in batch))
    rows: list[list[Example]] = []
    room: list[int] = []
    for longest in sorted(batch, key=lambda row: -len(row["input_ids"])):
        length = len(longest["input_ids"])
        row = next((row for row, left in enumerate(room) if left >= length), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(width)
        rows[row].append(longest)
        room[row] -= length
    for examples, left in zip(rows, room, strict=True):
        if left:
            examples.append({"input_ids": [pad] * left, "labels": [trainer.IGNORED] * left})
    side_by_side = DataCollatorWithFlattening(separator_id=trainer.IGNORED)
    flat = [side_by_side(examples) for examples in rows]
    return {name: torch.cat([row[name] for row in flat]) for name in ("input_ids", "position_ids", "labels")}


def padded(batch: list[Example], pad: int) -> dict[str, torch.Tensor]:
    """A row for each example: (examples, longest) of ids, labels and attention mask."""
    width = max(len(row["input_ids"]) for row in batch)

    def filled(name: str, fill: int) -> torch.Tensor:
        return torch.tensor([row[name] + [fill] * (width - len(row[name])) for row in batch])

    mask = torch.tensor([[1] * len(e["input_ids"]) + [0] * (width - len(e["input_ids"])) for e in batch])
    return {"input_ids": filled("input_ids", pad), "labels": filled("labels", trainer.IGNORED), "attention_mask": mask}
