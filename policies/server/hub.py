"""The Hugging Face hub: downloads, and one-line errors if it cannot be reached or does not know a name.

Without a connection, the hub's clients retry for a minute. Therefore a short check of the connection comes first. The download
itself keeps the clients' own time limits, which suit slow networks.
"""

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ...core import UserError

T = TypeVar("T")


class Unreachable(UserError):
    """The cache lacks what is needed, and there is no connection to the hub, or only `tenfold fetch` downloads it."""

    def __init__(self, message: str, brief: str = "the hub cannot be reached"):
        """Creates the error. `brief` is the message in a few words, for a list of what is unknown."""
        super().__init__(message)
        self.brief = brief


CONNECT_SECONDS = 4.0
"""Time limit of the check of the connection, in seconds. Our choice: a slow network needs less than one."""
MODEL_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
"""Files that are downloaded with a model. Weights in pickle files are not among them."""
NO_ANSWER = ("LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectionError", "ConnectError", "ConnectTimeout", "Timeout")
"""Names of the clients' errors that mean that the hub did not reply."""


def download_model(name: str, revision: str | None = None) -> Path:
    """Returns the folder with a model's files, which are downloaded unless they are in the cache.

    Args:
        name: ORG/NAME.
        revision: branch, tag or commit; None: the main branch.

    Raises:
        UserError: no connection, no such model, or no access to it.
    """
    from huggingface_hub import snapshot_download

    def load() -> Path:
        return Path(snapshot_download(name, revision=revision, allow_patterns=MODEL_FILES))

    return fetch("model", name, load, "path:FOLDER")


def download_file(name: str, file: str, revision: str | None, instead: str) -> Path:
    """Returns a file of a model, which is downloaded unless it is in the cache. See `download_model`.

    Args:
        name: ORG/NAME.
        file: path in the model's repository.
        revision: branch, tag or commit; None: the main branch.
        instead: see `fetch`.
    """
    from huggingface_hub import hf_hub_download

    return fetch("model", name, lambda: Path(hf_hub_download(name, file, revision=revision)), instead)


def fetch(kind: str, name: str, load: Callable[[], T], instead: str) -> T:
    """Returns the result of a download. Without a connection it comes from the cache.

    Args:
        kind: "model" or "data set", for messages.
        name: ORG/NAME.
        load: downloads, or reads the cache.
        instead: URI of a local copy, for messages.

    Raises:
        Unreachable: no connection and not in the cache.
        UserError: no such name, or no access to it.
    """
    reason = unreachable()
    try:
        with contextlib.nullcontext() if reason is None else _offline():
            return load()
    except Exception as error:  # the hub's clients raise many types, all about the name or the connection
        message = explain(kind, name, error, reason, instead)
    raise Unreachable(message) if reason else UserError(message)


def explain(kind: str, name: str, error: BaseException, offline: str | None, instead: str) -> str:
    """Returns an error of the hub's clients as one line that says what to do.

    Args:
        kind: "model" or "data set".
        name: ORG/NAME.
        error: the client's error.
        offline: why there is no connection; None if there is one.
        instead: URI of a local copy.
    """
    if offline:
        return f"the {kind} {name} is not in the cache, and {offline}; connect, or use {instead}"
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    names = [parent.__name__ for link in chain for parent in type(link).__mro__]
    if "GatedRepoError" in names or "is a gated" in str(error):
        return f"the {kind} {name} is gated: accept its terms on {endpoint()}, and set HF_TOKEN to a token of your account"
    if "RevisionNotFoundError" in names:
        return f"the {kind} {name} does not have this revision; see {endpoint()}"
    if "RemoteEntryNotFoundError" in names:
        return f"the {kind} {name} does not have this file; see {endpoint()}"
    if {"RepositoryNotFoundError", "DatasetNotFoundError", "HFValidationError"} & {*names}:
        return f"there is no {kind} {name} on {endpoint()}: correct the name, or set HF_TOKEN if it is private"
    if {*NO_ANSWER} & {*names}:
        return f"the {kind} {name} cannot be downloaded: the connection to {endpoint()} failed; try again, or use {instead}"
    cause = (str(error).splitlines() or [""])[0][:200]
    return f"the {kind} {name} cannot be loaded ({type(error).__name__}: {cause}); without access to the hub, use {instead}"


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Makes the hub's clients read only their caches, as HF_HUB_OFFLINE does. They read the variable only when imported."""
    parts = [sys.modules[name] for name in ("huggingface_hub.constants", "datasets.config") if name in sys.modules]
    before = [vars(part)["HF_HUB_OFFLINE"] for part in parts]
    for part in parts:
        vars(part)["HF_HUB_OFFLINE"] = True
    try:
        yield
    finally:
        for part, value in zip(parts, before, strict=True):
            vars(part)["HF_HUB_OFFLINE"] = value


def endpoint() -> str:
    """Returns the address of the hub: $HF_ENDPOINT, else huggingface.co."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def unreachable() -> str | None:
    """Returns why there is no connection to the hub; None if a connection to it, or to a proxy if one is set, can be opened."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE"):
            return f"{name} is set"
    try:
        address = urlsplit(endpoint())
        host, scheme = address.hostname or "", address.scheme or "https"
        if (proxy := getproxies().get(scheme) or getproxies().get("all")) and not proxy_bypass(host):
            address = urlsplit(proxy if "//" in proxy else f"//{proxy}")
            scheme = address.scheme or "http"
        port = address.port or (443 if scheme == "https" else 80)
    except ValueError:
        address = urlsplit("")
    if not address.hostname:
        return "HF_ENDPOINT or the address of the proxy is not a URL"
    reasons: list[str | None] = []

    def connect() -> None:
        try:
            socket.create_connection((address.hostname, port), timeout=CONNECT_SECONDS).close()
            reasons.append(None)
        except OSError as error:
            reasons.append(error.strerror or str(error))
        except ValueError:  # the host is not a domain name
            reasons.append("the name of the host is invalid")

    attempt = threading.Thread(target=connect, daemon=True)  # because the look-up of the name has no time limit
    attempt.start()
    attempt.join(CONNECT_SECONDS)
    reason = reasons[0] if reasons else f"no reply within {CONNECT_SECONDS:.0f} s"
    return None if reason is None else f"{address.hostname} cannot be reached ({reason})"
