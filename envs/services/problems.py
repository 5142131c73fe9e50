"""Generated problems for `ToolsEnv`: requests of a user to services, over several turns.

A turn has one request or several. Some turns cannot be done at first:

    vague        the request lacks a value. The policy has to ask, and the next turn has the value.
    withheld     the function for it is missing. The policy has to say so, and the next turn adds the function.
    irrelevant   no function fits. The policy has to say so.

In these turns the policy may read, but not change anything. What it says there is not checked. All texts are our own.
"""

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

from ...core import Problem, UserError
from ...golds import ServiceCall, ToolTurn
from ...verifiers.calls.call import ParsedCall
from ..problems.parts import Draft, choices, distinct, integer
from .kinds import KINDS, MODULES
from .kinds.request import Request
from .session import Session

URI = "generate:tenfold.envs.services.problems:problems"
IRRELEVANT = (
    "Tell me what the weather will be like in the mountains tomorrow.",
    "Translate the word butterfly into Finnish with one of your functions.",
    "Order a taxi to the airport.",
    "Find out who won the chess game last night.",
    "Show me a picture of a lighthouse.",
    "Measure my heart rate.",
    "Print ten copies of the poster.",
    "Record the sounds in the garden for an hour.",
    "Find a plumber near me.",
    "Start the washing machine.",
    "Check whether the bridge is closed for trucks.",
    "Scan the letter that is on my desk.",
    "Look up the price of copper.",
    "Water the lawn for ten minutes.",
    "Charge the car to eighty percent.",
    "Translate my last letter into Greek with one of your functions.",
)
"""Requests for which no service has a function."""
REPLACEABLE = frozenset(["extend_loan", "move_event", "move_file", "set_priority", "transfer_money"])
"""Functions whose effect other functions of the service can have. They are not withheld."""
LATER = ("You can do it now.", "There is a function for it now.", "Try again now.")


def problems(
    size: int = 500,
    seed: int = 0,
    part: str = "train",
    kinds: str | Sequence[str] | None = None,
    services: int = 2,
    turns: int = 3,
    steps: int = 2,
    vague: float = 0.2,
    withheld: float = 0.2,
    irrelevant: float = 0.1,
) -> Iterator[Problem]:
    """Yields problems whose gold calls have been executed.

    Args:
        size: number of problems.
        seed: seed of the random choices.
        part: all, train or held_out; see `parts.in_part`.
        kinds: names of the services to choose from; all by default.
        services: services of a problem.
        turns: turns with requests that can be done, 1 to 8. A rollout needs `max_turns` above the number of calls and turns.
        steps: maximum number of requests in a turn, each to another service.
        vague: share of the turns whose request lacks a value at first.
        withheld: share of the problems in which a function is missing at first.
        irrelevant: share of the problems with a request that no function fits.

    Raises:
        UserError: an argument is invalid.
    """
    names = [*dict.fromkeys(choices("kinds", kinds, KINDS))]
    integer("services", services, 1, len(names))
    integer("turns", turns, 1, 8)
    integer("steps", steps, 1, services)
    for name, share in (("vague", vague), ("withheld", withheld), ("irrelevant", irrelevant)):
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise UserError(f"{name}: expected a share from 0 to 1, got {share!r:.100}")

    def draw(rng: random.Random) -> Draft:
        chosen = rng.sample(names, services)
        states = {name: MODULES[name].state(rng) for name in chosen}
        session = Session(KINDS, states)
        groups = []
        for _ in range(turns):
            asked = [_request(rng, session, name) for name in rng.sample(chosen, rng.randint(1, steps))]
            groups.append(_turns(rng, asked, vague))
        functions = list(session.functions)
        if rng.random() < withheld:
            groups, functions = _with_missing_function(rng, groups, functions)
        if rng.random() < irrelevant:
            groups.insert(rng.randint(0, len(groups)), [{"user": rng.choice(IRRELEVANT), "calls": []}])
        drawn = [turn for group in groups for turn in group]
        prompt = drawn[0]["user"]
        answer: dict[str, Any] = {"services": states, "functions": functions, "turns": drawn}
        return Draft(prompt, answer, key=json.dumps(answer, sort_keys=True))

    return distinct(URI, draw, size, seed, part)


def _request(rng: random.Random, session: Session, name: str) -> Request:
    """Returns a request to a service, after its gold calls have been executed."""
    request: Request = MODULES[name].request(rng, session.services[name])
    for each in request.calls:
        result = session.call(ParsedCall(each["name"], each["arguments"]), list(session.functions))
        if result.is_error:
            raise AssertionError(f"{request.text}: {result.text}")
    return request


def _turns(rng: random.Random, asked: Sequence[Request], vague: float) -> list[ToolTurn]:
    """Returns the turns of requests that are made together: two turns if the last request lacks a value at first."""
    *earlier, last = asked
    done = [each for request in earlier for each in _marked(request)]
    says = [text for request in earlier for text in request.says]
    text = " ".join(request.text for request in earlier)
    if last.vague and rng.random() < vague:
        first: ToolTurn = {"user": f"{text} {last.vague}".strip(), "calls": done}
        if says:
            first["says"] = says
        return [first, _turn(last.detail, _marked(last), last.says)]
    return [_turn(f"{text} {last.text}".strip(), [*done, *_marked(last)], [*says, *last.says])]


def _marked(request: Request) -> list[ServiceCall]:
    """Returns the gold calls of a request. The policy must see the results of those that answer a question."""
    return [{**each, "must_see": bool(request.says)} for each in request.calls]


def _turn(user: str, calls: Sequence[ServiceCall], says: Sequence[str]) -> ToolTurn:
    turn: ToolTurn = {"user": user, "calls": list(calls)}
    if says:
        turn["says"] = list(says)
    return turn


def _with_missing_function(
    rng: random.Random, groups: list[list[ToolTurn]], functions: list[str]
) -> tuple[list[list[ToolTurn]], list[str]]:
    """Takes a function away that a turn needs and no earlier turn, and adds a turn in which it is back.

    A turn is suitable if it has calls of one function only, and no other functions can do the same. Without such a turn nothing
    changes.
    """
    places: list[tuple[int, int, str]] = []
    earlier = set(REPLACEABLE)
    for number, group in enumerate(groups):
        for place, turn in enumerate(group):
            used = {each["name"] for each in turn["calls"]}
            if len(used) == 1 and not used & earlier:
                places.append((number, place, min(used)))
            earlier |= used
    if not places:
        return groups, functions
    number, place, name = rng.choice(places)
    group = groups[number]
    back: ToolTurn = {**group[place], "user": rng.choice(LATER), "functions": [name]}
    before: ToolTurn = {"user": group[place]["user"], "calls": []}
    changed = [*group[:place], before, back, *group[place + 1 :]]
    return [*groups[:number], changed, *groups[number + 1 :]], [each for each in functions if each != name]
