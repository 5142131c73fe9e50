"""What a policy may call on the way to its answer: a Python interpreter for any environment, public tests for a coding one.

    tenfold.register("lab/UnitsPython-v0", entry_point="tenfold.envs.tools:with_python", environment="lab/Units-v0")

A turn calls the tool as chat templates of today write it:

    <tool_call>
    {"name": "python", "arguments": {"code": "print(2 ** 10)"}}
    </tool_call>

and is answered with a turn of the role `tool`. The interpreter keeps its names to the episode's end. A turn without a call, or
with one after the last that is allowed, is the answer.
"""

import dataclasses
from typing import Any, cast

import gymnasium

from ..core import Info, Message, Problem, Status
from ..golds import CodeTests
from ..verifiers import code
from ..verifiers.calls.formats import last_call
from ..verifiers.programs import forms
from ..verifiers.sandbox import Interpreter, Limits, SandboxFault
from . import registry

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
        self.interpreter = Interpreter(limits, max_output)
        self.calls = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Poses the problem, the tool's instruction first."""
        self.interpreter.close()
        self.calls = 0
        text, info = self.env.reset(seed=seed, options=options)
        posed = info.get("messages") or (Message(role="user", content=text),)
        messages = (Message(role="system", content=self.instruction), *posed)
        return f"{self.instruction}\n\n{text}", info | {"messages": messages}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Runs a call and goes on, or hands the answer to the environment."""
        call = last_call(action)
        if call is None or self.calls >= self.max_calls:
            self.interpreter.close()
            text, reward, terminated, truncated, info = self.env.step(action)
            return text, float(reward), terminated, truncated, info
        self.calls += 1
        reply = self.reply(*call) if call[1].strip() else "The call is no JSON with name and arguments.code."
        return reply[: self.max_output], 0.0, False, False, dict(Info(role="tool", tool_calls=self.calls))

    def reply(self, tool: str, source: str) -> str:
        """What a tool says to a call."""
        return self.interpreter.run(source) if tool == "python" else f"There is no tool {tool}."

    def close(self) -> None:
        """Ends the interpreter and the environment."""
        self.interpreter.close()
        super().close()


class CodingTools(PythonTool):
    """Beside the interpreter, the tests of a coding problem that may be seen: the policy runs its program on them."""

    def __init__(self, environment: gymnasium.Env[str, str], instruction: str = TESTS_INSTRUCTION, **options: Any):
        """Wraps an environment of `TextEnv`'s; see `PythonTool`."""
        super().__init__(environment, instruction=instruction, **options)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Poses the problem, with its public tests."""
        text, info = super().reset(seed=seed, options=options)
        tests = forms.public_test_texts(cast(CodeTests, self._problem().answer))
        if not tests:
            return text, info
        said = "\n\nThe public tests:\n\n" + "\n".join(tests)
        *earlier, last = info["messages"]
        messages = (*earlier, Message(role=last["role"], content=last["content"] + said))
        return text + said, info | {"messages": messages}

    def reply(self, tool: str, source: str) -> str:
        """What a tool says to a call."""
        if tool != "run_tests":
            return super().reply(tool, source)
        problem = self._problem()
        tests = forms.public_tests(cast(CodeTests, problem.answer))
        if tests is None:
            return "This problem has no public tests. Try your program with the tool python."
        verdict = code.verify(dataclasses.replace(problem, answer=tests), source)
        if verdict.status == Status.FAULT:
            raise SandboxFault(verdict.reason)
        return verdict.reason

    def _problem(self) -> Problem:
        problem = self.get_wrapper_attr("problem")
        assert isinstance(problem, Problem)
        return problem


def with_python(environment: str, problems: str | None = None, **options: Any) -> PythonTool:
    """The environment of that id, with its own problems or others, and a Python interpreter; options are `PythonTool`'s."""
    return PythonTool(_made(environment, problems), **options)


def with_tests(environment: str, problems: str | None = None, **options: Any) -> CodingTools:
    """The coding environment of that id, in several turns; options are `PythonTool`'s."""
    return CodingTools(_made(environment, problems), **options)


def _made(environment: str, problems: str | None) -> gymnasium.Env[str, str]:
    return registry.make(environment, **({"problems": problems} if problems else {}))
