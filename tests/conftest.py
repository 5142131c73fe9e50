import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tenfold.core import UserError
from tenfold.pipelines import spread
from tenfold.pipelines.cluster import Cluster
from tenfold.pipelines.rl import supervise
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


class TwoProcesses:
    """Two processes that train one stage after the other (see `two_processes.py`), started as on two GPUs."""

    def __init__(self, queue: Path):
        """Starts them; what they say is in the folder `queue`."""
        command = spread.launch(Cluster(device="cuda", gpus=2), queue)
        command[command.index("-m", 3) : -1] = [str(Path(__file__).parent / "two_processes.py")]
        self.queue, self.said, self.numbers = queue, queue / "said", itertools.count()
        with self.said.open("w") as said:
            env = os.environ | {"OMP_NUM_THREADS": "1"}
            self.process = subprocess.Popen(command, env=env, stdout=said, stderr=said, preexec_fn=supervise.die_with_parent)

    def train(self, record: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Trains what a stage's record says, in a folder; its metrics."""
        folder.mkdir(exist_ok=True)
        (folder / "settings.json").write_text(json.dumps(record | {"cluster": {"device": "cpu"}}))
        (folder / "done").unlink(missing_ok=True)
        (self.queue / str(next(self.numbers))).symlink_to(folder.resolve())
        deadline = time.monotonic() + 300
        while not (folder / "done").exists():
            assert self.process.poll() is None, self.said.read_text()[-2000:]
            assert time.monotonic() < deadline, self.said.read_text()[-2000:]
            time.sleep(0.05)
        assert any(folder.glob("checkpoints/*/pytorch_model_fsdp*")), "FSDP2 was not at work"
        metrics: dict[str, Any] = json.loads((folder / "trained.json").read_text())
        return metrics


@pytest.fixture(scope="session")
def in_two_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[dict[str, Any], Path], dict[str, Any]]]:
    """Trains what a stage's record says, in a folder, in two processes with FSDP2 over gloo; its metrics.

    All tests have the same two, for it takes long to start them; other ones where a training has ended them.
    """
    started: list[TwoProcesses] = []

    def train(record: dict[str, Any], folder: Path) -> dict[str, Any]:
        if not started or started[-1].process.poll() is not None:
            started.append(TwoProcesses(tmp_path_factory.mktemp("two")))
        return started[-1].train(record, folder)

    yield train
    for pair in started:
        pair.process.kill()  # its children end with it
        pair.process.wait()
