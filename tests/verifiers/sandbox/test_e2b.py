import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import tenfold
from tenfold.core import Status, UserError
from tenfold.verifiers import sandbox
from tenfold.verifiers.sandbox import (
    Call,
    CallResult,
    EncodedCall,
    Limits,
    ProgramEnded,
    RunStatus,
    SandboxFault,
    backends,
    e2b,
)

from .e2b_server import KEY, Server

pytestmark = pytest.mark.usefixtures("sandboxed")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.lose_machines()
    server.shutdown()


@pytest.fixture(autouse=True)
def service(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the SDK use the test server, through the SDK's own settings."""
    for name, value in {
        "E2B_API_KEY": KEY,
        "E2B_API_URL": server.url,
        "E2B_SANDBOX_URL": server.url,
        "E2B_HTTP_VERSION": "1.1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(e2b, "PAUSE_SECONDS", 0.01)
    server.failures.clear()


@pytest.fixture(scope="module")
def pool(server: Server) -> Iterator[e2b.E2BSandbox]:
    pool = e2b.E2BSandbox(machines=2, api_key=KEY)
    yield pool
    pool.close()


def test_closing_the_sandbox_releases_its_machines(server: Server) -> None:
    pool, others = e2b.E2BSandbox(machines=1), set(server.machines)
    pool.run("x = 1")
    assert len(server.machines) == len(others) + 1
    pool.close()
    assert set(server.machines) == others


def test_programs_run_as_in_the_local_sandbox(pool: e2b.E2BSandbox) -> None:
    called = pool.run("def f(x, y=1): return (x, y)", [Call("f", [[1, 2.0]]), Call("f", ["a"], {"y": None}), Call("g")])
    assert [result.value for result in called.results[:2]] == [{"tuple": [[1, 2.0], 1]}, {"tuple": ["a", None]}]
    assert called.results[2].error is not None
    assert called.status == RunStatus.FINISHED
    script = pool.run("print(input()[::-1]); import sys; print('oh', file=sys.stderr)", stdin="abc\n")
    assert (script.stdout, script.stderr) == ("cba\n", "oh\n")
    assert script.peak_memory is not None


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        ("print(int(input()))\nexit()", "5\n"),
        ("import os\nprint(input(), flush=True)\nos._exit(0)", "5\n"),
        ("import fileinput\nprint(sum(int(line) for line in fileinput.input()))", "11\n"),
        ("print(len(open('/dev/stdin').read()), __name__)", "4 __main__\n"),
        ("import atexit\natexit.register(print, 'last')", "last\n"),
    ],
)
def test_scripts_end_as_in_the_local_sandbox(pool: e2b.E2BSandbox, program: str, printed: str) -> None:
    outcome = pool.run(program, stdin="5\n6\n")
    assert (outcome.stdout, outcome.status) == (printed, RunStatus.FINISHED), outcome


def test_a_module_is_defined_and_called_as_in_the_local_sandbox(pool: e2b.E2BSandbox) -> None:
    session = pool.open()
    assert session.define("def f(x):\n    if x: exit()\n    return __name__ == '__main__'\nexit()").error is None
    assert session.call(Call("f", [0])).value is False
    assert session.call(Call("f", [1])).error == "SystemExit: None"
    session.close()


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("1 / 0", RunStatus.ERROR),
        ("while True: pass", RunStatus.TIMEOUT),
        ("x = bytearray(1 << 30)", RunStatus.MEMORY),
        ("print('x' * (1 << 20))", RunStatus.OUTPUT),
        ("import os; os._exit(7)", RunStatus.ERROR),
        ("import socket; socket.create_connection(('1.1.1.1', 53))", RunStatus.ERROR),
        ("open('/etc/shadow').read()", RunStatus.ERROR),
        ("import os; os.kill(1, 9); os.kill(-1, 9)", RunStatus.ERROR),
    ],
)
def test_bad_programs_end_as_in_the_local_sandbox_and_affect_no_later_run(
    pool: e2b.E2BSandbox, program: str, status: RunStatus
) -> None:
    limits = Limits(cpu_seconds=0.3, wall_seconds=3, memory=64 << 20, output=1 << 16)
    outcome = pool.run(program, limits=limits)
    assert outcome.status == status or (status == RunStatus.ERROR and outcome.status == RunStatus.KILLED), outcome
    assert pool.run("x = 1").status == RunStatus.FINISHED


def test_a_session_keeps_variables_and_calls_external_functions(pool: e2b.E2BSandbox) -> None:
    session = pool.open()
    assert session.execute("x = 20").error is None
    assert session.execute("x + 1", as_text=True).value == "21"
    assert session.execute("ask(x) * 2", lambda external_call: CallResult(external_call.arguments[0] + 1), ["ask"]).value == 42
    assert session.call_encoded(EncodedCall("abs", [-3], {})).error is not None  # builtins are not in the program's namespace
    session.execute("def f(x): return x")
    assert session.call(Call("f", [{"a": 1}])).value == {"dict": [["a", 1]]}
    with pytest.raises(ProgramEnded):
        session.execute("import os; os._exit(3)")
    assert "status 3" in session.close().reason


def test_a_session_whose_warm_process_has_died_ends_with_a_fault(server: Server) -> None:
    pool, others = e2b.E2BSandbox(machines=1), set(server.machines)
    session = pool.open()
    (machine,) = (machine for name, machine in server.machines.items() if name not in others)
    for agent in machine.processes:
        for task in Path(f"/proc/{agent}/task").iterdir():
            for warm in (task / "children").read_text().split():
                os.kill(int(warm), signal.SIGKILL)
    with pytest.raises(SandboxFault, match="warm process"):
        session.close()
    pool.close()


def test_many_concurrent_runs_share_a_few_machines(pool: e2b.E2BSandbox, server: Server) -> None:
    pool.run("x = 1")
    pool.run("x = 1")
    before = server.started
    with ThreadPoolExecutor(16) as threads:
        outcomes = list(threads.map(lambda n: pool.run("def f(n): return n", [Call("f", [n])]), range(100)))
    assert [outcome.results[0].value for outcome in outcomes] == list(range(100))
    assert server.started == before
    assert len(server.machines) == 2


def test_a_lost_machine_is_replaced(pool: e2b.E2BSandbox, server: Server) -> None:
    session = pool.open()
    server.lose_machines()
    with pytest.raises(SandboxFault):
        session.execute("1")
    with pytest.raises(SandboxFault):
        session.close()
    assert pool.run("def f(): return 1", [Call("f")]).results[0].value == 1


def test_a_run_on_a_lost_machine_is_retried(server: Server) -> None:
    pool = e2b.E2BSandbox(machines=1)
    pool.run("x = 1")
    begun = len(server.requests)

    def lose() -> None:
        while len(server.requests) == begun:
            time.sleep(0.01)
        server.lose_machines()

    losing = threading.Thread(target=lose)
    losing.start()
    outcome = pool.run("import time; time.sleep(1)\ndef f(): return 1", [Call("f")])
    losing.join()
    assert outcome.results[0].value == 1
    pool.close()


@pytest.mark.parametrize("statuses", [[500], [502, 503], [429, 500, 500]])
def test_faults_of_the_service_are_retried(server: Server, statuses: list[int]) -> None:
    pool = e2b.E2BSandbox(machines=1)
    server.answer_with(*statuses)
    assert pool.run("def f(): return 1", [Call("f")]).results[0].value == 1
    server.answer_with(*statuses)
    assert pool.run("def f(): return 2", [Call("f")]).results[0].value == 2
    pool.close()


def test_a_service_that_stays_down_is_a_fault_and_does_not_score_0(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = e2b.E2BSandbox(machines=1)
    monkeypatch.setattr(sandbox, "shared", lambda: pool)
    tests = {"entry_point": "f", "calls": [{"arguments": [], "output": 1}]}
    server.answer_with(*[500] * 100)
    verdict = tenfold.verify(tests, "def f(): return 1", verifier="code")
    assert (verdict.status, verdict.score) == (Status.FAULT, None)
    server.failures.clear()
    assert tenfold.verify(tests, "def f(): return 1", verifier="code").score == 1
    asserts = {"asserts": ["assert f() == 1", "assert f() != 2"], "functions": ["f"]}
    assert tenfold.verify(asserts, "def f(): return 1", verifier="code").score == 1
    assert tenfold.verify(asserts, "def f(): return 2", verifier="code").score == 0
    pool.close()


def test_a_missing_or_invalid_key_is_a_user_error_that_hides_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = e2b.E2BSandbox(api_key="e2b_wrong")
    with pytest.raises(UserError, match="rejects the key") as rejected:
        pool.run("x = 1")
    assert "e2b_wrong" not in str(rejected.value)
    monkeypatch.delenv("E2B_API_KEY")
    with pytest.raises(UserError, match="set E2B_API_KEY"):
        e2b.E2BSandbox()
    monkeypatch.setenv("TENFOLD_SANDBOX", "e2b")
    monkeypatch.setattr(backends, "_of_process", backends._of_process.__wrapped__)
    with pytest.raises(UserError, match="set E2B_API_KEY"):
        tenfold.make("tenfold/HumanEval-v0")
    monkeypatch.setenv("TENFOLD_SANDBOX", "moon")
    with pytest.raises(UserError, match="local or e2b"):
        sandbox.shared()


FORGED = """
import os, struct
def f():
    body = b'{"value": ' + b'[' * DEPTH + b']' * DEPTH + b'}'
    os.write(3, struct.pack('<I', len(body)) + body)
    return 1
"""


@pytest.mark.parametrize("depth", [50, 400, 5_000])
def test_a_forged_reply_counts_against_the_program(pool: e2b.E2BSandbox, server: Server, depth: int) -> None:
    pool.run("x = 1")
    pool.run("x = 1")
    before = server.started
    outcome = pool.run(FORGED.replace("DEPTH", str(depth)), [Call("f")])
    assert outcome.status in (RunStatus.FINISHED, RunStatus.OUTPUT)
    assert [result.value for result in outcome.results] != [1]
    assert server.started == before


def test_a_handler_may_raise_and_take_longer_than_the_limit(pool: e2b.E2BSandbox, server: Server) -> None:
    bystander, session = pool.open(), pool.open(Limits(wall_seconds=1))
    before = server.started

    def slow(external_call: EncodedCall) -> CallResult:
        time.sleep(0.3)
        return CallResult(1)

    assert session.execute("sum(ask() for _ in range(5))", slow, ["ask"]).value == 5

    def broken(external_call: EncodedCall) -> CallResult:
        raise SandboxFault("the other machine is gone")

    with pytest.raises(SandboxFault, match="the other machine"):
        session.execute("ask()", broken, ["ask"])
    assert session.close().status == RunStatus.FINISHED
    assert bystander.execute("6 * 7").value == 42
    bystander.close()
    assert server.started == before


def test_a_temporary_fault_does_not_lose_a_machine(pool: e2b.E2BSandbox, server: Server) -> None:
    bystander, before = pool.open(), server.started
    server.answer_with(500, 503)
    assert pool.run("def f(): return 1", [Call("f")]).results[0].value == 1
    assert bystander.execute("1 + 1").value == 2
    bystander.close()
    assert server.started == before


def test_the_lifetime_of_a_machine_in_use_is_extended(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(e2b, "LIFETIME", 1)
    pool = e2b.E2BSandbox(machines=1)
    session = pool.open()
    for _ in range(8):
        session.execute("x = 1")
        time.sleep(0.05)
    assert sum("/timeout" in request for request in server.requests) >= 1
    session.close()
    pool.close()


def test_closing_the_sandbox_ends_its_runs_with_a_fault(server: Server) -> None:
    pool, others = e2b.E2BSandbox(machines=1), set(server.machines)
    pool.run("x = 1")
    faults: list[str] = []

    def run() -> None:
        try:
            pool.run("import time; time.sleep(3600)", limits=Limits(wall_seconds=3600))
        except SandboxFault as fault:
            faults.append(str(fault))

    begun = len(server.requests)
    running = threading.Thread(target=run)
    running.start()
    while len(server.requests) == begun:  # until the run has started
        time.sleep(0.01)
    pool.close()
    running.join()
    assert "closed" in faults[0]
    assert set(server.machines) <= others
