"""vLLM's processes end with their parent."""

import os
import subprocess
import sys
import time

import pytest

from tenfold.pipelines.verl_compat import vllm_plugin
from tenfold.policies.vllm import END_WITH_PARENT

CHILD = """
import time
from tenfold.pipelines.verl_compat import vllm_plugin
vllm_plugin.register()
print('ready', flush=True)
time.sleep(600)
"""
PARENT = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], stdout=subprocess.PIPE, text=True, start_new_session=True)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(600)
"""
LATE = """
import multiprocessing, os, time
from tenfold.pipelines.verl_compat import vllm_plugin

def register_late():
    parent = os.getppid()
    print(os.getpid(), flush=True)
    while os.getppid() == parent:
        time.sleep(0.1)
    vllm_plugin.register()
    time.sleep(600)

multiprocessing.get_context("fork").Process(target=register_late).start()
"""


@pytest.mark.parametrize("setter", ["another process", "none"])
def test_a_process_ends_with_its_parent_only_if_tenfold_started_it(setter: str) -> None:
    variables = {name: value for name, value in os.environ.items() if name != END_WITH_PARENT}
    variables |= {END_WITH_PARENT: str(os.getpid())} if setter != "none" else {}
    child = _child_of_killed(PARENT, variables)
    if setter == "none":
        time.sleep(3 * vllm_plugin.POLL_SECONDS)
        os.kill(child, 9)  # it is alive, so this raises no error
    else:
        while _is_alive(child):
            time.sleep(0.1)


def test_a_process_whose_parent_ended_before_it_registered_ends() -> None:
    child = _child_of_killed(LATE, {**os.environ, END_WITH_PARENT: str(os.getpid())})
    while _is_alive(child):
        time.sleep(0.1)


def _child_of_killed(program: str, variables: dict[str, str]) -> int:
    """Starts a program that prints the id of its child process, kills the program, and returns the id."""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=variables)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    return child


def _is_alive(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
