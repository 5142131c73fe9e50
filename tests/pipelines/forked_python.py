"""A replacement for Python whose processes are forks of a process that has imported the training modules.

    python forked_python.py COMMAND                  writes COMMAND, which replaces Python until a line is read or input ends
    COMMAND [-u] (SCRIPT | -m MODULE) ARGUMENT...    runs that in a fork

Importing torch, transformers and the stages takes longer than the tests' own work in a process. The imports happen in a new
interpreter, like those of the first process of a training.
"""

import argparse
import importlib
import runpy
import shlex
import sys
from pathlib import Path

from tenfold.pipelines.verl_compat import fork_server

IMPORTED = (
    *(
        "tenfold.pipelines.launch.processes",
        "tenfold.pipelines.recipe.recipe",
        "accelerate.commands.launch",
        "torch.distributed.run",
    ),
    *("transformers.trainer", "transformers.models.llama.modeling_llama"),
)


def serve_forks(command: Path) -> None:
    """Serves forks until standard input has a line or ends."""
    for name in IMPORTED:
        importlib.import_module(name)

    def program(python: str) -> None:
        command.write_text(f'#!/bin/sh\nexec {python} {shlex.quote(__file__)} "$@"\n')
        command.chmod(0o700)
        print("ready", flush=True)
        sys.stdin.readline()

    fork_server.serve(program)()


def run(arguments: list[str]) -> None:
    """Runs in a fork what Python would run with these arguments."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-u", action="store_true")
    parser.add_argument("-m", action="store_true")
    parser.add_argument("program")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    parsed = parser.parse_args(arguments)
    sys.argv[:] = [parsed.program, *parsed.arguments]
    if parsed.u:
        sys.stdout.reconfigure(line_buffering=True, write_through=True)  # type: ignore[union-attr]
    if parsed.m:
        sys.path[0] = ""
        runpy.run_module(parsed.program, run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(parsed.program).resolve().parent)
        runpy.run_path(parsed.program, run_name="__main__")


if __name__ == "__main__":
    if "tenfold.pipelines.launch.processes" in sys.modules:
        run(sys.argv[1:])
    else:
        serve_forks(Path(sys.argv[1]))
