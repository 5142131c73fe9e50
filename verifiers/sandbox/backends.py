"""Chooses the sandbox of a process by environment variables."""

import functools
import os

from ...core import UserError
from .local import LocalSandbox
from .protocol import Sandbox
from .spawn import may_lack


def shared() -> Sandbox:
    """Returns the one sandbox of this process, as $TENFOLD_SANDBOX names it: local (the default) or e2b.

    $TENFOLD_SANDBOX_WITHOUT names protections that the local sandbox may lack, separated by commas.

    Raises:
        UserError: there is no such sandbox, or its package or its key is missing.
    """
    return _of_process(os.getpid())


@functools.lru_cache(maxsize=1)
def _of_process(process: int) -> Sandbox:
    match os.environ.get("TENFOLD_SANDBOX", "local"):
        case "local":
            pass
        case "e2b":
            from .e2b import E2BSandbox

            return E2BSandbox()
        case other:
            raise UserError(f"TENFOLD_SANDBOX: expected local or e2b, got {other!r}")
    return LocalSandbox(without=may_lack())
