"""The log of a run, and what `tenfold status` says about it."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tenfold
from tenfold import cli, disk
from tenfold.core import UserError
from tenfold.pipelines.recipe.progress import log
from tenfold.pipelines.recipe.progress.log import Log

SFT = {"kind": "sft", "name": "sft", "problems": "jsonl:sums.jsonl", "batch_size": 4, "steps": 6, "save_steps": 2}
SECOND = SFT | {"name": "second"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("sums.jsonl").write_text("".join(json.dumps({"question": f"1 + {n}?", "answer": str(1 + n)}) + "\n" for n in range(8)))
    return tmp_path / "out"


def write_recipe(*stages: dict[str, Any]) -> None:
    recipe = {"name": "small", "policy": "micro:?hidden=16&layers=1&heads=2", "stages": list(stages)}
    Path("recipe.yaml").write_text(json.dumps(recipe))


def events(folder: Path) -> list[tuple[str, str | None]]:
    return [(row["event"], row.get("stage")) for row in log.read(folder) if row["event"] != "progress"]


def test_a_run_and_its_resume_are_in_one_log(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_recipe(SFT, SECOND)
    tenfold.run("recipe.yaml", folder, quiet=True)
    stages = [(event, name) for name in ("sft", "second") for event in ("start", "end")]
    assert events(folder) == [("run", None), *stages, ("finished", None)]
    progress = [row for row in log.read(folder) if row["event"] == "progress"]
    assert {row["stage"]: (row["done"], row["total"]) for row in progress} == {"sft": (6, 6), "second": (6, 6)}
    tenfold.run("recipe.yaml", folder, settings={"second.steps": 8}, inexact=True, quiet=True)
    assert events(folder)[-4:] == [("run", None), ("start", "second"), ("end", "second"), ("finished", None)]
    assert cli.main(["status", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"small in {folder}: finished, ")
    assert [line.split(" in ")[0] for line in lines[1:]] == ["  1. sft (sft): finished", "  2. second (sft): finished"]


def test_each_logged_step_of_a_training_is_a_line_and_a_resume_repeats_none(folder: Path) -> None:
    write_recipe(SFT)
    tenfold.run("recipe.yaml", folder, quiet=True)
    rows = [json.loads(line) for line in (folder / "sft/steps.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(row["loss"] > 0 and row["grad_norm"] > 0 and row["learning_rate"] >= 0 for row in rows)
    tenfold.run("recipe.yaml", folder, settings={"sft.steps": 8}, inexact=True, quiet=True)
    longer = [json.loads(line) for line in (folder / "sft/steps.jsonl").read_text().splitlines()]
    assert longer[:6] == rows
    assert [row["step"] for row in longer] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_run_that_fails_says_why(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_recipe(SFT, {"kind": "select", "name": "select", "documents": "{stage:sft}", "tags": "{stage:sft}"})
    with pytest.raises(UserError):
        tenfold.run("recipe.yaml", folder, quiet=True)
    last = log.read(folder)[-1]
    assert last["event"] == "failed"
    assert last["error"]
    assert cli.main(["status", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["error"]) == ("failed", last["error"])
    assert [stage["state"] for stage in found["stages"]] == ["finished", "begun"]


@pytest.mark.parametrize(("number", "state"), [(signal.SIGTERM, "stopped"), (signal.SIGKILL, "killed")])
def test_a_run_of_another_process_is_seen_while_it_runs_and_after_it_ends(
    folder: Path, number: signal.Signals, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recipe(SFT | {"steps": 100_000, "save_steps": 100_000})
    command = [sys.executable, "-m", "tenfold.cli", "run", "recipe.yaml", "--quiet", "--out", str(folder)]

    def status() -> dict[str, Any]:
        assert cli.main(["status", str(folder), "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    with subprocess.Popen(command) as process:
        try:
            while not (log.read(folder) and log.read(folder)[-1].get("done")):
                assert process.poll() is None
                time.sleep(0.1)
            running = status()
        finally:
            process.send_signal(number)
    assert running["state"] == "running"
    assert str(process.pid) in running["holder"]
    assert running["stages"][0]["state"] == "running"
    assert running["stages"][0]["total"] == 100_000
    ended = status()
    assert (ended["state"], ended["holder"], ended["stages"][0]["state"]) == (state, "", "begun")
    assert cli.main(["status", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"resume: tenfold run {folder}/recipe.yaml --out {folder}"


def test_progress_that_comes_often_is_not_written_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "SECONDS", 0.0)
    shown: list[int] = []
    update = Log(tmp_path).progress("sft", lambda done, total, **values: shown.append(done))
    for done in range(10_001):
        update(done, 10_000, loss=float("nan"), waiting=None)
    assert len(shown) == 10_001
    rows = log.read(tmp_path)
    assert 400 < len(rows) < 600
    assert rows[-1]["done"] == 10_000
    assert rows[0].get("values") == {"loss": None}, "JSON has no number for it"


@pytest.mark.parametrize(
    "broken", ["", ', "done": -1, "total": 2, "values": {}', f', "done": 1, "total": 1{"0" * 400}, "values": {{}}']
)
def test_rows_of_progress_without_numbers_are_skipped(tmp_path: Path, broken: str) -> None:
    row = f'{{"time": 1, "event": "progress", "stage": "grpo"{broken}}}'
    (tmp_path / log.NAME).write_text(f'{row}\n{{"time": 2, "event": "finished"}}\n')
    assert [row["event"] for row in log.read(tmp_path)] == ["finished"]


def rewritten(folder: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    path = folder / log.NAME
    rows = change([json.loads(line) for line in path.read_text().splitlines()])
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_finished_stage_that_was_killed_while_it_was_extended_is_not_finished(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recipe(SFT)
    tenfold.run("recipe.yaml", folder, quiet=True)
    now = time.time()
    rewritten(folder, lambda rows: [*rows, {"time": now, "event": "start", "stage": "sft", "kind": "sft", "resumed": True}])
    assert cli.main(["status", str(folder)]) == 0
    first, stage, resume = capsys.readouterr().out.splitlines()
    assert first.startswith(f"small in {folder}: killed")
    assert stage == "  1. sft (sft): begun"
    assert resume.startswith("resume: ")


def test_a_run_of_some_stages_is_partly_finished(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_recipe(SFT, SECOND)
    assert cli.main(["run", "recipe.yaml", "--out", str(folder), "--quiet", "--only", "sft"]) == 0
    assert cli.main(["status", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith(f"small in {folder}: partly finished")


def test_a_stage_without_progress_has_no_time_left(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_recipe(SFT)
    folder.mkdir()
    (folder / "recipe.yaml").write_text(Path("recipe.yaml").read_text())
    log_of, at = Log(folder), time.time() - 7200
    log_of.add("run", recipe="small", process=1, stages=["sft"], options=["--trust"])
    log_of.add("start", stage="sft", kind="sft", resumed=False)
    for done in (10, 11):
        log_of.add("progress", stage="sft", done=done, total=200, values={})
    rewritten(folder, lambda rows: [row | {"time": at + 10 * place} for place, row in enumerate(rows)])
    with disk.locked(folder):
        found = subprocess.run(
            [sys.executable, "-m", "tenfold.cli", "status", str(folder)], capture_output=True, text=True, check=True
        ).stdout
    assert found.splitlines()[1] == "  1. sft (sft): 11/200 (no progress for 1h59m)"
    assert cli.main(["status", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"resume: tenfold run {folder}/recipe.yaml --out {folder} --trust"


def test_a_full_disk_loses_rows_and_does_not_stop_the_run(tmp_path: Path) -> None:
    (tmp_path / log.NAME).symlink_to("/dev/full")
    Log(tmp_path).add("finished")


def test_the_log_cannot_contain_control_characters(tmp_path: Path) -> None:
    with pytest.raises(UserError), Log(tmp_path).run("small", []):
        raise UserError("\x1b[2J wrong \x9b31m")
    assert "\\u00" not in (tmp_path / log.NAME).read_text()
    assert log.read(tmp_path)[-1]["error"] == " wrong "


def test_a_folder_without_a_run_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", str(tmp_path)]) == 2
    assert "is not a run's folder: it has no recipe.yaml" in capsys.readouterr().err
    assert disk.holder(tmp_path / "missing") == ""
