"""The fork server."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

SERVER = """
import os, shlex, subprocess, sys
from tenfold.pipelines.verl_compat import fork_server
import colorsys  # in place of a module that is slow to import

def program(python):
    os.environ["PYTHON_OF_FORKS"] = python
    exec(open(sys.argv[1]).read())

fork_server.serve(program)()
"""


def served(tmp_path: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Runs a program with a fork server."""
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "program.py").write_text(textwrap.dedent(program))
    return subprocess.run(
        [sys.executable, "server.py", "program.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )


def test_a_script_runs_in_a_fork_like_in_a_new_python(tmp_path: Path) -> None:
    """The fork has the client's arguments, environment, directory, streams and exit status, and the server's modules."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "script.py").write_text(
        "import os, sys\n"
        "print(sys.argv[1:], os.environ['LAB'], os.path.basename(os.getcwd()), 'colorsys' in sys.modules, sys.stdin.read())\n"
        "print('and this is wrong', file=sys.stderr)\n"
        "sys.exit(7)\n"
    )
    ran = served(
        tmp_path,
        """
        script = os.path.abspath("script.py")
        child = subprocess.run(f"exec {os.environ['PYTHON_OF_FORKS']} {script} 'a b' c", shell=True, cwd="elsewhere",
                               env={"LAB": "so"}, input="in", capture_output=True, text=True)
        print(child.stdout, child.stderr, child.returncode)
        sys.exit(3)
        """,
    )
    assert ran.stdout == "['a b', 'c'] so elsewhere True in\n and this is wrong\n 7\n"
    assert ran.returncode == 3


def test_the_client_ends_with_the_signal_that_ended_the_fork(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("import os; os.kill(os.getpid(), 9)")
    ran = served(
        tmp_path,
        """
        print(subprocess.run([*shlex.split(os.environ["PYTHON_OF_FORKS"]), "script.py"]).returncode, flush=True)
        os.kill(os.getpid(), 15)
        """,
    )
    assert ran.stdout == "-9\n"
    assert ran.returncode == -15
    assert re.search(r"^tenfold\.fork_server: process \d+ ended by signal 9$", ran.stderr, re.MULTILINE)


def test_a_fork_is_killed_with_its_client(tmp_path: Path) -> None:
    """Without forks, killing the client would end the process too."""
    (tmp_path / "script.py").write_text("import os, time; print(os.getpid(), flush=True); time.sleep(36000)")
    ran = served(
        tmp_path,
        """
        import time
        child = subprocess.Popen([*shlex.split(os.environ["PYTHON_OF_FORKS"]), "script.py"], stdout=subprocess.PIPE, text=True)
        fork = int(child.stdout.readline())
        child.kill()
        while os.path.exists(f"/proc/{fork}"):
            time.sleep(0.01)
        print("gone")
        """,
    )
    assert ran.stdout == "gone\n"
    assert ran.returncode == 0


def test_all_forks_are_killed_with_the_server(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "script.py").write_text("import os, time; print(os.getpid(), flush=True); time.sleep(36000)")
    (tmp_path / "program.py").write_text(
        "print(os.getpid(), flush=True); subprocess.run([*shlex.split(os.environ['PYTHON_OF_FORKS']), 'script.py'])"
    )
    server = subprocess.Popen([sys.executable, "server.py", "program.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    forks = [Path(f"/proc/{int(server.stdout.readline())}") for _ in range(2)]
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    while any(fork.exists() for fork in forks):
        time.sleep(0.01)


def test_invalid_requests_are_closed(tmp_path: Path) -> None:
    ran = served(
        tmp_path,
        """
        import socket, struct
        name = os.environ["PYTHON_OF_FORKS"].split()[-1]
        for message in (b"", b"abc", struct.pack("<I", 3) + b"[1]", struct.pack("<I", 100) + b"{"):
            with socket.socket(socket.AF_UNIX) as server:
                server.connect(chr(0) + name)
                server.sendall(message)
                server.shutdown(socket.SHUT_WR)
                print(server.recv(1))
        """,
    )
    assert ran.stdout == "b''\n" * 4
