import asyncio
import os
import signal
import subprocess
import sys
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
def idle(): time.sleep(3600)
def pid(): return os.getpid()
kept = []
def keep(): kept.append(bytearray(40 << 20)); return os.getpid()
def fail(): raise ValueError("ours")
"""


@pytest.fixture
def functions(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (lab / "pool_functions.py").write_text(FUNCTIONS)
    monkeypatch.setenv("PYTHONPATH", str(lab))


@pytest.mark.parametrize("name", ["spin", "stuck", "swallow"])
def test_a_call_that_takes_too_long_is_ended_and_the_pool_keeps_working(functions: None, name: str) -> None:
    pool = Pool(f"pool_functions:{name}", workers=1, cpu_seconds=0.1)
    for _ in range(2):
        with pytest.raises(TimeLimit):
            pool.call()
    pool.close()


def test_a_call_that_takes_too_much_memory_is_ended(functions: None) -> None:
    pool = Pool("pool_functions:eat", workers=1)
    with pytest.raises(MemoryLimit):
        pool.call()


def test_a_worker_that_dies_is_retried_and_then_a_fault(functions: None, lab: Path) -> None:
    with pytest.raises(WorkerFault, match="status 3"):
        Pool("pool_functions:die", workers=1).call()
    assert Pool("pool_functions:die_once", workers=1).call(str(lab / "mark")) == "alive"


def test_an_exception_in_the_function_is_a_fault(functions: None) -> None:
    with pytest.raises(WorkerFault, match="ValueError: ours"):
        Pool("pool_functions:fail", workers=1).call()


def test_the_output_of_a_function_is_not_taken_for_a_reply(functions: None) -> None:
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


def test_a_worker_exits_when_its_parent_ends(functions: None) -> None:
    pool = Pool("pool_functions:echo", workers=1)
    pool.call(1)
    worker = pool._idle.queue[0]
    worker.stdin.close()
    assert worker.wait() == 0


def test_a_call_that_waits_is_ended_by_the_wall_time_limit(functions: None) -> None:
    pool = Pool("pool_functions:idle", workers=1, cpu_seconds=0.1)
    pool.wall_seconds = 0.3
    with pytest.raises(WorkerFault, match="no end after"):
        pool.call()


def test_a_worker_is_replaced_after_a_number_of_calls_or_when_its_memory_has_grown(functions: None) -> None:
    pool = Pool("pool_functions:pid", workers=1, calls=3)
    workers = [pool.call() for _ in range(7)]
    assert [workers.count(worker) for worker in dict.fromkeys(workers)] == [3, 3, 1]
    pool = Pool("pool_functions:keep", workers=1, memory=100 << 20)
    assert len({pool.call() for _ in range(4)}) == 2


def test_map_keeps_the_order_and_returns_exceptions(functions: None) -> None:
    assert Pool("pool_functions:echo", workers=2).map([[number] for number in range(50)]) == list(range(50))
    one, two = Pool("pool_functions:fail", workers=2).map([[], []])
    assert isinstance(one, WorkerFault)
    assert isinstance(two, WorkerFault)


def test_a_fork_has_workers_of_its_own(functions: None) -> None:
    pool = Pool("pool_functions:pid", workers=1)
    mine = pool.call()
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writer, str(pool.call()).encode())
        pool.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(reader, 100)) != mine
    assert pool.call() == mine


def test_a_process_with_many_open_files_has_workers(functions: None, many_open_files: None) -> None:
    pool = Pool("pool_functions:echo", workers=1)
    assert pool.call(1) == 1
    pool.close()


@pytest.mark.parametrize(("limit", "value"), [("RLIMIT_CPU", 600), ("RLIMIT_AS", 1 << 40)])
def test_a_process_with_hard_limits_has_workers(limit: str, value: int) -> None:
    limited = f"import resource; resource.setrlimit(resource.{limit}, ({value}, {value}))"
    program = f"{limited}; from tenfold.verifiers.pool import Pool; print(Pool('operator:add', workers=1).call(1, 2))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("3\n", 0), done.stderr


def test_asyncio_waits_for_many_calls_at_once(functions: None) -> None:
    pool = Pool("pool_functions:echo", workers=2)

    async def ask() -> list[int]:
        return await asyncio.gather(*(asyncio.to_thread(pool.call, number) for number in range(40)))

    assert asyncio.run(ask()) == list(range(40))


def test_a_worker_that_the_system_cannot_start_is_a_fault(functions: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr("subprocess.Popen", refuse)
    pool = Pool("pool_functions:echo", workers=1)
    with pytest.raises(WorkerFault, match="no more processes"):
        pool.call(1)
    [fault] = pool.map([(1,)])
    assert isinstance(fault, WorkerFault)
    monkeypatch.undo()
