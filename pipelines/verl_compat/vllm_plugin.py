"""A plug-in of vLLM (`vllm.general_plugins`). vLLM calls `register` in each of its processes.

The processes end soon after their parent has ended for any reason. vLLM's engine and workers are processes of their own, which
would survive if the process that started them is killed. On a CPU they sample as in `policies/play/vllm_on_cpu.py`.
"""

import multiprocessing
import os
import signal
import threading
import time

from ...policies.play import vllm_on_cpu
from ...policies.vllm import END_WITH_PARENT

POLL_SECONDS = 1.0
"""Seconds between two looks at the parent. Our choice."""


def register() -> None:
    """Watches the parent, and sets the sampler on a CPU, if another process has set the variable END_WITH_PARENT."""
    if os.environ.get(END_WITH_PARENT) in (None, str(os.getpid())):
        return
    vllm_on_cpu.install()
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True, name="tenfold: parent").start()


def _end_with_parent(parent: int) -> None:
    """Kills this process when its parent has changed, because a process whose parent has ended gets another one.

    If the parent ended before its id was first read, only Python's own record of the parent shows that it ended.
    """
    creator = multiprocessing.parent_process()
    while os.getppid() == parent and (creator is None or creator.is_alive()):
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
