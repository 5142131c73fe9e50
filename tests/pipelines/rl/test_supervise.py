import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tenfold.pipelines.rl.supervise import Stopped, cause, follow


def run(tmp_path: Path, code: str, stall_seconds: float = 30.0, life: object = time.monotonic) -> None:
    follow([sys.executable, "-c", code], {"LAB": "1"}, tmp_path / "log", life, stall_seconds)  # type: ignore[arg-type]


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


def said(log: Path) -> bool:
    """Whether a line has been written."""
    return log.exists() and log.read_text().endswith("\n")


def wait_until_gone(pid: int) -> None:
    while alive(pid):
        time.sleep(0.05)


def test_a_child_that_ends_well_says_nothing(tmp_path: Path) -> None:
    run(tmp_path, "import os; assert os.environ['LAB'] == '1'; print('done')")
    assert (tmp_path / "log").read_text() == "done\n"


def test_a_child_that_dies_is_answered_with_its_last_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # what is printed comes before the error in any surroundings
    with pytest.raises(Stopped, match=r"KeyError: 'lost' \(status 1, log: "):
        run(tmp_path, "print('Error rates: 3'); {}['lost']")


def test_a_child_that_gets_nowhere_is_ended_with_all_it_started(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time, signal; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(36000)']);"
        "print(child.pid, flush=True); time.sleep(36000)"
    )
    import tenfold.pipelines.rl.supervise as supervise

    patience, supervise.GRACE_SECONDS = supervise.GRACE_SECONDS, 0.5
    try:
        with pytest.raises(Stopped, match="no progress in 2 s; last said: "):
            run(tmp_path, code, stall_seconds=2.0, life=lambda: 0.0 if said(tmp_path / "log") else time.monotonic())
    finally:
        supervise.GRACE_SECONDS = patience
    wait_until_gone(int((tmp_path / "log").read_text()))


def test_a_child_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib; from tenfold.pipelines.rl.supervise import follow;"
        "follow([sys.executable, '-c', 'import os, time; print(os.getpid(), flush=True); time.sleep(36000)'], {},"
        f"pathlib.Path({str(tmp_path / 'log')!r}), time.monotonic, 600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    while not said(tmp_path / "log"):
        time.sleep(0.05)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_until_gone(int((tmp_path / "log").read_text()))


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("step 1\nTraceback:\nValueError: bad shape\nmore\n", "ValueError: bad shape"),
        (
            "RuntimeError: x\n(raylet) worker killed due to the node running low on memory\nActorDiedError: y\n",
            "out of memory: ",
        ),
        (
            "ActorDiedError: y\nWorker unexpectedly exits with a connection error code 2. End of file.\n",
            "a process was killed, most often because no memory was left",
        ),
        (
            "[rank1]: tenfold.core.UserError: the loss of step 3 is nan\n[rank0]: RuntimeError: closed by peer\n"
            "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n=====\n",
            "tenfold.core.UserError: the loss of step 3 is nan",
        ),
        (
            "ChildFailedError: \n=====\n  traceback : Signal 15 (SIGTERM) received by PID 1\n"
            "Root Cause (first observed failure):\n  exitcode  : -11 (pid: 2)  (SIGSEGV)\n"
            "  traceback : Signal 11 (SIGSEGV) received by PID 2\n=====\n",
            "a process was ended by SIGSEGV",
        ),
        (
            "[rank0]: RuntimeError: Connection closed by peer\n"
            "ChildFailedError: \n=====\n  traceback : Signal 9 (SIGKILL) received by PID 2\n=====\n",
            "a process was killed, most often because no memory was left",
        ),
        ("\x1b[36m(TaskRunner pid=1)\x1b[0m ray.exceptions.RayTaskError: boom\n", "ray.exceptions.RayTaskError: boom"),
        ("OSError: [Errno 28] No space left on device\nRayError: later\n", "no space left on the disk: "),
        ("just stopped\n\n", "just stopped"),
        ("", "nothing"),
    ],
)
def test_the_cause_is_found_in_a_log(tmp_path: Path, log: str, words: str) -> None:
    (tmp_path / "log").write_text(log)
    assert cause(tmp_path / "log").startswith(words)
