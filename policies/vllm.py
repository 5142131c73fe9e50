"""vLLM in this process as a policy: the same checkpoint, many times the throughput. Wants a GPU and the extra `gpu`."""

import math
from collections.abc import Sequence
from pathlib import Path

from ..core import Completion, Conversation, Sampling, UserError, draw_seed
from . import initial


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
            batch_size: draws handed over at once; vLLM schedules them itself.

        Raises:
            UserError: vLLM is not installed.
        """
        try:
            import vllm
        except ImportError:
            raise UserError("vllm: wants the extra: pip install 'tenfold[gpu]'") from None
        self.vllm, self.batch_size = vllm, batch_size
        self.engine = vllm.LLM(
            model=str(checkpoint),
            tensor_parallel_size=tensor_parallel_size,
            gpu_memory_utilization=gpu_memory_utilization,
            max_model_len=max_model_len,
        )
        self.tokenizer = self.engine.get_tokenizer()

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """See `Policy.generate`. Draws hold across batch sizes when vLLM runs with VLLM_BATCH_INVARIANT=1."""
        keys = keys or [repr(list(conversation)) for conversation in conversations]
        prompts, settings, opened = [], [], []
        for conversation, key in zip(conversations, keys, strict=True):
            tokens = initial.prompt_tokens(self.tokenizer, conversation)
            opened += [initial.opened(self.tokenizer, tokens)] * samples
            for sample in range(samples):
                prompts.append({"prompt_token_ids": tokens})
                settings.append(
                    self.vllm.SamplingParams(
                        temperature=sampling.temperature,
                        top_p=sampling.top_p,
                        max_tokens=sampling.max_tokens,
                        seed=draw_seed(sampling.seed, key, sample),
                        stop=list(sampling.stop),
                        logprobs=0,
                    )
                )
        replies = self.engine.generate(prompts, settings, use_tqdm=False)
        drawn = [self._completion(reply.outputs[0], begun) for reply, begun in zip(replies, opened, strict=True)]
        return [drawn[i * samples : (i + 1) * samples] for i in range(len(conversations))]

    def choices(self, conversations: Sequence[Conversation], options: Sequence[str]) -> list[list[float]]:
        """How likely each option is as the answer, if it is one of them: by the first token that they differ in.

        An option that is not among the 20 likeliest tokens has probability 0.

        Raises:
            UserError: none of them is, or they do not differ in one token.
        """
        shared, following = initial.choice_tokens(self.tokenizer, options)
        prompts = [{"prompt_token_ids": initial.prompt_tokens(self.tokenizer, asked) + shared} for asked in conversations]
        settings = self.vllm.SamplingParams(temperature=0.0, max_tokens=1, logprobs=20)
        told = []
        for reply in self.engine.generate(prompts, settings, use_tqdm=False):
            likely = reply.outputs[0].logprobs[0]
            chances = [math.exp(likely[token].logprob) if token in likely else 0.0 for token in following]
            if not any(chances):
                raise UserError(f"the model is unlikely to say one of {', '.join(options)}")
            told.append([chance / sum(chances) for chance in chances])
        return told

    @staticmethod
    def _completion(output: "object", opened: str) -> Completion:
        tokens = tuple(output.token_ids)  # type: ignore[attr-defined]
        logprobs = tuple(step[token].logprob for token, step in zip(tokens, output.logprobs or (), strict=False))  # type: ignore[attr-defined]
        reason = "length" if output.finish_reason == "length" else "stop"  # type: ignore[attr-defined]
        return Completion(opened + output.text, reason, tokens, logprobs)  # type: ignore[attr-defined]
