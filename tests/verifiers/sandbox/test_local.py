import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest

import tenfold
from tenfold.verifiers.sandbox import Call, CallResult, EncodedCall, Limits, LocalSandbox, ProgramEnded, RunStatus, SandboxFault

pytestmark = pytest.mark.usefixtures("sandboxed")


@pytest.fixture(scope="module")
def box() -> Iterator[LocalSandbox]:
    sandbox = LocalSandbox(workers=2)
    yield sandbox
    sandbox.close()


def test_functions_are_called_and_their_values_returned_as_data(box: LocalSandbox) -> None:
    outcome = box.run(
        "def double(x): return 2 * x", [Call("double", [21]), Call("double", [], {"x": "a"}), Call("double", [None])]
    )
    assert [result.value for result in outcome.results] == [42, "aa", None]
    assert outcome.results[2].error is not None
    assert outcome.results[2].error.startswith("TypeError")
    assert outcome.status == RunStatus.FINISHED


def test_a_script_reads_and_prints(box: LocalSandbox) -> None:
    outcome = box.run(
        "import sys\nprint(input()[::-1])\nprint(len(sys.stdin.read()), file=sys.stderr)", stdin="abc\n" + "é\n" * 9
    )
    assert (outcome.stdout, outcome.stderr, outcome.status) == ("cba\n", "18\n", RunStatus.FINISHED)


@pytest.mark.parametrize(
    ("program", "status", "words"),
    [
        ("import sys\nsys.exit(0)", RunStatus.FINISHED, ""),
        ("import sys\nsys.exit(3)", RunStatus.ERROR, "SystemExit: 3"),
        ("1 / 0", RunStatus.ERROR, "ZeroDivisionError"),
        ("raise ValueError('two\\nlines')", RunStatus.ERROR, "ValueError: two lines"),
        ("x = ", RunStatus.ERROR, "SyntaxError"),
        ("x = '\0'", RunStatus.ERROR, "null bytes"),
        ("x = '\ud800'", RunStatus.ERROR, "UnicodeEncodeError"),
        ("while True: pass", RunStatus.TIMEOUT, " s"),  # processor time, or wall time on a busy machine
        ("import time; time.sleep(60)", RunStatus.TIMEOUT, "2 s"),
        ("x = bytearray(1 << 30)", RunStatus.MEMORY, "64 MiB"),
        ("print('x' * (1 << 20))", RunStatus.OUTPUT, "of output"),
        ("import ctypes; ctypes.string_at(0)", RunStatus.KILLED, "signal 11"),
        ("import os; os._exit(7)", RunStatus.ERROR, "status 7"),
        ("import os; os.close(3); import time; time.sleep(60)", RunStatus.ERROR, "closed its channel"),
    ],
)
def test_an_outcome_states_how_the_program_ended(box: LocalSandbox, program: str, status: RunStatus, words: str) -> None:
    limits = Limits(cpu_seconds=0.3, wall_seconds=2.5, memory=64 << 20, output=1 << 16)
    outcome = box.run(program, limits=limits)
    assert outcome.status == status, outcome
    assert words.replace("2 s", "2.5 s") in outcome.reason


def test_a_session_keeps_variables_and_handles_external_calls(box: LocalSandbox) -> None:
    session = box.open()
    session.execute("total = 40")
    assert session.execute("total += 2\ntotal").value == 42
    received: list[EncodedCall] = []

    def answer(call: EncodedCall) -> CallResult:
        received.append(call)
        too_much = CallResult(error="ValueError: too much", raised=["ValueError", ["too much"]])
        return CallResult(call.arguments[0] * 2) if call.arguments[0] < 5 else too_much

    assert session.execute("double(4)", answer, ["double"]).value == 8
    assert (
        session.execute("try: double(9)\nexcept ValueError as e: said = str(e)\nsaid", answer, ["double"]).value == "too much"
    )
    assert session.execute("said").value == "too much"
    assert [call.arguments for call in received] == [[4], [9]]
    assert session.close().status == RunStatus.FINISHED


def test_a_session_whose_program_has_ended_raises(box: LocalSandbox) -> None:
    session = box.open()
    with pytest.raises(ProgramEnded):
        session.execute("import os; os._exit(0)")
    assert session.close().status == RunStatus.ERROR


def test_many_threads_share_a_sandbox(box: LocalSandbox) -> None:
    values: dict[int, object] = {}

    def run(number: int) -> None:
        values[number] = box.run("def f(x): return x * x", [Call("f", [number])]).results[0].value

    threads = [threading.Thread(target=run, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values == {number: number**2 for number in range(40)}


def children(box: LocalSandbox) -> set[int]:
    """Returns the process ids of the children of a sandbox's warm processes."""
    processes = [warm.process.pid for warm in box.warm if warm.process]
    return {int(child) for pid in processes for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def ready(box: LocalSandbox, count: int) -> set[int]:
    """Waits until there are `count` idle children and returns their process ids."""
    while len(found := children(box)) < count:
        time.sleep(0.01)
    assert len(found) == count
    return found


def test_numpy_is_preloaded_for_programs_that_name_it_and_importable_by_all(box: LocalSandbox) -> None:
    loaded = "import sys\ndef f(): return 'num' + 'py' in sys.modules"
    assert [box.run(program, [Call("f")]).results[0].value for program in (loaded, f"{loaded}  # numpy")] == [False, True]
    assert box.run("def f(): return int(__import__('num' + 'py').int64(3))", [Call("f")]).results[0].value == 3


def test_as_many_idle_children_are_made_as_runs_were_concurrent() -> None:
    sandbox = LocalSandbox(workers=1)
    for session in [sandbox.open() for _ in range(3)]:
        session.close()
    waiting = ready(sandbox, 3)
    session = sandbox.open()
    assert session.pid in waiting
    assert (
        session.execute("import os\nos.listdir('.'), os.getpid(), open('x', 'w').write('x')", as_text=True).value
        == "([], 1, 1)"
    )
    session.close()
    assert sandbox.run("import os\ndef f(): return os.listdir('.')", [Call("f")]).results[0].value == []
    sandbox.close()


def test_a_run_never_gets_an_idle_child_with_other_limits() -> None:
    sandbox = LocalSandbox(workers=1)
    program = "import resource\ndef f(): return resource.getrlimit(resource.RLIMIT_FSIZE)[0]"
    for disk in (1 << 20, 2 << 20, 1 << 20):
        for _ in range(2):
            assert sandbox.run(program, [Call("f")], limits=Limits(disk=disk)).results[0].value == disk
        ready(sandbox, 1)
    sandbox.close()


def test_an_idle_child_that_died_is_replaced() -> None:
    sandbox = LocalSandbox(workers=1)
    sandbox.run("x = 1")
    (waiting,) = ready(sandbox, 1)
    os.kill(waiting, signal.SIGKILL)
    while ") Z " not in Path(f"/proc/{waiting}/stat").read_text():
        time.sleep(0.01)
    assert sandbox.run("x = 1").status == RunStatus.FINISHED
    sandbox.close()


def test_a_failure_to_set_up_a_protection_is_reported(box: LocalSandbox) -> None:
    with pytest.raises(SandboxFault, match=r"sandbox: .*too large"):
        box.run("x = 1", limits=Limits(disk=1 << 70))
    assert box.run("x = 1").status == RunStatus.FINISHED


def test_many_sessions_are_open_at_once(box: LocalSandbox) -> None:
    sessions = [box.open() for _ in range(60)]
    assert [session.execute(f"{number} + 1").value for number, session in enumerate(sessions)] == list(range(1, 61))
    assert {session.close().status for session in sessions} == {RunStatus.FINISHED}


def test_a_warm_process_that_dies_is_replaced(box: LocalSandbox) -> None:
    box.run("x = 1")
    for warm in box.warm:
        if warm.process is not None:
            os.kill(warm.process.pid, signal.SIGKILL)
            warm.process.wait()
    assert box.run("def f(): return 7", [Call("f")]).results[0].value == 7


def test_a_run_whose_warm_process_dies_is_a_fault(box: LocalSandbox) -> None:
    session = box.open()
    os.kill(session.warm.process.pid, signal.SIGKILL)  # type: ignore[union-attr]
    with pytest.raises((SandboxFault, ProgramEnded)):
        session.execute("import time; time.sleep(3600)")
    with pytest.raises(SandboxFault):
        session.close()


def test_no_process_or_group_remains_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    program = (
        "import os, time\nfrom tenfold.verifiers.sandbox import LocalSandbox\n"
        "box = LocalSandbox(workers=1)\nsession = box.open()\n"
        "print(session.execute('41 + 1').value, session.warm.process.pid, flush=True)\n"
        "time.sleep(36000)"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    value, warm = child.stdout.readline().split()
    assert value == "42"
    children = Path(f"/proc/{warm}/task/{warm}/children").read_text().split()
    assert children
    child.kill()
    child.wait()
    for pid in (warm, *children):
        while Path(f"/proc/{pid}").exists():
            signal.sigtimedwait([], 0.05)


def test_runs_leave_no_process_descriptor_or_control_group() -> None:
    sandbox = LocalSandbox(workers=1)

    def counted() -> tuple[int, int]:
        ready(sandbox, 1)
        processes = [warm.process.pid for warm in sandbox.warm if warm.process]
        groups = sum(1 for pid in processes for _ in Path("/sys/fs/cgroup").glob(f"**/tenfold-{pid}-*"))
        return len(os.listdir("/proc/self/fd")), groups

    session = sandbox.open()
    ready(sandbox, 2)  # a running child and an idle one, each with its own group
    session.close()
    before = counted()
    for number in range(60):  # naming numpy, so that all use the same warm process
        sandbox.run("import os  # numpy\nos._exit(1)" if number % 3 else "print('numpy')")
    assert counted() == before
    sandbox.close()


OPENED = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)

def mount(source, target, kind, flags, options=None):
    given = [word and os.fsencode(word) for word in (source, target, kind)]
    if libc.mount(*given, ctypes.c_ulong(flags), options):
        sys.exit(f"cannot open {target}: {os.strerror(ctypes.get_errno())}")

BIND, RECURSIVE, PRIVATE = 4096, 16384, 1 << 18
stash, *needed = sys.argv[1:]
libc.unshare(0x20000)
mount(None, "/", None, RECURSIVE | PRIVATE)
held = {folder: os.path.join(stash, str(number)) for number, folder in enumerate(sorted(needed, key=len))}
for folder, copy in held.items():
    os.mkdir(copy)
    mount(folder, copy, None, BIND | RECURSIVE)
for folder in held:
    outer = [folder[:end] for end in range(1, len(folder)) if folder[end] == "/"]
    if closed := [above for above in outer if os.path.exists(above) and not os.stat(above).st_mode & 1]:
        mount("tmpfs", closed[0], "tmpfs", 0, b"mode=755")
for folder, copy in held.items():
    if not os.path.exists(folder):  # it was inside a folder that is hidden now
        os.makedirs(folder)
        mount(copy, folder, None, BIND | RECURSIVE)
    if not os.stat(folder).st_mode & 1:
        sys.exit(f"cannot open {folder}: it is closed itself")
"""
"""Makes folders accessible to a plain user that are inside inaccessible ones (such as root's), in a private mount namespace."""


@pytest.mark.skipif(os.geteuid() != 0, reason="the suite runs as a plain user already")
def test_the_sandbox_works_for_a_plain_user(tmp_path: Path, skip_or_fail: Callable[[str], NoReturn]) -> None:
    program = (
        OPENED + "import json\nos.setgroups([])\nos.setresgid(65534, 65534, 65534)\nos.setresuid(65534, 65534, 65534)\n"
        "from tenfold.verifiers.sandbox import *\nbox = LocalSandbox(workers=1, without=['cgroup'])\n"
        "outcome = box.run('import os\\ndef f(): return os.listdir(\"/\")', [Call('f')])\n"
        "forks = box.run('import os\\nos.fork()')\n"
        "busy = box.run('while True: pass', limits=Limits(cpu_seconds=0.5))\n"
        "print(json.dumps([outcome.results[0].value, list(box.missing()), forks.status, forks.reason, busy.reason]))"
    )
    needed = [sys.base_prefix, sys.prefix, str(Path(tenfold.__file__).parent.resolve())]
    run = subprocess.run([sys.executable, "-c", program, tmp_path, *needed], capture_output=True, text=True, env=os.environ)
    if "cannot open" in run.stderr:
        skip_or_fail(f"a Python and a clone that a plain user may look at ({run.stderr.strip()}): put them where all may look")
    assert run.returncode == 0, run.stderr
    seen, missing, status, reason, busy = json.loads(run.stdout)
    assert set(seen) >= {"tmp", "usr"}
    assert not set(seen) & {"home", "proc", "sys"}
    assert missing == ["cgroup"]
    assert (status, "BlockingIOError" in reason) == ("error", True)
    assert busy == "more than 0.5 s of processor time"  # without a group each process has a whole second


BUSY = "import time\nbegun = time.process_time()\nwhile time.process_time() - begun < 0.2: pass\n"


def test_waiting_for_a_processor_does_not_count_as_wall_time(box: LocalSandbox) -> None:
    # Time that a hypervisor steals is charged to the run, so each program needs only a third of its limit.
    count = 6 * len(os.sched_getaffinity(0))
    limits = Limits(cpu_seconds=2, wall_seconds=0.6)
    with ThreadPoolExecutor(count) as threads:
        outcomes = list(threads.map(lambda _: box.run(BUSY, limits=limits), range(count)))
    assert {outcome.status for outcome in outcomes} == {RunStatus.FINISHED}
    assert max(outcome.wall_seconds for outcome in outcomes) > limits.wall_seconds  # a sixth of a processor makes 1.2 s of 0.2
    assert all(0.1 < outcome.cpu_seconds < limits.cpu_seconds for outcome in outcomes)


@pytest.fixture
def counted(box: LocalSandbox, skip_or_fail: Callable[[str], NoReturn]) -> None:
    session = box.open()
    if session.used_cpu() is None:
        skip_or_fail("a control group that counts processor time: let this user write to one of the controller cpuacct")
    session.close()


USE = "import os, time\ndef use(seconds):\n    end = time.process_time() + seconds\n    while time.process_time() < end: pass\n"
"""A function that uses the given processor time."""


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize(
    "program",
    [
        "use(0.3)",
        "time.sleep(0.2); use(0.3)",
        "for _ in range(6):\n    if not os.fork(): use(0.05); os._exit(0)\n    os.wait()",
    ],
)
def test_the_processor_time_of_all_processes_of_a_run_is_limited_together(box: LocalSandbox, program: str) -> None:
    outcome = box.run(f"{USE}{program}\nprint('done')", limits=Limits(cpu_seconds=0.15))
    assert (outcome.status, outcome.stdout) == (RunStatus.TIMEOUT, "")
    assert outcome.reason == "more than 0.15 s of processor time"
    assert box.run(f"{USE}{program}\nprint('done')", limits=Limits(cpu_seconds=0.45)).stdout == "done\n"


@pytest.mark.usefixtures("counted")
def test_the_processor_time_limit_applies_to_the_whole_session(box: LocalSandbox) -> None:
    session = box.open(Limits(cpu_seconds=0.2))
    session.execute(f"{USE}use(0.12)")
    time.sleep(0.2)  # takes no processor time
    assert session.execute("6 * 7").value == 42
    with pytest.raises(ProgramEnded, match=r"more than 0\.2 s of processor time"):
        session.execute("use(0.12)")
    assert session.close().status == RunStatus.TIMEOUT


def test_a_run_whose_processes_compete_with_each_other_times_out(box: LocalSandbox) -> None:
    many = "import os, time\nfor _ in range(12):\n    if not os.fork():\n        while True: pass\nwhile True: time.sleep(0)\n"
    assert box.run(many, limits=Limits(cpu_seconds=0.5, wall_seconds=0.5)).status == RunStatus.TIMEOUT


def test_a_session_of_a_dead_warm_process_does_not_affect_a_later_one() -> None:
    sandbox = LocalSandbox(workers=1)
    stale, other = sandbox.open(), sandbox.open()
    stale.warm.process.kill()  # type: ignore[union-attr]
    stale.warm.process.wait()  # type: ignore[union-attr]
    with pytest.raises(SandboxFault):
        stale.close()
    fresh = sandbox.open()
    with pytest.raises(SandboxFault):
        other.close()
    assert fresh.execute("6 * 7").value == 42
    assert fresh.close().status == RunStatus.FINISHED
    sandbox.close()


@pytest.mark.parametrize("depth", [101, 400, 100_000])
def test_a_reply_that_is_nested_too_deeply_is_malformed(box: LocalSandbox, depth: int) -> None:
    program = (
        "import os, struct\ndef f():\n"
        f"    body = b'{{\"value\": ' + b'[' * {depth} + b']' * {depth} + b'}}'\n"
        "    os.write(3, struct.pack('<I', len(body)) + body)\n"
    )
    outcome = box.run(program, [Call("f")])
    assert (outcome.status, outcome.results) == (RunStatus.OUTPUT, ())


def test_the_replies_of_a_run_are_limited_together(box: LocalSandbox) -> None:
    outcome = box.run("def f(): return 'x' * (7 << 20)", [Call("f")] * 10, limits=Limits(wall_seconds=60, cpu_seconds=60))
    assert outcome.status == RunStatus.OUTPUT
    assert len(outcome.results) < 5


def test_a_handlers_time_does_not_count_as_wall_time(box: LocalSandbox) -> None:
    session = box.open(Limits(wall_seconds=1))

    def slow(call: EncodedCall) -> CallResult:
        time.sleep(0.4)
        return CallResult(1)

    assert session.execute("sum(ask() for _ in range(4))", slow, ["ask"]).value == 4
    session.close()
