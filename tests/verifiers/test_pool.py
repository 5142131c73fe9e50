import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tenfold.verifiers.pool import MemoryLimit, Pool, TimeLimit, WorkerFault

FUNCTIONS = """
import os, time
def echo(x): return x
def spin(): 
    while True: pass
def stuck(): return len(str(9 ** (9 ** 9)))
def swallow():
    while True:
        try:
            while True: pass
        except Exception: pass
def eat(): return len(bytearray(4 << 30))
def die(): os._exit(3)
def die_once(path):
    if not os.path.exists(path):
        open(path, "w").close()
        os._exit(3)
    return "alive"
def chatter(x):
    print("noise")
    os.write(1, b"more noise\\n")
    return x
def fail(): raise ValueError("ours")
"""


@pytest.fixture
def functions(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (lab / "pool_functions.py").write_text(FUNCTIONS)
    monkeypatch.setenv("PYTHONPATH", str(lab))


@pytest.mark.parametrize("name", ["spin", "stuck", "swallow"])
def test_a_call_that_takes_too_long_is_ended_and_the_pool_goes_on(functions: None, name: str) -> None:
    pool = Pool(f"pool_functions:{name}", workers=1, cpu_seconds=0.3)
    for _ in range(2):
        with pytest.raises(TimeLimit):
            pool.call()
    pool.close()


def test_a_call_that_takes_too_much_memory_is_ended(functions: None) -> None:
    pool = Pool("pool_functions:eat", workers=1)
    with pytest.raises(MemoryLimit):
        pool.call()


def test_a_worker_that_dies_is_our_fault_and_tried_again(functions: None, lab: Path) -> None:
    with pytest.raises(WorkerFault, match="status 3"):
        Pool("pool_functions:die", workers=1).call()
    assert Pool("pool_functions:die_once", workers=1).call(str(lab / "mark")) == "alive"


def test_an_exception_in_the_function_is_our_fault(functions: None) -> None:
    with pytest.raises(WorkerFault, match="ValueError: ours"):
        Pool("pool_functions:fail", workers=1).call()


def test_what_a_function_prints_is_no_reply(functions: None) -> None:
    assert Pool("pool_functions:chatter", workers=1).call({"a": [1]}) == {"a": [1]}


def test_a_pool_serves_more_threads_than_it_has_workers(functions: None) -> None:
    pool = Pool("pool_functions:echo", workers=2)
    with ThreadPoolExecutor(20) as threads:
        assert list(threads.map(pool.call, range(200))) == list(range(200))


def test_an_idle_worker_that_was_killed_is_replaced(functions: None) -> None:
    pool = Pool("pool_functions:echo", workers=1)
    pool.call(1)
    worker = pool._idle.queue[0]
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert pool.call(2) == 2


def test_a_worker_leaves_when_its_parent_is_gone(functions: None) -> None:
    pool = Pool("pool_functions:echo", workers=1)
    pool.call(1)
    worker = pool._idle.queue[0]
    worker.stdin.close()
    deadline = time.monotonic() + 30
    while worker.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert worker.returncode == 0
