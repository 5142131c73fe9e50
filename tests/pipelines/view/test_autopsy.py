"""The findings of an autopsy stage. Its page is not served."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .small_runs import Run, Site

HOSTILE = "<script>alert(1)</script></td>"
ALARM = {"name": HOSTILE, "step": 20, "opened": 15, "before": 0.1, "after": 0.6}
JUDGE = {"change": [0.1, 0.0, 0.2], "gap_change": None, "strict": False, "tested": True, "faults": 0, "stopped": False}
FINDINGS: dict[str, Any] = {
    **{
        "stage": "grpo",
        "environment": "sums",
        "episodes": 640,
        "samples": 64,
        "steps": [{}, {}],
        "reward_change": [0.5, 0.4, 0.6],
    },
    **{"first_steps": [1], "last_steps": [2], "unknown_problems": 0, "problems_error": ""},
    **{"judges": {"math-verify": JUDGE}, "left_out": {}},
    **{"alarms": [ALARM], "signs": [], "clusters": []},
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "runs/small", {"autopsy": "autopsy"})
    folder = run.begin("autopsy", stage="grpo")
    (folder / "autopsy.json").write_text(json.dumps(FINDINGS))
    (folder / "autopsy.html").write_text(f"<p>{HOSTILE}")
    run.finish("autopsy", {name: FINDINGS[name] for name in ("problems_error", "alarms", "signs")}, stage="grpo")
    return run


def test_the_findings_are_text_and_the_page_is_named(run: Run, serve: Callable[..., Site]) -> None:
    site = serve(run.folder)
    assert site.get("/api/runs/r0")["stages"][0]["has"] == ["corpus"]
    findings, alarms, where = site.get("/api/runs/r0/stages/autopsy/corpus")["tables"]
    assert findings["title"].startswith("grpo: 64 of 640 episodes of 2 steps judged; reward +0.500 [+0.400, +0.600]")
    assert findings["rows"][0] == ["math-verify: +0.100 [+0.000, +0.200], gap unknown"]
    assert findings["rows"][1][0].startswith(f"ALARM at step 20: {HOSTILE} denies 60%")
    assert (alarms["title"], alarms["rows"][0][:3]) == ("Alarms and signs", ["alarm", HOSTILE, "20"])
    assert where["title"] == f"Plots, judges and samples are in {run.folder}/autopsy/autopsy.html"


def test_no_address_gives_the_page(run: Run, serve: Callable[..., Site]) -> None:
    site = serve(run.folder)
    for path in ("/autopsy.html", "/static/autopsy.html", "/api/runs/r0/stages/autopsy/autopsy.html"):
        response = site.client.get(path)
        assert (response.status_code, HOSTILE in response.text) == (404, False)


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps(FINDINGS | {"alarms": [{"name": 1}]})])
def test_damaged_findings_are_an_error_in_one_line(run: Run, serve: Callable[..., Site], content: str) -> None:
    (run.folder / "autopsy/autopsy.json").write_text(content)
    status, text = serve(run.folder).error("/api/runs/r0/stages/autopsy/corpus")
    assert (status, "autopsy.json" in text, "\n" in text) == (404, True, False)


def test_findings_outside_of_the_run_are_not_read(run: Run, serve: Callable[..., Site], tmp_path: Path) -> None:
    path = run.folder / "autopsy/autopsy.json"
    path.rename(tmp_path / "other.json")
    path.symlink_to(tmp_path / "other.json")
    assert "link out of the run" in serve(run.folder).error("/api/runs/r0/stages/autopsy/corpus")[1]
