"""Serves a `LocalSandbox` over standard input and output. `e2b.py` runs this program on another machine.

Every line is a JSON object with the number of its session. What a program sends back stays encoded here and is passed on. The
other machine needs only Python, the modules of this folder, `core.py`, `responses.py` and `texts.py`.
"""

import argparse
import collections
import contextlib
import json
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ...core import UserError
from .inside import wire
from .inside.wire import JSONObject
from .local import LocalSandbox
from .protocol import Call, CallResult, EncodedCall, Limits, Outcome, ProgramEnded, SandboxFault, fields
from .session import LocalSession

HEARTBEAT_SECONDS = 5.0
MAX_SESSIONS = 10_000
"""Number of sessions whose last message number is remembered, so that a line that is delivered twice is handled once."""
_writing = threading.Lock()


def send(message: JSONObject) -> None:
    """Writes a message as one line."""
    line = json.dumps(message) + "\n"
    with _writing:
        sys.stdout.write(line)
        sys.stdout.flush()


def serve(number: int, box: LocalSandbox, requests: "queue.Queue[JSONObject]") -> None:
    """Handles the requests of one session: one whole run, or requests until the session is closed.

    Args:
        number: the session's number.
        box: the sandbox that runs its programs.
        requests: the session's requests as they arrive.
    """

    def handler(call: EncodedCall) -> CallResult:
        send({"session": number, "ask": fields(call)})
        return CallResult(**requests.get()["answer"])

    session: LocalSession | None = None
    over = False
    while not over:
        request = requests.get()
        try:
            reply, over = _reply(request, box, session, handler)
        except ProgramEnded as ended:
            reply, over = {"ended": str(ended)}, False
        except Exception as fault:  # any failure of this agent must reach the client, which waits for a reply
            reply, over = {"fault": f"{type(fault).__name__}: {fault}"}, True
            if session is not None and "close" not in request:  # a session whose `close` failed has released all that it had
                with contextlib.suppress(SandboxFault):
                    session.close()
        session = reply.pop("opened", session)
        send({"session": number, **reply})


def _reply(
    request: JSONObject, box: LocalSandbox, session: LocalSession | None, handler: Callable[[EncodedCall], CallResult]
) -> tuple[JSONObject, bool]:
    """Returns the reply to a request, and whether the session ends with it."""
    if "run" in request:
        calls = [Call(call["function"], *_values(call)) for call in request["calls"]]
        return {"outcome": _outcome(box.run(request["run"], calls, request["stdin"], Limits(**request["limits"])))}, True
    if "open" in request:
        return {"opened": box.open(Limits(**request["open"]))}, False
    assert session is not None
    if "close" in request:
        return {"outcome": _outcome(session.close())}, True
    if "source" in request:
        result = session.execute(request["source"], handler, request["external"], request["as_text"])
    elif "define" in request:
        result = session.define(request["define"])
    else:
        result = session.call_encoded(EncodedCall(**request["call"]))
    return {"result": fields(result)}, False


def _outcome(outcome: Outcome) -> JSONObject:
    return {**fields(outcome), "results": [fields(result) for result in outcome.results]}


def _send_heartbeats() -> None:
    """Sends a message from time to time, so that the client can tell that this machine is alive while runs send none."""
    while True:
        time.sleep(HEARTBEAT_SECONDS)
        send({"session": 0, "alive": True})


def _values(call: JSONObject) -> tuple[list[Any], JSONObject]:
    """Decodes a call's arguments. They come from the supervisor, so they are trusted."""
    return [wire.decode(encoded) for encoded in call["arguments"]], {
        name: wire.decode(encoded) for name, encoded in call["keywords"].items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves requests until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without", default="", help="protections that may be missing, separated by commas (default: none)")
    without = parser.parse_args(arguments).without.split(",")
    box = LocalSandbox(without=without)
    try:
        send({"session": 0, "ready": box.missing()})
    except (SandboxFault, UserError) as error:
        send({"session": 0, "fault": str(error)})
        return
    threading.Thread(target=_send_heartbeats, daemon=True).start()
    sessions: dict[int, queue.Queue[JSONObject]] = {}
    turns: collections.OrderedDict[int, int] = collections.OrderedDict()
    for line in sys.stdin:
        request = json.loads(line)
        number, turn = request.pop("session"), request.pop("turn")
        if turn <= turns.get(number, 0):  # the line was delivered twice
            continue
        turns[number] = turn
        if len(turns) > MAX_SESSIONS:
            turns.popitem(last=False)
        if turn == 1:
            sessions[number] = queue.Queue()
            threading.Thread(target=serve, args=(number, box, sessions[number]), daemon=True).start()
        if number in sessions:
            sessions[number].put(request)
        else:
            send({"session": number, "fault": "this machine has no such session"})
        if "close" in request or "run" in request:
            sessions.pop(number, None)
    box.close()


if __name__ == "__main__":
    main()
