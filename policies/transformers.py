"""A Hugging Face checkpoint as a policy, run by transformers on a GPU or a CPU.

`sample` is the sampler, also for the CPU rollout in reinforcement learning. Rows are left-padded, equal prompts are processed
once, finished rows leave the batch, and each row has its own random numbers. A sample therefore does not depend on the other
rows of its batch, up to rounding: a matrix product with another number of rows may differ in the last bits. This changes a
token only if its random number falls into this difference. In float32 at temperature 1 it changes about one token in a million
for `micro:`, and about one in 500 for SmolLM2-135M, which has a larger vocabulary.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from .. import cpu_threads
from ..core import Completion, Conversation, Sampling
from . import checkpoints
from .cache import grow_in_place
from .chat.prompts import choice_tokens, prompt_tokens
from .completions import completion, has_stop, room
from .likelihoods import TokenScore, scores
from .transcript import Observer, generate_from_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel

UNFINISHED_SHARE = 7 / 8
"""Remove finished rows when at most this share of rows is unfinished. A removal copies the cache. Our choice."""
NUCLEUS_TOKENS = 1024
"""Number of tokens to sort for top_p before the whole vocabulary is sorted; nearly all nuclei are smaller. Our choice."""


class TransformersPolicy:
    """Samples from a causal language model in this process."""

    def __init__(self, checkpoint: str | Path, batch_size: int = 64, device: str | None = None):
        """Loads a checkpoint folder.

        Args:
            checkpoint: a Hugging Face folder with weights and tokenizer.
            batch_size: number of samples in a batch.
            device: a torch device; the default is a GPU if there is one. Weights are bfloat16 on a GPU, float32 on a CPU.

        Raises:
            UserError: the folder lacks weights or a tokenizer.
        """
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        if self.device.type == "cpu":
            cpu_threads.chosen(lambda: Path(checkpoint))
        self.model, self.tokenizer = checkpoints.load(checkpoint, dtype)
        self.model.to(self.device).eval()
        self.batch_size = batch_size
        self.stop_ids = checkpoints.stop_ids(checkpoint, self.tokenizer)

    @property
    def window(self) -> int | None:
        """The model's context window in tokens, or None if unknown."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """See `Policy.generate`. A sample also ends when the window is full. If the prompt fills it, the sample is empty.

        Args:
            conversations: see `Policy.generate`.
            samples: see `Policy.generate`.
            sampling: see `Policy.generate`.
            keys: see `Policy.generate`.
        """
        return generate_from_tokens(self, conversations, samples, sampling, keys)

    def complete(
        self, prompts: Sequence[list[int]], sampling: Sampling, seeds: Sequence[int], limits: Sequence[int] | None = None
    ) -> list[Completion]:
        """See `transcript.TokenPolicy.complete`.

        Args:
            prompts: see `TokenPolicy.complete`.
            sampling: see `TokenPolicy.complete`.
            seeds: see `TokenPolicy.complete`.
            limits: see `TokenPolicy.complete`.
        """
        return self._completions(prompts, sampling, seeds, limits or [sampling.max_tokens] * len(prompts), None)

    def observed(
        self, prompts: Sequence[list[int]], sampling: Sampling, seeds: Sequence[int], limits: Sequence[int], observer: Observer
    ) -> None:
        """See `transcript.SupportsObserver`.

        Args:
            prompts: see `SupportsObserver`.
            sampling: see `SupportsObserver`.
            seeds: see `SupportsObserver`.
            limits: see `SupportsObserver`.
            observer: see `SupportsObserver`.
        """
        self._completions(prompts, sampling, seeds, limits, observer)

    def _completions(
        self,
        prompts: Sequence[list[int]],
        sampling: Sampling,
        seeds: Sequence[int],
        limits: Sequence[int],
        observer: Observer | None,
    ) -> list[Completion]:
        max_tokens = room(limits, prompts, self.window)
        full = [row for row, limit in enumerate(max_tokens) if not limit]
        completions = {row: completion(self.tokenizer, prompts[row], (), self.stop_ids) for row in full}
        if observer is not None:
            for row in full:
                observer.ended(row, completions[row])
        # Rows of similar length share a batch, so that there is less padding and equal prompts stay together.
        order = sorted((row for row, limit in enumerate(max_tokens) if limit), key=lambda row: len(prompts[row]))
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]

            def ended(place: int, sampled: Sample, batch: Sequence[int] = batch) -> None:
                row = batch[place]
                completions[row] = completion(
                    self.tokenizer, prompts[row], sampled.tokens, self.stop_ids, sampling.stop, sampled.logprobs
                )
                if observer is not None:
                    observer.ended(row, completions[row])

            def grown(place: int, tokens: list[int], batch: Sequence[int] = batch) -> bool:
                return observer is not None and observer.grown(batch[place], tokens)

            samples = sample(
                self.model,
                [prompts[row] for row in batch],
                [seeds[row] for row in batch],
                sampling,
                self.stop_ids,
                (lambda tokens: has_stop(self.tokenizer, tokens, sampling.stop)) if sampling.stop else None,
                [max_tokens[row] for row in batch],
                ended if observer is not None else None,
                grown if observer is not None else None,
            )
            if observer is None:
                for place, sampled in enumerate(samples):
                    ended(place, sampled)
        return [completions[row] for row in range(len(prompts))]

    @torch.inference_mode()
    def loglikelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """Returns the log-probability of each continuation after its context, and whether greedy sampling would produce it.

        Args:
            pairs: context and continuation, as plain text. They are tokenized as in lm-eval: as one text, in which spaces at
                the end of the context belong to the continuation. An empty context is replaced by the token that begins a text,
                or, if there is none, the one that ends it.
        """
        first = [token for token in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id) if token is not None][:1]
        rows = []
        for context, continuation in pairs:
            start = len(self.tokenizer(context.rstrip())["input_ids"])
            whole = self.tokenizer(context + continuation)["input_ids"]
            if not context.strip():
                start, whole = 1, first + self.tokenizer(context + continuation, add_special_tokens=False)["input_ids"]
            rows.append((whole, max(1, min(start, len(whole) - 1))))
        results: list[tuple[float, bool]] = []
        for begin in range(0, len(rows), self.batch_size):
            batch = rows[begin : begin + self.batch_size]
            width = max(len(whole) for whole, _ in batch)
            ids = torch.tensor([whole + [0] * (width - len(whole)) for whole, _ in batch], device=self.device)
            mask = torch.tensor([[1] * len(whole) + [0] * (width - len(whole)) for whole, _ in batch], device=self.device)
            logits = self.model(input_ids=ids, attention_mask=mask).logits
            for row, (whole, start) in enumerate(batch):
                logprobs = logits[row, start - 1 : len(whole) - 1].float().log_softmax(-1)
                targets = ids[row, start : len(whole)]
                likelihood = logprobs.gather(-1, targets[:, None]).sum()
                results.append((float(likelihood), bool((logprobs.argmax(-1) == targets).all())))
        return results

    def token_scores(self, rows: Sequence[Sequence[int]], sampling: Sampling, top: int) -> list[list[TokenScore]]:
        """See `likelihoods.SupportsTokenScores`.

        Args:
            rows: see `SupportsTokenScores`.
            sampling: see `SupportsTokenScores`.
            top: see `SupportsTokenScores`.
        """
        return scores(self.model, rows, sampling, top)

    @torch.inference_mode()
    def choice_probabilities(self, conversations: Sequence[Conversation], options: Sequence[str]) -> list[list[float]]:
        """Returns the probability of each option, given that the answer is one of them.

        It is the probability of the first token in which the options differ.

        Returns:
            For each conversation a list with one probability for each option, with the sum 1. All are NaN if the prompt fills
            the window, so that there is no room for an answer.

        Raises:
            UserError: there is no token in which all options differ.
        """
        shared, following = choice_tokens(self.tokenizer, options)
        rows = [prompt_tokens(self.tokenizer, conversation) + shared for conversation in conversations]
        fits = [row for row, limit in enumerate(room([1] * len(rows), rows, self.window)) if limit]
        order = sorted(fits, key=lambda row: len(rows[row]))  # rows of similar length share a batch
        results = [[math.nan] * len(following) for _ in rows]
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            logits = next_logits(self.model, [rows[row] for row in batch])[:, following]
            for row, chances in zip(batch, logits.double().softmax(-1).tolist(), strict=True):
                results[row] = chances
        return results


def next_logits(model: "PreTrainedModel", rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Returns the logits of the token after each row of token ids, `(rows, vocabulary)` in float32."""
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows], device=model.device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=model.device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    output = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, logits_to_keep=1)
    return output.logits[:, -1].float()


@dataclass(slots=True)
class Sample:
    """The sampled tokens of one row with their log-probabilities, and the finish reason ("stop" or "length")."""

    tokens: list[int]
    logprobs: list[float]
    finish_reason: str = "length"


@torch.inference_mode()
def sample(
    model: "PreTrainedModel",
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    sampling: Sampling,
    stop_ids: Collection[int],
    stops: Callable[[list[int]], bool] | None = None,
    max_tokens: Sequence[int] | None = None,
    ready: Callable[[int, Sample], object] | None = None,
    grown: Callable[[int, list[int]], bool] | None = None,
) -> list[Sample]:
    """Samples one continuation for each prompt.

    Args:
        model: a causal language model of transformers.
        prompts: token ids of each row; no row is empty.
        seeds: the seed of each row.
        sampling: temperature, top_p, top_k and max_tokens; its seed and stop strings are ignored.
        stop_ids: a row ends with the first of these tokens.
        stops: called after each token with the sampled tokens of a row; true ends the row.
        max_tokens: token limit of each row, instead of `sampling.max_tokens`.
        ready: called with the row's number and its sample as soon as the row ends.
        grown: called with the row's number and its tokens after each token; true ends the row, as its limit would.

    Returns:
        One `Sample` for each row.
    """
    device = model.device
    limits = list(max_tokens) if max_tokens is not None else [sampling.max_tokens] * len(prompts)
    samples = [Sample([], []) for _ in prompts]
    rngs = [np.random.default_rng(seed) for seed in seeds]

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
        tokens, logprobs = _sample(logits, [rngs[row].random() for row in batch], sampling)
        for position, row in enumerate(batch):
            if ended[row]:
                continue
            sampled = samples[row]
            sampled.tokens.append(int(tokens[position]))
            sampled.logprobs.append(float(logprobs[position]))
            if sampled.tokens[-1] in stop_ids or (stops is not None and stops(sampled.tokens)):
                sampled.finish_reason = "stop"
            ended[row] = sampled.finish_reason == "stop" or len(sampled.tokens) >= limits[row]
            if grown is not None and grown(row, sampled.tokens):
                ended[row] = True
            if ended[row] and ready is not None:
                ready(row, sampled)
        unfinished = [position for position, row in enumerate(batch) if not ended[row]]
        if not unfinished:
            break
        if len(unfinished) <= UNFINISHED_SHARE * len(batch):
            select = torch.tensor(unfinished, device=device)
            cache.batch_select_indices(select)
            mask, positions, tokens = mask[select], positions[select], tokens[select]
            batch = [batch[position] for position in unfinished]
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
    """Samples one token for each row by inversion: the first whose cumulative probability exceeds the row's uniform number.

    Args:
        logits: `(rows, vocabulary)`.
        uniforms: one number in [0, 1) for each row.
        sampling: temperature, top_p and top_k.

    Returns:
        Tokens and their log-probabilities under the sampling distribution, both `(rows,)`.
    """
    if sampling.temperature == 0:
        best = logits.float().log_softmax(-1).max(-1)
        return best.indices, best.values
    logprobs = (logits.float() / sampling.temperature).log_softmax(-1)
    if sampling.top_p >= 1 and not sampling.top_k:
        order, kept = None, logprobs
    else:
        ranked, order = logprobs.topk(min(sampling.top_k or NUCLEUS_TOKENS, logprobs.shape[-1]), dim=-1)
        if sampling.top_k:  # top_p applies to the probabilities among these tokens, as in transformers and vLLM
            ranked = ranked.log_softmax(-1)
        elif bool((ranked.exp().sum(-1) < sampling.top_p).any()):
            ranked, order = logprobs.sort(dim=-1, descending=True)
        if sampling.top_p < 1:
            before = ranked.exp().cumsum(-1) - ranked.exp()
            ranked = ranked.masked_fill(before >= sampling.top_p, -torch.inf)
        kept = ranked - ranked.logsumexp(-1, keepdim=True)
    cumulative = kept.double().exp().cumsum(-1)
    chosen = by_inversion(cumulative, torch.tensor(uniforms, dtype=torch.float64, device=logits.device))[:, None]
    tokens = chosen if order is None else order.gather(-1, chosen)
    return tokens[:, 0], kept.gather(-1, chosen)[:, 0]


def by_inversion(cumulative: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Returns for each row the first position whose cumulative sum exceeds the row's uniform number, (rows,).

    Args:
        cumulative: cumulative sums of the probabilities, (rows, positions) float64; the last one need not be 1.
        uniforms: one number in [0, 1) for each row, (rows,) float64.
    """
    total = cumulative[:, -1:].contiguous()
    found = torch.searchsorted(cumulative, uniforms[:, None] * total, right=True)
    # Rounding may select the end. The last position with a positive probability has the final sum. With NaN, as of a policy
    # that has diverged, any position is as good as another.
    return torch.minimum(found, torch.searchsorted(cumulative, total))[:, 0].clamp(max=cumulative.shape[-1] - 1)
