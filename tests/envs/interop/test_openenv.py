"""`openenv:URL`: the verdicts of an environment behind a server are its own, and failures of a server are faults."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from gymnasium.envs.registration import EnvSpec

pytest.importorskip("starlette")
pytest.importorskip("websockets")
import tenfold
from tenfold import UserError
from tenfold.core import Conversation, Episode, Status
from tenfold.envs import check, registry
from tenfold.envs.interop.openenv import OpenEnv
from tenfold.envs.interop.openenv.client import ServerError
from tenfold.envs.interop.openenv.session import Limits
from tenfold.policies.scripted import ScriptedPolicy
from tenfold.policies.server import keys

from .served import Judged, of_application, other_server, running, served

TOKEN = "a token that nobody guesses"
MATH = [
    {"question": "What is half of 1?", "answer": "1/2"},
    {"question": "Solve x^2 = 4.", "answer": "x = 2 or x = -2"},
    {"question": "Which numbers?", "answer": r"\begin{unreadable"},
    {"question": "How many?", "answer": 17},
]
MATH_RESPONSES = (
    *("0.5", r"So it is \boxed{\frac{2}{4}}", "<think>1/2</think> It is 3.", "<think>It is 1/2", "x = -2 or x = 2", r"\pm 2"),
    *("共17个", "17", "It is 16 or 17.", "", "10^(10^10)", r"\boxed{17} or \boxed{18}", "The answer is 1/2. " * 200),
)
CHOICES = [
    {
        "question": f"Which is the colour of {thing}?\n(A) red\n(B) green\n(C) blue",
        "answer": {"letter": letter, "options": ["red", "green", "blue"]},
    }
    for thing, letter in (("the sky", "C"), ("grass", "B"), ("blood", "A"))
]
tenfold.register("lab/OpenEnvMath-v0", problems=MATH)
tenfold.register("lab/OpenEnvChoice-v0", problems=CHOICES, verifier="choice")
tenfold.register("lab/OpenEnvPlain-v0", entry_point=Judged)


def numbered(*responses: str) -> Callable[[Conversation, int], str]:
    """Returns a policy's function that chooses one of the responses by the seed."""
    return lambda conversation, seed: responses[seed % len(responses)]


def summed(conversation: Conversation, seed: int) -> str:
    """Answers a sum of reasoning-gym: right, wrong or without an answer."""
    words = conversation[0]["content"].replace("- ", "-").replace("+ ", "+")
    total = sum(map(int, re.findall(r"[+-]?\d+", words)))
    return (f"It is {total}.", f"It is {total + 1}.", f"<answer>{total}</answer>", "I do not know.")[seed % 4]


def guessed(conversation: Conversation, seed: int) -> str:
    """Guesses a number by halves; some turns are no guess."""
    low, high = map(int, re.findall(r"\d+", conversation[0]["content"])[:2])
    for turn in conversation[1:]:
        if found := re.search(r"number is (higher|lower) than (\d+)", turn["content"]):
            low, high = (int(found[2]) + 1, high) if found[1] == "higher" else (low, int(found[2]) - 1)
    return f"\\boxed{{{(low + high) // 2}}}" if seed % 4 else "I do not know."


PROGRAM = "```python\ndef {name}(*arguments):\n    return {value}\n```"


def programmed(conversation: Conversation, seed: int) -> str:
    """Writes a function that returns a constant, or no program."""
    found = re.search(r"`?(\w+)\(", conversation[-1]["content"])
    values = ("0", "[]", "True", "''", "1 /", "arguments[0]")
    return PROGRAM.format(name=found[1] if found else "f", value=values[seed % 6]) if seed % 7 else "I cannot."


def called(conversation: Conversation, seed: int) -> str:
    """Calls the interpreter once, and then answers."""
    if conversation[-1]["role"] == "tool":
        return f"It is {conversation[-1]['content'].strip()}."
    call = {"name": "python", "arguments": {"code": f"print({seed % 3} / {seed % 2})"}}
    return f"<tool_call>\n{json.dumps(call)}\n</tool_call>" if seed % 4 else "It is 1/2."


PLAYED: dict[str, tuple[Callable[[Conversation, int], str], int, int]] = {
    "tenfold/ChainSum-v0": (summed, 40, 2),
    "lab/OpenEnvMath-v0": (numbered(*MATH_RESPONSES), 4, 25),
    "lab/OpenEnvChoice-v0": (numbered("(C)", "B", "The answer is A.", "blue", "A or B", "", "<think>C"), 3, 20),
    "tenfold/SmallFunctions-v0": (programmed, 10, 4),
    "tenfold/GuessNumber-v0": (guessed, 10, 3),
    "lab/OpenEnvMathPython-v0": (called, 4, 5),
}
"""Environments with a policy, the number of problems, and the samples of each: 330 pairs of a problem and a response."""
tenfold.register("lab/OpenEnvMathPython-v0", entry_point="tenfold.envs.tools:with_python", environment="lab/OpenEnvMath-v0")


def played(id: str, answer: Callable[[Conversation, int], str], problems: int, samples: int) -> list[Episode]:
    return tenfold.rollout(
        id, ScriptedPolicy(answer), samples, problems=problems, sampling=tenfold.Sampling(max_tokens=300), max_turns=12
    )


def test_the_pairs_are_at_least_300() -> None:
    assert sum(problems * samples for _, problems, samples in PLAYED.values()) >= 300


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("id", PLAYED)
def test_an_environment_behind_a_server_gives_the_same_episodes(id: str) -> None:
    own = played(id, *PLAYED[id])
    with served(id) as url:
        assert played(f"openenv:{url}", *PLAYED[id]) == own
    assert len({episode.verdict.score for episode in own}) > 1 or id == "tenfold/SmallFunctions-v0"


def test_the_verdicts_behind_a_server_are_those_of_verify() -> None:
    environment = tenfold.make("lab/OpenEnvMath-v0")
    with served("lab/OpenEnvMath-v0") as url:
        behind = tenfold.make(f"openenv:{url}")
        for index, row in enumerate(MATH):
            for response in MATH_RESPONSES:
                behind.reset(options={"problem": index})
                environment.reset(options={"problem": index})
                _, reward, _, _, info = behind.step(response)
                expected = environment.step(response)[-1]["verdict"]
                assert info["verdict"] == expected
                assert tenfold.verify(row["answer"], response).score == expected.score
                assert reward == expected.score or expected.score is None
        behind.close()


def test_verdicts_without_a_score_keep_their_status_and_reason() -> None:
    with served("lab/OpenEnvPlain-v0") as url:
        for word in ("fault", "undecided", "nan", "raise"):
            own, behind = (played(id, numbered(word), 1, 1)[0] for id in ("lab/OpenEnvPlain-v0", f"openenv:{url}"))
            assert behind.verdict.status == own.verdict.status
            assert behind.verdict.score is None
            assert behind.verdict.reason.split(" (")[0].replace("***@", "user:secret@") == own.verdict.reason.split(" (")[0]


def test_a_server_can_be_checked_and_be_an_environment_of_another_process() -> None:
    with served("lab/OpenEnvChoice-v0") as url:
        environment = tenfold.make(f"openenv:{url}")
        declared = registry.declaration(environment, f"openenv:{url}", {})
        assert EnvSpec.from_json(declared).kwargs == {"address": url}
        environment.close()
        assert [str(finding) for finding in check.check(f"openenv:{url}", {}) if finding.level == "error"] == []


def observed(text: object, reward: object = None, done: bool = False) -> dict[str, object]:
    return {"type": "observation", "data": {"observation": text, "reward": reward, "done": done}}


ECHO = {"properties": {"message": {"type": "string"}, "metadata": {"type": "object"}}, "required": ["message"]}


@pytest.fixture
def seen() -> list[dict[str, Any]]:
    """Returns the list of messages that a server has got."""
    return []


@pytest.fixture
def echo(seen: list[dict[str, Any]]) -> Iterator[str]:
    """A server whose rewards are those that the policy asks for."""

    def answers(asked: dict[str, Any]) -> object:
        seen.append(asked)
        if asked["type"] == "reset":
            return observed({"prompt": f"Seed {asked['data']['seed']}.", "metadata": {}})
        word = asked["data"]["message"]
        special: dict[str, object] = {
            "close": None,
            "text": "no JSON",
            "list": [],
            "error": {"type": "error", "data": {"message": "it broke", "code": "EXECUTION_ERROR"}},
            "number": observed(5, 1.0, True),
            "null": observed({"prompt": ""}, None, True),
            "nan": observed({"prompt": ""}, float("nan"), True),
            "infinite": observed({"prompt": ""}, float("inf"), True),
            "word": observed({"prompt": ""}, "1.0", True),
            "long": observed({"prompt": "x" * 1_000_001}, 1.0, True),
        }
        if word in special:
            return special[word]
        return observed({"prompt": f"You said {word}."}, 0.5 if word == "more" else 0.25, word != "more")

    with running(other_server(answers, ECHO)) as url:
        yield url


def episode_of(url: str, *turns: str, **options: object) -> Episode:
    tenfold.register("lab/OpenEnvOther-v0", entry_point="tenfold.envs.interop.openenv:OpenEnv", address=url, **options)
    texts = iter([*turns] * 2)  # a fault is played once more, with the same turns
    return tenfold.rollout(
        "lab/OpenEnvOther-v0", ScriptedPolicy(lambda *_: next(texts)), 1, problems=[1], max_turns=len(turns)
    )[0]


def test_an_episode_of_another_server_has_the_sum_of_its_rewards(echo: str, seen: list[dict[str, Any]]) -> None:
    episode = episode_of(echo, "more", "<think>what now?</think>enough", problems=3)
    assert [turn["content"] for turn in episode.messages[::2]] == ["Seed 1.", "You said more."]
    assert (episode.verdict.status, episode.verdict.score) == (Status.SCORED, 0.75)
    assert seen == [
        {"type": "reset", "data": {"seed": 1}},
        {"type": "step", "data": {"message": "more"}},
        {"type": "step", "data": {"message": "enough"}},
    ]
    assert episode.problem_id == f"{echo}#1"


@pytest.mark.parametrize(
    ("word", "status", "reason"),
    [
        ("null", Status.UNDECIDED, "the server gave no reward"),
        ("nan", Status.FAULT, "the reward is NaN"),
        ("infinite", Status.FAULT, "expected a number, got inf"),
        ("word", Status.FAULT, "expected a number, got '1.0'"),
        ("error", Status.FAULT, "it broke (EXECUTION_ERROR)"),
        ("close", Status.FAULT, "was lost"),
        ("text", Status.FAULT, "sent no JSON"),
        ("list", Status.FAULT, "sent no observation"),
        ("number", Status.FAULT, "observation: expected an object"),
        ("long", Status.FAULT, "expected a text of at most 1,000,000 characters"),
    ],
)
def test_what_is_no_reward_is_never_a_score(echo: str, word: str, status: Status, reason: str) -> None:
    verdict = episode_of(echo, word, problems=3).verdict
    assert (verdict.status, verdict.score) == (status, None)
    assert reason in verdict.reason
    assert episode_of(echo, "again", problems=3).verdict.score == 0.25


def test_a_server_that_ends_is_a_fault(echo: str) -> None:
    judged = lambda asked: observed("Wait.") if asked["type"] == "reset" else None  # noqa: E731
    with running(other_server(judged, ECHO)) as url:
        environment = OpenEnv(url, problems=1)
        environment.reset()
    with pytest.raises(ConnectionError, match="was lost"):
        environment.step("x")
    with pytest.raises(ConnectionError):
        environment.reset()


def test_a_late_answer_is_a_fault_and_is_not_taken_for_a_later_one() -> None:
    Judged.release.clear()
    with served("lab/OpenEnvPlain-v0") as url:
        environment = OpenEnv(url, seconds=0.2)
        environment.reset()
        with pytest.raises(TimeoutError, match=r"did not answer within 0\.2 s"):
            environment.step("wait")
        Judged.release.set()
        environment.reset()
        assert environment.step("0.5")[1] == 0.5
        environment.close()


def test_a_server_that_is_full_says_so() -> None:
    with served("lab/OpenEnvChoice-v0", Limits(sessions=1)) as url:
        first, second = OpenEnv(url), OpenEnv(url)
        first.reset()
        with pytest.raises(ServerError, match=r"the server has 1 sessions, .* \(CAPACITY_REACHED\)"):
            second.reset()
        first.close()


def test_problems_are_the_tasks_of_a_server_that_has_a_task_api(seen: list[dict[str, Any]]) -> None:
    def answers(asked: dict[str, Any]) -> object:
        seen.append(asked)
        return observed({"text": "Go."}, 1.0, asked["type"] == "step")

    with running(other_server(answers, ECHO, tasks=5)) as url:
        assert len(OpenEnv(url).problems) == 5
        assert len(OpenEnv(url, problems=2).problems) == 2
        assert len(OpenEnv(url, split="test").problems) == 1
        environment = OpenEnv(url)
        environment.reset(seed=9, options={"problem": 4})
        environment.close()
        for options, message in (({"problems": 6}, "has 5, got 6"), ({"split": "dev"}, "has train, test, got 'dev'")):
            with pytest.raises(UserError, match=message):
                OpenEnv(url, **options)
        with pytest.raises(UserError, match="there is no problem 5"):
            environment.reset(options={"problem": 5})
    assert seen == [{"type": "reset", "data": {"seed": 9, "index": 4, "split": "train"}}]


CALL = {"properties": {"type": {"const": "call_tool"}, "tool_name": {"type": "string"}, "arguments": {"type": "object"}}}
ADD = {
    "name": "add",
    "description": "Adds.",
    "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
}


def test_the_tools_of_another_server_are_declared_and_called() -> None:
    asked_of: list[object] = []

    def answers(asked: dict[str, Any]) -> object:
        asked_of.append(asked["data"])
        if asked["type"] == "reset":
            return observed({"text": "Add 2 and 3."})
        if asked["data"]["type"] == "list_tools":
            return observed({"tools": [ADD]})
        return observed({"tool_name": "add", "result": {"data": 5}, "error": None}, 1.0, asked["data"]["arguments"]["b"] == 3)

    calls = [f'<tool_call>{{"name": "add", "arguments": {{"a": 2, "b": {b}}}}}</tool_call>' for b in (2, 3)]
    with running(other_server(answers, CALL)) as url:
        episode = episode_of(url, "It is 5.", *calls, problems=2)
    assert [(turn["role"], turn["content"]) for turn in episode.messages[2::2]] == [
        ("user", "Call exactly one of the functions."),
        ("tool", "5"),
    ]
    assert "Add 2 and 3." in episode.messages[0]["content"]
    assert episode.messages[0]["tools"][0]["function"]["parameters"] == ADD["input_schema"]
    assert episode.verdict.score == 2.0
    assert asked_of[2:] == [{"type": "call_tool", "tool_name": "add", "arguments": {"a": 2, "b": b}} for b in (2, 3)]


def test_a_server_with_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    with served("lab/OpenEnvChoice-v0", token=TOKEN) as url:
        monkeypatch.setenv("OPENENV_TOKEN", TOKEN)
        with pytest.raises(UserError, match=r"refuses the request \(403\).*export TENFOLD_KEYS") as refused:
            OpenEnv(url)
        assert TOKEN not in str(refused.value)
        with pytest.raises(UserError, match="the key in LAB_TOKEN is not sent to"):
            OpenEnv(url, token_env="LAB_TOKEN")
        host = url.removeprefix("http://")
        monkeypatch.setenv(keys.VARIABLE, f"OPENENV_TOKEN={host} LAB_TOKEN={host}")
        environment = OpenEnv(url)
        environment.reset(options={"problem": 1})
        assert environment.step("(B)")[1] == 1.0
        environment.close()
        with pytest.raises(UserError, match=r"set \$LAB_TOKEN"):
            OpenEnv(url, token_env="LAB_TOKEN")


def test_no_token_follows_a_redirection(monkeypatch: pytest.MonkeyPatch) -> None:
    from starlette.applications import Starlette
    from starlette.responses import RedirectResponse
    from starlette.routing import Route

    got: list[str] = []

    async def move(request: Any) -> RedirectResponse:
        got.append(request.url.path)
        return RedirectResponse("/elsewhere" if request.url.path == "/schema" else "/")

    with running(of_application(Starlette(routes=[Route("/{path:path}", move)]))) as url:
        monkeypatch.setenv("OPENENV_TOKEN", TOKEN)
        monkeypatch.setenv(keys.VARIABLE, f"OPENENV_TOKEN={url.removeprefix('http://')}")
        with pytest.raises(UserError, match="is no server of OpenEnv"):
            OpenEnv(url, problems=1)
    assert got == ["/schema"]


ARGUMENTS: Sequence[tuple[str, dict[str, Any], str]] = [
    ("ftp://localhost", {}, "expected a base URL"),
    ("http://user:secret@localhost", {}, "must not contain user names"),
    ("http://127.0.0.1:1", {}, "no server answers at http://127.0.0.1:1"),
    ("http://127.0.0.1:1", {"problems": 0}, "problems: expected a number of problems"),
    ("http://127.0.0.1:1", {"seconds": 0}, "seconds: expected a number above 0"),
]


@pytest.mark.parametrize(("address", "options", "message"), ARGUMENTS)
def test_invalid_arguments(address: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        OpenEnv(address, **options)


def test_a_server_without_a_list_of_problems_needs_their_number(echo: str) -> None:
    with pytest.raises(UserError, match="does not say how many problems it has; set problems=N"):
        OpenEnv(echo)
