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


@pytest.mark.parametrize("setter", ["another process", "none"])
def test_a_process_ends_with_its_parent_only_if_tenfold_started_it(setter: str) -> None:
    variables = {name: value for name, value in os.environ.items() if name != END_WITH_PARENT}
    variables |= {END_WITH_PARENT: str(os.getpid())} if setter != "none" else {}
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=variables)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    if setter == "none":
        time.sleep(3 * vllm_plugin.POLL_SECONDS)
        os.kill(child, 9)  # it is alive, so this raises no error
    else:
        while _is_alive(child):
            time.sleep(0.1)


def _is_alive(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
