"""Checkpoints on vLLM, with a stand-in for vLLM itself, which needs a GPU."""

import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

import tenfold
from tenfold.core import Sampling
from tenfold.policies import checkpoints


class Engine:
    """Stands in for `vllm.LLM`: records the settings of each sample and returns a sample without text."""

    llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=1024))

    def __init__(self, model: str, **options: Any):
        self.tokenizer = checkpoints.tokenizer_of(model)
        self.settings: list[dict[str, Any]] = []

    def get_tokenizer(self) -> Any:
        return self.tokenizer

    def generate(self, prompts: Sequence[Any], settings: Sequence[dict[str, Any]], use_tqdm: bool) -> list[Any]:
        self.settings += settings
        output = SimpleNamespace(token_ids=[self.tokenizer.eos_token_id], logprobs=None)
        return [SimpleNamespace(outputs=[output]) for _ in prompts]


def test_vllm_gets_the_sampling_settings_and_a_seed_for_each_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=Engine, SamplingParams=dict))
    policy: Any = tenfold.load_policy("vllm+micro:?hidden=16&layers=1&heads=2")
    prompt = [{"role": "user", "content": "1 + 1 ="}]
    policy.generate([prompt], 2, Sampling(0.6, 0.95, 16, stop=("END",), top_k=20))
    policy.generate([prompt], 1, Sampling(max_tokens=8))
    first, second, without = policy.engine.settings
    expected = {"temperature": 0.6, "top_p": 0.95, "top_k": 20, "max_tokens": 16, "stop": ["END"], "logprobs": 0}
    assert {name: value for name, value in first.items() if name != "seed"} == expected
    assert first["seed"] != second["seed"]
    assert "top_k" not in without
