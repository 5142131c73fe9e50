"""Secrets in files: a file with a key, a token or a password does not go to the hub.

A file is searched for the values of the environment variables that hold secrets, for the hub's token, for texts in the form
of well-known tokens, for private keys, for addresses with a password or a key, and for settings such as `api_key: VALUE`.
Of weights, only the header is searched: the rest is numbers.
"""

import json
import os
import re
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

from ...core import UserError
from ...texts import without_secrets
from .contents import File

_NAMES = re.compile(
    r"(?:^|_)(?:API_?KEY|ACCESS_?KEY|KEY|TOKEN|PASSWORD|PASSWD|PASSPHRASE|SECRET|CREDENTIALS?|PAT)(?:_ID)?$", re.I
)
"""Names of environment variables that hold secrets."""
_FORMS = {
    "a token of the Hugging Face hub": r"\bhf_[A-Za-z0-9]{30,}",
    "an API key": r"\bsk-(?:ant-|proj-|or-)?[A-Za-z0-9_-]{20,}",
    "a token of GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})",
    "a token of GitLab": r"\bglpat-[A-Za-z0-9_-]{20,}",
    "a token of Slack": r"\bxox[abeprs]-[A-Za-z0-9-]{10,}",
    "a key of AWS": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "a key of Google": r"\bAIza[A-Za-z0-9_-]{35}",
    "a token of a package index": r"\bpypi-[A-Za-z0-9_-]{50,}",
    "a signed token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    "a private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY",
    "a setting with a secret": (
        r"(?i:\b(?:[a-z0-9]+_)*(?:api_?key|access_?key|auth_?token|access_?token|client_?secret|secret|password|passwd)"
        r"[\"']?\s*[:=]\s*[\"']?)(?=[A-Za-z_+/=.-]*[0-9])[A-Za-z0-9_+/=.-]{16,}"
    ),
}
_PATTERNS = {what: re.compile(pattern) for what, pattern in _FORMS.items()}
_ADDRESS = re.compile(r"\b[a-z][\w+.-]{0,40}:(?://[^\s\"'<>]+|%2f%2f[^\s\"'<>]+|[\w./-]*\?[^\s\"'<>]+)", re.IGNORECASE)
"""Addresses and URIs of policies."""
_MAX_SHOWN = 5
MAX_HEADER = 100_000_000
"""Largest header of a file of safetensors, in bytes, as the format says."""


def secrets() -> dict[str, str]:
    """Returns the secrets that this process knows, by a description: values of environment variables, and the hub's token."""
    from huggingface_hub import get_token

    found = {
        f"the value of ${name}": value.strip()
        for name, value in os.environ.items()
        if (_NAMES.search(name) or any(pattern.search(value) for pattern in _PATTERNS.values())) and len(value.strip()) > 7
    }
    if token := get_token():
        found.setdefault("the hub's token", token)
    return found


def redacted(text: str) -> str:
    """Returns a text of the hub without the secrets that this process knows, and without those in addresses."""
    for value in secrets().values():
        text = text.replace(value, "***")
    return without_secrets(text)


def check(files: Iterable[File]) -> None:
    """Checks that no file contains a secret.

    Raises:
        UserError: one does; the message names the file, the line and the kind of secret, and not the secret.
    """
    known = secrets()
    found = [f"{file.path}, line {line}: {what}" for file in files for line, what in in_text(_text(file), known)]
    if found:
        more = f" and {len(found) - _MAX_SHOWN} more" if len(found) > _MAX_SHOWN else ""
        raise UserError(
            f"nothing was sent, because files contain secrets ({'; '.join(found[:_MAX_SHOWN])}{more}): remove them from the "
            "files, or leave files out by --without PATTERN"
        )


def in_text(text: str, known: Mapping[str, str]) -> list[tuple[int, str]]:
    """Returns the secrets in a text: the number of the line, and what it is.

    Args:
        text: content of a file.
        known: secrets by description; see `secrets`.
    """
    found: dict[tuple[int, str], None] = {}

    def add(offset: int, what: str) -> None:
        found[text.count("\n", 0, offset) + 1, what] = None

    for what, value in known.items():
        for form in {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], quote(value, safe="")}:
            if (offset := text.find(form)) >= 0:
                add(offset, what)
    for what, pattern in _PATTERNS.items():
        for match in pattern.finditer(text):
            add(match.start(), what)
    for match in _ADDRESS.finditer(text):
        if without_secrets(match[0]) != match[0]:
            add(match.start(), "an address with a password or a key")
    return sorted(found)


def _text(file: File) -> str:
    if isinstance(file.source, bytes):
        return file.source.decode("utf-8", "replace")
    if file.path.endswith(".safetensors"):
        return header(file.source)
    return file.source.read_text(encoding="utf-8", errors="replace")


def header(path: Path) -> str:
    """Returns the header of a file of safetensors: a JSON object with the names, types and places of the tensors.

    Raises:
        UserError: the file has another form, for example because it is a pickle.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        text = file.read(length) if length <= min(size - 8, MAX_HEADER) else b""
    try:
        decoded = text.decode()
        entries = json.loads(decoded)
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
        if max(ends, default=0) != size - 8 - length:
            raise ValueError
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{path} is not a file of safetensors, or is truncated: save the weights again") from None
    return decoded
