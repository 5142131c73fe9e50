"""The score of a category of LiveBench is the mean over its tasks, and the overall score the mean over the categories."""

import json
from pathlib import Path
from typing import Any

import pytest

from tenfold import cli
from tenfold.benchmarks import catalogue, rescore
from tenfold.benchmarks.result import results


def question(category: str, task: str, number: int, gold: str) -> dict[str, Any]:
    return {
        "question_id": f"{task}/{number}",
        "category": category,
        "task": task,
        "turns": [f"Question {number} of {task}?"],
        "ground_truth": gold,
        "livebench_release_date": "2024-11-25",
        "livebench_removal_date": "",
    }


REASONING = [
    *(question("reasoning", "spatial", number, "4") for number in range(6)),
    *(question("reasoning", "zebra_puzzle", number, "4, red") for number in range(2)),
]
LANGUAGE = [question("language", "typos", number, "It is **4**.") for number in range(3)]
REMOVED = {**question("reasoning", "web_of_lies_v2", 0, "yes, no, no"), "livebench_removal_date": "2024-11-25"}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, rows in (("reasoning", [*REASONING, REMOVED]), ("language", LANGUAGE)):
        Path(f"livebench_{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_the_suite_has_the_categories() -> None:
    assert [request.name for request in catalogue.expand(["livebench"])] == [*catalogue.LIVEBENCH]
    for task in catalogue.LIVEBENCH:
        metadata = catalogue.settings(task)["metadata"]
        assert metadata["problems"] == f"hf:livebench/{task.removeprefix('livebench_')}?split=test&release=2024-11-25"


def test_scores_are_means_over_tasks_and_over_categories(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", "livebench_reasoning_avg2", "livebench_language_avg2", "--data", ".", "--out", "out", "--json"]
    assert cli.main([*command, "--policy", "scripted:It is **4**."]) == 0
    captured = capsys.readouterr()
    reasoning, language, overall = map(json.loads, captured.out.splitlines())
    assert reasoning["problems"] == 8  # without the question that the release has removed
    assert reasoning["figures"] == {"category spatial": 1, "category zebra_puzzle": 0}
    assert reasoning["avg_at_k"] == 0.5  # not 6 of 8
    assert reasoning["new_problems"][0] < 0.5 < reasoning["new_problems"][1]
    assert language["avg_at_k"] == 1
    assert overall["name"] == "livebench"
    assert {name: found["score"] for name, found in overall["sections"].items()} == {
        "reasoning": 0.5,
        "language": 1,
        "overall": 0.75,
    }
    low, high = overall["sections"]["overall"]["new_problems"]
    assert 0.2 < low < 0.75 < high < 1
    assert overall["not_measured"] == ["math", "data_analysis", "instruction_following", "coding"]
    shown = " ".join(captured.err.split())
    assert "not measured, so left out: math, data_analysis, instruction_following, coding" in shown
    assert "│ overall" in shown


def test_a_rescored_result_is_the_same(lab: Path) -> None:
    command = ["bench", "livebench_reasoning_avg1", "--data", ".", "--out", "out", "--policy", "scripted:It is **4**."]
    assert cli.main(command) == 0
    (before,) = results("out")
    ((_, after),) = rescore.rescore("out")
    assert after == before
    assert after.settings["mean_over"] == "category"


def test_compared_results_differ_by_the_difference_of_their_scores(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, answer in (("before", "none"), ("after", "It is **4**.")):
        command = ["bench", "livebench_reasoning_avg1", "--data", ".", "--out", name, "--policy", f"scripted:{answer}"]
        assert cli.main(command) == 0
    scores = [results(name)[0].score.mean for name in ("before", "after")]
    capsys.readouterr()
    assert cli.main(["bench", "compare", "before", "after", "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)
    assert compared["difference"] == scores[1] - scores[0] == 0.5  # not 6 of 8
    assert compared["new_problems"][0] < 0.5 < compared["new_problems"][1]
    assert compared["p_value"] is None  # McNemar's test is over problems
    assert cli.main(["bench", "compare", "before", "after"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "after - before: paired interval over problems; of the mean over the values of category; 8 shared problems" in shown


def test_a_score_over_problems_is_compared_over_problems(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, answer in (("before", "none"), ("after", "It is **4**.")):
        command = ["bench", "livebench_reasoning_avg1", "--data", ".", "--out", name, "--policy", f"scripted:{answer}"]
        assert cli.main(command) == 0
    path = Path("before/livebench_reasoning_avg1.result.json")
    stored = json.loads(path.read_text())
    del stored["settings"]["mean_over"]
    path.write_text(json.dumps(stored | {"hash": "other"}))
    capsys.readouterr()
    assert cli.main(["bench", "compare", "before", "after"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "+75.0 [" in shown
    assert "of the mean over problems, not of the benchmark's score" in shown


def test_a_category_whose_questions_cannot_be_scored_gives_the_reason(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = question("instruction_following", "paraphrase", 0, "") | {"livebench_release_date": "2025-11-25"}
    Path("rows.jsonl").write_text(json.dumps(row | {"instruction_id_list": ["count:numbers"], "kwargs": [{}]}) + "\n")
    command = ["bench", "livebench_instruction_following", "--problems", "jsonl:rows.jsonl", "--out", "out"]
    assert cli.main([*command, "--policy", "scripted:4"]) == 2
    assert "the instructions are those of IFBench, which cannot be scored here" in capsys.readouterr().err
