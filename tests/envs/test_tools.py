import json
from collections.abc import Iterator

import gymnasium
import pytest
import tenfold
from gymnasium.utils.env_checker import check_env
from tenfold.core import Sampling
from tenfold.envs.tools import PythonTool, called
from tenfold.policies.scripted import ScriptedPolicy

pytestmark = pytest.mark.usefixtures("sandboxed")


def call(code: str) -> str:
    return f"Let me compute.\n<tool_call>\n{json.dumps({'name': 'python', 'arguments': {'code': code}})}\n</tool_call>"


@pytest.fixture
def env() -> Iterator[gymnasium.Env[str, str]]:
    env = PythonTool(tenfold.make("tenfold/ChainSum-v0"), max_calls=3, max_output=200)
    yield env
    env.close()


def test_the_interpreter_answers_and_keeps_its_names(env: PythonTool) -> None:
    prompt, info = env.reset(options={"problem": 0})
    assert "Python interpreter" in prompt
    assert [turn["role"] for turn in info["messages"]] == ["system", "user"]
    gold = env.unwrapped.problems[0].answer  # type: ignore[attr-defined]
    said, reward, terminated, truncated, info = env.step(call("x = 20\nprint('hello')\nx * 2"))
    assert (said, reward, terminated, truncated, info["role"]) == ("hello\n40", 0.0, False, False, "tool")
    assert env.step(call("x + 1"))[0] == "21"
    _, reward, terminated, _, info = env.step(f"The answer is {gold}")
    assert (reward, terminated) == (1.0, True)
    assert info["verdict"].score == 1


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("x = 1", "(no output)"),
        ("", "The call is no JSON"),
        ("print('x' * 10000)", "x" * 200),
        ("import os; os._exit(1)", "The interpreter was stopped (it left with status 1"),
        ("import socket; socket.create_connection(('1.1.1.1', 53))", "PermissionError"),
    ],
)
def test_whatever_the_code_does_the_policy_is_told(env: PythonTool, code: str, said: str) -> None:
    env.reset(seed=0)
    assert env.step(call(code))[0].startswith(said)
    assert env.step(call("6 * 7"))[0] == "42"


def test_calls_are_counted_and_the_next_episode_starts_anew(env: PythonTool) -> None:
    env.reset(seed=0)
    for _ in range(3):
        assert not env.step(call("x = 1"))[2]
    assert env.step(call("x = 1"))[2]
    env.reset(seed=0)
    assert env.step(call("x"))[0].startswith("NameError")


def test_a_call_is_the_last_one_outside_of_thinking() -> None:
    assert called("no call") is None
    assert called("<think><tool_call>{}</tool_call></think>7") is None
    assert called(call("1") + call("2")) == "2"
    assert called("<tool_call>{") == ""
    assert called('<tool_call>{"name": "python", "arguments": {"code": 7}}</tool_call>') == ""


@pytest.mark.filterwarnings("ignore:.*different from the unwrapped version")  # it is a wrapper, and that is what is checked
def test_it_is_an_environment_like_any_other() -> None:
    tenfold.register("lab/ChainSumPython-v0", entry_point="tenfold.envs.tools:with_python", environment="tenfold/ChainSum-v0")
    check_env(tenfold.make("lab/ChainSumPython-v0").env)

    def computes(conversation: object, seed: int) -> str:
        *_, last = conversation  # type: ignore[misc]
        problem = last["content"].rsplit("problem: ", 1)[-1].rstrip(" =")
        return f"It is {last['content']}." if last["role"] == "tool" else call(problem)

    episodes = tenfold.rollout("lab/ChainSumPython-v0", ScriptedPolicy(computes), 1, problems=5, sampling=Sampling())
    assert [episode.verdict.score for episode in episodes] == [1.0] * 5
    assert [turn["role"] for turn in episodes[0].messages] == ["system", "user", "assistant", "tool", "assistant"]
