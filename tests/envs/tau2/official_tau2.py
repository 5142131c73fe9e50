"""Plays conversations with tau2-bench's own `run_task`, in a separate process: its orchestrator, its services, its evaluation.

Reads a line of JSON for each conversation: `domain`, `task` (its id), `agent` and `user` (their responses in order, each with
`content` and `calls`), `max_steps` and `max_errors`. Writes a line for each: the reward, its parts, who ended the conversation,
and all messages that the agent saw. The package's requirements may be missing, so modules that a conversation does not use are
replaced.
"""

import importlib.util
import json
import sys
from unittest import mock

for name in ("deepdiff", "litellm", "pandas", "tabulate"):
    if importlib.util.find_spec(name) is None:
        sys.modules[name] = mock.MagicMock()
sys.modules["dotenv"] = sys.modules["tau2.utils.llm_utils"] = mock.MagicMock(get_cost=lambda messages: None)

from loguru import logger  # noqa: E402

logger.remove()

from tau2 import run  # noqa: E402
from tau2.agent import llm_agent  # noqa: E402
from tau2.data_model.message import AssistantMessage, ToolCall  # noqa: E402
from tau2.user import user_simulator  # noqa: E402

LAST = {"agent": {"content": "Is there anything else?", "calls": []}, "user": {"content": "###STOP###", "calls": []}}


def scripted(case, who, seen):
    """Returns a function that replaces `generate` of the agent or of the user."""
    responses = iter(case[who])

    def generate(model, messages, tools=None, **options):
        seen[:] = messages
        given = next(responses, LAST[who])
        calls = [ToolCall(id=f"{who}{len(messages)}{n}", name=name, arguments=a) for n, (name, a) in enumerate(given["calls"])]
        return AssistantMessage(role="assistant", content=given["content"], tool_calls=calls or None, cost=0.0)

    return generate


tasks = {}
for line in sys.stdin:
    case = json.loads(line)
    domain, seen = case["domain"], []
    if domain not in tasks:
        tasks[domain] = {task.id: task for task in run.load_tasks(domain)}
    llm_agent.generate, user_simulator.generate = scripted(case, "agent", seen), scripted(case, "user", [])
    limits = {name: case[name] for name in ("max_steps", "max_errors")}
    task = tasks[domain][case["task"]]
    try:
        done = run.run_task(domain, task, "llm_agent", "user_simulator", "a", {}, "u", {}, **limits)
    except ValueError as error:  # the evaluation asserts something about an object that does not exist
        print(json.dumps({"reward": None, "error": str(error)}))
        continue
    found = done.reward_info
    parts = {kind.value: score for kind, score in (found.reward_breakdown or {}).items()}
    shown = [[message.role, message.content or ""] for message in seen]
    print(json.dumps({"reward": found.reward, "parts": parts, "ended_by": done.termination_reason.value, "seen": shown}))
