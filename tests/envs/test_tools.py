import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

import tenfold
from tenfold.core import Message, Problem, Sampling, Status, UserError
from tenfold.envs.text import TextEnv
from tenfold.envs.tools import CodingToolsWrapper, PythonToolWrapper
from tenfold.policies.scripted import ScriptedPolicy
from tenfold.verifiers.calls.formats import last_call
from tenfold.verifiers.sandbox import backends

pytestmark = pytest.mark.usefixtures("sandboxed")


def call(code: str, tool: str = "python") -> str:
    return f"Let me compute.\n<tool_call>\n{json.dumps({'name': tool, 'arguments': {'code': code}})}\n</tool_call>"


@pytest.fixture
def env() -> Iterator[gymnasium.Env[str, str]]:
    env = PythonToolWrapper(tenfold.make("tenfold/ChainSum-v0"), max_calls=3, max_output=200)
    yield env
    env.close()


def test_the_interpreter_replies_and_keeps_its_variables(env: PythonToolWrapper) -> None:
    prompt, info = env.reset(options={"problem": 0})
    assert "Python interpreter" in prompt
    assert [turn["role"] for turn in info["messages"]] == ["system", "user"]
    gold = env.unwrapped.problems[0].answer  # type: ignore[attr-defined]
    reply, reward, terminated, truncated, info = env.step(call("x = 20\nprint('hello')\nx * 2"))
    assert (reply, reward, terminated, truncated, info["role"]) == ("hello\n40", 0.0, False, False, "tool")
    assert env.step(call("x + 1"))[0] == "21"
    _, reward, terminated, _, info = env.step(f"The answer is {gold}")
    assert (reward, terminated) == (1.0, True)
    assert info["verdict"].score == 1


@pytest.mark.parametrize(
    ("code", "reply"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("x = 1", "(no output)"),
        ("", "The call is not a JSON object"),
        ("print('x' * 10000)", "x" * 200),
        ("import os; os._exit(1)", "The interpreter was stopped (the program exited with status 1"),
        ("import socket; socket.create_connection(('1.1.1.1', 53))", "PermissionError"),
    ],
)
def test_the_policy_gets_a_reply_to_any_code(env: PythonToolWrapper, code: str, reply: str) -> None:
    env.reset(seed=0)
    assert env.step(call(code))[0].startswith(reply)
    assert env.step(call("6 * 7"))[0] == "42"


def test_calls_are_limited_and_reset_clears_the_interpreter(env: PythonToolWrapper) -> None:
    env.reset(seed=0)
    for _ in range(3):
        assert not env.step(call("x = 1"))[2]
    assert env.step(call("x = 1"))[2]
    env.reset(seed=0)
    assert env.step(call("x"))[0].startswith("NameError")


def test_the_interpreter_keeps_its_variables_between_the_moves_of_a_game() -> None:
    env = PythonToolWrapper(tenfold.make("tenfold/GuessNumber-v0"))
    env.reset(options={"problem": 0})
    env.step(call("low = 20"))
    assert not env.step("no number")[2]
    assert env.step(call("low"))[0] == "20"
    env.close()


def test_an_episode_ends_although_its_interpreter_has_died(env: PythonToolWrapper) -> None:
    env.reset(seed=0)
    env.step(call("x = 1"))
    for warm in backends.shared().warm:  # type: ignore[attr-defined]
        if warm.process is not None:
            warm.process.kill()
            warm.process.wait()
    assert env.step("no number")[1:3] == (0.0, True)


def test_limits_are_named_in_a_registration() -> None:
    tenfold.register(
        "lab/Terse-v0",
        entry_point="tenfold.envs.tools:with_python",
        environment="tenfold/ChainSum-v0",
        limits={"output": 100},
    )
    env = tenfold.make("lab/Terse-v0")
    env.reset(seed=0)
    assert env.step(call("print('x' * 1000)"))[0].startswith("The interpreter was stopped")
    assert env.step(call("6 * 7"))[0] == "42"
    env.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_calls": "8"}, "max_calls: expected an integer >= 0, got '8'"),
        ({"max_output": -1}, "max_output: expected an integer >= 1, got -1"),
        ({"limits": {"seconds": 5}}, "limits: .*seconds"),
        ({"limits": {"cpu_seconds": 0}}, "limits: cpu_seconds must be a number above 0, not 0"),
    ],
)
def test_wrong_options_are_one_line_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        PythonToolWrapper(tenfold.make("tenfold/ChainSum-v0"), **options)


def test_only_the_last_call_after_reasoning_counts() -> None:
    assert last_call("no call") is None
    assert last_call("<think><tool_call>{}</tool_call></think>7") is None
    assert last_call(call("1") + call("2")) == ("python", "2")
    assert last_call("<tool_call>{") == ("", "")
    assert last_call('<tool_call>{"name": "python", "arguments": {"code": 7}}</tool_call>') == ("", "")


@pytest.mark.filterwarnings("ignore:.*different from the unwrapped version")  # the test checks the wrapper
def test_it_passes_the_environment_checks() -> None:
    tenfold.register("lab/ChainSumPython-v0", entry_point="tenfold.envs.tools:with_python", environment="tenfold/ChainSum-v0")
    check_env(tenfold.make("lab/ChainSumPython-v0").env)

    def computes(conversation: object, seed: int) -> str:
        *_, last = conversation  # type: ignore[misc]
        problem = last["content"].rsplit("problem: ", 1)[-1].rstrip(" =")
        return f"It is {last['content']}." if last["role"] == "tool" else call(problem)

    episodes = tenfold.rollout("lab/ChainSumPython-v0", ScriptedPolicy(computes), 1, problems=5, sampling=Sampling())
    assert [episode.verdict.score for episode in episodes] == [1.0] * 5
    assert [turn["role"] for turn in episodes[0].messages] == ["system", "user", "assistant", "tool", "assistant"]


ADD = {
    "task_id": 1,
    "text": "Add two numbers.",
    "code": "def add(a, b): return a + b",
    "test_list": ["assert add(1, 2) == 3", "assert add(2, 2) == 4"],
}


@pytest.fixture
def coding(lab: Path) -> Iterator[gymnasium.Env[str, str]]:
    (lab / "rows.jsonl").write_text(json.dumps(ADD))
    env = tenfold.make("tenfold/MBPPTurns-v0", problems=f"jsonl:{lab}/rows.jsonl", max_calls=3)
    yield env
    env.close()


def test_a_policy_can_run_the_public_tests_before_its_response(coding: gymnasium.Env[str, str]) -> None:
    prompt, info = coding.reset(seed=0)
    assert prompt.count("assert add(1, 2) == 3") == 2  # in the prompt, and in the list of public tests
    assert "add(2, 2)" not in str(info["messages"])
    reply, reward, terminated, *_ = coding.step(call("def add(a, b): return a - b", "run_tests"))
    assert (reply, reward, terminated) == ("0 of 1 tests pass: - (assertion 1 fails)", 0.0, False)
    assert coding.step(call("def add(a, b): return 3", "run_tests"))[0].startswith("1 of 1 tests pass")
    assert coding.step(call("print(1 + 2)"))[0] == "3"
    _, reward, terminated, *_ = coding.step("```python\ndef add(a, b): return 3\n```")
    assert (reward, terminated) == (0.0, True)
    coding.reset(seed=0)
    assert coding.step("def add(a, b): return a + b")[1] == 1


def test_unknown_tools_and_missing_public_tests_get_a_reply(coding: gymnasium.Env[str, str]) -> None:
    coding.reset(seed=0)
    assert coding.step(call("x", "browser"))[0] == "There is no tool browser."
    env = tenfold.make("tenfold/HumanEvalTurns-v0")
    env.reset(options={"problem": 0})
    assert env.step(call("x = 1", "run_tests"))[0].startswith("This problem has no public tests.")
    env.close()


@pytest.mark.filterwarnings("ignore:.*problems cannot be used")
def test_a_problem_without_readable_tests_has_no_public_tests() -> None:
    problem = Problem("a", (Message(role="user", content="Add."),), None, "lab", {"invalid_gold": "no tests"})
    env = CodingToolsWrapper(TextEnv([problem], "code"))
    assert env.reset()[0].endswith("Add.")
    assert env.step(call("x = 1", "run_tests"))[0].startswith("This problem has no public tests.")
    assert env.step("x = 1")[4]["verdict"].status == Status.UNDECIDED
    env.close()


def test_the_instruction_and_the_prompts_of_the_environment_are_one_system_turn() -> None:
    row = {"messages": [{"role": "system", "content": "Sum."}, {"role": "user", "content": "1 + 1?"}], "answer": "2"}
    env = PythonToolWrapper(TextEnv([row], system="Be brief."), instruction="Use Python.")
    text, info = env.reset()
    assert info["messages"] == (
        {"role": "system", "content": "Use Python.\n\nBe brief.\n\nSum."},
        {"role": "user", "content": "1 + 1?"},
    )
    assert text == "Use Python.\n\nBe brief.\n\nSum.\n\n1 + 1?"
    env.close()


def test_the_reply_of_public_tests_depends_only_on_them(coding: gymnasium.Env[str, str]) -> None:
    """A program cannot learn the private tests from the calls of the public ones."""
    coding.reset(seed=0)
    spy = "def add(a, b):\n    print(a, b)\n    raise ValueError((a, b))"
    reply = coding.step(call(spy, "run_tests"))[0]
    assert "2, 2" not in reply
