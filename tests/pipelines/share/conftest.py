"""The stand-in for the hub, the command line, and a run to push."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from tenfold import cli
from tenfold.policies import checkpoints

from .hub_stand_in import TOKEN, Hub, running

Cli = Callable[..., tuple[int, str]]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the client waits before it tries again
        yield hub


@pytest.fixture
def tenfold(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Runs a command in the test's folder; returns its status and all of its output."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str]:
        status = cli.main(arguments)
        shown = capsys.readouterr()
        return status, shown.out + shown.err

    return call


@pytest.fixture
def run(tmp_path: Path, micro: Path) -> Path:
    """The folder of a run: a stage that trained, and a benchmark of its policy."""
    folder = tmp_path / "runs" / "sums"
    stages = [{"kind": "sft", "name": "sft"}, {"kind": "bench", "name": "after"}]
    (folder / "sft").mkdir(parents=True)
    (folder / "after").mkdir()
    shutil.copytree(micro, folder / "sft" / "policy")
    recipe = {"name": "sums", "description": "adds digits", "policy": "hf:lab/base", "stages": stages}
    (folder / "recipe.yaml").write_text(json.dumps(recipe, indent=1))
    (folder / "report.html").write_text("<p>the report</p>")
    weights = {f"policy/{name}": sha for name, sha in checkpoints.digests.of_files(micro, ["*.safetensors"]).items()}
    interval = {"mean": 0.735, "low": 0.6834, "high": 0.7822, "problems": 200, "samples": 8}
    scores = {"chain_sum_avg8": interval | {"cautions": ["few problems"], "without_score": 3}}
    write_record(folder / "sft", stages[0], "hf:lab/base", {}, {})
    write_record(folder / "after", stages[1], "stage:runs/sums/sft", weights, {"scores": scores})
    return folder


@pytest.fixture(scope="session")
def micro(cache: Path) -> Path:
    return checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2")


def write_record(folder: Path, stage: dict[str, str], policy: str, inputs: dict[str, str], metrics: dict[str, object]) -> None:
    record = {
        **{"stage": stage, "seed": 7, "policy": policy, "inputs": inputs, "identity": {}, "metrics": metrics},
        **{"wall_seconds": 2.0, "resumed": False, "extended": [], "commit": "abc-dirty", "versions": {"tenfold": "0.1.0"}},
        "machine": {"processor": "P", "processors": 2, "gpus": []},
    }
    (folder / "stage.json").write_text(json.dumps(record))
