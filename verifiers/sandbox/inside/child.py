"""What runs inside the walls: foreign programs, asked for one thing at a time over a private channel.

Nothing here can be trusted once a foreign program has run, and nothing here needs to be: the supervisor takes what comes over
the channel for the program's own claims.
"""

import ast
import builtins
import os
import socket
import sys
import types
from typing import Any

from . import errors, script, wire

CHANNEL = 3
"""Descriptor of the channel to the supervisor."""
READY = {"ready": True}
"""The first message, sent before anything foreign runs: a child that dies without it is our fault, any other its own."""
MODULE = "solution"
"""Name of the module that a program is whose functions are called: what it does as `__main__` is not asked for."""


def serve(folder: str | None) -> None:
    """Answers requests until the supervisor closes the channel.

    Args:
        folder: the run's own; None where it has none.
    """
    channel, process = socket.socket(fileno=CHANNEL), os.getpid()
    channel.sendall(wire.pack(READY))
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    while (request := wire.receive(channel)) is not None:
        if "script" in request:
            reply = script.run(request["script"], main.__dict__, folder, _said)
        else:
            reply = _answer(request, main.__dict__, channel)
        if os.getpid() != process:  # a process that the program has forked has nothing to answer
            os._exit(0)
        channel.sendall(wire.pack(reply))


def _answer(request: dict[str, Any], names: dict[str, Any], channel: socket.socket) -> dict[str, Any]:
    try:
        value = None
        if "define" in request:
            sys.modules[MODULE] = sys.modules["__main__"]
            names["__name__"], names["__file__"] = MODULE, os.path.join(os.getcwd(), script.FILE)
            # Not by way of a tree, as `_execute` has to: building one is dear.
            exec(compile(request["define"], "<program>", "exec"), names)
        elif "source" in request:
            for name in request["asks"]:
                names[name] = _asking(name, channel)
            value = _execute(request["source"], names)
            value = repr(value) if request["show"] and value is not None else value
        else:
            arguments = [wire.decode(form) for form in request["arguments"]]
            keywords = {name: wire.decode(form) for name, form in request["keywords"].items()}
            value = names[request["call"]](*arguments, **keywords)
        reply = {"value": wire.encode(value)}
        wire.pack(reply)  # a value that cannot be said is the program's error
        return reply
    except SystemExit as left:
        return {
            "error": f"SystemExit: {left.code}",
            "status": left.code if isinstance(left.code, int) else int(bool(left.code)),
        }
    except BaseException as error:
        return {"error": (text := _said(error)), "raised": _form(error, text)}
    finally:
        script.flush()


def _execute(source: str, names: dict[str, Any]) -> Any:
    """Runs a program; the value of its last statement, where that is an expression."""
    tree = ast.parse(source, "<program>")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<program>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<program>", "eval"), names) if isinstance(last, ast.Expr) else None


def _asking(name: str, channel: socket.socket) -> Any:
    """A function whose calls are answered by the supervisor."""

    def ask(*arguments: Any, **keywords: Any) -> Any:
        said = {name: wire.encode(value) for name, value in keywords.items()}
        channel.sendall(wire.pack({"ask": name, "arguments": [wire.encode(value) for value in arguments], "keywords": said}))
        reply = wire.receive(channel)
        if reply is None:
            os._exit(1)
        if "error" in reply:
            raise errors.raised(reply.get("raised"), reply["error"])
        try:
            return wire.decode(reply["value"])
        except Exception:  # no form: the program's doing
            raise errors.Failed("a value that is none") from None

    ask.__name__ = name
    return ask


def _form(error: BaseException, text: str) -> list[Any] | None:
    """The error as it travels (see `errors`)."""
    try:
        return errors.form_of(error, text.partition(": ")[2])
    except BaseException:  # a class of which nothing can be told
        return None


def _said(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:2000]
    except BaseException:  # a class that fails when it is put into words
        return "an exception that cannot be said"
