import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.benchmarks import catalogue, evaluate
from tenfold.benchmarks.report import compare, paired
from tenfold.benchmarks.result import Options, Result
from tenfold.core import UserError, sample_seed
from tenfold.policies.scripted import ScriptedPolicy


@pytest.fixture
def result(tmp_path: Path) -> Result:
    rows = [{"problem": f"{n}?", "solution": f"\\boxed{{{n}}}", "answer": str(n)} for n in range(30)]
    (tmp_path / "aime25.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def answer(conversation: list[dict[str, str]], seed: int) -> str:
        correct = sample_seed(seed, "coin", 0) / 2**53 < 0.85
        return f"\\boxed{{{conversation[0]['content'].split('?')[0] if correct else 999}}}"

    return evaluate.run_task("aime25", ScriptedPolicy(answer), Options(data=str(tmp_path)), folder=tmp_path / "run")


def test_a_result_is_compared_with_the_reported_figures_of_its_task(result: Result) -> None:
    rows = {row.model: row for row in compare.compare([result])}
    assert set(rows) == {"Nanbeige4-3B-2511", "Qwen3-14B", "Qwen3-32B", "Qwen3-30B-A3B-2507"}
    assert rows["Nanbeige4-3B-2511"].within
    assert not rows["Qwen3-14B"].within
    assert rows["Qwen3-14B"].difference == pytest.approx(result.score.mean - 0.704)
    assert [row.model for row in compare.compare([result], "Qwen3-32B")] == ["Qwen3-32B"]


def test_impossible_reported_figures_get_a_caution(result: Result) -> None:
    [row] = compare.compare([result], "Nanbeige4-3B-2511")
    assert any("30 problems x 8 samples cannot give 85.6 (nearest: 85.4 and 85.8)" in caution for caution in row.cautions)
    [possible] = compare.compare([result], "Qwen3-30B-A3B-2507")
    assert not any("cannot give" in caution for caution in possible.cautions)
    assert not compare.possible(81.4, 30, 8)
    assert compare.possible(81.4, 30, 64)
    assert compare.possible(79.3, 30, 64)


@pytest.mark.parametrize("task", catalogue.names())
def test_every_task_says_whether_its_protocol_is_the_published_one(task: str) -> None:
    protocol = catalogue.settings(task)["metadata"]["protocol"]
    assert protocol == catalogue.OFFICIAL or all(isinstance(difference, str) for difference in protocol)
    assert bool(catalogue.differences(catalogue.settings(task)["metadata"])) == (protocol != catalogue.OFFICIAL)


def test_a_difference_from_the_published_protocol_is_a_caution(result: Result) -> None:
    other = dataclasses.replace(result, settings=result.settings | {"protocol": ["the prompt", "the limits"]})
    [row] = compare.compare([other], "Qwen3-32B")
    assert "this protocol differs from the published one: the prompt; the limits" in row.cautions
    same = dataclasses.replace(result, settings=result.settings | {"protocol": []})
    assert not any("published one" in caution for caution in compare.compare([same], "Qwen3-32B")[0].cautions)


@given(st.integers(0, 240))
def test_every_rounded_share_of_correct_samples_is_possible(correct: int) -> None:
    assert compare.possible(round(100 * correct / 240, 1), 30, 8)


@pytest.mark.parametrize(
    ("percent", "possible"), [(6.1, False), (6.2, True), (6.3, True), (6.4, False), (6.25, True), (6, True)]
)
def test_a_score_halfway_between_two_printed_values_may_be_rounded_up_or_down(percent: float, possible: bool) -> None:
    assert compare.possible(percent, 80, 1) == possible  # 5 of 80 are 6.25%, 4 of 80 are 5%


def test_a_model_without_reported_figures_is_an_error(result: Result) -> None:
    with pytest.raises(UserError, match=r"no scores of 'Qwen4' are published; use one of .*Qwen3-14B"):
        compare.compare([result], "Qwen4")


def test_a_caution_for_one_model_appears_for_that_model_alone(tmp_path: Path) -> None:
    (tmp_path / "aime24.jsonl").write_text('{"problem": "1?", "answer": "1", "solution": ""}\n')
    result = evaluate.run_task("aime24", ScriptedPolicy("1"), Options(data=str(tmp_path)))
    cautioned = [row.model for row in compare.compare([result]) if any("secondary source" in text for text in row.cautions)]
    assert cautioned == ["Qwen3-14B"]


def test_the_suites_have_the_tasks_with_reported_figures() -> None:
    reported = compare.reported()
    assert all(0 < score < 100 for entry in reported.values() for score in entry["scores"].values())
    tasks = {*catalogue.SUITES["paper"], *catalogue.SUITES["base"]}
    assert tasks - {*catalogue.BFCL} == set(reported) - {"bfcl_v4"}  # the report has one score for the tasks of BFCL-V4


def test_two_runs_are_compared_by_paired_differences(result: Result, tmp_path: Path) -> None:
    evaluate.run_task("aime25", ScriptedPolicy("\\boxed{999}"), Options(data=str(tmp_path)), folder=tmp_path / "other")
    (found,) = paired.compare_folders([tmp_path / "other", tmp_path / "run"])
    assert found.name == "aime25_avg8"
    assert found.pairs[0].difference is not None
    assert found.pairs[0].difference.mean == pytest.approx(result.score.mean)
    with pytest.raises(UserError, match="contains no result"):
        paired.compare_folders([tmp_path / "run", tmp_path])
