"""A checkpoint as a policy, run by vLLM in this process. It needs a GPU and the extra `gpu`."""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from .. import extras
from ..core import Completion, Conversation, Sampling, UserError
from . import checkpoints
from .completions import completion
from .transcript import generate_from_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class VLLMPolicy:
    """Samples from a checkpoint with vLLM's offline engine."""

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
            tensor_parallel_size: number of GPUs that share one copy of the model.
            gpu_memory_utilization: share of each GPU's memory that vLLM may use.
            max_model_len: limit of prompt and response together, in tokens; the default is the model's own.
            batch_size: number of samples in one call; vLLM schedules them itself.

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
        """See `Policy.generate`. Samples do not depend on the batch if vLLM runs with VLLM_BATCH_INVARIANT=1.

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
        settings = [
            self.vllm.SamplingParams(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                **({"top_k": sampling.top_k} if sampling.top_k else {}),
                max_tokens=limit,
                seed=seed,
                stop=list(sampling.stop),
                logprobs=0,
            )
            for seed, limit in zip(seeds, limits or [sampling.max_tokens] * len(prompts), strict=True)
        ]
        outputs = self.engine.generate([{"prompt_token_ids": prompt} for prompt in prompts], settings, use_tqdm=False)
        return [
            completed(self.tokenizer, prompt, output.outputs[0], self.stop_ids, sampling.stop)
            for prompt, output in zip(prompts, outputs, strict=True)
        ]

    def choice_probabilities(self, conversations: Sequence[Conversation], options: Sequence[str]) -> list[list[float]]:
        """Returns the probability of each option, given that the answer is one of them.

        It is the probability of the first token in which the options differ. An option that is not among the 20 most likely
        tokens has probability 0.

        Raises:
            UserError: no option is among these tokens, or there is no token in which all options differ.
        """
        shared, following = checkpoints.choice_tokens(self.tokenizer, options)
        prompts = [{"prompt_token_ids": checkpoints.prompt_tokens(self.tokenizer, turns) + shared} for turns in conversations]
        settings = self.vllm.SamplingParams(temperature=0.0, max_tokens=1, logprobs=20)
        results = []
        for output in self.engine.generate(prompts, settings, use_tqdm=False):
            likely = output.outputs[0].logprobs[0]
            chances = [math.exp(likely[token].logprob) if token in likely else 0.0 for token in following]
            if not any(chances):
                raise UserError(f"none of {', '.join(options)} is among the model's 20 most likely tokens")
            results.append([chance / sum(chances) for chance in chances])
        return results


class Logprob(Protocol):
    """The field of vLLM's `Logprob` that this module uses."""

    logprob: float


class Output(Protocol):
    """The fields of vLLM's `CompletionOutput` that this module uses."""

    token_ids: Sequence[int]
    logprobs: "Sequence[Mapping[int, Logprob]] | None"


def completed(
    tokenizer: "PreTrainedTokenizerBase", prompt: Sequence[int], output: Output, stop_ids: Collection[int], stop: Sequence[str]
) -> Completion:
    """Converts an output of vLLM; see `completions.completion`.

    Args:
        tokenizer: the policy's.
        prompt: tokens before the turn.
        output: vLLM's output.
        stop_ids: tokens that end a turn.
        stop: strings that end a turn.
    """
    logprobs = [step[token].logprob for token, step in zip(output.token_ids, output.logprobs or (), strict=False)]
    return completion(tokenizer, prompt, output.token_ids, stop_ids, stop, logprobs)
