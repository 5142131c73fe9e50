import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from tenfold.core import UserError
from tenfold.verifiers.sandbox import LocalSandbox

hypothesis.settings.register_profile("tenfold", deadline=None)  # a loaded machine is no failure
hypothesis.settings.load_profile("tenfold")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and its children would
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}  # read when the libraries are imported; no hub is asked


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints that tests make go to a folder of their own."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["TENFOLD_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def sandboxed() -> None:
    """Says so where this machine lacks what the sandbox is made of, instead of running untrusted code without it."""
    box = LocalSandbox(workers=1)
    try:
        box.missing()
    except UserError as lacking:
        pytest.skip(str(lacking))
    finally:
        box.close()


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own folder, from which modules can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture
def in_two_processes(tmp_path: Path) -> Callable[[dict[str, Any]], tuple[dict[str, Any], Path]]:
    """Trains what a stage's record says in two processes, started as on two GPUs: its metrics, and its checkpoint's folder."""
    from tenfold.pipelines import spread
    from tenfold.pipelines.cluster import Cluster

    def train(record: dict[str, Any]) -> tuple[dict[str, Any], Path]:
        folder = tmp_path / "two"
        folder.mkdir()
        (folder / "settings.json").write_text(json.dumps(record | {"cluster": {"device": "cpu"}}))
        command = spread.launch(Cluster(device="cuda", gpus=2), folder)
        done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads((folder / "trained.json").read_text()), folder / "policy"

    return train
