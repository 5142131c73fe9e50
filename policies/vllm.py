"""vLLM in this process as a policy: the same checkpoint, many times the throughput. Wants a GPU and the extra `gpu`."""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from .. import extras
from ..core import Completion, Conversation, Sampling, UserError
from . import checkpoints
from .completions import completion
from .transcript import generate


class VLLMPolicy:
    """Answers conversations with vLLM's offline engine."""

    def __init__(
        self,
        checkpoint: str | Path,
        tensor_parallel_size: int = 1,
        gpu_memory_utilization: float = 0.9,
        max_model_len: int | None = None,
        batch_size: int = 4096,
    ):
        """Starts the engine.

        Args:
            checkpoint: a Hugging Face folder with weights and tokenizer.
            tensor_parallel_size: GPUs that share one copy of the model.
            gpu_memory_utilization: share of each GPU's memory that vLLM may take.
            max_model_len: longest prompt and answer together, in tokens; defaults to the model's own.
            batch_size: samples handed over at once; vLLM schedules them itself.

        Raises:
            UserError: vLLM is not installed.
        """
        with extras.required_by("vllm:"):
            import vllm

        self.vllm, self.batch_size = vllm, batch_size
        self.engine = vllm.LLM(
            model=str(checkpoint),
            tensor_parallel_size=tensor_parallel_size,
            gpu_memory_utilization=gpu_memory_utilization,
            max_model_len=max_model_len,
        )
        self.tokenizer = self.engine.get_tokenizer()
        self.stop_ids = checkpoints.stop_ids(checkpoint, self.tokenizer)
        self.window: int | None = self.engine.llm_engine.model_config.max_model_len

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """See `Policy.generate`. Samples hold across batch sizes when vLLM runs with VLLM_BATCH_INVARIANT=1."""
        return generate(self, conversations, samples, sampling, keys)

    def complete(
        self, prompts: Sequence[list[int]], sampling: Sampling, seeds: Sequence[int], limits: Sequence[int] | None = None
    ) -> list[Completion]:
        """See `transcript.TokenPolicy.complete`."""
        settings = [
            self.vllm.SamplingParams(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=limit,
                seed=seed,
                stop=list(sampling.stop),
                logprobs=0,
            )
            for seed, limit in zip(seeds, limits or [sampling.max_tokens] * len(prompts), strict=True)
        ]
        replies = self.engine.generate([{"prompt_token_ids": prompt} for prompt in prompts], settings, use_tqdm=False)
        return [
            completed(self.tokenizer, prompt, reply.outputs[0], self.stop_ids, sampling.stop)
            for prompt, reply in zip(prompts, replies, strict=True)
        ]

    def choices(self, conversations: Sequence[Conversation], options: Sequence[str]) -> list[list[float]]:
        """How likely each option is as the answer, if it is one of them: by the first token that they differ in.

        An option that is not among the 20 likeliest tokens has probability 0.

        Raises:
            UserError: none of them is, or they do not differ in one token.
        """
        shared, following = checkpoints.choice_tokens(self.tokenizer, options)
        prompts = [{"prompt_token_ids": checkpoints.prompt_tokens(self.tokenizer, asked) + shared} for asked in conversations]
        settings = self.vllm.SamplingParams(temperature=0.0, max_tokens=1, logprobs=20)
        told = []
        for reply in self.engine.generate(prompts, settings, use_tqdm=False):
            likely = reply.outputs[0].logprobs[0]
            chances = [math.exp(likely[token].logprob) if token in likely else 0.0 for token in following]
            if not any(chances):
                raise UserError(f"the model is unlikely to say one of {', '.join(options)}")
            told.append([chance / sum(chances) for chance in chances])
        return told


class Output(Protocol):
    """What is used of vLLM's `CompletionOutput`."""

    token_ids: Sequence[int]
    logprobs: Sequence[Mapping[int, Any]] | None


def completed(
    tokenizer: Any, prompt: Sequence[int], output: Output, stop_ids: Collection[int], stop: Sequence[str]
) -> Completion:
    """One answer of vLLM's, from its tokens: see `completions.completion`."""
    logprobs = [step[token].logprob for token, step in zip(output.token_ids, output.logprobs or (), strict=False)]
    return completion(tokenizer, prompt, output.token_ids, stop_ids, stop, logprobs)
