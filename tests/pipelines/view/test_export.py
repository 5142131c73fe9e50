"""The page as one file, and the command."""

import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tenfold import cli
from tenfold.core import UserError
from tenfold.pipelines.view import export

from .small_runs import Run, lines, step_episode, write_result

HOSTILE = "</script><script>alert(1)</script><!-- \u2028"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A run with a GRPO stage of three steps, and a benchmark."""
    run = Run(tmp_path / "runs/small", {"grpo": "grpo", "bench": "bench"})
    run.begin("grpo")
    (run.folder / "grpo/steps.jsonl").write_text(lines([{"step": 1, "reward": 0.5}]))
    run.episodes("grpo", [step_episode(step, 0, sample, f"{HOSTILE} {step}") for step in (1, 2, 3) for sample in range(4)])
    run.begin("bench")
    write_result(run.folder / "bench", "sums", [[1.0], [0.0]])
    return tmp_path / "runs"


def data(text: str) -> dict[str, Any]:
    """Returns the embedded answers of a page."""
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    embedded: dict[str, Any] = json.loads(found)
    return embedded


def test_the_file_has_the_answers_by_address(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "page.html"
    assert cli.main(["view", str(runs), "--export", str(file), "--limit", "6"]) == 0
    assert capsys.readouterr().out.startswith(str(file))
    text = file.read_text()
    found = data(text)
    at = "/api/runs/r0/stages/grpo"
    assert found["/api/runs"]["runs"][0]["name"] == "small"
    assert found["/api/runs/r0"]["stages"][0]["has"] == ["steps", "episodes"]
    assert found[f"{at}/steps"]["values"] == {"reward": [0.5]}
    listed = found[f"{at}/episodes?offset=0&limit=100000"]
    assert listed["total"] == 12
    assert [(row["step"], row["sample"]) for row in listed["rows"]] == [(1, 0), (1, 1), (1, 2), (3, 1), (3, 2), (3, 3)]
    assert {f"{at}/episodes/{row['number']}" for row in listed["rows"]} <= found.keys()
    shown = found[f"{at}/episodes/{listed['rows'][0]['number']}"]
    assert shown["messages"][1]["content"] == f"{HOSTILE} 1"
    assert {f"{at}/groups?step=1", f"{at}/groups?step=3", f"{at}/problems?offset=0&limit=100000"} <= found.keys()
    assert f"{at}/groups?step=2" not in found
    assert found["/api/runs/r0/stages/bench/results"]["tasks"][0]["task"] == "sums_avg1"
    assert "alert(1)</script>" not in text


def test_scripts_and_styles_are_in_the_page_and_only_they_may_run(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<!doctype html>\n<meta charset="utf-8">\n<link rel="stylesheet" href="static/style.css">\n'
        '<link rel="modulepreload" href="static/parts.js">\n<script defer src="static/library.js"></script>\n'
        '<script type="module" src="static/main.js"></script>\n<body></body>'
    )
    (tmp_path / "style.css").write_text("body { color: red }")
    (tmp_path / "library.js").write_text('const name = "</script>";')
    (tmp_path / "parts.js").write_text("export const one = 1;\nexport function two() { return 2; }\n")
    (tmp_path / "main.js").write_text(
        'import { one, two } from "./parts.js";\nimport {\n  three,\n} from "./parts.js";\none + two();\n'
    )
    page = export.page(tmp_path, json.dumps({"/api/runs": HOSTILE}))
    assert data(page) == {"/api/runs": HOSTILE}
    assert "src=" not in page
    assert "<link" not in page
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src &#x27;none&#x27;; script-src &#x27;sha256-")
    scripts = re.findall(r"<script(?: type=\"module\")?>(.*?)</script>", page, re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert [text.split() for text in scripts[1:]] == [
        "const one = 1; function two() { return 2; } one + two();".split(),
    ]
    for text in [*scripts, *styles]:
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy


def test_the_page_of_the_package_can_be_saved(tmp_path: Path, runs: Path) -> None:
    page = export.page(export.STATIC, "{}")
    assert "import " not in "".join(re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL)).split("\n", 1)[0]
    assert not re.search(r'(src|href)="(?!data:|#|https?:)', page)


def test_a_task_may_have_any_name(tmp_path: Path) -> None:
    """The addresses are those of encodeURIComponent and URLSearchParams, which the page uses."""
    for number in (1, 2):
        write_result(tmp_path / "bench", f"100% #{number}? <b>~('*')!", [[1.0], [0.0]])
    export.write(tmp_path / "page.html", [str(tmp_path / "bench")], 10)
    found = data((tmp_path / "page.html").read_text())
    at = "/api/runs/r0/stages/100%25%20%231%3F%20%3Cb%3E~('*')!_avg1"
    assert {
        f"{at}/results",
        f"{at}/episodes?offset=0&limit=100000",
        f"{at}/episodes/1",
        f"{at}/histogram?of=rate",
    } <= found.keys()
    assert export.address_of("/api/compare", {"a": "r0/~('*')! é"}) == "/api/compare?a=r0%2F%7E%28%27*%27%29%21+%C3%A9"


def test_episodes_that_cannot_be_indexed_are_an_error(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "file"))
    assert cli.main(["view", str(runs), "--export", str(tmp_path / "page.html")]) == 2
    assert "the index cannot be" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("host", ["no such name", "é" * 80, "192.0.2.1"])
def test_an_address_that_is_not_this_machines_is_an_error(runs: Path, capsys: pytest.CaptureFixture[str], host: str) -> None:
    assert cli.main(["view", str(runs), "--host", host]) == 2
    assert f"cannot listen on {host}:0" in capsys.readouterr().err


def test_folders_that_do_not_exist_or_have_no_run_are_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["view", str(tmp_path / "none"), "--export", str(tmp_path / "page.html")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    with pytest.raises(UserError, match="there is no run in"):
        export.write(tmp_path / "page.html", [str(tmp_path)], 1)


@pytest.fixture
def command(runs: Path) -> Iterator["subprocess.Popen[str]"]:
    """The command in a process of its own."""
    arguments = [sys.executable, "-m", "tenfold.cli", "view", str(runs), "--token"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        yield process
        process.kill()


def test_the_command_prints_a_url_and_ends_with_an_interrupt(command: "subprocess.Popen[str]") -> None:
    assert command.stdout is not None
    url = command.stdout.readline().split()[0]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", url)
    with httpx.Client(trust_env=False, timeout=60) as client:
        assert client.get(url.split("?")[0]).status_code == 403
        assert client.get(url, follow_redirects=True).status_code == 200
        found = client.get(url.split("?")[0] + "api/runs").json()["runs"]
        assert [run["name"] for run in found] == ["small"]
        with client.stream("GET", url.split("?")[0] + "api/events"):
            command.send_signal(signal.SIGINT)
            _, errors = command.communicate(timeout=60)
    assert (command.returncode, "Traceback" in errors) == (0, False)


def test_the_url_is_that_of_the_run_if_there_is_one(runs: Path) -> None:
    arguments = [sys.executable, "-m", "tenfold.cli", "view", str(runs)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert re.match(r"http://127\.0\.0\.1:\d+/#/r0 ", process.stdout.readline())
        process.kill()
