"""Supervision of a child process, and the causes of failures."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tenfold.pipelines.launch import exits
from tenfold.pipelines.launch.supervise import Stopped, cause, engine_error, follow


def run(tmp_path: Path, code: str, stall_seconds: float = 30.0, marker: Callable[[], object] = time.monotonic) -> None:
    follow([sys.executable, "-c", code], {"LAB": "1"}, tmp_path / "log", marker, stall_seconds)


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


def has_line(log: Path) -> bool:
    """True if the log has a complete line."""
    return log.exists() and log.read_text().endswith("\n")


def wait_for_end(pid: int) -> None:
    while alive(pid):
        time.sleep(0.05)


def test_a_successful_child_raises_nothing(tmp_path: Path) -> None:
    run(tmp_path, "import os; assert os.environ['LAB'] == '1'; print('done')")
    assert (tmp_path / "log").read_text() == "done\n"


def test_a_failed_child_is_reported_with_its_last_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # the output must precede the error even without it
    with pytest.raises(Stopped, match=r"KeyError: 'lost' \(status 1, log: "):
        run(tmp_path, "print('Error rates: 3'); {}['lost']")


def test_a_stalled_child_is_ended_with_its_children(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time, signal; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(36000)']);"
        "print(child.pid, flush=True); time.sleep(36000)"
    )
    import tenfold.pipelines.launch.supervise as supervise

    before, supervise.GRACE_SECONDS = supervise.GRACE_SECONDS, 0.5
    try:
        with pytest.raises(Stopped, match="no progress in 2 s; last line: "):
            run(tmp_path, code, stall_seconds=2.0, marker=lambda: 0.0 if has_line(tmp_path / "log") else time.monotonic())
    finally:
        supervise.GRACE_SECONDS = before
    wait_for_end(int((tmp_path / "log").read_text()))


def test_a_child_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib; from tenfold.pipelines.launch.supervise import follow;"
        "follow([sys.executable, '-c', 'import os, time; print(os.getpid(), flush=True); time.sleep(36000)'], {},"
        f"pathlib.Path({str(tmp_path / 'log')!r}), time.monotonic, 600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    while not has_line(tmp_path / "log"):
        time.sleep(0.05)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_for_end(int((tmp_path / "log").read_text()))


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("step 1\nTraceback:\nValueError: bad shape\nmore\n", "ValueError: bad shape"),
        (
            "[rank0]: ValueError: bad shape\nException ignored in: <function Pool.__del__ at 0x7f>\n"
            "Traceback:\n  File \"pool.py\", line 2, in __del__\nTypeError: 'NoneType' is not callable\n",
            "ValueError: bad shape",
        ),
        (
            "Exception ignored in: <_io.TextIOWrapper>\nBrokenPipeError: closed\nTraceback:\nKeyError: 'later'\n",
            "KeyError: 'later'",
        ),
        (
            "RuntimeError: x\n(raylet) worker killed due to the node running low on memory\nActorDiedError: y\n",
            "out of memory: ",
        ),
        (
            "ActorDiedError: y\nWorker unexpectedly exits with a connection error code 2. End of file.\n",
            "a Ray worker ended with an unknown exit code; see Ray's log of it: Worker unexpectedly",
        ),
        (
            "tenfold.fork_server: process 6 ended by signal 11\ntenfold.fork_server: process 7 exited with status 3\n"
            "(raylet) Worker PID: 7 Worker exit detail: Worker unexpectedly exits with a connection error code 2.\n",
            "process 7 exited with status 3",
        ),
        (
            "tenfold.fork_server: process 6 ended by signal 11\n"
            "The actor is dead because its worker process has died.\nKeyError: 'later'\n",
            "process 6 crashed (SIGSEGV)",
        ),
        (
            "(WorkerDict pid=9) *** SIGBUS received at time=1 on cpu 0 ***\n"
            "Worker PID: 9 Worker exit detail: Worker unexpectedly exits with a connection error code 2.\n",
            "process 9 crashed (SIGBUS)",
        ),
        ("Error while serializing: I/O error: No space left on device (os error 28)\n", "no space left on the disk: "),
        (
            "RuntimeError: [enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534\n",
            "no space left on the disk: ",
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
            "process 2 crashed (SIGSEGV)",
        ),
        (
            "[rank0]: RuntimeError: Connection closed by peer\n"
            "ChildFailedError: \n=====\n  traceback : Signal 9 (SIGKILL) received by PID 2\n=====\n",
            "process 2 was killed (SIGKILL) by a user or another program (the kernel reports no kill for lack of memory)",
        ),
        ("\x1b[36m(TaskRunner pid=1)\x1b[0m ray.exceptions.RayTaskError: boom\n", "ray.exceptions.RayTaskError: boom"),
        ("OSError: [Errno 28] No space left on device\nRayError: later\n", "no space left on the disk: "),
        ("just stopped\n\n", "just stopped"),
        ("", "nothing"),
    ],
)
def test_the_cause_of_a_failure_is_found_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: str, words: str
) -> None:
    monkeypatch.setattr(exits, "kill_counts", lambda: exits.KillCounts(0, 0, 0.0))  # fixed, because any program may be killed
    monkeypatch.setattr(exits, "_logged", lambda since: None)
    (tmp_path / "log").write_text(log)
    assert cause(tmp_path / "log").startswith(words)


BY_KERNEL = "the kernel killed process 7 because memory ran out; lower micro_batch_size"
BY_ANOTHER = "process 7 was killed (SIGKILL) by a user or another program (the kernel reports no kill for lack of memory)"
UNKNOWN = "process 7 was killed (SIGKILL); to see whether memory ran out, run `dmesg | grep -i killed`"


@pytest.mark.parametrize(
    ("group", "machine", "words"), [(1, 1, BY_KERNEL), (0, 0, BY_ANOTHER), (0, 1, UNKNOWN), (None, None, UNKNOWN)]
)
def test_the_kernels_counters_tell_who_killed_a_process(
    monkeypatch: pytest.MonkeyPatch, group: int | None, machine: int | None, words: str
) -> None:
    monkeypatch.setattr(exits, "kill_counts", lambda: exits.KillCounts(group, machine, 1.0))
    monkeypatch.setattr(exits, "_logged", lambda since: None)
    before = exits.KillCounts(None if group is None else 0, None if machine is None else 0, 0.0)
    assert exits.describe(signal.SIGKILL, 7, before) == words


def test_a_kill_in_the_kernels_log_was_for_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exits, "_logged", lambda since: {7})
    assert exits.describe(signal.SIGKILL, 7, exits.kill_counts()) == BY_KERNEL


def test_a_killed_child_is_reported_with_its_signal(tmp_path: Path) -> None:
    with pytest.raises(Stopped, match=r"^(process \d+ was killed|the kernel killed process).*\(status -9, log: "):
        run(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")


def test_a_child_that_waits_for_a_lost_worker_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenfold.pipelines.launch.supervise.LOST_SECONDS", 0.5)
    lost = "Worker PID: 7 Worker exit detail: Worker unexpectedly exits with a connection error code 2."
    code = f"import time; print('tenfold.fork_server: process 7 ended by signal 15'); print('{lost}'); time.sleep(36000)"
    with pytest.raises(Stopped, match=r"^process 7 was ended \(SIGTERM\) \(log: "):
        run(tmp_path, code, stall_seconds=36000, marker=lambda: 0)


def test_the_error_that_ended_an_engine_is_found_behind_those_of_the_requests(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "(EngineCore pid=7) ERROR [core.py:1348] EngineCore encountered a fatal error.\n"
        "(EngineCore pid=7) ERROR [core.py:1348] RuntimeError: Worker failed with error 'head_dim=16 is unsupported', please\n"
        "(vLLMHttpServer pid=5) EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause.\n"
    )
    assert engine_error(log) == "head_dim=16 is unsupported"
    log.write_text("(EngineCore pid=7) ERROR [core.py:9] MemoryError: no room for the cache\n")
    assert engine_error(log) == "MemoryError: no room for the cache"
    log.write_text("nothing\n")
    assert engine_error(log) == "the log does not contain its error"
