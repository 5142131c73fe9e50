"""Where untrusted code runs. One backend a file, one protocol (`protocol.py`)."""

import functools
import os

from .local import LocalSandbox
from .protocol import Call, End, Ended, Limits, Outcome, Question, Result, Sandbox, SandboxFault, Session

__all__ = [
    "Call",
    "End",
    "Ended",
    "Limits",
    "LocalSandbox",
    "Outcome",
    "Question",
    "Result",
    "Sandbox",
    "SandboxFault",
    "Session",
    "shared",
]


def shared() -> Sandbox:
    """The one sandbox of this process. $TENFOLD_SANDBOX_WITHOUT names protections that may be missing, with commas between."""
    return _of_process(os.getpid())


@functools.lru_cache(maxsize=1)
def _of_process(process: int) -> Sandbox:
    return LocalSandbox(without=[part for part in os.environ.get("TENFOLD_SANDBOX_WITHOUT", "").split(",") if part])
