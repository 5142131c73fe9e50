"""The stream of changes."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tenfold.pipelines.recipe.progress.log import Log
from tenfold.pipelines.view import server

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
