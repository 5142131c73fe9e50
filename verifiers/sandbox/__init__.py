"""Where untrusted code runs. One backend a file, one protocol (`protocol.py`)."""

from .backends import shared
from .interpreter import Interpreter
from .local import LocalSandbox
from .protocol import (
    Call,
    End,
    Ended,
    Limits,
    Outcome,
    Question,
    Result,
    Sandbox,
    SandboxFault,
    Session,
)

__all__ = [
    "Call",
    "End",
    "Ended",
    "Interpreter",
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
