"""The number of threads of torch: who chooses it, where it is recorded, and that a resumed run uses the recorded number."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
import yaml

import tenfold
from tenfold import cpu_threads
from tenfold.pipelines.cluster import Cluster
from tenfold.pipelines.launch import processes
from tenfold.pipelines.rl import verl_config

RECIPE: dict[str, Any] = {
    "name": "r",
    "policy": "micro:?hidden=16&layers=1&heads=2",
    "cluster": {"device": "cpu"},
    "stages": [
        {"kind": "sft", "name": name, "problems": "jsonl:rows.jsonl", "steps": 2, "batch_size": 4}
        for name in ("first", "second")
    ],
}


@pytest.fixture(autouse=True)
def measured(lab: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """No number in the environment, and a measurement that finds 2 threads."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(cpu_threads, "_chosen", None)
    monkeypatch.setattr(cpu_threads, "measured", lambda width: 2)
    rows = [{"question": f"{number} + 1 =", "answer": number + 1} for number in range(8)]
    (lab / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    yield monkeypatch
    torch.set_num_threads(before)


def run(cluster: dict[str, Any] | None = None) -> list[int | None]:
    """Runs the recipe in the folder `out`; returns the recorded number of threads of both stages."""
    Path("r.yaml").write_text(yaml.safe_dump(RECIPE | ({"cluster": cluster} if cluster else {})))
    tenfold.run("r.yaml", "out")
    return [json.loads(Path(f"out/{name}/stage.json").read_text())["machine"]["threads"] for name in ("first", "second")]


def test_the_measured_number_is_used_and_recorded() -> None:
    assert run() == [2, 2]
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("policy", "width"),
    [
        ("micro:?hidden=16&layers=1&heads=2", 16),
        ("micro:?hidden=1280&layers=1&heads=2", 1024),
        ("scripted:4", cpu_threads.WIDTH),
    ],
)
def test_the_number_is_measured_with_the_width_of_the_policy(policy: str, width: int, measured: pytest.MonkeyPatch) -> None:
    class Measured(Exception):
        """Ends the run."""

    def measurement(width: int) -> NoReturn:
        raise Measured(width)

    measured.setattr(cpu_threads, "measured", measurement)
    stage = {"kind": "filter", "name": "filter", "environment": "tenfold/GSM8K-v0", "options": {"problems": "jsonl:rows.jsonl"}}
    Path("r.yaml").write_text(yaml.safe_dump(RECIPE | {"policy": policy, "stages": [stage]}))
    with pytest.raises(Measured, match=f"^{width}$"):
        tenfold.run("r.yaml", "out")


def test_the_recipe_and_the_environment_choose_before_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert cpu_threads.choose() == torch.get_num_threads() == 3
    assert run({"device": "cpu", "threads": 1}) == [1, 1]
    for invalid in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", invalid)
        assert cpu_threads.choose() == 2


def test_a_resumed_run_uses_the_recorded_number(measured: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run()
    weights = Path("out/second/policy/model.safetensors").read_bytes()
    Path("out/second/stage.json").unlink()
    measured.setattr(cpu_threads, "measured", lambda width: 1)
    assert run() == [2, 2]
    assert Path("out/second/policy/model.safetensors").read_bytes() == weights
    assert "threads:" not in capsys.readouterr().out


def test_another_number_on_resume_is_reported(measured: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run()
    Path("out/second/stage.json").unlink()
    measured.setenv("OMP_NUM_THREADS", "1")
    assert run() == [2, 1]
    assert "threads: 1 now, 2 before; results may differ in the last bits" in capsys.readouterr().out


def test_child_processes_get_the_number_and_wait_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    variables = verl_config.environment(Path("/m"), Cluster.model_validate({"device": "cpu"}))
    assert (variables["OMP_NUM_THREADS"], variables["OMP_WAIT_POLICY"]) == ("2", "PASSIVE")
    gpus = Cluster.model_validate({"device": "cuda", "gpus": 2, "threads": 4})
    assert processes.threads_of(gpus)["OMP_NUM_THREADS"] == "4"
    assert "OMP_NUM_THREADS" not in processes.threads_of(gpus.model_copy(update={"threads": None}))


@pytest.mark.parametrize(
    ("user", "waiting"),
    [({}, ["PASSIVE", None]), ({"GOMP_SPINCOUNT": "9"}, [None, "9"]), ({"OMP_WAIT_POLICY": "ACTIVE"}, ["ACTIVE", None])],
)
def test_waiting_threads_sleep_unless_the_user_chose_otherwise(user: dict[str, str], waiting: list[str | None]) -> None:
    program = (
        "import os, sys, tenfold.cli; tenfold.cli.main(['bench', '--list']); assert 'torch' not in sys.modules;"
        "print(); print([os.environ.get(name) for name in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')])"
    )
    inherited = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    done = subprocess.run([sys.executable, "-c", program], env=inherited | user, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == str(waiting)


def test_the_measurement_leaves_torch_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    assert 1 <= cpu_threads.measured() <= len(os.sched_getaffinity(0))
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
