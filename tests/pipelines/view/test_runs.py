"""The list of runs, and a run with its stages."""

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tenfold import disk
from tenfold.pipelines.recipe.progress.log import Log

from .small_runs import Run, Site, episode, lines, metrics_of, step_episode, write_result

DOCUMENTS = {
    "documents": 12,
    "characters": 300,
    "shares": {"text": 1.0},
    "sources": [
        {"source": "jsonl:a", "documents": 12, "characters": 300, "domains": {"text": 300}, "skipped": {"too long": 2}}
    ],
}


def test_runs_sweeps_and_benchmark_folders_are_listed_with_their_state(tmp_path: Path, serve: Callable[..., Site]) -> None:
    finished = Run(tmp_path / "runs/a", {"sft": "sft"})
    finished.begin("sft")
    finished.finish("sft", {"loss": 1.0})
    Log(finished.folder).add("finished")
    failed = Run(tmp_path / "runs/b", {"sft": "sft", "grpo": "grpo"})
    Log(failed.folder).add("failed", error="the disk is full")
    Run(tmp_path / "runs/sweep/seed=1", {"sft": "sft"})
    (tmp_path / "runs/sweep/sweep.json").write_text("{}")
    write_result(tmp_path / "runs/c", "sums", [[1.0, 0.0]])
    (tmp_path / "runs/d").mkdir()
    (tmp_path / "runs/d/recipe.yaml").write_text("stages: {")
    (tmp_path / "runs/empty").mkdir()
    found = serve(tmp_path / "runs").get("/api/runs")["runs"]
    listed = [(run["name"], run["kind"], run["state"], run["stages"], run["stages_finished"]) for run in found]
    assert listed == [
        ("a", "run", "finished", 1, 1),
        ("b", "run", "failed", 2, 0),
        ("c", "bench", "finished", 1, 1),
        ("d", "run", "failed", 0, 0),
        ("sweep/seed=1", "run", "killed", 1, 0),
    ]
    assert found[1]["error"] == "the disk is full"
    assert "is not YAML" in found[3]["error"]
    assert [run["id"] for run in found] == ["r0", "r1", "r2", "r3", "r4"]
    assert all(run["updated"] > 1e9 for run in found)


def test_runs_with_the_same_name_have_more_folders_in_their_names(tmp_path: Path, serve: Callable[..., Site]) -> None:
    folders = [Run(tmp_path / folder, {"sft": "sft"}).folder for folder in ("lab/x/a", "home/x/a", "home/y/a", "home/y/b")]
    (tmp_path / "lab/x/sweep.json").write_text("{}")
    site = serve(*folders)
    assert [run["name"] for run in site.get("/api/runs")["runs"]] == ["lab/x/a", "home/x/a", "y/a", "b"]
    shutil.rmtree(tmp_path / "home/x")
    assert [run["name"] for run in site.get("/api/runs")["runs"]] == ["x/a", "a", "b"]


def test_ids_stay_when_runs_appear_and_vanish(tmp_path: Path, serve: Callable[..., Site]) -> None:
    Run(tmp_path / "runs/b", {"sft": "sft"})
    site = serve(tmp_path / "runs")
    Run(tmp_path / "runs/a", {"sft": "sft"})
    ids = {run["name"]: run["id"] for run in site.get("/api/runs")["runs"]}
    assert ids == {"b": "r0", "a": "r1"}
    shutil.rmtree(tmp_path / "runs/b")
    assert [run["id"] for run in site.get("/api/runs")["runs"]] == ["r1"]
    assert site.error("/api/runs/r0")[0] == 404


def test_a_run_that_goes_on_has_its_holder_and_progress_and_is_not_locked(tmp_path: Path, serve: Callable[..., Site]) -> None:
    run = Run(tmp_path / "runs/small", {"sft": "sft", "grpo": "grpo"}, description="a small run")
    site = serve(run.folder)
    with disk.locked(run.folder):
        run.begin("sft")
        Log(run.folder).add("progress", stage="sft", done=5, total=20, values={"loss": 2.5})
        found = site.get("/api/runs/r0")
        assert (found["state"], found["command"], found["description"]) == ("running", "", "a small run")
        assert "process" in found["holder"]
        sft, grpo = found["stages"]
        assert (sft["state"], sft["done"], sft["total"], sft["values"]) == ("running", 5, 20, {"loss": 2.5})
        assert grpo["state"] == "to do"
    found = site.get("/api/runs/r0")
    assert found["state"] == "killed"
    assert found["command"] == f"tenfold run {run.folder}/recipe.yaml --out {run.folder}"
    assert json.loads(found["recipe"])["name"] == "small"


def test_a_finished_stage_has_its_summary_views_commit_and_machine(tmp_path: Path, serve: Callable[..., Site]) -> None:
    run = Run(tmp_path / "runs/small", {"raw": "documents", "filter": "filter", "sft": "sft"})
    run.begin("raw")
    run.finish("raw", DOCUMENTS, sources=["jsonl:a.jsonl"])
    run.begin("filter")
    run.store("filter", [episode(0, 0, "4")])
    run.begin("sft")
    (run.folder / "sft/steps.jsonl").write_text(lines([{"step": 1, "loss": 2.0}]))
    site = serve(run.folder)
    tables = site.get("/api/runs/r0/stages/raw/corpus")["tables"]  # waits until the kinds of stages are imported
    assert tables[0]["head"] == ["source", "documents", "characters", "skipped"]
    assert tables[0]["rows"] == [["jsonl:a", "12", "300", "too long 2"]]
    raw, filtered, sft = site.get("/api/runs/r0")["stages"]
    assert raw["summary"] == "12 documents, 0.0 million characters, 2 skipped"
    assert [stage["has"] for stage in (raw, filtered, sft)] == [["corpus"], ["episodes"], ["steps"]]
    assert (raw["commit"], raw["machine"], raw["seconds"]) == ("1234abcd", "a processor, 2 processors, 8 GiB, Linux", 1.5)
    assert site.error("/api/runs/r0/stages/sft/corpus")[0] == 404


def test_the_command_that_resumes_has_the_options_of_the_run(tmp_path: Path, serve: Callable[..., Site]) -> None:
    run = Run(tmp_path / "runs/a run", {"sft": "sft"})
    Log(run.folder).add("run", recipe="a run", process=1, stages=["sft"], options=["--trust", "lab's"])
    command = serve(run.folder).get("/api/runs/r0")["command"]
    assert shlex.split(command) == [
        *("tenfold", "run", f"{run.folder}/recipe.yaml", "--out", str(run.folder), "--trust", "lab's")
    ]
    Log(run.folder).add("run", recipe="a run", process=1, stages=["sft"], options=["\x1b[201~"])
    assert serve(run.folder).get("/api/runs/r0")["command"] == ""  # it could act when it is pasted


def break_log(run: Run) -> None:
    Log(run.folder).add("progress", stage="sft", done=1, total=9, values={})
    Log(run.folder).add("progress", stage="sft", done=10**400, total=9, values={})


def break_options(run: Run) -> None:
    Log(run.folder).add("run", recipe="a", process=1, stages=["sft"], options=[{"--trust": 1}])


def break_link(run: Run) -> None:
    (run.folder.parent / "link").symlink_to("a" * 300)


@pytest.mark.parametrize("damage", [break_log, break_options, break_link])
def test_a_damaged_run_does_not_hide_the_others(
    tmp_path: Path, serve: Callable[..., Site], damage: Callable[[Run], None]
) -> None:
    run = Run(tmp_path / "runs/a", {"sft": "sft"})
    Run(tmp_path / "runs/b", {"sft": "sft"})
    run.begin("sft")
    damage(run)
    site = serve(tmp_path / "runs")
    assert [found["name"] for found in site.get("/api/runs")["runs"]] == ["a", "b"]
    assert site.get("/api/runs/r0")["state"] in ("failed", "killed")


def test_steps_have_a_value_for_each_name_and_step(tmp_path: Path, serve: Callable[..., Site]) -> None:
    run = Run(tmp_path / "runs/small", {"grpo": "grpo"})
    run.begin("grpo")
    rows = [{"step": 1, "reward": 0.5, "kl": None}, {"step": 2, "reward": 0.6, "parts": {"form": 1}, "fault": "text"}]
    (run.folder / "grpo/steps.jsonl").write_text(lines(rows) + 'broken\n{"step": 3, "reward": NaN}\n{"step": 4, "rew')
    found = serve(run.folder).get("/api/runs/r0/stages/grpo/steps")
    assert found["steps"] == [1, 2, 3]
    assert found["names"] == ["reward", "kl", "parts form"]
    assert found["values"] == {"reward": [0.5, 0.6, None], "kl": [None] * 3, "parts form": [None, 1, None]}


def test_a_step_that_is_stored_twice_counts_once_and_a_huge_line_hides_no_step(
    tmp_path: Path, serve: Callable[..., Site]
) -> None:
    run = Run(tmp_path / "runs/small", {"sft": "sft"})
    run.begin("sft")
    rows = [{"step": 1, "loss": 1.0}, {"step": 2, "note": "x" * 2**21}, {"step": 3, "loss": 0.5}, {"step": 2, "loss": 0.8}]
    (run.folder / "sft/steps.jsonl").write_text(lines([*rows, {"step": 3, "loss": 0.4}]))
    found = serve(run.folder).get("/api/runs/r0/stages/sft/steps")
    assert (found["steps"], found["values"]) == ([1, 2, 3], {"loss": [1.0, 0.8, 0.4]})


def test_many_steps_are_thinned_with_the_first_and_the_last(tmp_path: Path, serve: Callable[..., Site]) -> None:
    run = Run(tmp_path / "runs/small", {"sft": "sft"})
    run.begin("sft")
    (run.folder / "sft/steps.jsonl").write_text(lines([{"step": n, "loss": n / 2} for n in range(1, 12_001)]))
    found = serve(run.folder).get("/api/runs/r0/stages/sft/steps")
    assert len(found["steps"]) == len({*found["steps"]}) == len(found["values"]["loss"]) == 5_000
    assert (found["steps"][0], found["steps"][-1]) == (1, 12_000)


def test_the_board_has_scores_and_changes_since_the_bench_stage_before(tmp_path: Path, serve: Callable[..., Site]) -> None:
    run = Run(tmp_path / "runs/small", {"before": "bench", "after": "bench"})
    for name, scores in (("before", [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]), ("after", [[1.0, 1.0], [1.0, 1.0], [1.0, 0.0]])):
        run.begin(name)
        run.finish(name, metrics_of(write_result(run.folder / name, "sums", scores)), tasks=["sums"])
    site = serve(run.folder)
    site.until(lambda: site.get("/api/runs/r0")["board"][1]["change"] is not None)
    before, after = site.get("/api/runs/r0")["board"]
    assert (before["stage"], before["task"], before["change"]) == ("before", "sums_avg2", None)
    assert (before["score"], after["score"]) == (pytest.approx(1 / 6), pytest.approx(5 / 6))
    assert after["change"]["value"] == pytest.approx(4 / 6)
    assert after["change"]["low"] < after["change"]["value"] < after["change"]["high"]
    run.finish("after", metrics_of(write_result(run.folder / "after", "sums", [[0.0, 0.0]] * 3)), tasks=["sums"])
    assert site.get("/api/runs/r0")["board"][1]["score"] == 0.0


def test_damaged_records_do_not_hide_a_run(tmp_path: Path, serve: Callable[..., Site]) -> None:
    run = Run(tmp_path / "runs/small", {"sft": "sft", "grpo": "grpo"})
    run.begin("sft")
    run.begin("grpo")
    run.episodes("grpo", [step_episode(1, 0, 0, "4")])
    run.finish("grpo", {"reward_last": "text"}, batch_size="many")
    for name, content in (("settings.json", "[]"), ("steps.jsonl", "\x00" * 1000)):
        (run.folder / "sft" / name).write_text(content)
    with (run.folder / "log.jsonl").open("a") as file:
        file.write('{"time": "now", "event": 3}\nnull\n{"time": 1e999, "event": "progress", "stage": "sft"')
    site = serve(run.folder).indexed()
    found = site.get("/api/runs/r0")
    assert [stage["name"] for stage in found["stages"]] == ["sft", "grpo"]
    assert site.get("/api/runs/r0/stages/sft/steps")["steps"] == []
    assert site.get("/api/runs/r0/stages/grpo/episodes")["total"] == 1


@pytest.mark.parametrize("path", ["stages/none/steps", "stages/sft/steps", "stages/sft/none", "none"])
def test_what_does_not_exist_is_an_error_in_one_line(tmp_path: Path, serve: Callable[..., Site], path: str) -> None:
    run = Run(tmp_path / "runs/small", {"sft": "sft"})
    run.begin("sft")
    status, text = serve(run.folder).error(f"/api/runs/r0/{path}")
    assert (status, "\n" in text) == (404, False)
