"""The settings with which a judge is asked."""

import pytest

from tenfold.benchmarks import catalogue, judged
from tenfold.core import Sampling
from tenfold.policies.scripted import ScriptedPolicy


@pytest.mark.parametrize(
    ("task", "judge", "expected"),
    [
        ("arena_hard_v2", "openai:gpt-4.1?base_url=http://localhost/v1", Sampling(0.0, 1.0, 16000)),
        ("arena_hard_v2", "openai:google/gemini-2.5-pro", Sampling(1.0, 1.0, 32000)),
        ("arena_hard_v2", "openai:other", Sampling(0.0, 1.0, 16000)),
        ("hle", "openai:o3-mini-2025-01-31", Sampling(1.0, 1.0, 4096)),
        ("multi_challenge", "openai:gpt-4o-2024-08-06", Sampling(0.0, 1.0, 4096)),
        ("writing_bench", "vllm+hf:AQuarterMile/WritingBench-Critic-Model-Qwen-7B", Sampling(1.0, 0.95, 2048)),
    ],
)
def test_a_judge_has_the_published_sampling(task: str, judge: str, expected: Sampling) -> None:
    metadata = catalogue.settings(task)["metadata"]
    found = judged.settings.of_task(judged.BENCHMARKS[task], metadata, judge, None)
    assert found.sampling == expected
    is_published = judged.settings.model_name(judge) != "other"
    differing = judged.settings.differences(judged.BENCHMARKS[task], metadata, found, judge, ScriptedPolicy("x"), 16000)
    assert any(text.startswith("the judge is") for text in differing) != is_published
