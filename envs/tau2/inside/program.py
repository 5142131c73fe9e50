"""The program in the sandbox that plays a simulation with tau2-bench's own code. `simulation.py` sends its source.

It imports nothing of tenfold. tau2-bench's orchestrator asks its agent and its user for messages, and these call the function
`generate` of the package to ask a model. Here `generate` waits for a response from outside. Therefore the orchestrator runs in
a thread of its own.
"""

import json
import queue
import sys
import threading
import traceback
import types
from typing import Any

UNUSED = ("deepdiff", "dotenv", "pandas")
"""Packages that the modules import and a simulation does not use."""
MODELS = "tau2.utils.llm_utils"
"""The module that asks models."""

events: "queue.SimpleQueue[dict[str, Any]]" = queue.SimpleQueue()
"""What the simulation needs: a response of the agent or of the user. At last, its result or its error."""
responses: "queue.SimpleQueue[dict[str, Any]]" = queue.SimpleQueue()
"""Responses from outside."""
sent = {"agent": 0, "user": 0}
"""Number of messages of each conversation that have been sent outside."""
speakers: list[str] = []
"""Who has responded, in order: "agent" or "user"."""
MACHINE = (ImportError, MemoryError, OSError)
"""Errors that no message causes."""


class Anything(types.ModuleType):
    """A module that has every name. Each is this module, which can be called."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Returns this module."""
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self


def start(text: str) -> str:
    """Starts a simulation; returns its first event as JSON.

    Args:
        text: JSON of `domain`, `task` (as in the file of tasks), `max_steps` and `max_errors`.
    """
    for name in UNUSED:
        sys.modules[name] = Anything(name)
    models = Anything(MODELS)
    models.generate, models.get_cost = generate, lambda messages: None  # type: ignore[attr-defined]
    sys.modules[MODELS] = models
    from loguru import logger

    logger.remove()  # else the modules write more than the sandbox's limit of output
    threading.Thread(target=_play, args=(json.loads(text),), daemon=True).start()
    return json.dumps(events.get())


def respond(text: str) -> str:
    """Continues the simulation with a response; returns the next event as JSON.

    Args:
        text: JSON of `content` (a text or None) and `calls` (name and arguments of each).
    """
    responses.put(json.loads(text))
    return json.dumps(events.get())


def generate(model: str, messages: list[Any], tools: Any = None, **options: Any) -> Any:
    """Returns a model's response to a conversation. It replaces the package's function of this name.

    Args:
        model: "agent" or "user".
        messages: the conversation.
        tools: the functions that the model may call.
        **options: not used.
    """
    from tau2.data_model.message import AssistantMessage, ToolCall

    declared = [tool.openai_schema for tool in tools or ()]
    events.put({"asks": model, "messages": [_encoded(each) for each in messages[sent[model] :]], "tools": declared})
    sent[model] = len(messages)
    given = responses.get()
    speakers.append(model)
    calls = [
        ToolCall(id=f"call{len(messages)}_{number}", name=name, arguments=arguments)
        for number, (name, arguments) in enumerate(given["calls"])
    ]
    return AssistantMessage(role="assistant", content=given["content"], tool_calls=calls or None)


def _encoded(message: Any) -> dict[str, Any]:
    """Returns a message in the form of the OpenAI API."""
    found = {"role": message.role, "content": message.content or ""}
    if message.role == "tool":
        found["tool_call_id"] = message.id
    elif message.role == "assistant" and message.tool_calls:
        found["tool_calls"] = [
            {"type": "function", "id": call.id, "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return found


def _play(given: dict[str, Any]) -> None:
    try:
        events.put(_result(given))
    except BaseException as error:
        events.put({"error": f"{type(error).__name__}: {error}"})


def _result(given: dict[str, Any]) -> dict[str, Any]:
    """Plays the simulation and evaluates it, as the package's `run_task` does."""
    from tau2.agent.llm_agent import LLMAgent
    from tau2.data_model.tasks import Task
    from tau2.evaluator.evaluator import EvaluationType, evaluate_simulation
    from tau2.orchestrator.orchestrator import Orchestrator
    from tau2.registry import registry
    from tau2.user.user_simulator import UserSimulator

    domain, task = given["domain"], Task.model_validate(given["task"])
    environment = registry.get_env_constructor(domain)()
    agent = LLMAgent(environment.get_tools(), environment.get_policy(), llm="agent", llm_args={})
    user_tools = environment.get_user_tools() if environment.user_tools else None
    user = UserSimulator(user_tools, str(task.user_scenario), llm="user", llm_args={})
    limits = {"max_steps": given["max_steps"], "max_errors": given["max_errors"]}
    orchestrator = Orchestrator(domain, agent, user, environment, task, **limits)
    try:
        simulation = orchestrator.run()
        ended_by = simulation.termination_reason.value
        found = evaluate_simulation(simulation, task, EvaluationType.ALL, solo_mode=False, domain=domain)
    except MACHINE:
        raise
    except Exception as error:
        if not orchestrator.done and speakers[-1:] != ["agent"]:  # neither the agent's message nor the whole conversation
            raise
        ended_by = orchestrator.termination_reason.value if orchestrator.done else "agent_error"
        return {"reward": 0.0, "ended_by": ended_by, "parts": {}, "defect": _defect(error)}
    parts = {kind.value: score for kind, score in (found.reward_breakdown or {}).items()}
    return {"reward": found.reward, "ended_by": ended_by, "parts": parts}


def _defect(error: Exception) -> str:
    """Returns why a conversation cannot be played on or evaluated.

    The databases may lack what an assertion is about. Calls may have results that differ when they are made again, because
    new bills have random numbers. In a task of the package this needs a call for a customer that the task is not about. For
    any other error, its type and message are returned.
    """
    places = {frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)}
    if "run_env_assertion" in places:
        return f"an assertion fails: {error}"
    is_replay = "set_state" in places and str(error).startswith("Tool call:")
    if is_replay:
        return "the calls give other results when they are made again"
    return " ".join(f"tau2-bench's code raised {type(error).__name__}: {error}".split())
