"""Sandboxes that run untrusted code. `protocol.py` defines their interface; each backend has its own file."""

from .backends import shared
from .interpreter import Interpreter
from .local import LocalSandbox
from .protocol import (
    Call,
    CallResult,
    EncodedCall,
    Limits,
    Outcome,
    ProgramEnded,
    RunStatus,
    Sandbox,
    SandboxFault,
    Session,
)

__all__ = [
    "Call",
    "CallResult",
    "EncodedCall",
    "Interpreter",
    "Limits",
    "LocalSandbox",
    "Outcome",
    "ProgramEnded",
    "RunStatus",
    "Sandbox",
    "SandboxFault",
    "Session",
    "shared",
]
