"""The stream of changes."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tenfold.pipelines.recipe.progress.log import Log
from tenfold.pipelines.view import server
from tenfold.pipelines.view.folders import Folders
from tenfold.pipelines.view.runs import Runs

from .small_runs import Run, Site, episode


def changes(stream: Iterator[str]) -> Iterator[dict[str, str | None]]:
    return (json.loads(line.removeprefix("data: ")) for line in stream if line.startswith("data: "))


def test_a_change_of_a_file_is_an_event_of_its_stage(tmp_path: Path, serve: Callable[..., Site]) -> None:
    run = Run(tmp_path / "runs/small", {"filter": "filter", "sft": "sft"})
    run.begin("filter")
    site = serve(tmp_path / "runs")
    with site.client.stream("GET", "/api/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        found = changes(response.iter_lines())
        stop = threading.Event()

        def keep_changing() -> None:  # the server's first look may come after the first change
            count = 0
            while not stop.wait(0.2):
                count += 1
                run.store("filter", [episode(count, 0, "4")])

        thread = threading.Thread(target=keep_changing)
        thread.start()
        try:
            assert next(change for change in found if change["stage"]) == {"run": "r0", "stage": "filter"}
        finally:
            stop.set()
            thread.join()
        Log(run.folder).add("progress", stage="filter", done=1, total=2, values={})
        assert next(change for change in found if change["stage"] is None) == {"run": "r0", "stage": None}


def test_a_run_that_is_removed_is_an_event(tmp_path: Path, serve: Callable[..., Site]) -> None:
    run = Run(tmp_path / "runs/small", {"sft": "sft"})
    run.begin("sft")
    site = serve(tmp_path / "runs")
    with site.client.stream("GET", "/api/events") as response:
        found = changes(response.iter_lines())
        stop = threading.Event()

        def keep_changing() -> None:  # until the server has looked for the first time
            while not stop.wait(0.2):
                Log(run.folder).add("progress", stage="sft", done=1, total=2, values={})

        thread = threading.Thread(target=keep_changing)
        thread.start()
        next(found)
        stop.set()
        thread.join()
        shutil.rmtree(run.folder)
        assert next(change for change in found if change["stage"]) == {"run": "r0", "stage": "sft"}
        assert site.get("/api/runs")["runs"] == []


def test_a_process_that_is_killed_is_a_change_although_no_file_changes(tmp_path: Path) -> None:
    run = Run(tmp_path / "runs/small", {"sft": "sft"})
    run.begin("sft")
    program = "import sys, time\nfrom tenfold import disk\nwith disk.locked(sys.argv[1]): print(1, flush=True); time.sleep(900)"
    with subprocess.Popen([sys.executable, "-c", program, str(run.folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        runs = Runs(Folders([run.folder]))
        before = runs.states()
        assert runs.states() == before
        process.kill()
    assert runs.states() != before
    assert runs.listing()["runs"][0]["state"] == "killed"


def test_streams_are_limited_and_send_comments(
    tmp_path: Path, serve: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenfold.pipelines.view.watch.MAX_LISTENERS", 2)
    monkeypatch.setattr(server, "PING", 0.5)
    Run(tmp_path / "runs/small", {"sft": "sft"})
    site = serve(tmp_path / "runs")
    with site.client.stream("GET", "/api/events") as first, site.client.stream("GET", "/api/events") as second:
        streams = [response.iter_lines() for response in (first, second)]
        assert [next(stream) for stream in streams] == [": tenfold"] * 2
        assert site.error("/api/events")[0] == 503
        assert next(line for line in streams[0] if line.startswith(": still")) == ": still here"
