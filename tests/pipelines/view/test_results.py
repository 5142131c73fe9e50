"""Benchmarks: results, their problems and responses, and comparisons."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from .small_runs import Run, Site, write_result

BEFORE, AFTER = [[0.0, 0.0], [1.0, 0.0], [0.0, None]], [[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]


@pytest.fixture
def site(tmp_path: Path, serve: Callable[..., Site]) -> Site:
    """Two folders of `tenfold bench`; the first one has two tasks."""
    write_result(tmp_path / "bench/a", "sums", BEFORE)
    write_result(tmp_path / "bench/a", "words", [[1.0], [1.0]])
    write_result(tmp_path / "bench/b", "sums", AFTER, sampling={"temperature": 0.6})
    return serve(tmp_path / "bench").indexed("r0").indexed("r1")


def test_the_stages_of_a_benchmark_folder_are_its_results(site: Site) -> None:
    found = site.get("/api/runs/r0")
    assert (found["kind"], found["state"], found["description"]) == ("bench", "finished", "micro:")
    assert [(stage["name"], stage["has"]) for stage in found["stages"]] == [
        ("sums_avg2", ["episodes", "result"]),
        ("words_avg1", ["episodes", "result"]),
    ]
    assert [(line["task"], line["change"]) for line in found["board"]] == [("sums_avg2", None), ("words_avg1", None)]


def test_a_result_has_its_score_with_both_intervals_and_its_settings(site: Site) -> None:
    (found,) = site.get("/api/runs/r0/stages/sums_avg2/results")["tasks"]
    assert (found["task"], found["samples"], found["problems"]) == ("sums_avg2", 2, 3)
    assert found["score"] == pytest.approx(1 / 6)
    assert found["low"] < found["score"] < found["high"]
    assert found["low_samples"] < found["score"] < found["high_samples"]
    assert (found["interval"], found["protocol"]) == ("over new problems", ["as published"])
    assert found["settings"]["policy"] == "micro:"
    assert "1 of 6 samples have no score" in found["cautions"][0]


def test_the_samples_of_a_task_are_episodes_with_their_response_and_gold(site: Site) -> None:
    at = "/api/runs/r0/stages/sums_avg2"
    found = site.get(f"{at}/episodes")
    assert (found["total"], found["facets"]["status"]) == (6, {"scored": 5, "fault": 1})
    (row,) = site.get(f"{at}/episodes", text='"answer 1 to problem 2"')["rows"]
    assert (row["score"], row["problem_id"], row["sample"], row["prompt"]) == (None, "sums/2", 1, "Question 2?")
    shown = site.get(f"{at}/episodes/{row['number']}")
    assert [turn["content"] for turn in shown["messages"]] == ["Question 2?", "answer 1 to problem 2"]
    assert (shown["gold"], shown["verdict"]["status"]) == ("gold 2", "fault")
    assert site.error(f"/api/runs/r0/stages/words_avg1/episodes/{row['number']}")[0] == 404
    assert [row["mean"] for row in site.get(f"{at}/problems")["rows"]] == [0.0, 0.5, 0.0]
    assert site.get("/api/runs/r0/stages/words_avg1/problems")["total"] == 2
    assert sum(site.get(f"{at}/histogram", of="rate")["counts"]) == 3


def test_two_results_are_compared_by_problem(site: Site) -> None:
    found = site.get("/api/compare", a="r0/sums_avg2", b="r1/sums_avg2")
    assert found["task"] == "sums_avg2"
    assert [found[side]["score"] for side in "ab"] == [pytest.approx(1 / 6), pytest.approx(2 / 3)]
    assert found["difference"]["value"] == pytest.approx(0.5)
    assert found["difference"]["low"] < 0.5 < found["difference"]["high"]
    assert [(row["problem_id"], row["a"], row["b"]) for row in found["problems"]] == [
        ("sums/0", 0.0, 1.0),
        ("sums/1", 0.5, 1.0),
        ("sums/2", 0.0, 0.0),
    ]
    assert found["problems"][0]["prompt"] == "Question 0?"
    assert any("temperature" in text for text in found["differing_settings"])


def test_a_task_and_a_problem_may_have_any_name(tmp_path: Path, serve: Callable[..., Site]) -> None:
    name = "100% #1? <b>'(x)'"
    write_result(tmp_path / name, name, [[1.0], [0.0]])
    scores = tmp_path / name / f"{name}_avg1.scores.jsonl"
    scores.write_text(scores.read_text().replace(f"{name}/0", "\\ud800"))
    site = serve(tmp_path / name).indexed()
    (stage,) = site.get("/api/runs/r0")["stages"]
    at = f"/api/runs/r0/stages/{quote(stage['name'], safe='')}"
    assert [row["problem_id"] for row in site.get(f"{at}/episodes")["rows"]] == ["\ufffd", f"{name}/1"]
    assert site.get(f"{at}/results")["tasks"][0]["task"] == f"{name}_avg1"


@pytest.mark.parametrize(
    "query",
    [
        {"a": "r0/words_avg1", "b": "r1/sums_avg2"},
        {"a": "r0/sums_avg2", "b": "r1/sums_avg2", "task": "words_avg1"},
        {"a": "r0/sums_avg2", "b": "r9/sums_avg2"},
        {"a": "r0/../x", "b": "r1/sums_avg2"},
        {"a": "r0/sums_avg2", "b": "r0/words_avg1"},
        {},
    ],
)
def test_what_cannot_be_compared_is_an_error_in_one_line(site: Site, query: dict[str, str]) -> None:
    status, text = site.error("/api/compare", **query)
    assert (status, "\n" in text) == (404, False)


def test_a_bench_stage_that_is_repeated_is_read_again(tmp_path: Path, serve: Callable[..., Site]) -> None:
    run = Run(tmp_path / "runs/small", {"bench": "bench"})
    run.begin("bench")
    write_result(run.folder / "bench", "sums", BEFORE)
    site = serve(run.folder).indexed()
    at = "/api/runs/r0/stages/bench"
    assert site.get(f"{at}/episodes", min_score=1)["total"] == 1
    assert site.get("/api/runs/r0")["stages"][0]["has"] == ["episodes", "result"]
    (run.folder / "bench/sums.samples.jsonl").unlink()
    write_result(run.folder / "bench", "sums", AFTER)
    site.until(lambda: site.get(f"{at}/episodes", min_score=1)["total"] == 4)


def test_a_damaged_result_is_an_error_that_names_it(tmp_path: Path, serve: Callable[..., Site]) -> None:
    write_result(tmp_path / "a", "sums", BEFORE)
    (tmp_path / "a/sums_avg2.result.json").write_text('{"task": "sums_avg2"')
    site = serve(tmp_path / "a").indexed()
    assert [run["kind"] for run in site.get("/api/runs")["runs"]] == ["bench"]
    status, text = site.error("/api/runs/r0/stages/sums_avg2/results")
    assert (status, "sums_avg2.result.json is truncated" in text) == (404, True)
