"""Runs inside the sandbox: executes untrusted programs and handles the supervisor's requests over a private channel.

After an untrusted program has run, nothing in this process can be trusted. That is safe, because the supervisor treats
everything that it receives over the channel as the program's own claim.
"""

import ast
import builtins
import os
import socket
import sys
import types
from collections.abc import Callable
from typing import Any

from . import errors, script, wire

CHANNEL = 3
"""Descriptor of the channel to the supervisor."""
READY = {"ready": True}
"""The first message, sent before any untrusted code runs. If a child ends before it has sent this message, the sandbox
has failed. If it ends later, the program caused it."""
MODULE = "solution"
"""`__name__` of a program whose functions are called. It is not `__main__`, so the program's `__main__` block does not run."""


def serve(folder: str | None) -> None:
    """Handles requests until the supervisor closes the channel.

    Args:
        folder: the run's own folder; None if it has none.
    """
    channel, process = socket.socket(fileno=CHANNEL), os.getpid()
    channel.sendall(wire.pack(READY))
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    while (request := wire.receive(channel)) is not None:
        if "script" in request:
            reply = script.run(request["script"], main.__dict__, folder, _described)
        else:
            reply = _answer(request, main.__dict__, channel)
        if os.getpid() != process:  # a process that the program has forked must not reply
            os._exit(0)
        channel.sendall(wire.pack(reply))


def _answer(request: wire.JSONObject, names: dict[str, Any], channel: socket.socket) -> wire.JSONObject:
    try:
        value = None
        if "define" in request:
            sys.modules[MODULE] = sys.modules["__main__"]
            names["__name__"], names["__file__"] = MODULE, os.path.join(os.getcwd(), script.FILE)
            # Compiled directly, because building a syntax tree is slow; only `_execute` needs one.
            exec(compile(request["define"], "<program>", "exec"), names)
        elif "source" in request:
            for name in request["external"]:
                names[name] = _external_function(name, channel)
            value = _execute(request["source"], names)
            value = repr(value) if request["as_text"] and value is not None else value
        else:
            arguments = [wire.decode(encoded) for encoded in request["arguments"]]
            keywords = {name: wire.decode(encoded) for name, encoded in request["keywords"].items()}
            if (name := request["call"]) not in names:
                return {"error": f"NameError: name {name!r} is not defined"}  # without "raised", because no test may expect it
            value = names[name](*arguments, **keywords)
        reply = {"value": wire.encode(value)}
        wire.pack(reply)  # a value that cannot be encoded is the program's error
        return reply
    except SystemExit as exited:
        return {
            "error": f"SystemExit: {exited.code}",
            "status": exited.code if isinstance(exited.code, int) else int(bool(exited.code)),
        }
    except BaseException as error:
        return {"error": (text := _described(error)), "raised": _encoded(error, text)}
    finally:
        script.flush()


def _execute(source: str, names: dict[str, Any]) -> Any:
    """Runs a program and returns the value of its last statement if that is an expression."""
    tree = ast.parse(source, "<program>")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<program>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<program>", "eval"), names) if isinstance(last, ast.Expr) else None


def _external_function(name: str, channel: socket.socket) -> Callable[..., Any]:
    """Returns a function whose calls the supervisor handles."""

    def ask(*arguments: Any, **keywords: Any) -> Any:
        encoded = [wire.encode(value) for value in arguments]
        encoded_keywords = {name: wire.encode(value) for name, value in keywords.items()}
        channel.sendall(wire.pack({"ask": name, "arguments": encoded, "keywords": encoded_keywords}))
        reply = wire.receive(channel)
        if reply is None:
            os._exit(1)
        if "error" in reply:
            raise errors.decode_error(reply.get("raised"), reply["error"])
        try:
            return wire.decode(reply["value"])
        except Exception:  # the judged program sent something that is not an encoded value
            raise errors.Failed("the program returned a malformed value") from None

    ask.__name__ = name
    return ask


def _encoded(error: BaseException, text: str) -> list[Any] | None:
    """Returns the encoded error (see `errors`)."""
    try:
        return errors.encode_error(error, text.partition(": ")[2])
    except BaseException:  # the class of the exception may raise in any of its methods
        return None


def _described(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:2000]
    except BaseException:  # the exception's own `__str__` raises
        return "an exception whose text cannot be read"
