"""Which sandbox a process uses."""

import functools
import os

from ...core import UserError
from .local import LocalSandbox
from .protocol import Sandbox


def shared() -> Sandbox:
    """The one sandbox of this process: $TENFOLD_SANDBOX says which, local or e2b.

    $TENFOLD_SANDBOX_WITHOUT names protections that the local one may lack, with commas between.

    Raises:
        UserError: there is no such sandbox, or it lacks its package or its key.
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
            raise UserError(f"TENFOLD_SANDBOX is local or e2b, not {other!r}")
    return LocalSandbox(without=[part for part in os.environ.get("TENFOLD_SANDBOX_WITHOUT", "").split(",") if part])
