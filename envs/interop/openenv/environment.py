"""`OpenEnv`: the environment of a server of OpenEnv, such as one that `tenfold serve` starts.

    tenfold.make("openenv:http://localhost:8000")
    tenfold.make("openenv:http://localhost:8001", problems=100)

Problem i is task i of the server's Task API, or seed i on a server without it; `problems` is then their number. On a server of
this package an episode has the prompt, the replies, the problem's id and the verdict that it has without the server. On another
server the sum of the rewards is the score. A last reward of null is undecided. An error of the server, a lost connection or a
late answer is a fault: the episode is played once more, and then left out.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import gymnasium

from ....core import Info, Message, Status, UserError, Verdict
from ....policies.chat import tools as declarations
from ....responses import without_thinking
from ....verifiers.calls import formats
from ....verifiers.calls.call import Malformed
from ...spaces import MAX_CHARACTERS, Text
from ...text import observation, problem_index
from .client import Connection, Rejected, Row, ServerError, number_of, text_of, verdict_of

OURS = "TenfoldObservation"
"""Title of the schema of observations of a server of this package."""
TEXTS = ("text", "prompt", "message", "content", "output", "response")
"""Fields of observations that are the text, if there is one of them. Our choice."""
MAX_TOOLS = 500
MAX_PROBLEMS = 100_000_000
"""Largest numbers of tools and of problems that a server may declare. Our choice."""


class OpenEnv(gymnasium.Env[str, str]):
    """The environment of a server of OpenEnv. Each object has a session of its own."""

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own name and form)

    def __init__(
        self,
        address: str,
        problems: int | None = None,
        split: str | None = None,
        action: str | None = None,
        observation: str | None = None,
        seconds: float = 600.0,
        token_env: str | None = None,
    ):
        """Asks the server for its schemas and for the number of its problems.

        Args:
            address: http://HOST:PORT of the server.
            problems: number of problems; default: that of the server's Task API. Without a Task API, problem i is seed i.
            split: split of the Task API; default: the server's first one.
            action: field of an action that has the policy's turn; default: the only text that the schema requires. Without such
                a field, a turn is the action's JSON object.
            observation: field of an observation that is shown; default: the first of `TEXTS`, else the whole as JSON.
            seconds: time limit of an answer.
            token_env: environment variable with the server's token; default: OPENENV_TOKEN if the server may receive it.

        Raises:
            UserError: an argument is invalid, there is no such server, or the number of problems is not known.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
            raise UserError(f"seconds: expected a number above 0, got {seconds!r:.80}")
        if problems is not None and (type(problems) is not int or not 0 < problems <= MAX_PROBLEMS):
            raise UserError(f"problems: expected a number of problems, got {problems!r:.80}")
        self.observation_space, self.action_space = Text(), Text()
        self._connection = Connection(address, float(seconds), token_env)
        self.address = self._connection.address
        schema = self._connection.get("/schema")
        if not (isinstance(schema, dict) and isinstance(schema.get("action"), dict)):
            raise UserError(f"openenv: {self.address} is no server of OpenEnv: it has no /schema; correct the address")
        self.is_ours = _title(schema.get("observation")) == OURS
        fields, required = _fields(schema["action"])
        self.calls_tools = action is None and {"tool_name", "arguments"} <= fields.keys()
        texts = [name for name in required if fields.get(name, {}).get("type") == "string"]
        self.action = action or (texts[0] if len(texts) == 1 and len(required) == 1 else None)
        self.field = observation
        self.split, count = _tasks(self._connection, split)
        self.has_tasks = count is not None
        if problems is None and count is None:
            raise UserError(
                f"openenv: {self.address} does not say how many problems it has; set problems=N for the seeds 0 to N-1"
            )
        if problems is not None and count is not None and problems > count:
            raise UserError(f"problems: {self.address} has {count}, got {problems}; omit it for all")
        self.problems: Sequence[int] = range(problems or count or 0)
        self._problem_id = ""
        self._declared: dict[str, Mapping[str, object]] = {}
        self._playing = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Poses problem `options["problem"]`; without this option, a random one.

        Raises:
            UserError: there is no such problem.
        """
        super().reset(seed=seed)
        index = problem_index(options, self.problems, self.np_random)
        self._playing = False
        by_index = self.has_tasks or self.is_ours
        asked: dict[str, object] = {"seed": seed if seed is not None and by_index else index}
        if by_index:
            asked |= {"index": index}
        if self.has_tasks:
            asked |= {"split": self.split}
        if self.is_ours:
            asked |= {"sample": (options or {}).get("sample", 0)}
        try:
            found = self._connection.ask("reset", asked)
        except Rejected as error:
            if self.is_ours:
                raise
            raise ServerError(str(error)) from None
        content = _content(found)
        text = self._shown(content)
        self._problem_id = text_of(content["problem_id"], "problem_id") if self.is_ours and "problem_id" in content else ""
        self._problem_id = self._problem_id or f"{self.address}#{index}"
        messages = _messages(content.get("messages")) if self.is_ours else None
        if self.calls_tools:
            text, messages = self._with_tools(text)
        info = Info(problem_id=self._problem_id, index=index)
        if messages:
            info["messages"] = messages
        self._playing = True
        return text, dict(info)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Sends the policy's turn. If it is no action, the reply says so, and the episode goes on."""
        if not self._playing:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        data = self._action(action)
        if isinstance(data, str):
            return data, 0.0, False, False, dict(Info(problem_id=self._problem_id))
        self._playing = False  # a failed step ends the episode
        try:
            found = self._connection.ask("step", data)
        except Rejected as error:
            raise ServerError(str(error)) from None
        content, done = _content(found), found.get("done") is True
        given = found.get("reward")
        info = Info(problem_id=self._problem_id)
        if self.is_ours:
            reward = math.nan if given is None else number_of(given, "reward")
            _add(info, content)
        else:
            reward = 0.0 if given is None else number_of(given, "reward")
            if given is None and done:
                reward = math.nan
                info["verdict"] = Verdict(Status.UNDECIDED, None, "openenv", "the server gave no reward")
        if self.calls_tools and not done:
            info["role"] = "tool"
        text = self._result(content) if self.calls_tools else self._shown(content)
        self._playing = not done
        truncated = done and self.is_ours and content.get("truncated") is True
        return text, reward, done and not truncated, truncated, dict(info)

    def close(self) -> None:
        """Ends the session."""
        self._connection.close()

    def _action(self, turn: str) -> Row | str:
        """Returns the action of a turn, or the reply to a turn that is none."""
        if self.is_ours:
            return {"text": turn}
        answer = without_thinking(turn)
        if self.calls_tools:
            try:
                calls = formats.calls_in(turn, self._declared)
                if len(calls) != 1:
                    return "Call exactly one of the functions."
                arguments = json.loads(json.dumps(dict(calls[0].arguments), allow_nan=False))
                return {"type": "call_tool", "tool_name": calls[0].name, "arguments": arguments}
            except (Malformed, TypeError, ValueError, RecursionError) as error:
                return f"The call cannot be read: {error}"
        if self.action is not None:
            return {self.action: answer}
        try:
            data = json.loads(answer)
        except (ValueError, RecursionError):
            data = None
        return data if isinstance(data, dict) else "The turn is not a JSON object with the fields of an action."

    def _shown(self, content: Row) -> str:
        """Returns an observation as text."""
        if self.is_ours:
            return text_of(content.get("text"), "text")
        name = self.field or next((name for name in TEXTS if isinstance(content.get(name), str)), None)
        if name is not None:
            if name not in content:
                raise ServerError(f"the observation has no field {name!r}")
            if isinstance(content[name], str):
                return text_of(content[name], name)
        shown = content[name] if name is not None else {key: value for key, value in content.items() if key != "metadata"}
        return text_of(json.dumps(shown, ensure_ascii=False), "observation")

    def _with_tools(self, text: str) -> tuple[str, tuple[Message, ...]]:
        """Returns the prompt with the tools of a server whose actions are calls."""
        listed = _content(self._connection.ask("step", {"type": "list_tools"})).get("tools")
        if not isinstance(listed, list) or len(listed) > MAX_TOOLS or not all(isinstance(tool, dict) for tool in listed):
            raise ServerError(f"tools: expected a list of at most {MAX_TOOLS} tools")
        declared = []
        self._declared = {}
        for tool in listed:
            name, schema = text_of(tool.get("name"), "name"), tool.get("input_schema") or {}
            described = {
                "name": name,
                "description": text_of(tool.get("description") or "", "description"),
                "parameters": schema,
            }
            declared.append({"type": "function", "function": described})
            self._declared[name] = _fields(schema)[0]
        messages = declarations.joined(declared, [Message(role="user", content=text)])
        return observation(messages), tuple(messages)

    def _result(self, content: Row) -> str:
        """Returns the result of a tool as text."""
        if content.get("error"):
            return text_of(json.dumps({"error": content["error"]}, ensure_ascii=False), "error")
        result = content["result"] if "result" in content else self._shown(content)
        if isinstance(result, dict) and "data" in result:
            result = result["data"]
        return text_of(result if isinstance(result, str) else json.dumps(result, ensure_ascii=False), "result")


def _tasks(connection: Connection, split: str | None) -> tuple[str | None, int | None]:
    """Returns the split and the number of its problems by the server's Task API; None without one.

    Raises:
        UserError: the server has no such split.
    """
    names = connection.get("/list_environments")
    if not (isinstance(names, list) and names and isinstance(names[0], str) and "/" not in names[0]):
        return None, None
    splits = connection.get(f"/{names[0]}/splits")
    known = [each["name"] for each in splits if isinstance(each, dict) and "name" in each] if isinstance(splits, list) else []
    if split is not None and split not in known:
        raise UserError(f"split: {connection.address} has {', '.join(map(str, known)) or 'none'}, got {split!r}")
    if not known:
        return None, None
    name = split or str(known[0])
    answer = connection.get(f"/{names[0]}/num_tasks", {"split": name})
    count = answer.get("num_tasks") if isinstance(answer, dict) else None
    return (name, count) if type(count) is int and 0 < count <= MAX_PROBLEMS else (None, None)


def _title(schema: object) -> object:
    return schema.get("title") if isinstance(schema, dict) else None


def _fields(schema: object) -> tuple[dict[str, Mapping[str, object]], list[str]]:
    """Returns the fields of a JSON schema, and those that are required."""
    if not isinstance(schema, dict):
        return {}, []
    properties, required = schema.get("properties"), schema.get("required")
    fields = properties if isinstance(properties, dict) else {}
    names = required if isinstance(required, list) else []
    return (
        {str(name): each for name, each in fields.items() if isinstance(each, dict)},
        [name for name in names if isinstance(name, str)],
    )


def _content(data: Row) -> Row:
    """Returns the observation of an answer."""
    content = data.get("observation")
    if isinstance(content, str):
        return {"text": content}
    if not isinstance(content, dict):
        raise ServerError("observation: expected an object")
    return content


def _messages(given: object) -> tuple[Message, ...] | None:
    """Returns the prompt that a server of this package has sent; None if it has sent none."""
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(each, dict) and isinstance(each.get("role"), str) for each in given):
        raise ServerError("messages: expected a list of messages")
    if sum(len(text_of(each.get("content"), "content")) for each in given) > MAX_CHARACTERS:
        raise ServerError(f"messages: expected at most {MAX_CHARACTERS:,} characters")
    return tuple(cast(Message, each) for each in given)


def _add(info: Info, content: Row) -> None:
    """Adds what a server of this package says about a step."""
    if "verdict" in content:
        info["verdict"] = verdict_of(content["verdict"])
    if content.get("role", "user") != "user":
        info["role"] = text_of(content["role"], "role")
    if type(calls := content.get("tool_calls")) is int:
        info["tool_calls"] = calls
    if type(invalid := content.get("invalid_actions")) is int:
        info["invalid_actions"] = invalid
