"""The CPU rollout of verl: one Ray actor that samples with the sampler of `policies/transformers.py`."""

import asyncio
import itertools
import os
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

from ...core import Sampling
from ...policies import checkpoints
from ...policies.transformers import Sample, sample
from .names import ROLLOUT

QUIET_SECONDS = 0.2
"""Without a new request for this long, the server stops waiting for the rest of a step."""
ROWS = 64
"""Samples in one forward pass."""


@dataclass(slots=True)
class _Request:
    """One sample that an agent loop waits for."""

    distribution: tuple[float, float]
    """Temperature and top_p."""
    prompt: list[int]
    seed: int
    limit: int
    future: asyncio.Future[Sample]


class Server:
    """Holds a copy of the policy and samples for all agent loops, in batches of whatever is waiting."""

    def __init__(self, rollout_config: Any, model_path: str):
        self.model, tokenizer = checkpoints.load(model_path, torch.float32)
        self.model.eval()
        self.stop_ids = checkpoints.stop_ids(model_path, tokenizer)
        self.budget = int(rollout_config.response_length)
        self.samples_per_step = int(rollout_config.max_num_seqs)
        self.step: int | None = None
        self.waiting: list[_Request] = []
        self.wakened = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def generate(
        self, request_id: str, prompt_ids: Sequence[int], sampling_params: dict[str, Any], **media: Any
    ) -> TokenOutput:
        """One sample, as verl's TokenOutput. sampling_params: temperature, top_p, seed and max_tokens."""
        if self.task is None:
            self.task = asyncio.create_task(self._serve())
        limit = max(1, min(sampling_params.get("max_tokens") or self.budget, self.budget))
        distribution = (float(sampling_params.get("temperature", 1.0)), float(sampling_params.get("top_p", 1.0)))
        future: asyncio.Future[Sample] = asyncio.get_running_loop().create_future()
        self.waiting.append(_Request(distribution, list(prompt_ids), int(sampling_params.get("seed", 0)), limit, future))
        self.wakened.set()
        sampled = await future
        return TokenOutput(
            token_ids=sampled.tokens,
            log_probs=sampled.logprobs,
            stop_reason="completed" if sampled.finish_reason == "stop" else "length",
            extra_fields={"global_steps": self.step},
        )

    async def _serve(self) -> None:
        while True:
            await self.wakened.wait()
            # The whole step is sampled together, in an order of its own: who came first must not change who shares a
            # forward pass with whom, for that may change a last bit, and a run would not repeat.
            seen = 0
            while seen < len(self.waiting) < self.samples_per_step:
                seen = len(self.waiting)
                await asyncio.sleep(QUIET_SECONDS)
            requests, self.waiting = self.waiting, []
            self.wakened.clear()
            requests.sort(key=lambda request: (request.distribution, len(request.prompt), request.prompt, request.seed))
            for _, alike in itertools.groupby(requests, key=lambda request: request.distribution):
                same = list(alike)
                for start in range(0, len(same), ROWS):
                    await self._answer(same[start : start + ROWS])

    async def _answer(self, batch: list[_Request]) -> None:
        loop = asyncio.get_running_loop()
        try:  # a sample that has ended is judged while others are being sampled
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
            max_tokens=[request.limit for request in batch],
            ready=ready,
        )

    async def load_weights(self, weights: dict[str, torch.Tensor], step: int | None) -> None:
        """Takes over the trained weights, of optimizer step `step`."""
        found = self.model.load_state_dict(weights, strict=False)
        assert not found.unexpected_keys, f"weights the model does not know: {found.unexpected_keys[:3]}"
        self.model.tie_weights()
        self.step = step

    async def set_global_steps(self, step: int) -> None:
        """Notes the optimizer step that the weights are of."""
        self.step = step

    async def abort_all_requests(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Nothing is ever aborted: steps are synchronous."""
        return {"aborted_count": 0, "request_ids": []}

    async def _pass(self, *args: Any, **kwargs: Any) -> None:
        """A processor has no second memory to move weights and caches to."""

    wake_up = sleep = resume_generation = clear_kv_cache = release_kv_cache = resume_kv_cache = _pass
    start_profile = stop_profile = wait_for_requests_to_drain = _pass


class ServerActor(Server):
    """The server as a Ray actor: the number of threads is that of its whole process, and so of an actor alone."""

    def __init__(self, rollout_config: Any, model_path: str):
        threads = os.environ.get("TENFOLD_ROLLOUT_THREADS") or os.environ.get("OMP_NUM_THREADS")
        torch.set_num_threads(int(threads or len(os.sched_getaffinity(0))))
        super().__init__(rollout_config, model_path)


class Replica(RolloutReplica):
    """verl's handle on the server: starts it."""

    async def launch_servers(self) -> None:
        """Starts the one server of this replica as a Ray actor."""
        path = omega_conf_to_dataclass(self.model_config, dataclass_type=HFModelConfig).local_path
        actor = ray.remote(num_cpus=0)(ServerActor)
        server = actor.options(name=f"{ROLLOUT}_{self.replica_rank}", max_concurrency=1000).remote(self.config, path)
        self.servers, self._server_handle, self._server_address = [server], server, f"{ROLLOUT}-{self.replica_rank}"


class Adapter(BaseRollout):
    """The trainer's side: sends the server new weights."""

    async def resume(self, tags: list[str]) -> None:
        """Nothing was released."""

    async def release(self) -> None:
        """A processor has no second memory to release weights to."""

    @torch.no_grad()
    async def update_weights(
        self, weights: Any, wire_format: str = "named_tensors", global_steps: int | None = None, **kwargs: Any
    ) -> None:
        """Sends the trained weights of optimizer step `global_steps` over."""
        state = {name: weight.detach().float().cpu() async for name, weight in ensure_async_iterator(weights)}
        if int(os.environ["RANK"]) == 0:
            await ray.get_actor(f"{ROLLOUT}_0").load_weights.remote(state, global_steps)
