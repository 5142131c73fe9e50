"""The services with memory. The leaderboard's classes run in the sandbox; see `services.py`.

`MemoryAPI_kv` needs the package rank-bm25, whose source also runs in the sandbox. `MemoryAPI_vector` needs the package
sentence-transformers and its model, which encode the texts in this process.
"""

import functools
import importlib.util
import inspect
import json
from collections.abc import Mapping, Sequence
from importlib.abc import InspectLoader
from typing import Any

from ... import extras
from ...core import UserError
from ...verifiers.sandbox import CallResult, EncodedCall, Session
from ...verifiers.sandbox.inside import wire
from .inside import memory, vectors
from .services import AGENTIC_MODULES, PACKAGE, Services, Sources, digest_of, source

ENCODER = "all-MiniLM-L6-v2"
"""The leaderboard's model for vectors, of sentence-transformers."""
BASE = "memory_api_metaclass"
"""The module of the classes' base class, which `inside/memory.py` replaces."""
MAX_SNAPSHOT = 1 << 20
"""Characters of a snapshot. Our choice: the services' own limits allow about 110,000 in most cases."""

Snapshot = Mapping[str, Any]
"""The content of a memory as JSON data."""


class MemoryService(Services):
    """A memory. Close it at the end."""

    def __init__(self, class_name: str, snapshot: Snapshot | None):
        """Takes the content of the memory. Nothing is started yet.

        Args:
            class_name: the class of the service.
            snapshot: the content; None if the memory is empty.
        """
        module = AGENTIC_MODULES[class_name]
        self._session = None
        self._given = {
            "libraries": libraries(class_name),
            "sources": [(BASE, inspect.getsource(memory)), (module, source(module))],
            "package": PACKAGE,
            "classes": {class_name: module},
            "config": {class_name: {"snapshot": snapshot}},
            "long_context": False,
            "sets": ("policy",),
        }
        self._has_vectors = class_name == "MemoryAPI_vector"

    def context(self) -> str:
        """Returns the text about the content of the memory that the policy sees in the system turn."""
        return self._ask("context")

    def snapshot(self) -> Snapshot:
        """Returns the content of the memory.

        Raises:
            Stopped: see `Services.run`.
        """
        found: Snapshot = json.loads(self._ask("snapshot"))
        return found

    def _called(self, session: Session, function: str, arguments: Sequence[str]) -> CallResult:
        if not self._has_vectors:
            return super()._called(session, function, arguments)
        call = f"{function}({', '.join(map(repr, arguments))})"
        return session.execute(call, _encode, ("encode", "dimension"))


def check(class_name: str) -> None:
    """Checks that a service has all that it needs.

    Raises:
        UserError: a package or the encoder is missing.
    """
    libraries(class_name)
    if class_name == "MemoryAPI_vector":
        encoder()


def libraries(class_name: str) -> Sources:
    """Returns the modules that the module of a class imports.

    Raises:
        UserError: a package is missing.
    """
    if class_name == "MemoryAPI_vector":
        stand_in = inspect.getsource(vectors)
        return [("sentence_transformers", stand_in), ("faiss", stand_in)]
    return [("rank_bm25", _package_source("rank_bm25"))] if class_name == "MemoryAPI_kv" else []


@functools.cache
def encoder() -> Any:
    """Returns the encoder of sentence-transformers.

    Raises:
        UserError: the package or the model is missing.
    """
    extras.require("memory_vector of BFCL-V4", "sentence_transformers")
    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(ENCODER, device="cpu")
    except (OSError, ValueError) as error:
        cause = " ".join(str(error).split())[:80]
        raise UserError(
            f"memory_vector of BFCL-V4 needs the model sentence-transformers/{ENCODER} in the hub's cache; run it once with a "
            f"connection ({cause}...)"
        ) from None


def _encode(call: EncodedCall) -> CallResult:
    """Answers a call of the program in the sandbox."""
    if call.function == "dimension":
        return CallResult(int(encoder().get_sentence_embedding_dimension()))
    try:
        (given,) = map(wire.decode, call.arguments)
        texts = given if isinstance(given, list) else [given]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError
    except (TypeError, ValueError):
        return CallResult(error="TypeError: expected texts")
    return CallResult(wire.encode(encoder().encode(texts, normalize_embeddings=True).tolist()))


def digest(class_name: str) -> str:
    """Returns the SHA-256 of the source that decides the results of calls."""
    packages = [text for name, text in libraries(class_name) if class_name == "MemoryAPI_kv"]
    return digest_of([*packages, source(AGENTIC_MODULES[class_name])])


def _package_source(name: str) -> str:
    """Returns the source of a package that is one file."""
    extras.require("memory_kv of BFCL-V4", name)
    spec = importlib.util.find_spec(name)
    text = spec.loader.get_source(name) if spec and isinstance(spec.loader, InspectLoader) else None
    if text is None:
        raise UserError(f"memory_kv of BFCL-V4 needs the source of the package {extras.package_of(name)}; install it with pip")
    return text
