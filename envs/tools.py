"""What a policy may call on the way to its answer: a Python interpreter, for any environment.

    tenfold.register("lab/UnitsPython-v0", entry_point="tenfold.envs.tools:with_python", environment="lab/Units-v0")

A turn calls the tool as chat templates of today write it:

    <tool_call>
    {"name": "python", "arguments": {"code": "print(2 ** 10)"}}
    </tool_call>

and is answered with a turn of the role `tool`. The interpreter keeps its names to the episode's end. A turn without a call, or
with one after the last that is allowed, is the answer.
"""

import json
from typing import Any

import gymnasium

from ..core import Message
from ..verifiers import sandbox
from ..verifiers.function_calls import tagged
from ..verifiers.sandbox import Ended, Limits, SandboxFault, Session
from . import registry

INSTRUCTION = """You may use a Python interpreter before you answer. To call it, end your turn with

<tool_call>
{"name": "python", "arguments": {"code": "print(2 ** 10)"}}
</tool_call>

What it prints, and the value of a last expression, come back to you. It keeps its variables. Then give your answer."""


class PythonTool(gymnasium.Wrapper[str, str, str, str]):
    """Puts an interpreter between a policy and an environment of text."""

    def __init__(
        self,
        environment: gymnasium.Env[str, str],
        max_calls: int = 8,
        max_output: int = 2_000,
        limits: Limits | None = None,
        instruction: str = INSTRUCTION,
    ):
        """Wraps an environment.

        Args:
            environment: poses the problem and judges the answer.
            max_calls: calls an episode; a later one is taken for the answer.
            max_output: characters of a reply that the policy sees.
            limits: of the interpreter, each call.
            instruction: the system turn that tells the policy of the tool.
        """
        super().__init__(environment)
        self.max_calls, self.max_output, self.instruction = max_calls, max_output, instruction
        self.limits = limits or Limits()
        self.calls = 0
        self.session: Session | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Poses the problem, the tool's instruction first."""
        self._end()
        self.calls = 0
        text, info = self.env.reset(seed=seed, options=options)
        posed = info.get("messages") or (Message(role="user", content=text),)
        messages = (Message(role="system", content=self.instruction), *posed)
        return f"{self.instruction}\n\n{text}", info | {"messages": messages}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Runs a call and goes on, or hands the answer to the environment."""
        code = called(action)
        if code is None or self.calls >= self.max_calls:
            self._end()
            text, reward, terminated, truncated, info = self.env.step(action)
            return text, float(reward), terminated, truncated, info
        self.calls += 1
        return self._run(code)[: self.max_output], 0.0, False, False, {"role": "tool", "tool_calls": self.calls}

    def close(self) -> None:
        """Ends the interpreter and the environment."""
        self._end()
        super().close()

    def _run(self, code: str) -> str:
        if not code.strip():
            return "The call is no JSON with name and arguments.code."
        for last_try in (False, True):
            try:
                self.session = self.session or sandbox.shared().open(self.limits)
                result = self.session.execute(code, show=True)
                break
            except Ended:
                ended, self.session = self.session, None
                assert ended is not None
                return f"The interpreter was stopped ({ended.close().reason}); a new one starts with your next call."
            except SandboxFault:
                # What it had computed is lost with it: only a fresh interpreter can be tried again.
                fresh, self.session = self.session is None or self.calls == 1, None
                if last_try or not fresh:
                    raise
        shown = result.error or (result.value if isinstance(result.value, str) else "")
        return "\n".join(part for part in (result.printed.rstrip("\n"), shown) if part) or "(no output)"

    def _end(self) -> None:
        session, self.session = self.session, None
        if session is not None:
            session.close()


def called(turn: str) -> str | None:
    """The code of a turn's last tool call: None where there is no call, empty where it cannot be read."""
    calls = tagged(turn)
    if not calls:
        return None
    try:
        call = json.loads(calls[-1])
        code = call["arguments"]["code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return code if isinstance(code, str) else ""


def with_python(environment: str, **options: Any) -> PythonTool:
    """The environment of that id with a Python interpreter; options are `PythonTool`'s."""
    return PythonTool(registry.make(environment), **options)
