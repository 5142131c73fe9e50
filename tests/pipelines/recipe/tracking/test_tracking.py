"""Trackers of a recipe: what they receive, and that a run does not depend on them."""

import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import tenfold
from tenfold import cli
from tenfold.core import UserError
from tenfold.pipelines.recipe.tracking import process, samples, tracker

from . import stored

SUMS = "generate:tenfold.envs.toy.chain_sums:chain_sums_with_solutions?size=40"
SFT = {"kind": "sft", "name": "sft", "problems": SUMS, "batch_size": 4, "steps": 6, "save_steps": 2}
BENCH = {"kind": "bench", "name": "bench", "tasks": ["chain_sum_avg8"], "limit": 2, "samples": 2}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "SWANLAB_MODE"):
        monkeypatch.setenv(name, "offline")
    for name in ("MLFLOW_TRACKING_URI", "TRACKIO_DIR", "TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
        monkeypatch.delenv(name, raising=False)


def recipe(folder: Path, *stages: dict[str, Any], trackers: list[str]) -> Path:
    content = {"name": "small", "policy": "micro:?hidden=16&layers=1&heads=2", "stages": stages, "trackers": trackers}
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(content))
    return path


def steps(run: Path) -> list[dict[str, Any]]:
    path = run / "sft/steps.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def losses(found: stored.Stored) -> list[tuple[int, float]]:
    return [(step, value) for name, step, value in found.figures if name == "sft/loss"]


def near(figures: list[tuple[str, int, float]]) -> list[tuple[str, int, Any]]:
    """TensorBoard stores numbers with 32 bits."""
    return [(name, step, pytest.approx(value, rel=1e-5)) for name, step, value in figures]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that TensorBoard has followed."""
    folder = tmp_path_factory.mktemp("trackers")
    tenfold.run(recipe(folder, SFT, BENCH, trackers=["tensorboard"]), folder / "out", quiet=True)
    return folder / "out"


def test_a_tracker_receives_figures_configuration_pictures_and_tables_of_all_stages(run: Path) -> None:
    found = stored.read(run, "tensorboard")
    for name in ("loss", "grad_norm", "learning_rate"):
        expected = near([(f"sft/{name}", row["step"], row[name]) for row in steps(run)])
        assert [figure for figure in found.figures if figure[0] == f"sft/{name}"] == expected
    score = json.loads((run / "bench/stage.json").read_text())["metrics"]["scores"]["chain_sum_avg2"]["mean"]
    assert ("bench/result/chain_sum_avg2", 0, pytest.approx(score)) in found.figures
    assert found.pictures == ["sft/figure"]
    assert found.tables == ["bench/samples", "benchmarks/scores"]
    record = json.loads((run / "sft/stage.json").read_text())
    config = json.loads(found.config.strip("`").removeprefix("json"))
    assert config["recipe"]["stages"]["sft"]["steps"] == 6
    assert (config["commit"], config["versions"], config["machine"]) == tuple(
        record[name] for name in ("commit", "versions", "machine")
    )


@pytest.mark.parametrize("tracker", ["tensorboard", "wandb", "mlflow", "trackio", "swanlab"])
def test_a_finished_run_can_be_sent_to_each_tracker(
    run: Path, tracker: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not stored.is_installed(tracker):
        pytest.skip(f"not tested here: the package {tracker} is not installed; run: pip install {tracker}")
    copy = tmp_path / "copy"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("trackers*", "checkpoints"))
    assert cli.main(["track", str(copy), "--to", tracker]) == 0
    assert f"{tracker}: run " in capsys.readouterr().out
    live, found = stored.read(run, "tensorboard"), stored.read(copy, tracker)
    assert near(found.figures) == live.figures
    assert (found.pictures, found.tables) == (live.pictures, live.tables)
    assert "micro:?hidden=16" in found.config
    assert cli.main(["track", str(copy), "--to", tracker]) == 0  # it has all, so nothing is sent
    if tracker != "trackio":  # its reader keeps the first state of a folder
        assert stored.read(copy, tracker).figures == found.figures


def test_a_run_that_goes_on_with_more_steps_continues_the_same_tracker_run(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "out"
    shutil.copytree(run, copy)
    before = json.loads((copy / "trackers.json").read_text())["tensorboard"]["id"]
    tenfold.run(copy / "recipe.yaml", copy, settings={"sft.steps": 8}, inexact=True, quiet=True, only=["sft"])
    assert json.loads((copy / "trackers.json").read_text())["tensorboard"]["id"] == before
    expected = [(row["step"], pytest.approx(row["loss"], rel=1e-5)) for row in steps(copy)]
    assert [step for step, _ in expected] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert losses(stored.read(copy, "tensorboard")) == expected


def test_a_run_may_go_on_without_its_trackers_and_with_others(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "out"
    shutil.copytree(run, copy)
    before = (copy / "trackers.json").read_text()
    tenfold.run(copy / "recipe.yaml", copy, settings={"trackers": []}, quiet=True)
    assert (copy / "trackers.json").read_text() == before
    shutil.rmtree(copy / "trackers")
    (copy / "trackers.json").unlink()
    tenfold.run(copy / "recipe.yaml", copy, settings={"trackers": ["tensorboard"]}, quiet=True)
    assert losses(stored.read(copy, "tensorboard")) == losses(stored.read(run, "tensorboard"))


def test_a_run_that_is_killed_and_resumed_sends_no_step_twice(tmp_path: Path) -> None:
    path, out = recipe(tmp_path, SFT | {"steps": 400, "save_steps": 40}, trackers=["tensorboard"]), tmp_path / "out"
    command = [sys.executable, "-m", "tenfold.cli", "run", str(path), "--quiet", "--out", str(out)]
    with subprocess.Popen(command) as killed:
        while not (out / "trackers.json").is_file() or len(steps(out)) < 20:
            assert killed.poll() is None
            time.sleep(0.05)
        killed.send_signal(signal.SIGKILL)
    tenfold.run(path, out, quiet=True)
    found = losses(stored.read(out, "tensorboard"))
    assert found == [(row["step"], pytest.approx(row["loss"], rel=1e-5)) for row in steps(out)]
    assert found[-1][0] == 400


@pytest.mark.parametrize("trackers", [["tensorboard"], []])
def test_a_stage_that_is_done_again_with_other_settings_is_sent_again(run: Path, tmp_path: Path, trackers: list[str]) -> None:
    """Also if it was done without the tracker, or has ended before the tracker has started."""
    copy = tmp_path / "out"
    shutil.copytree(run, copy)
    for stage in ("sft", "bench"):
        shutil.rmtree(copy / stage)
    tenfold.run(copy / "recipe.yaml", copy, settings={"sft.learning_rate": 0.05, "trackers": trackers}, quiet=True)
    assert cli.main(["track", str(copy), "--to", "tensorboard"]) == 0
    sent = [step for step, _ in losses(stored.read(copy, "tensorboard"))]
    assert sorted(sent) == sorted([1, 2, 3, 4, 5, 6] * 2)


FULL_DISK = """
import errno, os
class Settings:
    def __init__(self, **settings): pass
def merge_settings(settings): pass
def init(**settings): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
"""
HANGS = """
import subprocess, sys, time
class Settings:
    def __init__(self, **settings): pass
def merge_settings(settings): pass
def init(**settings):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    time.sleep(3600)
"""
FAILS_ONCE = """
import json, os
from types import SimpleNamespace
folder = os.environ["TRACKIO_DIR"]
os.makedirs(folder, exist_ok=True)
def init(project, name, resume, **settings):
    return SimpleNamespace(name=name)
def log(values, step):
    text = json.dumps([step, values])
    if step == 3 and not os.path.exists(folder + "/failed"):
        open(folder + "/failed", "w").close()
        key = os.environ["SWANLAB_API_KEY"]
        raise ConnectionError(f"https://user:hunter2@tracker.lab.org does not answer, with {key}")
    with open(folder + "/received.jsonl", "a") as file:
        file.write(text + "\\n")
class Image:
    def __new__(cls, image): return "picture"
class Table:
    def __new__(cls, columns, data): return "table"
def finish(): pass
"""


@pytest.fixture
def libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with libraries that are found before those that are installed."""
    folder = tmp_path / "libraries"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    paths = [str(folder), *filter(None, sys.path)]
    monkeypatch.setenv("PYTHONPATH", ":".join(paths))
    return folder


def test_a_tracker_that_fails_does_not_stop_the_run_or_the_other_trackers(
    libraries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (libraries / "swanlab.py").write_text(FULL_DISK)
    (libraries / "trackio.py").write_text(FAILS_ONCE)
    monkeypatch.setenv("SWANLAB_API_KEY", "key-of-a-user")
    names = ["swanlab", "trackio", "tensorboard"]
    out = tmp_path / "out"
    metrics = tenfold.run(recipe(tmp_path, SFT, trackers=names), out)
    assert metrics["sft"]["steps"] == 6
    expected = [(row["step"], pytest.approx(row["loss"], rel=1e-5)) for row in steps(out)]
    assert losses(stored.read(out, "tensorboard")) == expected
    received = [json.loads(line) for line in (out / "trackers/trackio/received.jsonl").read_text().splitlines()]
    assert [step for step, values in received if "sft/loss" in values] == [1, 2, 3, 4, 5, 6]
    lines = " ".join(capsys.readouterr().out.split())
    assert "trackers: swanlab: OSError: [Errno 28] No space left on device" in lines
    assert f"send the rest with: tenfold track {out} --to swanlab" in lines
    log = (out / "trackers.log").read_text()
    assert "ConnectionError" in log
    assert "hunter2" not in log
    assert "key-of-a-user" not in log


def test_a_tracker_that_hangs_is_ended_after_the_run(
    libraries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(process, "FINISH_SECONDS", 1.0)
    (libraries / "swanlab.py").write_text(HANGS)
    metrics = tenfold.run(recipe(tmp_path, SFT, trackers=["swanlab"]), tmp_path / "out")
    assert metrics["sft"]["steps"] == 6
    assert "trackers: swanlab: not finished in time" in " ".join(capsys.readouterr().out.split())


def test_after_ctrl_c_a_tracker_that_hangs_delays_the_end_only_shortly(
    libraries: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "FINISH_SECONDS", 3600.0)
    monkeypatch.setattr(process, "INTERRUPTED_SECONDS", 0.5)
    (libraries / "swanlab.py").write_text(HANGS)
    shutil.copytree(run, tmp_path / "out")
    lines: list[str] = []
    with pytest.raises(KeyboardInterrupt), process.following(tmp_path / "out", ["swanlab"], lines.append):
        raise KeyboardInterrupt
    assert "send the rest with: tenfold track" in lines[0]


def test_after_a_kill_of_the_run_no_process_is_left(libraries: Path, run: Path, tmp_path: Path) -> None:
    (libraries / "swanlab.py").write_text(HANGS)
    shutil.copytree(run, tmp_path / "out")
    code = f"""
import time
from pathlib import Path
from tenfold.pipelines.recipe.tracking import process
process.FINISH_SECONDS = 1.0
with process.following(Path({str(tmp_path / "out")!r}), ["swanlab"], print):
    time.sleep(3600)
"""
    with subprocess.Popen([sys.executable, "-c", code]) as killed:
        while len(group := _members(tmp_path / "out")) < 2:  # the process, and that of the library
            assert killed.poll() is None
            time.sleep(0.05)
        killed.send_signal(signal.SIGKILL)
    while any(_is_alive(each) for each in group):
        time.sleep(0.05)


def _members(run: Path) -> list[int]:
    """Returns the processes of the group that feeds the trackers of a run."""
    words = [b"tenfold.pipelines.recipe.tracking", str(run).encode()]
    known = {int(path.name) for path in Path("/proc").glob("[0-9]*") if all(word in _arguments(path) for word in words)}
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _group_of(int(path.name)) in known]


def _arguments(process: Path) -> list[bytes]:
    try:
        return (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def _group_of(process: int) -> int:
    try:
        return os.getpgid(process)
    except OSError:
        return 0


def _is_alive(process: int) -> bool:
    """True unless a process has ended, also if its new parent has not asked for its status."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_texts_of_a_model_are_shown_as_they_are(tmp_path: Path) -> None:
    """TensorBoard shows tables as Markdown, in which a picture would be loaded from its address."""
    plugin_util = pytest.importorskip("tensorboard.plugin_util")
    text = "![](https://x.example/a.png) <img src=//x.example> [a](//x.example) \\[2*3*4\\] a_b_c | `1` \ud800"
    rows = samples.of_episodes(
        [{"problem": 0, "messages": [{"role": "user", "content": text}], "verdict": {"score": 1.0, "reason": text}}]
    )
    page = plugin_util.markdown_to_safe_html(tracker.markdown(samples.COLUMNS, rows))
    assert not {"<img", "<a ", "<em>", "<code>"} & {*re.findall(r"<\w+ ?", page)}
    cells = [html.unescape(cell) for cell in re.findall("<td>(.*?)</td>", page)]
    assert text.replace("\ud800", "\ufffd") in cells


def test_mlflow_receives_a_configuration_with_any_names(tmp_path: Path) -> None:
    if not stored.is_installed("mlflow"):
        pytest.skip("not tested here: the package mlflow is not installed; run: pip install mlflow")
    config = {"recipe": {"../a@b//c": 1, "x" * 300: 2, ".": 3}}
    used = tracker.load("mlflow")
    used.start(tracker.Run("project", "run", tmp_path / "mlflow", config))
    used.finish()
    found = stored.mlflow(tmp_path / "mlflow").config
    for parameter in ("'recipe.../a_b/c': '1'", "xxx': '2'", "'recipe..': '3'"):
        assert parameter in found


def test_a_mistake_is_one_line_before_the_first_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def error(trackers: list[str]) -> str:
        with pytest.raises(UserError) as raised:
            tenfold.run(recipe(tmp_path, SFT, trackers=trackers), tmp_path / "out", quiet=True)
        assert not (tmp_path / "out" / "sft").exists()
        return str(raised.value)

    assert "trackers.0: Input should be 'tensorboard', 'wandb', 'mlflow', 'trackio' or 'swanlab'" in error(["wand"])
    assert error(["tensorboard", "tensorboard"]) == "trackers: tensorboard is named twice; remove one of them"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert error(["mlflow"]) == "trackers: the tracker mlflow is not installed: pip install mlflow"
    monkeypatch.undo()
    assert cli.main(["track", str(tmp_path), "--to", "wand"]) == 2
    assert "--to: unknown tracker 'wand'; use tensorboard, wandb, mlflow, trackio, swanlab" in capsys.readouterr().err
    assert cli.main(["track", str(tmp_path / "none"), "--to", "tensorboard"]) == 2
    assert "is not a run's folder" in capsys.readouterr().err


@pytest.mark.parametrize("tracker", ["wandb", "swanlab"])
def test_a_tracker_without_a_key_is_an_error(
    libraries: Path, tracker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (libraries / f"{tracker}.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("MODE", "API_KEY", "CONFIG_DIR", "IDENTITY_TOKEN_FILE", "SAVE_DIR", "ROOT"):
        monkeypatch.delenv(f"{tracker.upper()}_{name}", raising=False)
    monkeypatch.delenv("NETRC", raising=False)
    with pytest.raises(UserError, match=f"trackers: the tracker {tracker} has no key: run `{tracker} login`, or set "):
        tenfold.run(recipe(tmp_path, SFT, trackers=[tracker]), tmp_path / "out", quiet=True)
