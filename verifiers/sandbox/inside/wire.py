"""Encoding of values and messages between the processes of the sandbox: JSON in which types stay distinct.

`encode` distinguishes 1, 1.0 and True, and a list and a tuple. A scalar of numpy is encoded as Python's number, and a Counter,
an OrderedDict and a defaultdict as a dictionary. An object of any other class, including a subclass of int or list, is encoded
as the name of its class and equals nothing. Values are compared in encoded form (`verifiers/code.py`), so the process that
compares never constructs an object from what a judged program sends.
"""

import builtins
import json
import os
import re
import socket
import struct
import types
from collections.abc import Iterator
from typing import Any, TypedDict

JSONObject = dict[str, Any]
"""A JSON object, such as a message between two processes."""

MAX_FRAME = 8 << 20
"""Maximum number of bytes of one message."""
MAX_DEPTH = 100
"""Maximum nesting depth of lists and objects in one message."""

_DICTIONARIES = {("collections", name) for name in ("Counter", "OrderedDict", "defaultdict")}
"""Classes of the standard library whose instances equal a dictionary; they are encoded as dictionaries."""

_TYPES = {
    kind.__name__: kind
    for module in (types, builtins)
    for kind in vars(module).values()
    if isinstance(kind, type) and kind.__module__ == "builtins"
}
"""Builtin classes by name. Some, such as `NoneType`, have a name only in the module `types`."""
_SHORT = 1 << 14
_TEXTS = re.compile(rb'"[^"]*+"')
_DIGITS = bytes(ord("0") if chr(code).isdigit() and code < 128 else code for code in range(256))
_HEADER = struct.Struct("<I")
_SMALL = 1 << 63  # larger integers are sent in hexadecimal, because Python does not write very long decimal numbers


class ChildUsage(TypedDict):
    """What a child and its descendants have used so far."""

    cpu_seconds: float | None
    """None if no control group counts the processor time."""
    processes: list[int]


class ChildReport(TypedDict):
    """How a child ended."""

    killed: bool
    """True if the child was still running and had to be killed."""
    status: int
    """Exit status, or the negative number of the signal that ended it."""
    cpu_seconds: float
    peak_memory: int
    """Bytes."""
    out_of_memory: bool


def encode(value: Any) -> Any:
    """Returns the value as JSON that preserves its type."""
    kind = type(value)
    if value is None or kind in (bool, str, float):
        return value
    if kind is int:
        return value if -_SMALL <= value < _SMALL else {"int": hex(value)}
    if kind is list:
        return [encode(item) for item in value]
    if kind in (tuple, set, frozenset):
        return {kind.__name__: [encode(item) for item in value]}
    if kind is dict or (kind.__module__, kind.__name__) in _DICTIONARIES:
        return {"dict": [[encode(key), encode(item)] for key, item in value.items()]}
    if kind is bytes:
        return {"bytes": value.hex()}
    if kind is complex:
        return {"complex": [value.real, value.imag]}
    if kind is type and value.__module__ == "builtins":
        return {"type": value.__name__}
    if kind.__module__ == "numpy" and getattr(value, "shape", None) == ():
        item = value.item()
        if type(item) is kind:  # of more precision than Python's numbers
            item = complex(item) if item.dtype.kind == "c" else float(item)
        return encode(item)
    return {"object": f"{kind.__module__}.{kind.__qualname__}"}


def decode(encoded: Any) -> Any:
    """Returns the encoded value. An object of a class that is not encoded becomes the name of its class, as text.

    Raises:
        ValueError, TypeError: `encoded` is not the encoding of a value.
    """
    if isinstance(encoded, list):
        return [decode(item) for item in encoded]
    if not isinstance(encoded, dict):
        return encoded
    ((kind, content),) = encoded.items()
    match kind:
        case "int":
            return int(content, 16)
        case "tuple":
            return tuple(decode(item) for item in content)
        case "set":
            return {decode(item) for item in content}
        case "frozenset":
            return frozenset(decode(item) for item in content)
        case "dict":
            return {decode(key): decode(item) for key, item in content}
        case "bytes":
            return bytes.fromhex(content)
        case "complex":
            return complex(*content)
        case "type":
            return _TYPES.get(content, f"<{content}>")
        case "object":
            return f"<{content}>"
    raise ValueError(f"not an encoded value: {kind!r}")


def pack(message: JSONObject) -> bytes:
    """Returns the message as bytes, preceded by its length."""
    body = json.dumps(message).encode()
    return _HEADER.pack(len(body)) + body


def unpack(buffer: bytearray, limit: int) -> tuple[JSONObject, int] | None:
    """Removes the first complete message from a buffer and returns it; None if there is none yet.

    Args:
        buffer: the bytes received so far.
        limit: bytes of memory that the message's values may take.

    Returns:
        The message, and an estimate of the memory that it takes, in bytes.

    Raises:
        ValueError: the buffer does not contain a message, or the message is too large.
    """
    if len(buffer) < _HEADER.size:
        return None
    (size,) = _HEADER.unpack_from(buffer)
    if size > MAX_FRAME:
        raise ValueError(f"a message of {size} bytes")
    if len(buffer) < _HEADER.size + size:
        return None
    body = bytes(buffer[_HEADER.size : _HEADER.size + size])
    del buffer[: _HEADER.size + size]
    if not body.isascii():  # `pack` writes ASCII only; one other character would make all text take four times the memory
        raise ValueError("a message with characters outside ASCII")
    if (size_in_memory := estimated_bytes(body)) > limit:
        raise ValueError(f"values of about {size_in_memory >> 20} MiB where {limit >> 20} MiB are left")
    try:
        message = json.loads(body)
    except RecursionError:
        raise ValueError("a message that is nested too deeply") from None
    if not isinstance(message, dict):
        raise ValueError("a message that is not a JSON object")
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth(message) > MAX_DEPTH:
        raise ValueError("a message that is nested too deeply")
    return message, size_in_memory


def estimated_bytes(body: bytes) -> int:
    """Estimates the memory that the values of a message take after parsing. For a short message it is an upper bound."""
    wide = 4 if b"\\u" in body else 1
    rough = _memory(body.count(b","), body.count(b"["), body.count(b"{"), body.count(b'"') // 2, wide * len(body), 0)
    return rough if rough <= _SHORT else sum(_memory(*counts) for counts in _counts(body, wide))


def _counts(body: bytes, wide: int) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Yields the arguments of `_memory` for consecutive pieces of a message; punctuation inside strings is not counted."""
    start, size = 0, _SHORT
    while start < len(body):
        piece = body[start : start + size].replace(b"\\\\", b"__").replace(b'\\"', b"__")
        bare, texts = _TEXTS.subn(b"", piece)
        quote_at = bare.find(b'"')
        open_text = len(bare) - quote_at if quote_at >= 0 and start + len(piece) < len(body) else 0
        if open_text == len(piece):  # a string that is longer than the piece
            size *= 2
            continue
        start, size = start + len(piece) - open_text, _SHORT
        letters, bare = len(piece) - len(bare), bare[: len(bare) - open_text]
        # CPython shares integers of one or two digits, and these words.
        spread = bare.translate(_DIGITS, b" ").replace(b",", b",,").replace(b"[", b",").replace(b"]", b",")
        shared = sum(spread.count(word) for word in (b",0,", b",00,", b"true", b"false", b"null"))
        yield bare.count(b","), bare.count(b"["), bare.count(b"{"), texts, wide * letters + len(bare) // 2, shared


def _memory(commas: int, lists: int, objects: int, texts: int, letters: int, shared: int) -> int:
    """Bytes that CPython uses: a pointer and a number per item, space for four items per list and for five pairs per object."""
    return 40 * commas + 128 * lists + 240 * objects + 56 * texts + letters - 32 * min(shared, commas)


def _depth(message: object) -> int:
    """Returns the nesting depth of lists and objects. Code that later handles the message may recurse into them."""
    level: list[Any] = [message]
    depth = 0
    while level:
        depth += 1
        inner = [item.values() if isinstance(item, dict) else item for item in level]
        level = [value for items in inner for value in items if isinstance(value, dict | list)]
    return depth


def receive(channel: socket.socket) -> JSONObject | None:
    """Waits for the next message and returns it; None at the end of the stream."""
    header = _read_exactly(channel, _HEADER.size)
    if header is None:
        return None
    body = _read_exactly(channel, _HEADER.unpack(header)[0])
    return None if body is None else json.loads(body)


def memory_file(content: str | bytes) -> int:
    """Returns a descriptor, at position 0, of an anonymous file with the content. No other process can open the file."""
    written = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    descriptor = os.memfd_create("content")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(written)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _read_exactly(channel: socket.socket, size: int) -> bytes | None:
    content = bytearray()
    while len(content) < size:
        chunk = channel.recv(min(size - len(content), 1 << 20))
        if not chunk:
            return None
        content += chunk
    return bytes(content)
