import os
import signal
from pathlib import Path

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
