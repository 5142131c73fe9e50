"""The `sft` stage: supervised fine-tuning on worked answers, with the loss on the assistant's turns alone."""

import dataclasses
import functools
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field, model_validator

from ... import disk, verifiers
from ...core import UserError
from ...envs.problems import sources as problem_sources
from ...envs.text import template_defect
from ...policies import checkpoints
from .. import figures
from ..bench.bench import Bench
from ..cluster import Cluster
from ..launch import processes
from ..stage import Context, CostEstimate, Metrics
from ..trainer import limited_logits, lora, trainer
from ..trainer.data import shuffled, source_file
from ..trainer.data.tokenized import IGNORED, Chosen, Example, Examples
from ..trainer.settings import Training, rate_cautions
from . import examples, prepare
from .examples import CUT, INCORRECT, NO_TARGET, TOO_LONG, Form

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW_TOKENS = 128
"""Smallest length of a packed row, in tokens. Our choice."""
SHARD_SIZE = 3
"""Largest size of the shards relative to that of the problems' files. Our choice: it is 1.0 for rows of GSM8K with SmolLM2's
tokenizer, and 2.2 for short rows with that of `micro:`, whose vocabulary is small."""
BENCH_FOLDER, SCORES = "bench-", "scores.json"
"""Prefix of the folder with a checkpoint's benchmarks (the step number follows), and name of the last file written there."""
MICRO_RATES = (1e-4, 1e-2)
"""Range of learning rates at which `micro:` learns well from random weights. Our choice, from the table below. It has the loss
per token after 200 steps of 64 examples of the recipe quickstart, with 20 steps of warm-up (5.99 with random weights):

    rate    1e-6    1e-5    1e-4    3e-4    1e-3    1e-2    3e-2    1e-1
    loss    5.81    5.32    3.76    2.12    1.22    1.69    2.09    2.44

Command, on 2 cores: `tenfold run quickstart --only sft --set sft.steps=200 --set sft.learning_rate=RATE`."""


class SFT(Training):
    """Settings of an `sft` stage."""

    may_change: ClassVar[frozenset[str]] = frozenset(
        {"micro_batch_size", "packed", "save_steps", "keep_checkpoints", "gradient_checkpointing", "bench", "bench_limit"}
    )

    kind: Literal["sft"]
    problems: str | list[str] = Field(
        description="problem URI, or a list of them; the target is meta['solution'] if there is one, else the answer"
    )
    shares: list[float] | None = Field(
        None, description="share of the tokens of each URI; they sum to 1; default: all examples equally often"
    )
    verifier: str | None = Field(
        None, description="name of a verifier; problems whose target it does not accept are left out; default: none"
    )
    template: str = Field("{prompt}", description="template of the last user turn")
    system: str | None = Field(None, description="system prompt; default: none")
    target_template: str = Field("{answer}", description="template of the target")
    thinking_template: str | None = Field(
        None,
        description="template of meta['thinking'] and the answer, with {thinking} and {answer}; '': leave the thinking out; "
        "default: in <think> tags, which the model must have",
    )
    max_tokens: int = Field(1024, ge=2, description="longest example, in tokens; longer ones are left out and counted")
    truncate: bool = Field(False, description="truncate longer examples at max_tokens instead of leaving them out")
    packed: bool = Field(True, description="pack several short examples into a row; false: one padded row per example")
    bench: list[str] = Field([], description="benchmark tasks on which every checkpoint is measured")
    bench_limit: int | None = Field(None, ge=1, description="problems per benchmark task, the first ones; default: all")

    @model_validator(mode="after")
    def _shares_fit(self) -> "SFT":
        if not self.sources:
            raise ValueError("problems: expected at least one URI")
        if self.shares is not None:
            if len(self.shares) != len(self.sources):
                raise ValueError(f"shares has {len(self.shares)} numbers, but problems has {len(self.sources)} URIs")
            if not (min(self.shares) > 0 and abs(sum(self.shares) - 1) <= 1e-6):  # also for NaN
                raise ValueError(f"shares: expected positive numbers that sum to 1, got a sum of {sum(self.shares):g}")
        return self

    def check(self) -> None:
        """Checks the templates, and that problems, verifier and benchmarks can be loaded."""
        for name, placeholder in (("template", "{prompt}"), ("target_template", "{answer}")):
            if wrong := template_defect(getattr(self, name), placeholder):
                raise UserError(f"{name}: {wrong}")
        for uri in self.sources:
            problem_sources.load(uri)
        if self.verifier:
            verifiers.load(self.verifier)
        if bench := self.bench_stage:
            bench.check()

    def check_cluster(self, cluster: Cluster) -> None:
        """Checks that batches can be split, and that there is one process if there are benchmarks."""
        super().check_cluster(cluster)
        if self.bench and cluster.world > 1:
            raise UserError("bench works with one training process only; remove bench, and add a bench stage after this one")

    def check_policy(self, checkpoint: Path, cluster: Cluster) -> None:
        """Checks LoRA's settings, and that an example fits into `max_tokens`; with `shares`, one of each source.

        See `Stage.check_policy`.
        """
        super().check_policy(checkpoint, cluster)
        tokenizer = checkpoints.tokenizer_of(checkpoint)
        lost: dict[str, Counter[str]] = {}
        for uri in self.sources:
            reasons: Counter[str] = Counter()
            for new, reason in examples.each(problem_sources.load(uri), tokenizer, self.form, batch=1):
                if new:
                    break
                reasons[reason] += 1
            else:
                lost[uri] = reasons
        if len(lost) == len(self.sources) or (self.shares and lost):
            raise UserError(_no_example(*next(iter(lost.items())), self))

    def identity(self) -> dict[str, str]:
        """Returns the identity of the checkpoints' benchmarks."""
        return bench.identity() if (bench := self.bench_stage) else {}

    @property
    def bench_stage(self) -> Bench | None:
        """The bench stage that measures every checkpoint; None without benchmarks."""
        settings = {"kind": "bench", "name": "bench", "tasks": self.bench, "limit": self.bench_limit}
        return Bench.model_validate(settings) if self.bench else None

    @property
    def sources(self) -> list[str]:
        """The URIs of all problems."""
        return [self.problems] if isinstance(self.problems, str) else self.problems

    @property
    def form(self) -> Form:
        """The form of the examples."""
        return Form(self.template, self.system, self.target_template, self.thinking_template, self.max_tokens, self.truncate)

    def cost(self) -> CostEstimate:
        """Returns an upper limit: every example has `max_tokens`."""
        return CostEstimate(trained_tokens=self.steps * self.batch_size * self.max_tokens, training_length=self.max_tokens)

    def prepared_bytes(self) -> float:
        """Returns `SHARD_SIZE` times the size of the files with problems; see `Training`."""
        return SHARD_SIZE * sum(map(source_file.size, self.sources))

    def run(self, context: Context) -> Metrics:
        """Trains the policy and writes the checkpoint to `policy`, with one process per GPU."""
        return processes.train_in_processes(self, context)

    def train(self, context: Context) -> Metrics:
        """Trains in this process, which may be one of several data-parallel processes."""
        context.waits()
        start = checkpoints.checkpoint(context.policy)
        model, tokenizer = trainer.load(start)
        model = lora.with_adapter(model, self.lora, context.seed)
        if self.packed and not trainer.supports_packing(model):
            raise UserError(
                f"{self.name}: {type(model).__name__} does not separate the examples of a packed row; set packed: false"
            )
        shards = trainer.by_main_process(context.cluster, lambda: [_shards(uri, self, start, context) for uri in self.sources])
        sources = [Examples(of_source) for of_source in shards]
        for uri, found in zip(self.sources, sources, strict=True):
            if not found and (self.shares or not any(sources)):
                raise UserError(f"{self.name}: {_no_example(uri, found.reasons, self)}")

        # The seed depends on the stage's name, so that two stages of a recipe have different orders of examples.
        seed = int(hashlib.sha256(f"{context.seed}/{self.name}".encode()).hexdigest()[:8], 16) >> 1
        order, extra = None, Metrics()
        if self.shares:
            lengths = [found.lengths() for found in sources]
            order = examples.in_shares(lengths, self.shares, self.steps * self.batch_size, seed)
            tokens = [int(of_source[order[order[:, 0] == index, 1]].sum()) for index, of_source in enumerate(lengths)]
            extra = {"shares": {uri: count / sum(tokens) for uri, count in zip(self.sources, tokens, strict=True)}}
        limited_logits.limit_logits(model)
        metrics = trainer.fit(
            model,
            tokenizer,
            context,
            Chosen(sources, order),
            functools.partial(in_rows if self.packed else padded, pad=tokenizer.pad_token_id),
            **trainer.fit_arguments(self),
            trainer=None if self.shares else shuffled.trainer_class(seed),
            train_sampling_strategy="sequential" if self.shares else "random",
            saved=functools.partial(_measure, self, context) if self.bench else None,
            seed=seed,
            data_seed=seed,
        )
        if self.bench:
            measured = {
                int(path.parent.name.removeprefix(BENCH_FOLDER)): path
                for path in context.folder.glob(f"{BENCH_FOLDER}*/{SCORES}")
            }
            extra["benchmarks"] = {
                step: disk.read_object(measured[step], "remove it, and run again") for step in sorted(measured)
            }
        all_lost: Counter[str] = sum((found.reasons for found in sources), Counter())
        cut = all_lost.pop(CUT, 0)
        counts = {"cut": cut, "left_out": all_lost.total(), "why_left_out": dict(all_lost)}
        return metrics | extra | {"examples": sum(map(len, sources)), **counts}

    def cautions(self, policy: str, origin: str) -> list[str]:
        """Returns a text if random weights will probably not learn at the learning rate."""
        return rate_cautions(self.learning_rate, *MICRO_RATES, self.lora) if policy.startswith("micro:") else []

    def comparable(self, metrics: Metrics) -> dict[str, float]:
        """Returns the final loss on the training data."""
        return {"loss": metrics["loss"]}

    def summary(self, metrics: Metrics) -> str:
        """Returns the final loss, and the number of problems that are left out, with reasons and the settings to change."""
        steps = f"{metrics['steps']} step{'s' if metrics['steps'] != 1 else ''}"
        text = f"{steps} on {metrics['examples']} examples, loss {metrics['loss']:.3f}"
        if metrics["cut"]:
            text += f"; {metrics['cut']} truncated at max_tokens={self.max_tokens}"
        if left_out := metrics["left_out"]:
            remedies = {TOO_LONG: f" (raise max_tokens={self.max_tokens}, or set truncate: true)"}
            remedies |= {NO_TARGET: f" (raise max_tokens={self.max_tokens})", INCORRECT: f" (verifier={self.verifier})"}
            reasons = ", ".join(f"{count} {why}{remedies.get(why, '')}" for why, count in metrics["why_left_out"].items())
            text += f"; left out {left_out} of {left_out + metrics['examples']} problems: {reasons}"
        return text

    def figure(self, metrics: Metrics) -> "Figure":
        """Returns the curve of the loss."""
        return figures.loss_plot(metrics["losses"])


def _measure(settings: SFT, context: Context, step: int, checkpoint: Path) -> None:
    """Measures a checkpoint in a folder of its own. The folder is complete when it contains the scores."""
    folder = context.folder / f"{BENCH_FOLDER}{step}"
    folder.mkdir(exist_ok=True)
    bench_context = dataclasses.replace(context, folder=folder, policy=f"path:{checkpoint}", progress=lambda *_, **__: None)
    assert settings.bench_stage is not None
    disk.write(folder / SCORES, json.dumps(settings.bench_stage.run(bench_context)["scores"]))


def _no_example(uri: str, lost: Counter[str], settings: SFT) -> str:
    """Returns the message for a source of which no problem can be used."""
    reasons = ", ".join(f"{count} {why}" for why, count in lost.items())
    return f"{uri} has no usable example ({reasons}; max_tokens={settings.max_tokens}); change the problems or the settings"


def _shards(uri: str, settings: SFT, checkpoint: Path, context: Context) -> list[Path]:
    """Returns the shards of a source, which are tokenized if they are missing; see `prepare.prepare`."""

    def progress(done: int, total: int) -> None:
        context.progress(0, settings.steps, tokenized=f"{done:,} of {total:,} problems")

    source = prepare.Source(uri, settings.form, settings.verifier, str(checkpoint))
    return prepare.prepare(source, context.folder.resolve().parent, progress)


def in_rows(batch: list[Example], pad: int) -> dict[str, torch.Tensor]:
    """Returns a packed batch: several examples per row, with little padding. The longest examples are placed first.

    The positions of each example begin at 0. The model recognizes the examples by their positions. Therefore they do not
    attend to each other, and the loss is the same as with one row per example.

    Args:
        batch: examples.
        pad: token id of the padding.

    Returns:
        input_ids, position_ids and labels, (rows, width) each. The width is that of the longest example, at least `ROW_TOKENS`.
    """
    from transformers import DataCollatorWithFlattening

    width = max(ROW_TOKENS, *(len(row["input_ids"]) for row in batch))
    rows: list[list[Example]] = []
    room: list[int] = []
    for next_longest in sorted(batch, key=lambda row: -len(row["input_ids"])):
        length = len(next_longest["input_ids"])
        row = next((row for row, left in enumerate(room) if left >= length), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(width)
        rows[row].append(next_longest)
        room[row] -= length
    for row_examples, left in zip(rows, room, strict=True):
        if left:
            row_examples.append({"input_ids": [pad] * left, "labels": [IGNORED] * left})
    flatten = DataCollatorWithFlattening(separator_id=IGNORED)
    flat = [flatten(row_examples) for row_examples in rows]
    return {name: torch.cat([row[name] for row in flat]) for name in ("input_ids", "position_ids", "labels")}


def padded(batch: list[Example], pad: int) -> dict[str, torch.Tensor]:
    """Returns a batch with one padded row per example: input_ids, labels and attention_mask, (examples, longest) each."""
    width = max(len(row["input_ids"]) for row in batch)

    def filled(name: str, fill: int) -> torch.Tensor:
        return torch.tensor([row[name] + [fill] * (width - len(row[name])) for row in batch])

    mask = torch.tensor([[1] * len(e["input_ids"]) + [0] * (width - len(e["input_ids"])) for e in batch])
    return {"input_ids": filled("input_ids", pad), "labels": filled("labels", IGNORED), "attention_mask": mask}
