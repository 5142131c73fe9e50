"""Supervised fine-tuning on worked answers, with the transformers Trainer: the loss is on the answer alone."""

import functools
import hashlib
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from ..core import Problem, UserError
from ..envs import problems as problem_sources
from ..envs.text import pose
from ..policies import initial
from . import training
from .context import Context, Cost, Metrics, Settings

ROW_TOKENS = 128
"""Tokens of the rows that short examples are laid in."""


class SFT(Settings):
    """Settings of an `sft` stage."""

    leaves_policy: ClassVar[bool] = True
    may_change: ClassVar[frozenset[str]] = frozenset({"micro_batch_size", "packed", "save_steps"})

    kind: Literal["sft"]
    problems: str | list[str] = Field(
        description="problem URI, or several; meta['solution'] is the target where there is one, else the answer"
    )
    template: str = Field("{prompt}", description="how the user's turn is worded")
    system: str | None = None
    answer: str = Field("{answer}", description="how the target is worded")
    steps: int = Field(ge=1, description="optimizer steps")
    batch_size: int = Field(32, ge=1, description="examples a step")
    micro_batch_size: int | None = Field(None, ge=1, description="examples a forward pass; default: the whole batch")
    learning_rate: float = Field(1e-5, gt=0)
    warmup_steps: int = Field(0, ge=0)
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    weight_decay: float = Field(0.0, ge=0)
    max_tokens: int = Field(1024, ge=2, description="longer examples are left out")
    packed: bool = Field(True, description="short examples share a row; false: each has its own, filled up with padding")
    save_steps: int = Field(200, ge=1, description="steps between checkpoints")

    def check(self) -> None:
        """The problems can be loaded."""
        for uri in self.sources:
            problem_sources.load(uri)

    @property
    def sources(self) -> list[str]:
        """The URIs of all problems."""
        return [self.problems] if isinstance(self.problems, str) else self.problems

    def cost(self) -> Cost:
        """Every example as long as may be."""
        return Cost(trained_tokens=self.steps * self.batch_size * self.max_tokens)


def run(settings: SFT, context: Context) -> Metrics:
    """Trains on the problems' worked answers and leaves the checkpoint in `policy`."""
    model, tokenizer = initial.load(initial.checkpoint(context.policy), torch.float32)
    if settings.packed and not training.tells_apart(model):
        raise UserError(f"{settings.name}: {type(model).__name__} reads on into the example beside one: set packed: false")
    problems = [problem for uri in settings.sources for problem in problem_sources.load(uri)]
    examples = [example for problem in problems if (example := _example(problem, settings, tokenizer)) is not None]
    if not examples:
        raise UserError(f"{context.folder.name}: every example is longer than max_tokens={settings.max_tokens}")

    # A seed of the stage's own, so that two stages of one recipe do not see their examples in one order.
    seed = int(hashlib.sha256(f"{context.seed}/{settings.name}".encode()).hexdigest()[:8], 16) >> 1
    metrics = training.fit(
        model,
        tokenizer,
        context,
        examples,
        functools.partial(in_rows if settings.packed else padded, pad=tokenizer.pad_token_id),
        **training.common(settings),
        seed=seed,
        data_seed=seed,
    )
    return metrics | {"examples": len(examples), "left_out": len(problems) - len(examples)}


def _example(problem: Problem, settings: SFT, tokenizer: Any) -> dict[str, list[int]] | None:
    """Token ids and labels of one problem with its worked answer; None when it is too long."""
    worked = str(problem.meta.get("solution", problem.answer))
    prompt = initial.prompt_tokens(tokenizer, pose(problem, settings.template, settings.system))
    answer = tokenizer(settings.answer.replace("{answer}", worked), add_special_tokens=False)["input_ids"]
    answer = [*answer, tokenizer.eos_token_id]
    if len(prompt) + len(answer) > settings.max_tokens:
        return None
    return {"input_ids": prompt + answer, "labels": [training.IGNORED] * len(prompt) + answer}


def in_rows(batch: list[dict[str, list[int]]], pad: int) -> dict[str, torch.Tensor]:
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

    width = max(ROW_TOKENS, *(len(example["input_ids"]) for example in batch))
    rows: list[list[dict[str, list[int]]]] = []
    room: list[int] = []
    for example in sorted(batch, key=lambda example: -len(example["input_ids"])):
        length = len(example["input_ids"])
        row = next((row for row, left in enumerate(room) if left >= length), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(width)
        rows[row].append(example)
        room[row] -= length
    for examples, left in zip(rows, room, strict=True):
        if left:
            examples.append({"input_ids": [pad] * left, "labels": [training.IGNORED] * left})
    side_by_side = DataCollatorWithFlattening(separator_id=training.IGNORED)
    flat = [side_by_side(examples) for examples in rows]
    return {name: torch.cat([row[name] for row in flat]) for name in ("input_ids", "position_ids", "labels")}


def padded(batch: list[dict[str, list[int]]], pad: int) -> dict[str, torch.Tensor]:
    """A row for each example: (examples, longest) of ids, labels and attention mask."""
    width = max(len(example["input_ids"]) for example in batch)

    def filled(name: str, fill: int) -> torch.Tensor:
        return torch.tensor([example[name] + [fill] * (width - len(example[name])) for example in batch])

    mask = torch.tensor([[1] * len(e["input_ids"]) + [0] * (width - len(e["input_ids"])) for e in batch])
    return {"input_ids": filled("input_ids", pad), "labels": filled("labels", training.IGNORED), "attention_mask": mask}
