"""A `LocalSandbox` on another machine, spoken to over standard input and output: the inner half of `e2b.py`.

Every line is a JSON object with the number of the session it belongs to. What a program sends back is data on its way out, and
built into no value here. The other machine needs nothing beside Python but the modules of this folder, `core.py` and
`responses.py`.
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
from .local import LocalSandbox
from .protocol import Call, Ended, Limits, Outcome, Question, Result, SandboxFault, fields
from .session import LocalSession

HEARTBEAT_SECONDS = 5.0
REMEMBERED = 10_000
"""Sessions whose last line is known, so that it does not count twice."""
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
        tell({"session": number, "ask": fields(question)})
        return Result(**requests.get()["told"])

    session: LocalSession | None = None
    over = False
    while not over:
        try:
            reply, over = _reply(requests.get(), box, session, answer)
        except Ended as ended:
            reply, over = {"ended": str(ended)}, False
        except Exception as fault:  # ours: whoever waits is to be told, whatever it was
            reply, over = {"fault": f"{type(fault).__name__}: {fault}"}, True
            if session is not None:
                with contextlib.suppress(SandboxFault):
                    session.close()
        session = reply.pop("opened", session)
        tell({"session": number, **reply})


def _reply(
    request: dict[str, Any], box: LocalSandbox, session: LocalSession | None, answer: Callable[[Question], Result]
) -> tuple[dict[str, Any], bool]:
    """The reply to a request, and whether the session is over with it."""
    if "run" in request:
        calls = [Call(call["function"], *_values(call)) for call in request["calls"]]
        return {"outcome": _outcome(box.run(request["run"], calls, request["stdin"], Limits(**request["limits"])))}, True
    if "open" in request:
        return {"opened": box.open(Limits(**request["open"]))}, False
    assert session is not None
    if "close" in request:
        return {"outcome": _outcome(session.close())}, True
    if "source" in request:
        result = session.execute(request["source"], answer, request["asks"], request["show"])
    elif "define" in request:
        result = session.define(request["define"])
    else:
        result = session.relay(Question(**request["call"]))
    return {"result": fields(result)}, False


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {**fields(outcome), "results": [fields(result) for result in outcome.results]}


def _beat() -> None:
    """Says now and then that this machine lives, while runs are silent."""
    while True:
        time.sleep(HEARTBEAT_SECONDS)
        tell({"session": 0, "alive": True})


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
    threading.Thread(target=_beat, daemon=True).start()
    sessions: dict[int, queue.Queue[dict[str, Any]]] = {}
    turns: collections.OrderedDict[int, int] = collections.OrderedDict()
    for line in sys.stdin:
        request = json.loads(line)
        number, turn = request.pop("session"), request.pop("turn")
        if turn <= turns.get(number, 0):  # the service has delivered a line twice
            continue
        turns[number] = turn
        if len(turns) > REMEMBERED:
            turns.popitem(last=False)
        if turn == 1:
            sessions[number] = queue.Queue()
            threading.Thread(target=serve, args=(number, box, sessions[number]), daemon=True).start()
        if number in sessions:
            sessions[number].put(request)
        else:
            tell({"session": number, "fault": "this machine has no such session"})
        if "close" in request or "run" in request:
            sessions.pop(number, None)
    box.close()


if __name__ == "__main__":
    main()
