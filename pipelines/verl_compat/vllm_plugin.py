"""A plug-in of vLLM (`vllm.general_plugins`): its processes end soon after their parent has ended for any reason.

vLLM's engine and workers are processes of their own, which would survive if the process that started them is killed. vLLM calls
`register` in each of its processes.
"""

import os
import signal
import threading
import time

VARIABLE = "TENFOLD_END_WITH_PARENT"
"""Environment variable that turns this on. Its value is the id of the process that set it, which itself does not end."""
POLL_SECONDS = 1.0


def register() -> None:
    """Starts a thread that watches the parent, if the variable is set by another process."""
    if os.environ.get(VARIABLE) in (None, str(os.getpid())):
        return
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True, name="tenfold: parent").start()


def _end_with_parent(parent: int) -> None:
    """Kills this process when its parent has changed, because a process whose parent has ended gets another one."""
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
