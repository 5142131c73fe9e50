"""Scripted conversations for tau2-bench: those that take the gold actions of a task, and mutants of them."""

import copy
import json
import random
from collections.abc import Iterator, Mapping
from typing import Any

Response = dict[str, Any]
"""`content` (a text or None) and `calls` (name and arguments of each)."""
Case = dict[str, Any]
"""See `official_tau2.py`."""


def text(content: str) -> Response:
    return {"content": content, "calls": []}


def call(name: str, arguments: Mapping[str, Any]) -> Response:
    return {"content": None, "calls": [[name, dict(arguments)]]}


def written(response: Response) -> str:
    """Returns a response as a model writes it."""
    calls = [
        f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"
        for name, arguments in response["calls"]
    ]
    return "\n".join([response["content"]] * bool(response["content"]) + calls)


def case(domain: str, task: Mapping[str, Any], agent: list[Response], user: list[Response]) -> Case:
    return {"domain": domain, "task": task["id"], "agent": agent, "user": user, "max_steps": 200, "max_errors": 10}


def idle(domain: str, task: Mapping[str, Any]) -> Case:
    """Returns the conversation of an agent that does nothing."""
    return case(domain, task, [text("I cannot help.")], [text("Help me."), text("###STOP###")])


def gold(domain: str, task: Mapping[str, Any]) -> Case:
    """Returns a conversation in which agent and user take the gold actions, and the agent says what it has to say."""
    criteria = task.get("evaluation_criteria") or {}
    agent, user = [], [text("Help me.")]
    for action in criteria.get("actions") or ():
        made = call(action["name"], action.get("arguments") or {})
        if action.get("requestor") == "user":
            agent.append(text(f"Please do this: {action['name']}."))
            user += [made, text("I have done it.")]
        else:
            agent.append(made)
    agent.append(text(" ".join(["All is done.", *(criteria.get("communicate_info") or ())])))
    return case(domain, task, agent, [*user, text("###STOP###")])


def mutants(of: Case, seed: int) -> Iterator[Case]:
    """Yields changed copies of a conversation."""
    rng = random.Random(seed)
    calls = [place for place, response in enumerate(of["agent"]) if response["calls"]]
    for change in (
        _without_a_call,
        _with_a_call_twice,
        _with_another_argument,
        _with_an_unknown_function,
        _in_another_order,
        _in_one_response,
        _with_text_beside_calls,
        _silent,
        _stopped_early,
        _transferred,
        _few_steps,
        _many_errors,
    ):
        made = copy.deepcopy(of)
        if change(made, calls, rng):
            yield made


def _without_a_call(made: Case, calls: list[int], rng: random.Random) -> bool:
    if calls:
        del made["agent"][rng.choice(calls)]
    return bool(calls)


def _with_a_call_twice(made: Case, calls: list[int], rng: random.Random) -> bool:
    if calls:
        place = rng.choice(calls)
        made["agent"].insert(place, made["agent"][place])
    return bool(calls)


def _with_another_argument(made: Case, calls: list[int], rng: random.Random) -> bool:
    places = [place for place in calls if made["agent"][place]["calls"][0][1]]
    if places:
        arguments = made["agent"][rng.choice(places)]["calls"][0][1]
        name = rng.choice(sorted(arguments))
        value = arguments[name]
        arguments[name] = value + 1 if isinstance(value, int) else [] if isinstance(value, list) else f"{value}9"
    return bool(places)


def _with_an_unknown_function(made: Case, calls: list[int], rng: random.Random) -> bool:
    made["agent"].insert(0, call("no_such_function", {"requestor": "user"}))
    return True


def _in_another_order(made: Case, calls: list[int], rng: random.Random) -> bool:
    rng.shuffle(made["agent"])
    return True


def _in_one_response(made: Case, calls: list[int], rng: random.Random) -> bool:
    if len(calls) > 1 and calls == [*range(calls[0], calls[-1] + 1)]:
        joined = {"content": None, "calls": [made["agent"][place]["calls"][0] for place in calls]}
        made["agent"][calls[0] : calls[-1] + 1] = [joined]
        return True
    return False


def _with_text_beside_calls(made: Case, calls: list[int], rng: random.Random) -> bool:
    if calls:
        made["agent"][calls[0]]["content"] = made["agent"].pop()["content"]
    return bool(calls)


def _silent(made: Case, calls: list[int], rng: random.Random) -> bool:
    made["agent"][-1] = text("Bye.")
    return True


def _stopped_early(made: Case, calls: list[int], rng: random.Random) -> bool:
    made["user"] = [text("Never mind. ###OUT-OF-SCOPE###")]
    return True


def _transferred(made: Case, calls: list[int], rng: random.Random) -> bool:
    made["agent"].insert(len(made["agent"]) // 2, text("I transfer you."))
    made["user"][1:1] = [text("###TRANSFER###")]
    return True


def _few_steps(made: Case, calls: list[int], rng: random.Random) -> bool:
    made["max_steps"] = rng.randint(2, 8)
    return True


def _many_errors(made: Case, calls: list[int], rng: random.Random) -> bool:
    made["max_errors"] = 2
    made["agent"][:0] = [call("no_such_function", {})] * 2
    return True
