import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.benchmarks import catalogue, evaluate
from tenfold.benchmarks.report import compare
from tenfold.benchmarks.result import Options, Result
from tenfold.core import UserError, sample_seed
from tenfold.policies.scripted import ScriptedPolicy


@pytest.fixture
def result(tmp_path: Path) -> Result:
    rows = [{"problem": f"{n}?", "solution": f"\\boxed{{{n}}}", "answer": str(n)} for n in range(30)]
    (tmp_path / "aime25.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def answer(conversation: list[dict[str, str]], seed: int) -> str:
        right = sample_seed(seed, "coin", 0) / 2**53 < 0.85
        return f"\\boxed{{{conversation[0]['content'].split('?')[0] if right else 999}}}"

    return evaluate.run_task("aime25", ScriptedPolicy(answer), Options(data=str(tmp_path)), folder=tmp_path / "run")


def test_a_result_stands_beside_what_is_reported(result: Result) -> None:
    rows = {row.model: row for row in compare.compare([result])}
    assert set(rows) == {"Nanbeige4-3B-2511", "Qwen3-14B", "Qwen3-32B", "Qwen3-30B-A3B-2507"}
    assert rows["Nanbeige4-3B-2511"].within
    assert not rows["Qwen3-14B"].within
    assert rows["Qwen3-14B"].difference == pytest.approx(result.score.mean - 0.704)
    assert [row.model for row in compare.compare([result], "Qwen3-32B")] == ["Qwen3-32B"]


def test_figures_that_cannot_be_are_said(result: Result) -> None:
    [row] = compare.compare([result], "Nanbeige4-3B-2511")
    assert any("30 problems x 8 samples cannot give 85.6 (nearest: 85.4 and 85.8)" in caution for caution in row.cautions)
    assert not compare.compare([result], "Qwen3-30B-A3B-2507")[0].cautions
    assert not compare.possible(81.4, 30, 8)
    assert compare.possible(81.4, 30, 64)
    assert compare.possible(79.3, 30, 64)


@given(st.integers(0, 240))
def test_what_samples_can_give_is_possible(right: int) -> None:
    assert compare.possible(round(100 * right / 240, 1), 30, 8)


def test_a_model_of_which_nothing_is_reported(result: Result) -> None:
    with pytest.raises(UserError, match=r"no figures of 'Qwen4' are reported; there are .*Qwen3-14B"):
        compare.compare([result], "Qwen4")


def test_a_caution_of_one_model_is_said_of_that_model_alone(tmp_path: Path) -> None:
    (tmp_path / "aime24.jsonl").write_text('{"problem": "1?", "answer": "1", "solution": ""}\n')
    result = evaluate.run_task("aime24", ScriptedPolicy("1"), Options(data=str(tmp_path)))
    said = {row.model: any("secondary source" in caution for caution in row.cautions) for row in compare.compare([result])}
    assert [model for model in said if said[model]] == ["Qwen3-14B"]


def test_what_the_report_measures_is_what_its_suites_run() -> None:
    known = compare.reported()
    assert all(0 < figure < 100 for entry in known.values() for figure in entry["figures"].values())
    assert {*catalogue.SUITES["paper"], *catalogue.SUITES["base"]} == set(known)


def test_two_runs_are_compared_problem_by_problem(result: Result, tmp_path: Path) -> None:
    evaluate.run_task("aime25", ScriptedPolicy("\\boxed{999}"), Options(data=str(tmp_path)), folder=tmp_path / "other")
    found = compare.paired(tmp_path / "run", tmp_path / "other")
    assert list(found) == ["aime25_avg8"]
    assert found["aime25_avg8"].mean == pytest.approx(result.score.mean)
    with pytest.raises(UserError, match="no result of the same task"):
        compare.paired(tmp_path / "run", tmp_path)
