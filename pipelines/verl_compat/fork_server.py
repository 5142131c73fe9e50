"""verl, imported once: on one machine all its processes are forked from one that has done so.

verl on a processor is seven processes, most of them started one after the other, and importing verl, transformers and torch
takes each of them several seconds. Here one process imports them and forks: first verl's own program, then every worker that
Ray wants. Ray starts workers with this file as its `py_executable`: it hands its arguments, environment and open files to the
server, and waits for the fork to end.

    python -m tenfold.pipelines.verl_compat.fork_server SETTING...      runs verl with these settings of Hydra's
    python fork_server.py NAME SCRIPT ARGUMENT...              has the server of that name fork a process that runs SCRIPT
"""

# The second form is run for every worker: nothing but the standard library is imported at the top.
import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import os
import random
import runpy
import selectors
import shlex
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

PRELOADED = (
    *("verl.trainer.main_ppo", "verl.experimental.agent_loop", "verl.workers.engine_workers", "transfer_queue"),
    *("tenfold.pipelines.rl.agent_loop", "tenfold.pipelines.verl_compat.cpu_rollout", "tenfold.pipelines.verl_compat.replay"),
)
"""What verl's processes on a processor import sooner or later."""
FIRST_JOB = "01000000"
"""Ray's name for the first program that joins it: of a Ray of verl's own, verl."""
KNOWN_RAY = ((2, 50), (2, 61))
"""Versions of Ray whose workers were tried as forks: from the first on, below the second."""
POLL_SECONDS = 0.05
ASKING_SECONDS = 10.0
MOST_FILES = 64
"""Open files that a worker may be handed."""
_LENGTH, _STATUS, _PEER = struct.Struct("<I"), struct.Struct("<h"), struct.Struct("3i")
_PR_SET_PDEATHSIG = 1


class _Closes(Protocol):
    def close(self) -> None: ...


class Question(NamedTuple):
    """What the process that asks for a fork is, and the fork shall be."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    files: list[int]
    """Numbers of its open files."""


def verl(settings: list[str]) -> None:
    """Imports verl and runs it with these settings of Hydra's."""
    # Ray reads these as it is imported, where workers started by themselves find them in their environment: the job that they
    # are of, and the process with which they end.
    told = {"RAY_JOB_ID": FIRST_JOB, "RAY_RAYLET_PID": str(os.getpid())}
    os.environ.update(told)
    modules = [importlib.import_module(name) for name in PRELOADED]
    importlib.import_module("tenfold.pipelines.verl_compat.ray_paths").keep_folder_out()
    for name in told:
        del os.environ[name]

    sys.argv = [str(modules[0].__file__), *settings]
    if not is_known():
        modules[0].main()
        return

    def program(python: str) -> None:
        executable = f"+ray_kwargs.ray_init.runtime_env.py_executable={json.dumps(python)}"
        sys.argv.append(executable)
        modules[0].main()

    serve(program)()


def is_known() -> bool:
    """Whether this version of Ray is one whose workers can be forked (`contract.py`). Any other starts them itself, which is
    half a minute slower."""
    import ray

    version = tuple(int(part) for part in ray.__version__.split(".")[:2])
    return KNOWN_RAY[0] <= version < KNOWN_RAY[1] and hasattr(getattr(ray._raylet, "Config", None), "initialize")


def serve(program: Callable[[str], object]) -> Callable[[], object]:
    """Forks: first a process for the program, then, until that one has ended, one for whoever asks.

    Args:
        program: is given the command that stands for Python where a script shall be run in a fork.

    Returns:
        As a fork does, in each process: what that one is to do.
    """
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("")  # the kernel chooses a name outside the file system
    listener.listen()
    name = listener.getsockname()[1:].decode()
    python = shlex.join([sys.executable, "-I", "-S", str(Path(__file__).resolve()), name])
    gc.collect()
    gc.freeze()  # forks share these pages as long as nobody counts references in them
    if not (first := _fork([listener])):
        return lambda: program(python)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends when the program has
    askers: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as events:
        events.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in events.select(POLL_SECONDS):
                if key.fileobj is not listener:  # who asked was killed
                    events.unregister(key.fileobj)
                    os.kill(key.data, signal.SIGKILL)
                    continue
                asker, _ = listener.accept()
                if not (asked := _read(asker)):
                    asker.close()
                    continue
                question, files = asked
                if not (worker := _fork([listener, asker, *askers.values(), events])):
                    return lambda question=question, files=files: _become(question, files)  # type: ignore[misc]
                for file in files:
                    os.close(file)
                askers[worker] = asker
                events.register(asker, selectors.EVENT_READ, worker)
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG):
                status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
                if status:
                    _report(ended.si_pid, status)
                if ended.si_pid == first:
                    return lambda status=status: _end(status)  # type: ignore[misc]
                asker = askers.pop(ended.si_pid)
                with contextlib.suppress(KeyError):
                    events.unregister(asker)
                with contextlib.suppress(OSError):
                    asker.sendall(_STATUS.pack(status))
                asker.close()


def ask(name: str, arguments: list[str]) -> int:
    """Has a server fork a process that runs a script in this one's place.

    Returns:
        Its status; where a signal ended it, the negative number of that.
    """
    files = [number for number in map(int, os.listdir("/proc/self/fd")) if _is_open(number)]
    told = json.dumps(Question(arguments, dict(os.environ), os.getcwd(), files)).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(f"\0{name}")
        socket.send_fds(server, [_LENGTH.pack(len(told))], files)
        server.sendall(told)
        answer = server.recv(_STATUS.size)
    return int(_STATUS.unpack(answer)[0]) if answer else 1


def _is_open(number: int) -> bool:
    try:
        fcntl.fcntl(number, fcntl.F_GETFD)
    except OSError:  # it was that of the list itself
        return False
    return True


def _read(asker: socket.socket) -> tuple[Question, list[int]] | None:
    """A question and copies of its open files; None if it breaks off, or another user asks."""
    _, user, _ = _PEER.unpack(asker.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    asker.settimeout(ASKING_SECONDS)
    files: list[int] = []
    with asker.makefile("rb") as stream, contextlib.suppress(ValueError, TypeError, struct.error, OSError):
        if user == os.geteuid():
            head, files, _, _ = socket.recv_fds(asker, _LENGTH.size, MOST_FILES)
            return Question(*json.loads(stream.read(*_LENGTH.unpack(head)))), files
    for file in files:
        os.close(file)
    return None


def _fork(held: Iterable[_Closes]) -> int:
    """Forks; the fork lets go of what the server holds, and ends with the server."""
    if pid := os.fork():
        return pid
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for thing in held:
        thing.close()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    random.seed()
    return 0


def _report(pid: int, status: int) -> None:
    """Tells the log how a process ended; `supervise.cause` reads it. Ray does not know, for the process is not its child."""
    how = f"ended by signal {-status}" if status < 0 else f"exited with status {status}"
    with contextlib.suppress(OSError):
        os.write(2, f"\ntenfold.fork_server: process {pid} {how}\n".encode())


def _end(status: int) -> None:
    """Ends this process as another one has ended; see `ask`."""
    if status < 0:
        with contextlib.suppress(OSError):  # some cannot be handled, and need not be
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


def _become(question: Question, copies: list[int]) -> None:
    """Takes on the asker's open files, environment and folder, and runs its script."""
    os.setpgid(0, 0)  # an interrupt is for the program, which ends its workers in order
    above = max(question.files, default=0) + 1
    moved = [fcntl.fcntl(copy, fcntl.F_DUPFD, above) for copy in copies]  # none may lie where another one is to be
    for copy in copies:
        os.close(copy)
    for copy, number in zip(moved, question.files, strict=True):
        os.dup2(copy, number)
        os.close(copy)
    os.environ.clear()
    os.environ.update(question.environment)
    os.chdir(question.folder)
    if ray := sys.modules.get("ray._raylet"):
        ray.Config.initialize("")  # it read the environment as it was imported
    sys.argv = question.arguments
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    if __package__:
        verl(sys.argv[1:])
    else:
        _end(ask(sys.argv[1], sys.argv[2:]))
