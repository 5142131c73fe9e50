"""The commit and the machine of a run: recorded, and not part of a stage's identity."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import tenfold
from tenfold.pipelines.recipe import provenance

RECIPE = {
    "name": "r",
    "policy": "micro:?hidden=16&layers=1&heads=2",
    "stages": [{"kind": "sft", "name": "sft", "problems": "jsonl:rows.jsonl", "steps": 1, "batch_size": 2}],
}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Clears the cached commit before and after each test."""
    provenance.commit.cache_clear()
    yield
    provenance.commit.cache_clear()


def run() -> dict[str, object]:
    """Runs the recipe; returns the stage's record."""
    Path("r.yaml").write_text(yaml.safe_dump(RECIPE))
    tenfold.run("r.yaml", "out", quiet=True)
    record: dict[str, object] = json.loads(Path("out/sft/stage.json").read_text())
    return record


def test_commit_and_machine_are_recorded_but_are_not_in_the_identity(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"question": question, "answer": "1"} for question in ("1?", "2?")]
    (lab / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    record = run()
    assert record["commit"] == provenance.commit()
    assert record["machine"] == provenance.machine()
    begun = json.loads(Path("out/sft/settings.json").read_text())
    assert (begun["commit"], begun["machine"]) == (record["commit"], record["machine"])
    stored = Path("out/sft/stage.json").read_bytes()

    other = provenance.machine() | {"processor": "another", "gpus": ["another"]}
    monkeypatch.setattr(provenance, "commit", lambda: "another")
    monkeypatch.setattr(provenance, "machine", lambda: other)
    run()
    assert Path("out/sft/stage.json").read_bytes() == stored, "a finished stage is reused on another machine"
    Path("out/sft/stage.json").unlink()
    resumed = run()
    assert (resumed["resumed"], resumed["commit"], resumed["machine"]) == (True, "another", other)
    assert (resumed["identity"], resumed["metrics"]) == (record["identity"], record["metrics"])


def test_the_commit_is_that_of_the_packages_own_checkout(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "file").write_text("1")
    git("add", ".")
    git("commit", "-qm", "first")
    first = git("describe", "--always")
    assert provenance.commit(tmp_path) == first
    (tmp_path / "file").write_text("2")
    provenance.commit.cache_clear()
    assert provenance.commit(tmp_path) == f"{first}-dirty"
    (tmp_path / "site-packages").mkdir()
    assert provenance.commit(tmp_path / "site-packages") == tenfold.__version__, "an installed package is in another checkout"


def test_gpus_are_read_from_torch_if_it_uses_cuda_and_from_the_driver_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "_NVIDIA", tmp_path)
    cuda = SimpleNamespace(is_initialized=lambda: False, device_count=lambda: 2, get_device_name=lambda number: f"GPU {number}")
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert provenance.machine()["gpus"] == []
    (tmp_path / "0000:01:00.0").mkdir()
    (tmp_path / "0000:01:00.0/information").write_text("Model: \t\t NVIDIA H200\nIRQ:   \t\t 7\n")
    assert provenance.machine()["gpus"] == ["NVIDIA H200"]
    cuda.is_initialized = lambda: True
    assert provenance.machine()["gpus"] == ["GPU 0", "GPU 1"]
