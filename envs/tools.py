"""Environment wrappers with tools: a Python interpreter for any environment, and public tests for coding problems.

    tenfold.register("lab/UnitsPython-v0", entry_point="tenfold.envs.tools:with_python", environment="lab/Units-v0")

The policy calls a tool in the format of common chat templates:

    <tool_call>
    {"name": "python", "arguments": {"code": "print(2 ** 10)"}}
    </tool_call>

The reply is a turn of the role `tool`. The interpreter keeps its variables until the end of the episode. A turn without a call
is the response, or a move of a game. After `max_calls` calls all turns are responses, even if they contain a call.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import gymnasium

from ..core import Info, Message, Problem, Status, UserError
from ..golds import CodeTests, RunLimits
from ..verifiers import code
from ..verifiers.calls.formats import last_call
from ..verifiers.programs import forms
from ..verifiers.sandbox import Interpreter, Limits, SandboxFault
from . import registry
from .problems.parts import integer
from .text import with_system

INSTRUCTION = """You may use a Python interpreter before you answer. To call it, end your turn with

<tool_call>
{"name": "python", "arguments": {"code": "print(2 ** 10)"}}
</tool_call>

What it prints, and the value of a last expression, come back to you. It keeps its variables. Then give your answer."""


TESTS_INSTRUCTION = """You may use two tools before you answer. To call one, end your turn with

<tool_call>
{"name": "run_tests", "arguments": {"code": "def solution(): ..."}}
</tool_call>

which runs a whole program on the public tests and says which of them it passes, or with

<tool_call>
{"name": "python", "arguments": {"code": "print(2 ** 10)"}}
</tool_call>

which is a Python interpreter that keeps its variables. Your answer is judged by more tests than the public ones."""


class PythonToolWrapper(gymnasium.Wrapper[str, str, str, str]):
    """Adds a Python interpreter to a text environment."""

    def __init__(
        self,
        environment: gymnasium.Env[str, str],
        max_calls: int = 8,
        max_output: int = 2_000,
        limits: Limits | RunLimits | None = None,
        instruction: str = INSTRUCTION,
    ):
        """Wraps an environment.

        Args:
            environment: the environment that contains the problem and judges the response.
            max_calls: number of calls in an episode. A turn with a further call is judged as the response.
            max_output: limit of a reply, in characters.
            limits: limits of the interpreter in an episode, as `Limits` or its fields by name; `wall_seconds` is for each call.
            instruction: text that describes the tool, for the system turn.

        Raises:
            UserError: an argument is invalid.
        """
        super().__init__(environment)
        integer("max_calls", max_calls, 0)
        integer("max_output", max_output, 1)
        if not isinstance(limits, Limits):
            try:
                limits = forms.limits_of({"limits": limits or {}})
            except forms.NoTests as error:
                raise UserError(str(error)) from None
        self.max_calls, self.max_output, self.instruction = max_calls, max_output, instruction
        self.interpreter = Interpreter(limits, max_output)
        self.calls = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Poses the problem, with the tool's instruction in the system turn."""
        self.interpreter.close()
        self.calls = 0
        text, info = self.env.reset(seed=seed, options=options)
        prompt = info.get("messages") or (Message(role="user", content=text),)
        return f"{self.instruction}\n\n{text}", info | {"messages": with_system(self.instruction, prompt)}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Runs a tool call, or passes the response to the environment."""
        call = last_call(action)
        if call is None or self.calls >= self.max_calls:
            text, reward, terminated, truncated, info = self.env.step(action)
            if terminated or truncated:
                self.interpreter.close()
            return text, float(reward), terminated, truncated, info
        self.calls += 1
        reply = self.reply(*call) if call[1].strip() else "The call is not a JSON object with name and arguments.code."
        return reply[: self.max_output], 0.0, False, False, dict(Info(role="tool", tool_calls=self.calls))

    def reply(self, tool: str, source: str) -> str:
        """Returns the reply of a tool to a call."""
        return self.interpreter.run(source) if tool == "python" else f"There is no tool {tool}."

    def close(self) -> None:
        """Closes the interpreter and the environment."""
        self.interpreter.close()
        super().close()


class CodingToolsWrapper(PythonToolWrapper):
    """Adds a Python interpreter, and a tool that runs a program on the public tests of a coding problem."""

    def __init__(self, environment: gymnasium.Env[str, str], instruction: str = TESTS_INSTRUCTION, **options: Any):
        """Wraps a `TextEnv`.

        Args:
            environment: the environment that contains the problem and judges the response.
            instruction: text that describes the tools, for the system turn.
            **options: see `PythonToolWrapper`.
        """
        super().__init__(environment, instruction=instruction, **options)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Poses the problem, with its public tests."""
        text, info = super().reset(seed=seed, options=options)
        tests = forms.public_test_texts(self._tests())
        if not tests:
            return text, info
        listed = "\n\nThe public tests:\n\n" + "\n".join(tests)
        *earlier, last = info["messages"]
        messages = (*earlier, Message(role=last["role"], content=last["content"] + listed))
        return text + listed, info | {"messages": messages}

    def reply(self, tool: str, source: str) -> str:
        """Returns the reply of a tool to a call."""
        if tool != "run_tests":
            return super().reply(tool, source)
        tests = forms.public_tests(self._tests())
        if tests is None:
            return "This problem has no public tests. Try your program with the tool python."
        verdict = code.verify(dataclasses.replace(self._problem(), answer=tests), source)
        if verdict.status == Status.FAULT:
            raise SandboxFault(verdict.reason)
        return verdict.reason

    def _problem(self) -> Problem:
        problem = self.get_wrapper_attr("problem")
        assert isinstance(problem, Problem)
        return problem

    def _tests(self) -> CodeTests:
        """Returns the tests of the problem; none if its answer has another form or is unreadable."""
        answer = self._problem().answer
        return cast(CodeTests, answer if isinstance(answer, Mapping) else {})


def with_python(environment: str, problems: str | None = None, **options: Any) -> PythonToolWrapper:
    """Creates an environment with a Python interpreter.

    Args:
        environment: id of the environment to wrap.
        problems: problem URI instead of the environment's own.
        **options: see `PythonToolWrapper`.
    """
    return PythonToolWrapper(make_inner(environment, problems), **options)


def with_tests(environment: str, problems: str | None = None, **options: Any) -> CodingToolsWrapper:
    """Creates a coding environment with a Python interpreter and public tests.

    Args:
        environment: id of the environment to wrap.
        problems: problem URI instead of the environment's own.
        **options: see `PythonToolWrapper`.
    """
    return CodingToolsWrapper(make_inner(environment, problems), **options)


def make_inner(environment: str, problems: str | None) -> gymnasium.Env[str, str]:
    """Creates the environment that a wrapper of this kind wraps.

    Args:
        environment: id of the environment.
        problems: problem URI instead of the environment's own.
    """
    return registry.make(environment, **({"problems": problems} if problems else {}))
