"""Runs are isolated from each other. A process that dies or is stopped affects no other run and leaves no process behind."""

import fcntl
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

import tenfold
from tenfold.verifiers.sandbox import Call, Interpreter, Limits, LocalSandbox, RunStatus, SandboxFault
from tenfold.verifiers.sandbox.inside import wire

from .attacks import programs
from .attacks.escapes import ESCAPES
from .test_local import OPENED

pytestmark = pytest.mark.usefixtures("sandboxed")


@pytest.fixture(scope="module")
def box() -> Iterator[LocalSandbox]:
    sandbox = LocalSandbox(workers=1)
    yield sandbox
    sandbox.close()


FILE = os.__file__
"""A file of this machine that runs can read."""


@pytest.mark.parametrize("lock", ["fcntl.flock(file, fcntl.LOCK_EX)", "fcntl.lockf(file, fcntl.LOCK_SH)"])
def test_a_lock_on_a_file_of_this_machine_blocks_no_other_process(box: LocalSandbox, lock: str) -> None:
    one, other = box.open(), box.open()
    locked = f"import fcntl, os, struct\nfile = open(os.__file__)\n{lock}\nTrue"
    lock_request = "struct.pack('hhqqi', fcntl.F_WRLCK, 0, 0, 0, 0)"
    is_unlocked = f"fcntl.fcntl(file, fcntl.F_GETLK, {lock_request})[:2] == struct.pack('h', fcntl.F_UNLCK)"
    assert one.execute(locked).value is True
    assert other.execute(locked).value is True
    assert other.execute(is_unlocked).value is True
    with open(FILE) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_UN)
    assert {one.close().status, other.close().status} == {RunStatus.FINISHED}


def test_programs_can_lock_their_own_files(box: LocalSandbox) -> None:
    program = (
        "import fcntl, sqlite3\ndef f():\n    base = sqlite3.connect('x.db')\n    base.execute('create table t (x)')\n"
        "    base.execute('insert into t values (3)')\n    base.commit()\n"
        "    with open('y', 'w') as file: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "    return base.execute('select x from t').fetchall()[0][0]"
    )
    assert box.run(program, [Call("f")]).results[0].value == 3


@pytest.mark.parametrize("turn", ["first", "later"])
def test_each_run_has_its_own_network_namespace(box: LocalSandbox, turn: str) -> None:
    one, other = box.open(), box.open()
    listen = "import socket\nserver = socket.socket(socket.AF_UNIX)\nserver.bind('\\0meeting')\nserver.listen()\nTrue"
    meet = "socket.socket(socket.AF_UNIX).connect('\\0meeting')"
    assert one.execute(listen).value is True
    assert one.execute(meet).error is None
    assert "ConnectionRefusedError" in str(other.execute(f"import socket\n{meet}").error)
    assert other.execute(listen).value is True  # the abstract name is free in the other run's namespace
    assert {one.close().status, other.close().status} == {RunStatus.FINISHED}
    assert "ConnectionRefusedError" in str(box.run(f"import socket\ndef f(): {meet}", [Call("f")]).results[0].error)


def test_the_user_id_does_not_reveal_other_runs(box: LocalSandbox) -> None:
    users = [box.run("import os\ndef f(): return os.getuid()", [Call("f")]).results[0].value for _ in range(4)]
    steps = {abs(after - before) for before, after in itertools.pairwise(users)}
    assert 0 not in users
    assert steps == {0} or min(steps) > 1


def test_a_stopped_warm_process_is_replaced_and_the_run_is_retried(box: LocalSandbox) -> None:
    session = box.open()
    stopped = session.warm.process
    assert stopped is not None
    stopped.send_signal(signal.SIGSTOP)
    assert box.run("def f(): return 7  # numpy", [Call("f")]).results[0].value == 7
    assert session.warm.process is not stopped
    with pytest.raises(SandboxFault):
        session.close()


@pytest.mark.parametrize("replies", [0, 1, 2], ids=["at the start", "before the run", "in the run"])
def test_an_interrupt_does_not_affect_a_later_run(replies: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox, receive, numbers = LocalSandbox(workers=1), wire.receive, itertools.count()

    def interrupted(channel: socket.socket) -> wire.JSONObject | None:
        if next(numbers) == replies:
            raise KeyboardInterrupt
        return receive(channel)

    monkeypatch.setattr(wire, "receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sandbox.run("while True: pass", limits=Limits(cpu_seconds=0.1))
    assert sandbox.run("print(2)").stdout == "2\n"
    sandbox.close()


def test_an_interrupted_program_of_an_interpreter_does_not_answer_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> NoReturn:
        raise KeyboardInterrupt

    interpreter = Interpreter()
    assert interpreter.run("'first'") == "'first'"
    with monkeypatch.context() as patch:
        patch.setattr(wire, "unpack", interrupted)
        with pytest.raises(KeyboardInterrupt):
            interpreter.run("'second'")
    assert interpreter.run("'third'") == "'third'"
    interpreter.close()


def test_a_run_that_cannot_start_leaves_no_descriptor(box: LocalSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(content: str) -> NoReturn:
        raise OSError("Too many open files")

    assert box.run("print(1)").stdout == "1\n"
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(wire, "memory_file", full)
    with pytest.raises(SandboxFault, match="Too many open files"):
        box.run("print(1)")
    assert len(os.listdir("/proc/self/fd")) == before


ORPHANS = """
import ctypes, os, signal, time
libc = ctypes.CDLL(None)
for _ in range(2):
    if os.fork() == 0:
        os.setsid()
        libc.prctl(1, 0, 0, 0, 0)
        time.sleep(36000)
libc.prctl(1, 0, 0, 0, 0)
"""


def have_ended(processes: set[int]) -> bool:
    """True if the processes end within half a minute. A process that is dead but not reaped counts as ended."""
    for _ in range(300):
        alive = [pid for pid in processes if (stat := _stat(pid)) and ") Z " not in stat]
        if not alive:
            return True
        time.sleep(0.1)
    return False


def _stat(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""


def test_no_process_outlives_its_warm_process(box: LocalSandbox) -> None:
    session = box.open()
    session.execute(ORPHANS)
    running = set(session.warm.used(session.pid, session.parent)["processes"])
    assert len(running) == 3
    session.parent.kill()
    assert have_ended(running)
    with pytest.raises(SandboxFault):
        session.close()


WITHOUT_NAMESPACES = """
import ctypes, json, os, sys
assert ctypes.CDLL(None).prctl(24, 21, 0, 0, 0) == 0  # makes processes that this one starts unable to create namespaces
if len(sys.argv) < 4:
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], "again"])
from tenfold.verifiers.sandbox import LocalSandbox
box = LocalSandbox(workers=1, without=["namespaces", "files", "landlock"])
missing = list(box.missing())
session = box.open()
session.execute(sys.argv[1])
running = session.warm.used(session.pid, session.parent)["processes"]
if sys.argv[2] == "the run ends":
    session.close()
else:
    session.parent.kill()
    box.close()
print(json.dumps([missing, running]), flush=True)
input()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a plain user without namespaces has no control groups, and one process a run")
@pytest.mark.parametrize("when", ["the run ends", "the warm process dies"])
def test_no_process_remains_without_namespaces(when: str) -> None:
    words = [sys.executable, "-c", WITHOUT_NAMESPACES, ORPHANS, when]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ) as run:
        assert run.stdout is not None
        missing, running = json.loads(run.stdout.readline())
        assert "namespaces" in missing
        assert len(running) == 3
        assert have_ended(set(running))


PLAIN = (
    OPENED
    + """
import json
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
from tenfold.verifiers.sandbox import *
from tenfold.verifiers.sandbox import languages
escapes, sources, secret = json.load(sys.stdin)
grouped = bool(sources)
box = LocalSandbox(workers=1, without=[] if grouped else ["cgroup"])
box.missing()
limits = Limits(cpu_seconds=120, wall_seconds=600, processes=64)
through = []
for name, attack in escapes.items():
    outcome = box.run(attack, [Call("attack", [secret, 1])], limits=Limits(cpu_seconds=1, wall_seconds=5))
    through += [name for result in outcome.results if result.value is True]
said = {name: languages.run(name, source, limits=limits).stdout for name, source in sources.items()}
print(json.dumps([through, said]))
"""
)


@pytest.fixture
def delegated() -> Iterator[list[Path]]:
    """Control groups that a plain user may enter, and next to which it may make others."""
    mount = Path("/sys/fs/cgroup")
    trees = [mount / name for name in ("memory", "pids", "cpuacct") if (mount / name).is_dir()] or [mount]
    made, entered = [tree / f"tenfold_test_{os.getpid()}" for tree in trees], []
    for folder in made:
        folder.mkdir()
        if trees == [mount]:  # in version 2 a group that passes on controllers must not contain processes
            (folder / "cgroup.subtree_control").write_text("+memory +pids")
            (folder / "command").mkdir()
        entered.append(folder / "command" if trees == [mount] else folder)
        for place in (folder, entered[-1]):
            for file in (place, place / "cgroup.procs", place / "cgroup.subtree_control"):
                if file.exists():
                    os.chown(file, 65534, 65534)
    yield entered
    for folder in made:
        for inner in (*folder.glob("*/"), folder):
            for _ in range(100):  # the kernel may not have removed the last process yet
                try:
                    inner.rmdir()
                    break
                except OSError:
                    time.sleep(0.02)


@pytest.mark.skipif(os.geteuid() != 0, reason="the suite runs as a plain user already")
@pytest.mark.parametrize("grouped", [False, True], ids=["without control groups", "with control groups of its own"])
def test_no_attack_succeeds_as_a_plain_user(
    grouped: bool, tmp_path: Path, delegated: list[Path], skip_or_fail: Callable[[str], NoReturn]
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    kinds = [name for name in ("bash", "c", "javascript") if Path(f"/usr/bin/{programs.NEEDS[name]}").exists()]
    sources = {name: programs.program(name, str(secret), 1, os.getpid()) for name in kinds} if grouped else {}
    needed = [sys.base_prefix, sys.prefix, str(Path(tenfold.__file__).parent.resolve())]
    join = "".join(f"open('{folder}/cgroup.procs', 'w').write('0')\n" for folder in delegated) if grouped else ""
    (tmp_path / "views").mkdir()
    run = subprocess.run(
        [sys.executable, "-c", join + PLAIN, tmp_path / "views", *needed],
        input=json.dumps([ESCAPES, sources, str(secret)]),
        capture_output=True,
        text=True,
        env=os.environ,
    )
    if "cannot open" in run.stderr:
        skip_or_fail(f"a Python and a clone that a plain user may look at ({run.stderr.strip()}): put them where all may look")
    assert run.returncode == 0, run.stderr
    through, said = json.loads(run.stdout)
    assert through == []
    for name, text in said.items():
        assert text.count("TRIED ") == len(programs.ESCAPES[name])
        assert "THROUGH" not in text
