"""Control groups of both versions, on ordinary folders that imitate them. Other tests use the machine's control groups."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tenfold.verifiers.sandbox.inside import cgroup

_MEMBERS = {"cgroup.procs": ""}
_EVENTS = "low 0\noom 1\noom_kill 3\n"
V2 = {
    "": {
        **_MEMBERS,
        **{name: "" for name in ("cgroup.kill", "cgroup.subtree_control", "memory.max", "memory.swap.max", "pids.max")},
        "cgroup.controllers": "cpu memory pids",
        "memory.peak": "12345",
        "memory.events": _EVENTS,
        "pids.current": "2",
        "cpu.stat": "usage_usec 1500000\nuser_usec 1\n",
    }
}
V1 = {
    "memory": {**_MEMBERS, "memory.limit_in_bytes": "", "memory.max_usage_in_bytes": "12345", "memory.oom_control": _EVENTS},
    "pids": {**_MEMBERS, "pids.max": "", "pids.current": "2"},
    "cpuacct": {**_MEMBERS, "cpuacct.usage": "1500000000"},
}
"""Files of a group in each tree of the version. As in the kernel, writing does not truncate them."""


def filled(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(params=[1, 2])
def group(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[cgroup.Group, list[Path]]:
    """A group of each version, and its folder."""
    monkeypatch.setattr(cgroup, "MOUNT", tmp_path)
    monkeypatch.setattr(cgroup, "_KILLING_SECONDS", 0.1)
    trees = V2 if request.param == 2 else V1
    for name, files in trees.items():
        filled(tmp_path / name, files)
    made = cgroup.Groups("77").make()
    folders = [filled(folder, files) for name, files in trees.items() for folder in (tmp_path / name).glob("tenfold-77-*-0")]
    assert len(folders) == len(trees)
    return made, folders


def test_a_group_sets_limits_and_reports_usage(group: tuple[cgroup.Group, list[Path]]) -> None:
    made, folders = group
    made.prepare(memory=1 << 20, processes=5)
    contents = {path.name: path.read_text() for folder in folders for path in folder.iterdir()}
    assert (contents.get("memory.max") or contents["memory.limit_in_bytes"]) == str(1 << 20)
    assert contents["pids.max"] == "7"  # two processes have died and still count
    assert contents.get("memory.swap.max", "0") == "0"
    assert (made.oom_kills(), made.cpu_seconds()) == (3, 1.5)
    made.join()
    assert {(folder / "cgroup.procs").read_text() for folder in folders} == {"0"}


def test_the_reported_peak_is_the_current_runs(group: tuple[cgroup.Group, list[Path]]) -> None:
    made, folders = group
    file = next(
        file for folder in folders for file in folder.glob("memory.*") if "peak" in file.name or "max_usage" in file.name
    )
    file.write_text("90000")  # the peak of an earlier run, which version 2 keeps
    made.prepare(memory=1 << 20, processes=5)
    kept = int(file.read_text())
    assert made.peak() is None
    file.write_text(str(kept + 1))
    assert made.peak() == kept + 1


def test_a_group_that_is_emptied_accepts_no_new_process(group: tuple[cgroup.Group, list[Path]]) -> None:
    made, folders = group
    sleeper = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    for folder in folders:
        (folder / "cgroup.procs").write_text(f"0\n{sleeper.pid}\n0\n")  # 0 stands for a process in another container
    made.kill()
    assert sleeper.wait() == -9
    contents = {path.name: path.read_text() for folder in folders for path in folder.iterdir()}
    assert contents["pids.max"] == "0"
    assert contents.get("cgroup.kill", "1") == "1"


def test_only_groups_of_ended_processes_are_removed(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-S", "-c", ""])
    dead.wait()
    space = os.stat("/proc/self/ns/pid").st_ino
    left, *kept = (
        f"tenfold-{dead.pid}-{space}-0",
        f"tenfold-{os.getpid()}-{space}-0",
        f"tenfold-{dead.pid}-{space + 1}-0",  # of another container: its owner may be alive
        "another",
    )
    for name in (left, *kept):
        (tmp_path / name).mkdir()
    cgroup.remove_abandoned([str(tmp_path)])
    assert {path.name for path in tmp_path.iterdir()} == set(kept)
