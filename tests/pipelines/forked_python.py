"""A stand-in for Python whose processes are forks of one that has imported what they need.

    python forked_python.py COMMAND                  writes COMMAND, which stands for Python until a line is read or input ends
    COMMAND [-u] (SCRIPT | -m MODULE) ARGUMENT...    runs that in a fork

To import torch, transformers and the stages takes a process longer than all that the tests have it do. This one imports them
as the first process of a training does, in a fresh interpreter.
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


def stand_in(command: Path) -> None:
    """Serves forks until there is a line of standard input, or its end."""
    for name in IMPORTED:
        importlib.import_module(name)

    def program(python: str) -> None:
        command.write_text(f'#!/bin/sh\nexec {python} {shlex.quote(__file__)} "$@"\n')
        command.chmod(0o700)
        print("it is there", flush=True)
        sys.stdin.readline()

    fork_server.serve(program)()


def run(arguments: list[str]) -> None:
    """Does in a fork what Python would have done with these arguments."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-u", action="store_true")
    parser.add_argument("-m", action="store_true")
    parser.add_argument("program")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    asked = parser.parse_args(arguments)
    sys.argv[:] = [asked.program, *asked.arguments]
    if asked.u:
        sys.stdout.reconfigure(line_buffering=True, write_through=True)  # type: ignore[union-attr]
    if asked.m:
        sys.path[0] = ""
        runpy.run_module(asked.program, run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(asked.program).resolve().parent)
        runpy.run_path(asked.program, run_name="__main__")


if __name__ == "__main__":
    if "tenfold.pipelines.launch.processes" in sys.modules:
        run(sys.argv[1:])
    else:
        stand_in(Path(sys.argv[1]))
