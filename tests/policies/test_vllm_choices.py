"""Choices of `vllm+`. A function takes the place of the engine, so that these tests do not need vLLM."""

import dataclasses
import math
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from tenfold.core import Message
from tenfold.policies import checkpoints
from tenfold.policies.chat.prompts import prompt_tokens
from tenfold.policies.vllm import VLLMPolicy

MICRO = "micro:?hidden=16&layers=1&heads=2"
ASKED = [[Message(role="user", content="How many? " * count)] for count in (1, 9)]


@dataclasses.dataclass
class Requests:
    """Answers each request at once; refuses a prompt that fills the window, as vLLM does."""

    window: int

    def submit(self, prompt: dict[str, list[int]], settings: Any, convert: Any) -> "Future[Any]":
        if len(prompt["prompt_token_ids"]) >= self.window:
            raise ValueError("the prompt is longer than the maximum model length")
        likely = {token: SimpleNamespace(logprob=math.log(0.5)) for token in settings.allowed_token_ids}
        future: Future[Any] = Future()
        future.set_result(convert(SimpleNamespace(outputs=[SimpleNamespace(logprobs=[likely])])))
        return future


def test_a_prompt_that_fills_the_window_has_no_choice() -> None:
    policy: Any = object.__new__(VLLMPolicy)  # `__init__` starts the engine
    policy.tokenizer = checkpoints.tokenizer_of(checkpoints.checkpoint(MICRO))
    policy.window = len(prompt_tokens(policy.tokenizer, ASKED[1]))
    policy.requests, policy.vllm = Requests(policy.window), SimpleNamespace(SamplingParams=SimpleNamespace)
    short, long = policy.choice_probabilities(ASKED, ["A", "B"])
    assert short == [0.5, 0.5]
    assert all(map(math.isnan, long))
