"""A `LocalSandbox` on another machine, spoken to over standard input and output: the inner half of `e2b.py`.

Every line is a JSON object with the number of the session it belongs to. What a program sends back is data on its way out, and
built into no value here. Modules of this folder, and `core.py`, are all that the other machine needs beside Python.
"""

import argparse
import json
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from ...core import UserError
from . import wire
from .local import LocalSandbox, LocalSession
from .protocol import Call, Ended, Limits, Question, Result, SandboxFault

_writing = threading.Lock()


def tell(message: dict[str, Any]) -> None:
    """Writes one line."""
    line = json.dumps(message) + "\n"
    with _writing:
        sys.stdout.write(line)
        sys.stdout.flush()


def serve(number: int, box: LocalSandbox, requests: "queue.Queue[dict[str, Any]]") -> None:
    """Answers what one session is asked: a whole run, or pieces of program until it is closed."""

    def answer(question: Question) -> Result:
        tell({"session": number, "ask": asdict(question)})
        return Result(**requests.get()["told"])

    session: LocalSession | None = None
    ended = False
    while not ended:
        reply, ended = _reply(requests.get(), box, session, answer)
        session = reply.pop("opened", session)
        tell({"session": number, **reply})


def _reply(
    request: dict[str, Any], box: LocalSandbox, session: LocalSession | None, answer: Callable[[Question], Result]
) -> tuple[dict[str, Any], bool]:
    """The reply to a request, and whether the session is over with it."""
    try:
        if "run" in request:
            limits = Limits(**request.pop("limits"))
            calls = [Call(call["function"], *_values(call)) for call in request["calls"]]
            return {"outcome": asdict(box.run(request["run"], calls, request["stdin"], limits))}, True
        if "open" in request:
            return {"opened": box.open(Limits(**request["open"]))}, False
        assert session is not None
        if "close" in request:
            return {"outcome": asdict(session.close())}, True
        if "source" in request:
            result = session.execute(request["source"], answer, request["asks"], request["show"])
        else:
            result = session.relay(Question(**request["call"]))
        return {"result": asdict(result)}, False
    except Ended as over:
        return {"ended": str(over)}, False
    except (SandboxFault, UserError, OSError) as error:
        return {"fault": str(error)}, True


def _values(call: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The supervisor's own arguments, which travel as forms."""
    return [wire.decode(form) for form in call["arguments"]], {
        name: wire.decode(form) for name, form in call["keywords"].items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without", default="", help="protections that may be missing, with commas between")
    without = parser.parse_args(arguments).without.split(",")
    box = LocalSandbox(without=without)
    try:
        tell({"session": 0, "ready": box.missing()})
    except (SandboxFault, UserError) as error:
        tell({"session": 0, "fault": str(error)})
        return
    sessions: dict[int, queue.Queue[dict[str, Any]]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        number = request.pop("session")
        if "open" in request or "run" in request:
            sessions[number] = queue.Queue()
            threading.Thread(target=serve, args=(number, box, sessions[number]), daemon=True).start()
        if number in sessions:
            sessions[number].put(request)
            if "close" in request or "run" in request:
                del sessions[number]
    box.close()


if __name__ == "__main__":
    main()
