"""Servers for the tests of the viewer."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tenfold.pipelines.view.folders import Folders
from tenfold.pipelines.view.runs import Runs

from .small_runs import Site


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Site]]:
    """Starts servers that show folders; the list of runs is loaded. The index is in a cache of the test's own."""
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    started: list[Site] = []

    def start(*folders: Path, host: str = "127.0.0.1", token: str = "") -> Site:
        runs = Runs(Folders(folders))
        started.append(Site(runs, host, token))
        if not token:
            started[-1].get("/api/runs")
        return started[-1]

    yield start
    for site in started:
        site.close()
