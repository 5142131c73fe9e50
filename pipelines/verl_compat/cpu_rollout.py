"""verl's rollout on a CPU: a Ray actor that samples with `policies/transformers.py`."""

import asyncio
import itertools
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
import torch
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.config import HFModelConfig
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica, TokenOutput
from verl.workers.rollout.utils import ensure_async_iterator

from ...core import Sampling, sample_seed
from ...policies import checkpoints
from ...policies.transformers import Sample, sample
from .names import ROLLOUT

QUIET_SECONDS = 0.2
"""Seconds without a new request after which the server samples what it has. Our choice."""
ROWS = 64
"""Samples per forward pass. Our choice."""


@dataclass(slots=True)
class _Request:
    """A sample that an agent loop waits for."""

    distribution: tuple[float, float]
    """Temperature and top_p."""
    prompt: list[int]
    seed: int
    limit: int
    """Tokens."""
    future: asyncio.Future[Sample]


class Server:
    """Has a copy of the policy and samples in batches for all agent loops."""

    def __init__(self, rollout_config: Any, model_path: str):
        self.model, tokenizer = checkpoints.load(model_path, torch.float32)
        self.model.eval()
        self.stop_ids = checkpoints.stop_ids(model_path, tokenizer)
        self.budget = int(rollout_config.response_length)
        self.samples_per_step = int(rollout_config.max_num_seqs)
        self.step: int | None = None
        self.waiting: list[_Request] = []
        self.wakened, self.resumed, self.idle = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.aborting = threading.Event()
        self.aborted: dict[tuple[int, tuple[int, ...]], int] = {}
        """Number of tokens that an aborted request got, by its seed and by the prompt with which it will be continued."""
        self.resumed.set()
        self.idle.set()
        self.task: asyncio.Task[None] | None = None

    async def generate(
        self, request_id: str, prompt_ids: Sequence[int], sampling_params: dict[str, Any], **media: Any
    ) -> TokenOutput:
        """Returns one sample as verl's TokenOutput. The protocol is verl's.

        Args:
            request_id: not used.
            prompt_ids: tokens of the prompt.
            sampling_params: temperature, top_p, seed and max_tokens.
            media: not used.
        """
        if self.task is None:
            self.task = asyncio.create_task(self._serve())
        limit = max(1, min(sampling_params.get("max_tokens") or self.budget, self.budget))
        distribution = (float(sampling_params.get("temperature", 1.0)), float(sampling_params.get("top_p", 1.0)))
        await self.resumed.wait()
        future: asyncio.Future[Sample] = asyncio.get_running_loop().create_future()
        seed, step = int(sampling_params.get("seed", 0)), self.step
        before = self.aborted.pop((seed, tuple(prompt_ids)), 0)
        # A continued request gets other random numbers than those that its first tokens got.
        own_seed = sample_seed(seed, f"after {before} tokens", 0) if before else seed
        self.waiting.append(_Request(distribution, list(prompt_ids), own_seed, limit, future))
        self.wakened.set()
        sampled = await future
        reason = "completed" if sampled.finish_reason == "stop" else "length"
        if len(sampled.tokens) < limit and not (sampled.tokens and sampled.tokens[-1] in self.stop_ids):
            reason = "aborted"
            if count := before + len(sampled.tokens):
                self.aborted[seed, (*prompt_ids, *sampled.tokens)] = count
        return TokenOutput(
            token_ids=sampled.tokens, log_probs=sampled.logprobs, stop_reason=reason, extra_fields={"global_steps": step}
        )

    async def _serve(self) -> None:
        while True:
            await self.wakened.wait()
            # All requests of a step are sampled together and in a fixed order. The order of arrival must not decide which
            # samples share a forward pass, because that may change the last bits and the run would not be reproducible.
            seen = 0
            while seen < len(self.waiting) < self.samples_per_step:
                seen = len(self.waiting)
                await asyncio.sleep(QUIET_SECONDS)
            requests, self.waiting = self.waiting, []
            self.wakened.clear()
            self.idle.clear()
            requests.sort(key=lambda request: (request.distribution, len(request.prompt), request.prompt, request.seed))
            for _, group in itertools.groupby(requests, key=lambda request: request.distribution):
                same = list(group)
                for start in range(0, len(same), ROWS):
                    await self._answer(same[start : start + ROWS])
            self.idle.set()

    async def _answer(self, batch: list[_Request]) -> None:
        loop = asyncio.get_running_loop()
        try:  # a finished sample is verified while the others are still sampled
            await asyncio.to_thread(
                self._sample, batch, lambda row, sampled: loop.call_soon_threadsafe(batch[row].future.set_result, sampled)
            )
        except Exception as error:
            for request in batch:
                if not request.future.done():
                    request.future.set_exception(error)

    def _sample(self, batch: list[_Request], ready: Callable[[int, Sample], object]) -> None:
        temperature, top_p = batch[0].distribution
        sample(
            self.model,
            [request.prompt for request in batch],
            [request.seed for request in batch],
            Sampling(temperature=temperature, top_p=top_p),
            self.stop_ids,
            stops=lambda tokens: self.aborting.is_set(),
            max_tokens=[request.limit for request in batch],
            ready=ready,
        )

    async def load_weights(self, weights: dict[str, torch.Tensor], step: int | None) -> None:
        """Replaces the weights by those of an optimizer step.

        Args:
            weights: weights by name.
            step: the optimizer step.
        """
        result = self.model.load_state_dict(weights, strict=False)
        assert not result.unexpected_keys, f"unexpected weights: {result.unexpected_keys[:3]}"
        self.model.tie_weights()
        self.step = step

    async def load_adapter(self, weights: dict[str, torch.Tensor], config: dict[str, Any], step: int | None) -> None:
        """Replaces the weights of the LoRA adapter, which is added to the model at the first call.

        Args:
            weights: weights by name.
            config: peft's configuration of the adapter.
            step: the optimizer step.
        """
        import peft

        if not isinstance(self.model, peft.PeftModel):
            self.model = peft.get_peft_model(self.model, peft.LoraConfig(**config)).eval()
        result: Any = peft.set_peft_model_state_dict(self.model, weights)
        assert not result.unexpected_keys, f"unexpected weights: {result.unexpected_keys[:3]}"
        self.step = step

    async def set_global_steps(self, step: int) -> None:
        """Sets the optimizer step of the weights."""
        self.step = step

    async def abort_all_requests(self, *args: object, **kwargs: object) -> None:
        """Returns to each waiting request the tokens that it has. New requests wait until generation is resumed."""
        self.resumed.clear()
        self.aborting.set()
        requests, self.waiting = self.waiting, []
        for request in requests:
            request.future.set_result(Sample([], [], "stop"))
        await self.idle.wait()

    async def resume_generation(self, *args: object, **kwargs: object) -> None:
        """Accepts requests again."""
        self.aborting.clear()
        self.resumed.set()

    async def _pass(self, *args: object, **kwargs: object) -> None:
        """Does nothing, because a CPU has no second memory for weights and caches."""

    wake_up = sleep = clear_kv_cache = release_kv_cache = resume_kv_cache = _pass
    start_profile = stop_profile = wait_for_requests_to_drain = _pass


class ServerActor(Server):
    """The server as a Ray actor, which also sets the number of threads of its process."""

    def __init__(self, rollout_config: Any, model_path: str):
        threads = os.environ.get("TENFOLD_ROLLOUT_THREADS") or os.environ.get("OMP_NUM_THREADS")
        torch.set_num_threads(int(threads or len(os.sched_getaffinity(0))))
        super().__init__(rollout_config, model_path)


class Replica(RolloutReplica):
    """Starts the server for verl."""

    async def launch_servers(self) -> None:
        """Starts the only server of this replica as a Ray actor."""
        path = omega_conf_to_dataclass(self.model_config, dataclass_type=HFModelConfig).local_path
        actor = ray.remote(num_cpus=0)(ServerActor)
        server = actor.options(name=f"{ROLLOUT}_{self.replica_rank}", max_concurrency=1000).remote(self.config, path)
        self.servers, self._server_handle, self._server_address = [server], server, f"{ROLLOUT}-{self.replica_rank}"


class Adapter(BaseRollout):
    """The trainer's side of the rollout: sends new weights to the server."""

    async def resume(self, tags: list[str]) -> None:
        """Does nothing, because `release` does nothing."""

    async def release(self) -> None:
        """Does nothing, because a CPU has no second memory for the weights."""

    @torch.no_grad()
    async def update_weights(
        self,
        weights: Any,
        wire_format: str = "named_tensors",
        global_steps: int | None = None,
        peft_config: dict[str, Any] | None = None,
        base_sync_done: bool = False,
        **kwargs: Any,
    ) -> None:
        """Sends the trained weights to the server. The protocol is verl's.

        Args:
            weights: pairs (name, tensor), as an iterator or an asynchronous iterator.
            wire_format: not used.
            global_steps: optimizer step of the weights.
            peft_config: configuration of the LoRA adapter that is trained; None: all weights are trained.
            base_sync_done: true if the weights are those of the adapter; false if they are those of its base model, which the
                server has already.
            kwargs: not used.
        """
        if peft_config and not base_sync_done:
            return
        state = {name: weight.detach().float().cpu() async for name, weight in ensure_async_iterator(weights)}
        if int(os.environ["RANK"]) == 0:
            server = ray.get_actor(f"{ROLLOUT}_0")
            if peft_config:
                await server.load_adapter.remote(state, peft_config, global_steps)
            else:
                await server.load_weights.remote(state, global_steps)
