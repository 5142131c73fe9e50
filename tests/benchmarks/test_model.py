import json
from pathlib import Path
from typing import Any

import pytest
from tenfold.benchmarks import model
from tenfold.core import Problem, Status, UserError, Verdict
from tenfold.policies.scripted import ScriptedPolicy

GSM8K_FORM = "jsonl:{}/rows.jsonl?answer_after=%23%23%23%23"


def lucky(conversation: Any, seed: int) -> str:
    return f"seed {seed}, so \\boxed{{{seed % 2}}}"


@pytest.fixture
def problems(tmp_path: Path) -> str:
    rows = [{"question": f"Is {n} odd?", "answer": f"halving...\n#### {n % 2}"} for n in range(6)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return GSM8K_FORM.format(tmp_path)


@pytest.mark.parametrize("task", model.task_names())
def test_every_task_draws_8_different_answers_at_the_reports_settings(task: str, problems: str, tmp_path: Path) -> None:
    score = model.evaluate(task, ScriptedPolicy(lucky), problems=problems, folder=tmp_path)
    rows = [json.loads(line) for line in (tmp_path / f"{task}.scores.jsonl").read_text().splitlines()]
    assert (score.problems, score.draws) == (6, 8)
    assert all(len(set(row["responses"])) == 8 for row in rows)
    assert score.mean == pytest.approx(sum(sum(row["scores"]) for row in rows) / 48)
    assert 0 < score.mean < 1


def test_a_stopped_benchmark_goes_on_and_ends_the_same(problems: str, tmp_path: Path) -> None:
    class Stops(ScriptedPolicy):
        calls = 0

        def generate(self, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls > 2:
                raise KeyboardInterrupt
            return super().generate(*args, **kwargs)

    def run(policy: ScriptedPolicy, folder: str) -> Any:
        policy.batch_size = 16
        return model.evaluate("gsm8k_avg8", policy, problems=problems, folder=tmp_path / folder)

    whole = run(ScriptedPolicy(lucky), "whole")
    with pytest.raises(KeyboardInterrupt):
        run(Stops(lucky), "stopped")
    resumed = Stops(lucky)
    assert run(resumed, "stopped") == whole
    assert resumed.calls == 1
    assert (tmp_path / "stopped/gsm8k_avg8.draws.jsonl").read_text() == (tmp_path / "whole/gsm8k_avg8.draws.jsonl").read_text()


def test_draws_are_kept_with_what_ended_them(problems: str, tmp_path: Path) -> None:
    model.evaluate(
        "gsm8k_avg8", ScriptedPolicy(lucky), problems=problems, folder=tmp_path, limit=2, made_with={"policy": "lucky"}, seed=3
    )
    settings, *draws = [json.loads(line) for line in (tmp_path / "gsm8k_avg8.draws.jsonl").read_text().splitlines()]
    assert settings == {"settings": {"policy": "lucky", "seed": 3}}
    assert len(draws) == 16
    assert {"text", "finish_reason", "token_ids", "logprobs", "request", "draw"} == set(draws[0])
    with pytest.raises(UserError, match="lucky"):
        model.evaluate(
            "gsm8k_avg8", ScriptedPolicy(lucky), problems=problems, folder=tmp_path, made_with={"policy": "x"}, seed=3
        )


def test_a_fault_is_judged_once_more_and_then_left_out(problems: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[tuple[str, str]] = set()

    def shaky(problem: Problem, response: str) -> Verdict:
        first = (problem.id, response) not in seen
        seen.add((problem.id, response))
        if first or problem.id == "rows/0":
            return Verdict(Status.FAULT, None, "shaky", "the first time, and always on problem 0")
        return Verdict(Status.SCORED, 1.0, "shaky", "")

    monkeypatch.setattr("tenfold.verifiers.load", lambda name: shaky)
    score = model.evaluate("gsm8k_avg8", ScriptedPolicy(lucky), problems=problems)
    assert (score.mean, score.problems, score.faults) == (1, 5, 8)
    with pytest.raises(UserError, match="none of 8 draws has a score"):
        model.evaluate("gsm8k_avg8", ScriptedPolicy(lucky), problems=problems, limit=1)


def test_a_mistake_ends_in_one_line() -> None:
    with pytest.raises(UserError, match="chain_sum_avg8, gsm8k_avg8"):
        model.evaluate("chain_sum", ScriptedPolicy("1"))
    with pytest.raises(UserError, match="no file missing"):
        model.evaluate("gsm8k_avg8", ScriptedPolicy("1"), problems="jsonl:missing.jsonl")
    with pytest.raises(UserError, match="hub is out of reach"):
        model.evaluate("gsm8k_avg8", ScriptedPolicy("1"))
