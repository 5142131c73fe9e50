"""How values and messages travel between the processes of the sandbox: JSON that keeps types apart.

`encode` gives every plain value a form of its own: 1, 1.0 and True differ, and so do a list and a tuple. An object of any
other class, a subclass of int or list among them, becomes the name of its class, and compares equal to nothing. Forms are
compared as they are (`verifiers/code.py`): nothing that a judged program sends is ever built into an object by its judge.
"""

import builtins
import json
import os
import re
import socket
import struct
from collections.abc import Iterator
from typing import Any

MAX_FRAME = 8 << 20
"""Bytes of one message."""

_DICTIONARIES = {("collections", name) for name in ("Counter", "OrderedDict", "defaultdict")}
"""Classes of the standard library whose instances equal a dictionary, and are said as one."""
MAX_DEPTH = 100
"""Lists and objects within each other in one message."""

_SHORT = 1 << 14
_TEXTS = re.compile(rb'"[^"]*+"')
_DIGITS = bytes(ord("0") if chr(code).isdigit() and code < 128 else code for code in range(256))
_HEADER = struct.Struct("<I")
_SMALL = 1 << 63  # an integer beyond is sent in hexadecimal: Python refuses to write one of many digits in decimal


def encode(value: Any) -> Any:
    """A value's form: JSON in which its type can be told."""
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
        return encode(value.item())
    return {"object": f"{kind.__module__}.{kind.__qualname__}"}


def decode(form: Any) -> Any:
    """The value of a form. An object's is its class's name, as text.

    Raises:
        ValueError, TypeError: it is no form.
    """
    if isinstance(form, list):
        return [decode(item) for item in form]
    if not isinstance(form, dict):
        return form
    ((kind, content),) = form.items()
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
            found = getattr(builtins, content)
            return found if isinstance(found, type) else f"<{content}>"
        case "object":
            return f"<{content}>"
    raise ValueError(f"no form: {kind!r}")


def pack(message: dict[str, Any]) -> bytes:
    """A message as bytes, its length first."""
    body = json.dumps(message).encode()
    return _HEADER.pack(len(body)) + body


def unpack(buffer: bytearray, room: int) -> tuple[dict[str, Any], int] | None:
    """Takes the first whole message off a buffer; None when there is none yet.

    Args:
        buffer: what has come so far.
        room: bytes that the message's values may take up.

    Returns:
        The message, and about how many bytes it takes up.

    Raises:
        ValueError: what is there is no message, or one too large.
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
    if not body.isascii():  # `pack` writes nothing else, and one letter of another kind would make all take four times as much
        raise ValueError("a message in other letters than ASCII")
    if (held := weight(body)) > room:
        raise ValueError(f"values of about {held >> 20} MiB, where {room >> 20} are left")
    try:
        message = json.loads(body)
    except RecursionError:
        raise ValueError("a message nested too deeply") from None
    if not isinstance(message, dict):
        raise ValueError("a message is a JSON object")
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth(message) > MAX_DEPTH:
        raise ValueError("a message nested too deeply")
    return message, held


def weight(body: bytes) -> int:
    """About how many bytes the values of a message take up once it is read; of a short one never less than that."""
    wide = 4 if b"\\u" in body else 1
    rough = _weighed(body.count(b","), body.count(b"["), body.count(b"{"), body.count(b'"') // 2, wide * len(body), 0)
    return rough if rough <= _SHORT else sum(_weighed(*counts) for counts in _counts(body, wide))


def _counts(body: bytes, wide: int) -> Iterator[tuple[int, int, int, int, int, int]]:
    """What `_weighed` takes, of a message piece by piece; what stands in texts does not count."""
    start, size = 0, _SHORT
    while start < len(body):
        piece = body[start : start + size].replace(b"\\\\", b"__").replace(b'\\"', b"__")
        bare, texts = _TEXTS.subn(b"", piece)
        cut = bare.find(b'"')
        open_text = len(bare) - cut if cut >= 0 and start + len(piece) < len(body) else 0
        if open_text == len(piece):  # one that is longer than all of this
            size *= 2
            continue
        start, size = start + len(piece) - open_text, _SHORT
        letters, bare = len(piece) - len(bare), bare[: len(bare) - open_text]
        # Integers of one or two digits exist once, as these words do.
        spread = bare.translate(_DIGITS, b" ").replace(b",", b",,").replace(b"[", b",").replace(b"]", b",")
        shared = sum(spread.count(word) for word in (b",0,", b",00,", b"true", b"false", b"null"))
        yield bare.count(b","), bare.count(b"["), bare.count(b"{"), texts, wide * letters + len(bare) // 2, shared


def _weighed(commas: int, lists: int, objects: int, texts: int, letters: int, shared: int) -> int:
    """What CPython keeps: a pointer and a number of an item, a list with room for four, an object with room for five pairs."""
    return 40 * commas + 128 * lists + 240 * objects + 56 * texts + letters - 32 * min(shared, commas)


def _depth(message: Any) -> int:
    """How deep lists and objects are nested. Everything that comes after may then recurse into them."""
    level, depth = [message], 0
    while level:
        depth += 1
        inner = [item.values() if isinstance(item, dict) else item for item in level]
        level = [value for items in inner for value in items if isinstance(value, dict | list)]
    return depth


def receive(channel: socket.socket) -> dict[str, Any] | None:
    """The next message, waited for; None at the end of the stream."""
    header = _exactly(channel, _HEADER.size)
    if header is None:
        return None
    body = _exactly(channel, _HEADER.unpack(header)[0])
    return None if body is None else json.loads(body)


def readable(content: str | bytes) -> int:
    """A descriptor to read the content from, from its start; it is no file that anybody else could open."""
    descriptor = os.memfd_create("content")
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _exactly(channel: socket.socket, size: int) -> bytes | None:
    content = bytearray()
    while len(content) < size:
        chunk = channel.recv(min(size - len(content), 1 << 20))
        if not chunk:
            return None
        content += chunk
    return bytes(content)
