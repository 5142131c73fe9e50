"""Samples without an answer in rollouts, a filter, a benchmark and a judge."""

import json
from pathlib import Path
from typing import Any

import pytest

from tenfold.benchmarks import evaluate
from tenfold.benchmarks.report import table
from tenfold.benchmarks.result import Options
from tenfold.core import Sampling, SamplingIncomplete, Status
from tenfold.envs.text import TextEnv
from tenfold.pipelines.rl import filter as rl_filter
from tenfold.pipelines.stage import Context
from tenfold.policies import openai as openai_module
from tenfold.policies.judge import asking
from tenfold.policies.openai import OpenAIPolicy
from tenfold.policies.rollout import play
from tenfold.verifiers import agentic

from .servers import Reply, Request, answer, error, serving

FILTERED = Reply(error("The prompt triggered the content management policy", code="content_filter"), 400)


@pytest.fixture
def rows(tmp_path: Path) -> str:
    rows = [{"question": f"Is {n} odd?", "answer": n % 2} for n in range(4)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"jsonl:{tmp_path}/rows.jsonl"


def number(request: Request) -> int:
    return int(request["messages"][-1]["content"].split()[1])


def refusing(third: Reply) -> Any:
    """A server that answers all prompts except the third."""
    return lambda request: third if number(request) == 2 else Reply(answer(f"\\boxed{{{number(request) % 2}}}"))


def test_a_benchmark_skips_a_refused_prompt_and_does_not_retry_it(rows: str, tmp_path: Path) -> None:
    with serving(refusing(FILTERED)) as server:
        for requests in (4 * 8, 0):
            result = evaluate.run_task(
                "aime24", OpenAIPolicy("m", server.url), Options(problems=rows, samples=8), folder=tmp_path / "bench"
            )
            assert len(server.requests) == requests
            server.requests.clear()
            assert (result.score.mean, result.score.problems, result.score.without_score, result.refused) == (1, 3, 8, 8)
    assert "8 refused" in table.line(result)
    (scores,) = (tmp_path / "bench").glob("aime24-own-*_avg8.scores.jsonl")
    stored = [json.loads(line) for line in scores.read_text().splitlines()]
    assert {(sample["status"], sample["method"]) for sample in stored[2]["samples"]} == {("undecided", "refused")}


def test_a_benchmark_leaves_out_a_fault_and_samples_it_again(
    rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_module, "PAUSE", 0.01)
    policy_options: Any = {"max_retries": 1}
    with serving(refusing(Reply({"choices": []}))) as server:
        policy = OpenAIPolicy("m", server.url, **policy_options)
        result = evaluate.run_task("aime24", policy, Options(problems=rows, samples=2), folder=tmp_path / "bench")
        assert (result.score.mean, result.score.without_score, result.refused) == (1, 2, 0)
        server.reply, before = refusing(Reply(answer("\\boxed{0}"))), len(server.requests)
        result = evaluate.run_task("aime24", policy, Options(problems=rows, samples=2), folder=tmp_path / "bench")
        assert (result.score.without_score, len(server.requests) - before) == (0, 2)


def test_samples_before_a_server_failure_are_stored(rows: str, tmp_path: Path) -> None:
    with serving(refusing(Reply(error("gone"), 503))) as server:
        policy = OpenAIPolicy("m", server.url, max_retries=0)
        with pytest.raises(SamplingIncomplete, match="503"):
            evaluate.run_task("aime24", policy, Options(problems=rows, samples=2), folder=tmp_path / "bench")
        (samples,) = (tmp_path / "bench").glob("aime24-own-*.samples.jsonl")
        assert len(samples.read_text().splitlines()) == 1 + 3 * 2
        with pytest.raises(SamplingIncomplete, match="503"):
            play(lambda: TextEnv(rows), policy, 2, store=tmp_path / "episodes.jsonl")
        assert len((tmp_path / "episodes.jsonl").read_text().splitlines()) == 1 + 3 * 2
        server.reply = refusing(Reply(answer("\\boxed{0}")))
        server.requests.clear()
        played = play(lambda: TextEnv(rows), policy, 2, store=tmp_path / "episodes.jsonl")
    assert len(server.requests) == 2
    assert [[episode.verdict.score for episode in row] for row in played.values()] == [[1, 1]] * 4


def test_a_filter_counts_refused_prompts_and_does_not_retry_them(
    rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reply(request: Request) -> Reply:
        right = (number(request) + request["seed"]) % 2
        return FILTERED if number(request) == 2 else Reply(answer(f"\\boxed{{{right}}}"))

    with serving(reply) as server:
        settings = rl_filter.Filter.model_validate(
            {
                "kind": "filter",
                "name": "f",
                "environment": "tenfold/Math-v0",
                "options": {"problems": rows},
                "max_without_score": 0,
            }
        )
        context = Context(tmp_path, f"openai:m?base_url={server.url}", 1, {}, lambda *args, **values: None)
        found = settings.run(context)
        assert (found["problems"], found["kept"], found["refused"], found["without_score"]) == (4, 3, 16, 16)
        server.requests.clear()
        assert settings.run(context)["refused"] == 16
        assert server.requests == []


def test_a_refusal_of_the_judge_is_undecided_and_a_failure_is_a_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openai_module, "PAUSE", 0.01)
    from tenfold.core import Problem

    problem = Problem("p", ({"role": "user", "content": "?"},), "Paris", "here")
    found = {}
    for name, reply in (("refused", FILTERED), ("odd", Reply(b""))):
        with serving(lambda request, reply=reply: reply) as server:
            judge = agentic.verifier(asking(OpenAIPolicy("m", server.url, max_retries=1)), always=True)
            found[name] = judge(problem, "\\boxed{Lyon}")
    assert [found[name].status for name in ("refused", "odd")] == [Status.UNDECIDED, Status.FAULT]


def test_lone_surrogates_do_not_lose_episodes(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(
        '{"id": "p\\ud800", "question": "Half \\ud800?", "answer": "4"}\n{"question": "Whole?", "answer": "4"}\n'
    )
    reply = json.dumps(answer("It is \udfff \\boxed{4}")).encode()  # JSON encodes the lone surrogate as \\udfff
    with serving(lambda request: Reply(reply)) as server:
        policy, rows = OpenAIPolicy("m", server.url), f"jsonl:{tmp_path}/rows.jsonl"
        played = play(lambda: TextEnv(rows), policy, 2, sampling=Sampling(), store=tmp_path / "e.jsonl")
        result = evaluate.run_task("aime24", policy, Options(problems=rows, samples=2), folder=tmp_path / "bench")
    assert [[episode.verdict.score for episode in row] for row in played.values()] == [[1, 1]] * 2
    assert result.score.mean == 1
    stored = (tmp_path / "e.jsonl").read_text(encoding="utf-8")
    assert "Half \ufffd?" in stored
    assert "It is \ufffd" in stored
