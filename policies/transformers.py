"""A Hugging Face checkpoint as a policy, on whatever torch finds here.

`sample` is the sampler, also of the CPU rollout in reinforcement learning: rows are left-padded, prompts that occur more
than once are read once, finished rows leave the batch by and by, and every row samples with its own random numbers. So a
sample does not depend on its neighbours, up to rounding: a matrix product over another number of rows may differ in the last
bits, which moves a sample only when a random number falls inside that difference (about one token in a million in float32).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core import Completion, Conversation, Sampling
from . import checkpoints
from .cache import grow_in_place
from .completions import completion
from .transcript import generate

OPEN_SHARE = 7 / 8
"""Share of a batch's rows that are still open, below which the others leave it: that copies all keys and values."""
NUCLEUS_TOKENS = 1024
"""Tokens looked at before the whole vocabulary is sorted for top_p; nearly every nucleus is smaller."""


class TransformersPolicy:
    """Answers conversations with a causal language model in this process."""

    def __init__(self, checkpoint: str | Path, batch_size: int = 64, device: str | None = None):
        """Loads a checkpoint folder.

        Args:
            checkpoint: a Hugging Face folder with weights and tokenizer.
            batch_size: samples generated together.
            device: a torch device; defaults to a GPU where there is one. Weights are bfloat16 there, float32 on a CPU.

        Raises:
            UserError: the folder lacks weights or a tokenizer.
        """
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        self.model, self.tokenizer = checkpoints.load(checkpoint, dtype)
        self.model.to(self.device).eval()
        self.batch_size = batch_size
        self.stop_ids = checkpoints.stop_ids(checkpoint, self.tokenizer)

    @property
    def window(self) -> int | None:
        """Most tokens that the model reads and writes together."""
        return getattr(self.model.config, "max_position_embeddings", None)

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """See `Policy.generate`. A sample ends where the model's window does."""
        return generate(self, conversations, samples, sampling, keys)

    def complete(
        self, prompts: Sequence[list[int]], sampling: Sampling, seeds: Sequence[int], limits: Sequence[int] | None = None
    ) -> list[Completion]:
        """See `transcript.TokenPolicy.complete`."""
        window = self.window or sampling.max_tokens + max(map(len, prompts), default=0)
        given = limits or [sampling.max_tokens] * len(prompts)
        most = [max(1, min(limit, window - len(prompt))) for limit, prompt in zip(given, prompts, strict=True)]
        # Rows of like length share a batch: less padding, and samples of one prompt stay together.
        order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
        completions: dict[int, Completion] = {}
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            made = sample(
                self.model,
                [prompts[row] for row in batch],
                [seeds[row] for row in batch],
                sampling,
                self.stop_ids,
                (lambda tokens: any(text in self.tokenizer.decode(tokens) for text in sampling.stop))
                if sampling.stop
                else None,
                [most[row] for row in batch],
            )
            for row, sampled in zip(batch, made, strict=True):
                completions[row] = completion(
                    self.tokenizer, prompts[row], sampled.tokens, self.stop_ids, sampling.stop, sampled.logprobs
                )
        return [completions[row] for row in range(len(prompts))]

    @torch.inference_mode()
    def loglikelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """How likely each continuation is behind its context, both plain text, and whether greedy sampling would say it.

        Args:
            pairs: context and continuation; the tokens are those of the two as one text.
        """
        rows = []
        for context, continuation in pairs:
            whole = self.tokenizer(context + continuation)["input_ids"]
            start = len(self.tokenizer(context)["input_ids"]) if context else 1
            rows.append((whole, max(1, min(start, len(whole) - 1))))
        told: list[tuple[float, bool]] = []
        for begin in range(0, len(rows), self.batch_size):
            batch = rows[begin : begin + self.batch_size]
            width = max(len(whole) for whole, _ in batch)
            ids = torch.tensor([whole + [0] * (width - len(whole)) for whole, _ in batch], device=self.device)
            mask = torch.tensor([[1] * len(whole) + [0] * (width - len(whole)) for whole, _ in batch], device=self.device)
            logits = self.model(input_ids=ids, attention_mask=mask).logits
            for row, (whole, start) in enumerate(batch):
                logprobs = logits[row, start - 1 : len(whole) - 1].float().log_softmax(-1)
                wanted = ids[row, start : len(whole)]
                likelihood = logprobs.gather(-1, wanted[:, None]).sum()
                told.append((float(likelihood), bool((logprobs.argmax(-1) == wanted).all())))
        return told

    @torch.inference_mode()
    def choices(self, conversations: Sequence[Conversation], options: Sequence[str]) -> list[list[float]]:
        """How likely each option is as the answer, if it is one of them: by the first token that they differ in.

        Returns:
            One list a conversation, of a probability an option; they sum to 1.

        Raises:
            UserError: the options do not differ in one token.
        """
        shared, following = checkpoints.choice_tokens(self.tokenizer, options)
        rows = [checkpoints.prompt_tokens(self.tokenizer, conversation) + shared for conversation in conversations]
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))  # rows of like length share a batch
        told: list[list[float]] = [[] for _ in rows]
        for start in range(0, len(rows), self.batch_size):
            batch = order[start : start + self.batch_size]
            logits = next_logits(self.model, [rows[row] for row in batch])[:, following]
            for row, chances in zip(batch, logits.double().softmax(-1).tolist(), strict=True):
                told[row] = chances
        return told


def next_logits(model: Any, rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Logits of the token that follows each row of token ids, (rows, vocabulary) in float32."""
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows], device=model.device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=model.device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    output = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, logits_to_keep=1)
    return output.logits[:, -1].float()


@dataclass(slots=True)
class Sample:
    """What one row drew: its new tokens with their log-probabilities, and why it ended ("stop" or "length")."""

    tokens: list[int]
    logprobs: list[float]
    finish_reason: str = "length"


@torch.inference_mode()
def sample(
    model: Any,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    sampling: Sampling,
    stop_ids: Collection[int],
    stops: Callable[[list[int]], bool] | None = None,
    max_tokens: Sequence[int] | None = None,
    ready: Callable[[int, Sample], object] | None = None,
) -> list[Sample]:
    """Samples one continuation for each prompt.

    Args:
        model: a causal language model of transformers.
        prompts: token ids of each row, none empty.
        seeds: each row's own seed.
        sampling: temperature, top_p and max_tokens; its seed and stop strings are not looked at.
        stop_ids: a row ends with the first of these tokens.
        stops: whether the tokens sampled so far end a row; asked after every token.
        max_tokens: each row's own limit, instead of sampling.max_tokens.
        ready: told each row and its sample as soon as it ends, while others are still sampled.

    Returns:
        One Sample a row.
    """
    device = model.device
    limits = list(max_tokens) if max_tokens is not None else [sampling.max_tokens] * len(prompts)
    samples = [Sample([], []) for _ in prompts]
    random = [np.random.default_rng(seed) for seed in seeds]

    distinct = {tuple(prompt): None for prompt in prompts}
    first_row = {prompt: row for row, prompt in enumerate(distinct)}
    width = max(map(len, distinct))
    ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in distinct], device=device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in distinct], device=device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    output = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1)

    source = torch.tensor([first_row[tuple(prompt)] for prompt in prompts], device=device)
    cache, mask, positions = output.past_key_values, mask[source], positions[source, -1:]
    cache.batch_select_indices(source)
    grow_in_place(cache)
    logits = output.logits[source, -1]
    batch, ended = list(range(len(prompts))), [False] * len(prompts)
    while True:
        tokens, logprobs = _sample(logits, [random[row].random() for row in batch], sampling)
        for place, row in enumerate(batch):
            if ended[row]:
                continue
            sampled = samples[row]
            sampled.tokens.append(int(tokens[place]))
            sampled.logprobs.append(float(logprobs[place]))
            if sampled.tokens[-1] in stop_ids or (stops is not None and stops(sampled.tokens)):
                sampled.finish_reason = "stop"
            ended[row] = sampled.finish_reason == "stop" or len(sampled.tokens) >= limits[row]
            if ended[row] and ready is not None:
                ready(row, sampled)
        open_places = [place for place, row in enumerate(batch) if not ended[row]]
        if not open_places:
            break
        if len(open_places) <= OPEN_SHARE * len(batch):
            select = torch.tensor(open_places, device=device)
            cache.batch_select_indices(select)
            mask, positions, tokens = mask[select], positions[select], tokens[select]
            batch = [batch[place] for place in open_places]
        mask = torch.cat([mask, mask.new_ones(len(batch), 1)], dim=1)
        positions = positions + 1
        output = model(
            input_ids=tokens[:, None],
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
        logits = output.logits[:, -1]
    return samples


def _sample(logits: torch.Tensor, uniforms: list[float], sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
    """One token a row by inversion: the first whose cumulative probability passes the row's uniform number.

    Args:
        logits: (rows, vocabulary).
        uniforms: one number in [0, 1) a row.
        sampling: temperature and top_p.

    Returns:
        Tokens and their log-probabilities under the distribution sampled from, both (rows,).
    """
    if sampling.temperature == 0:
        best = logits.float().log_softmax(-1).max(-1)
        return best.indices, best.values
    logprobs = (logits.float() / sampling.temperature).log_softmax(-1)
    if sampling.top_p >= 1:
        order, kept = None, logprobs
    else:
        ranked, order = logprobs.topk(min(NUCLEUS_TOKENS, logprobs.shape[-1]), dim=-1)
        if bool((ranked.exp().sum(-1) < sampling.top_p).any()):
            ranked, order = logprobs.sort(dim=-1, descending=True)
        before = ranked.exp().cumsum(-1) - ranked.exp()
        kept = ranked.masked_fill(before >= sampling.top_p, -torch.inf)
        kept = kept - kept.logsumexp(-1, keepdim=True)
    cumulative = kept.double().exp().cumsum(-1)
    target = torch.tensor(uniforms, dtype=torch.float64, device=logits.device)[:, None] * cumulative[:, -1:]
    chosen = torch.searchsorted(cumulative, target, right=True).clamp(max=kept.shape[-1] - 1)
    # Rounding may leave the last step on a token of probability zero: take the last one that has any.
    possible = kept.isfinite().sum(-1, keepdim=True) - 1 if order is not None else chosen
    chosen = torch.minimum(chosen, possible)
    tokens = chosen if order is None else order.gather(-1, chosen)
    return tokens[:, 0], kept.gather(-1, chosen)[:, 0]
