import gc
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import gymnasium
import hypothesis
import pytest

from tenfold.core import UserError
from tenfold.verifiers.sandbox import LocalSandbox

# deadline=None: a busy machine must not fail tests. derandomize: every run uses the same examples.
hypothesis.settings.register_profile("tenfold", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("tenfold")
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore the signal
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}  # read when the libraries are imported; no test uses the hub

NOT_TESTED = "not tested here: "
"""Start of the skip reason of tests that this machine cannot run."""


TRAINS = "/pipelines/"
"""Tests of pipelines take about half of the time. One worker runs them, so that verl, Ray and accelerate are imported once, and
the two processes that trainings share are started once. Each worker imports all test files, so these files import verl inside
functions."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Makes `--dist loadfile` treat the files of pipelines as one file."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return TRAINS if TRAINS in f"/{file}" else file

    return ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Puts the checkpoint cache of tests in a temporary folder."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["TENFOLD_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Puts the user's settings in a temporary folder."""
    folder = tmp_path_factory.mktemp("config")
    os.environ["TENFOLD_CONFIG"] = str(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def imported() -> Iterator[None]:
    """Excludes all objects that are imported so far from garbage collection.

    That is millions of objects, which stay to the end. Trainings collect garbage at their end, and looking through all of these
    took half of the time of a small one.
    """
    gc.collect()
    gc.freeze()
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def skip_or_fail() -> Callable[[str], NoReturn]:
    """Returns a function that skips a test. Its argument says what this machine lacks, and how to get it.

    Continuous integration (`CI=true`) has to have it, so there the test fails. Elsewhere it is skipped, and the end of the run
    says what was not tested.
    """

    def end(what: str) -> NoReturn:
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail(f"CI has to test this, and this machine cannot: {what}", pytrace=False)
        pytest.skip(NOT_TESTED + what)

    return end


@pytest.fixture(scope="module")
def browser(skip_or_fail: Callable[[str], NoReturn]) -> Iterator[Any]:
    """A browser without a window, for tests of pages."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        skip_or_fail("a browser for the page of a run: apt-get install chromium")
    from playwright import sync_api

    with sync_api.sync_playwright() as player:
        started = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Lists the skipped tests at the end of the output."""
    reasons = [report.longrepr[2].partition(NOT_TESTED)[2] for report in terminalreporter.getreports("skipped")]
    if untested := Counter(filter(None, reasons)):
        terminalreporter.section("NOT TESTED: this machine lacks what these tests need", yellow=True, bold=True)
        for reason, count in untested.most_common():
            terminalreporter.write_line(f"{count} test{'s' if count > 1 else ''}: {reason}", yellow=True)


REMEDIES = {
    "namespaces": "allow namespaces (in Docker: --privileged; for a plain user: sysctl kernel.unprivileged_userns_clone=1)",
    "files": "allow mounts inside of a namespace (in Docker: --privileged)",
    "landlock": "use a kernel of Linux 5.13 or later that has landlock among its security modules",
    "seccomp": "apt-get install libseccomp2",
    "cgroup": "run the tests as root, or as a user who may write to a control group with memory and pids",
}
"""How to enable each protection of the sandbox."""


@pytest.fixture(scope="session")
def sandboxed(skip_or_fail: Callable[[str], NoReturn]) -> None:
    """Skips a test if this machine lacks a protection of the sandbox."""
    box = LocalSandbox(workers=1, without=[*REMEDIES])
    try:
        if missing := box.missing():
            each = (f"{part} ({why}): {REMEDIES[part]}" for part, why in missing.items())
            skip_or_fail(f"the sandbox for untrusted code lacks {'; '.join(each)}")
    except UserError as lacks:
        skip_or_fail(str(lacks))
    finally:
        box.close()


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the user from which modules can be imported. Its modules and environments are forgotten after the test."""
    environments = dict(gymnasium.registry)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "") or "").startswith(str(tmp_path)):
            del sys.modules[name]
    gymnasium.registry.clear()
    gymnasium.registry.update(environments)
