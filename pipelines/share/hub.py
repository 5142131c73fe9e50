"""The hub's client: its errors as one line that says what to do."""

import contextlib
from collections.abc import Iterator

from ...core import UserError
from ...policies.server import hub
from ...terminal import plain
from . import search
from .address import Address

AGAIN = "run the same command again to resume"


@contextlib.contextmanager
def errors(address: Address, doing: str) -> Iterator[None]:
    """Turns errors of the hub and of the connection into UserErrors, without secrets.

    Args:
        address: the repository.
        doing: "push" or "pull".

    Raises:
        UserError: the hub refuses, fails or does not answer.
    """
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if reason := hub.unreachable():
        raise UserError(f"{address} needs the hub, and {reason}")
    try:
        yield
    except HfHubHTTPError as error:
        raise UserError(_explained(error, address, doing)) from None
    except Exception as error:  # the client raises errors of the library that it sends requests with
        reason = type(error).__name__
        modules = {parent.__module__.partition(".")[0] for parent in type(error).__mro__}
        if "httpx" not in modules and not isinstance(error, OfflineModeIsEnabled):
            raise
        raise UserError(f"{address}: the connection to {hub.endpoint()} broke ({reason}): {AGAIN}") from None


def _explained(error: Exception, address: Address, doing: str) -> str:
    names = {parent.__name__ for parent in type(error).__mro__}
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    said = " ".join(plain(search.redacted(str(getattr(error, "server_message", None) or ""))).split())[:200]
    reason = f" ({said})" if said else ""
    right = "write" if doing == "push" else "read"
    if "GatedRepoError" in names:
        return f"{address} is gated: accept its terms on {hub.endpoint()}, and set HF_TOKEN to a token of your account"
    if "RevisionNotFoundError" in names:
        return f"{address}: there is no such revision"
    if status == 401 and "RepositoryNotFoundError" not in names:
        return f"{address}: the hub does not accept the token{reason}: set HF_TOKEN, or log in with `hf auth login`"
    if status == 403:
        return f"{address}: the token may not {right} there{reason}: use a token with the right to {right}, or another name"
    if "RepositoryNotFoundError" in names or status in (401, 404):
        return f"{address}: there is no such repository, or your token may not read it: correct the name, or set HF_TOKEN"
    if status in (409, 412):
        return f"{address}: somebody else changes the repository{reason}: look at it, and {AGAIN}"
    if status is not None and (status >= 500 or status == 429):
        return f"{address}: the hub failed with status {status}{reason}: {AGAIN}"
    return f"{address}: the hub refuses (status {status}){reason}"
