"""A fork server for verl on a CPU: one process imports verl, and all of verl's processes are forked from it.

verl on a CPU has seven processes, and most of them start one after the other. Each takes several seconds to import verl,
transformers and torch. Here one process imports them and forks verl's main program, then each worker that Ray starts. Ray
starts workers with this file as `py_executable`. The process that Ray starts sends its arguments, environment and open files to
the server, and waits until the fork ends.

    python -m tenfold.pipelines.verl_compat.fork_server SETTING...      runs verl with these Hydra settings
    python fork_server.py NAME SCRIPT ARGUMENT...              requests from the server NAME a fork that runs SCRIPT
"""

# The second form runs for each worker, so the top level imports only the standard library.
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
"""Modules that verl's processes on a CPU import."""
FIRST_JOB = "01000000"
"""Ray's id of the first program that joins it, which is verl."""
TESTED_RAY = ((2, 50), (2, 61))
"""Range of Ray versions whose workers were tested as forks; the end is excluded."""
POLL_SECONDS = 0.05
"""Seconds between two checks for requests and ended forks."""
REQUEST_SECONDS = 10.0
"""Time limit for reading a request, in seconds. Our choice."""
MAX_FILES = 64
"""Largest number of open files in a request. Our choice."""
_LENGTH, _STATUS, _PEER = struct.Struct("<I"), struct.Struct("<h"), struct.Struct("3i")
_PR_SET_PDEATHSIG = 1


class _Closes(Protocol):
    def close(self) -> None: ...


class ForkRequest(NamedTuple):
    """The state of the process that requests a fork, which the fork takes over."""

    arguments: list[str]
    """The script and its arguments."""
    environment: dict[str, str]
    folder: str
    """Working folder."""
    files: list[int]
    """Numbers of the open files."""


def run_verl(settings: list[str]) -> None:
    """Imports verl and runs it with these Hydra settings."""
    # Ray reads these variables when it is imported. A worker that Ray starts has them in its environment: the id of its job,
    # and the id of the process whose end also ends the worker.
    variables = {"RAY_JOB_ID": FIRST_JOB, "RAY_RAYLET_PID": str(os.getpid())}
    os.environ.update(variables)
    modules = [importlib.import_module(name) for name in PRELOADED]
    importlib.import_module("tenfold.pipelines.verl_compat.ray_paths").keep_folder_out()
    for name in variables:
        del os.environ[name]

    sys.argv = [str(modules[0].__file__), *settings]
    if not can_fork():
        modules[0].main()
        return

    def program(python: str) -> None:
        executable = f"+ray_kwargs.ray_init.runtime_env.py_executable={json.dumps(python, ensure_ascii=False)}"
        sys.argv.append(executable)
        modules[0].main()

    serve(program)()


def can_fork() -> bool:
    """True if this version of Ray supports forked workers (`contract.py`). Without forks, verl starts half a minute later."""
    import ray

    version = tuple(int(part) for part in ray.__version__.split(".")[:2])
    return TESTED_RAY[0] <= version < TESTED_RAY[1] and hasattr(getattr(ray._raylet, "Config", None), "initialize")


def serve(program: Callable[[str], object]) -> Callable[[], object]:
    """Forks a process for the program, then one for each request until the program ends.

    Args:
        program: called with the command that replaces `python` to run a script in a fork.

    Returns:
        The function that the current process has to call. Like `os.fork`, `serve` returns in each process.
    """
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("")  # the kernel chooses a name outside the file system
    listener.listen()
    name = listener.getsockname()[1:].decode()
    python = shlex.join([sys.executable, "-I", "-S", str(Path(__file__).resolve()), name])
    gc.collect()
    gc.freeze()  # the collector then leaves these objects alone, so that forks share their memory pages
    if not (first := _fork([listener])):
        return lambda: program(python)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server ends when the program has ended
    clients: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as events:
        events.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in events.select(POLL_SECONDS):
                if key.fileobj is not listener:  # the client was killed
                    events.unregister(key.fileobj)
                    os.kill(key.data, signal.SIGKILL)
                    continue
                client, _ = listener.accept()
                if not (received := _read(client)):
                    client.close()
                    continue
                request, files = received
                if not (worker := _fork([listener, client, *clients.values(), events])):
                    return lambda request=request, files=files: _become(request, files)  # type: ignore[misc]
                for file in files:
                    os.close(file)
                clients[worker] = client
                events.register(client, selectors.EVENT_READ, worker)
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG):
                status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
                if status:
                    _report(ended.si_pid, status)
                if ended.si_pid == first:
                    return lambda status=status: _end(status)  # type: ignore[misc]
                client = clients.pop(ended.si_pid)
                with contextlib.suppress(KeyError):
                    events.unregister(client)
                with contextlib.suppress(OSError):
                    client.sendall(_STATUS.pack(status))
                client.close()


def request_fork(name: str, arguments: list[str]) -> int:
    """Requests a fork that runs a script in place of this process, and waits until the fork ends.

    Args:
        name: the server's socket.
        arguments: the script and its arguments.

    Returns:
        The fork's exit status; the negative number of the signal if one ended it.
    """
    files = [number for number in map(int, os.listdir("/proc/self/fd")) if _is_open(number)]
    message = json.dumps(ForkRequest(arguments, dict(os.environ), os.getcwd(), files)).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(f"\0{name}")
        socket.send_fds(server, [_LENGTH.pack(len(message))], files)
        server.sendall(message)
        reply = server.recv(_STATUS.size)
    return int(_STATUS.unpack(reply)[0]) if reply else 1


def _is_open(number: int) -> bool:
    try:
        fcntl.fcntl(number, fcntl.F_GETFD)
    except OSError:  # the file with which the folder was listed
        return False
    return True


def _read(client: socket.socket) -> tuple[ForkRequest, list[int]] | None:
    """Returns a request and copies of its open files; None if it is incomplete or comes from another user."""
    _, user, _ = _PEER.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    client.settimeout(REQUEST_SECONDS)
    files: list[int] = []
    with client.makefile("rb") as stream, contextlib.suppress(ValueError, TypeError, struct.error, OSError):
        if user == os.geteuid():
            head, files, _, _ = socket.recv_fds(client, _LENGTH.size, MAX_FILES)
            return ForkRequest(*json.loads(stream.read(*_LENGTH.unpack(head)))), files
    for file in files:
        os.close(file)
    return None


def _fork(resources: Iterable[_Closes]) -> int:
    """Forks. The fork closes the server's resources and is killed when the server ends."""
    if pid := os.fork():
        return pid
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for resource in resources:
        resource.close()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    random.seed()
    return 0


def _report(pid: int, status: int) -> None:
    """Logs how a process ended, for `supervise.cause`. Ray cannot log it, because the process is not its child."""
    how = f"ended by signal {-status}" if status < 0 else f"exited with status {status}"
    with contextlib.suppress(OSError):
        os.write(2, f"\ntenfold.fork_server: process {pid} {how}\n".encode())


def _end(status: int) -> None:
    """Ends this process with the status of `request_fork`."""
    if status < 0:
        with contextlib.suppress(OSError):  # SIGKILL and SIGSTOP cannot be handled, and need not be
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


def _become(request: ForkRequest, copies: list[int]) -> None:
    """Takes over the open files, environment and folder of a request, and runs its script."""
    os.setpgid(0, 0)  # only the main program may get an interrupt, because it ends its workers in order
    above = max(request.files, default=0) + 1
    moved = [fcntl.fcntl(copy, fcntl.F_DUPFD, above) for copy in copies]  # greater than the numbers that are assigned below
    for copy in copies:
        os.close(copy)
    for copy, number in zip(moved, request.files, strict=True):
        os.dup2(copy, number)
        os.close(copy)
    os.environ.clear()
    os.environ.update(request.environment)
    os.chdir(request.folder)
    if ray := sys.modules.get("ray._raylet"):
        ray.Config.initialize("")  # again, because Ray read the server's environment when it was imported
    sys.argv = request.arguments
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    if __package__:
        run_verl(sys.argv[1:])
    else:
        _end(request_fork(sys.argv[1], sys.argv[2:]))
