"""tau2-bench: an episode follows its protocol, and the score is that of its own code."""

import itertools
import json
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

import tenfold
from tenfold import Status, UserError, cli
from tenfold.benchmarks import evaluate
from tenfold.benchmarks.result import Options
from tenfold.envs import identity
from tenfold.envs.tau2 import simulation, user
from tenfold.envs.tau2.environment import Tau2
from tenfold.envs.tau2.problems import URI, tasks
from tenfold.policies.scripted import ScriptedPolicy

from . import scripts
from .scripts import Case, Response, call, text, written
from .stage import NEEDS_PACKAGES, Stage, start

pytestmark = [NEEDS_PACKAGES, pytest.mark.usefixtures("sandboxed")]

CREATE = call("create_task", {"user_id": "user_1", "title": "Important Meeting"})


def test_an_episode_follows_the_protocol(stage: Stage) -> None:
    env, speaker = stage("domain=mock&ids=create_task_1", "I need a task.", "Thanks. ###STOP###")
    info = start(env)
    system, greeting, asked = info["messages"]
    assert system["content"].startswith("<instructions>\nYou are a customer service agent")
    assert "# Mock Domain Policy" in system["content"]
    assert {tool["function"]["name"] for tool in system["tools"]} >= {"create_task", "transfer_to_human_agents"}
    assert (greeting["role"], greeting["content"]) == ("assistant", "Hi! How can I help you today?")
    assert (asked["role"], asked["content"]) == ("user", "I need a task.")
    reply, reward, ended, _, info = env.step(written(CREATE))
    assert json.loads(reply)["title"] == "Important Meeting"
    assert (reward, ended, info["role"], info["tool_calls"]) == (0.0, False, "tool", 1)
    _, reward, ended, _, info = env.step("<think>It is done.</think>Your task exists.")
    assert (reward, ended) == (1.0, True)
    assert info["verdict"].reason == "ended by user stop, db 1, communicate 1"
    told, *said = speaker.asked[-1]
    assert "# User Simulation Guidelines" in told["content"]
    assert "Important Meeting" in told["content"]
    assert [(each["role"], each["content"]) for each in said] == [
        ("user", "Hi! How can I help you today?"),
        ("assistant", "I need a task."),
        ("user", "Your task exists."),
    ]


def test_the_user_has_functions_in_telecom(stage: Stage) -> None:
    off = written(call("toggle_airplane_mode", {}))
    env, speaker = stage("domain=telecom&each=1", "My data is slow.", off, "It is off.", "###STOP###")
    start(env)
    reply, *_, info = env.step("Please switch the airplane mode off.")
    assert (reply, info["role"], info["tool_calls"]) == ("It is off.", "user", 0), "the agent does not see the user's calls"
    assert "toggle_airplane_mode" in {tool["function"]["name"] for tool in speaker.asked[0][0]["tools"]}
    made, result = speaker.asked[-1][-2:]
    assert made["tool_calls"][0]["function"]["name"] == "toggle_airplane_mode"
    assert (result["role"], "Airplane Mode is now OFF" in result["content"]) == ("tool", True)


def test_a_response_that_cannot_be_read_goes_to_the_user_and_an_empty_one_scores_0(stage: Stage) -> None:
    env, speaker = stage("domain=mock&ids=create_task_1", "Help.")
    start(env)
    _, _, ended, _, info = env.step('<tool_call>\n{"name": "create_task", "arguments": {\n</tool_call>')
    assert (ended, info["role"]) == (False, "user")
    assert speaker.asked[-1][-1]["content"].startswith("<tool_call>")
    _, reward, ended, _, info = env.step("<think>What now?</think>")
    assert (reward, ended, info["verdict"].reason) == (0.0, True, "ended by an empty response")


def test_a_user_without_a_message_is_a_fault_and_no_score_of_0(stage: Stage) -> None:
    env, speaker = stage("domain=mock&ids=create_task_1", "Help.", "", ConnectionError("no route"), "Help.")
    start(env)
    with pytest.raises(user.NoMessage, match="no route"):
        env.step("How can I help?")
    key = "mock_create_task_1/0/user2"
    assert speaker.keys[1:] == [key, f"{key}/1"], "an empty message is sampled again"
    env, _ = stage("domain=mock&ids=create_task_1", "")
    with pytest.raises(user.NoMessage, match="4 times no message: it is empty"):
        start(env)


def test_an_unreachable_user_is_a_fault_in_a_rollout() -> None:
    tenfold.register(
        "lab/Unreachable-v0",
        entry_point="tenfold.envs.tau2.environment:Tau2",
        problems=f"{URI}?domain=mock&ids=create_task_1",
        user_policy="openai:m?base_url=http://127.0.0.1:9/v1&omit_parameters=seed",
    )
    from tenfold.policies import openai

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(user, "_policy", lambda uri: openai.OpenAIPolicy("m", "http://127.0.0.1:9/v1", max_retries=0))
        (episode,) = tenfold.rollout("lab/Unreachable-v0", ScriptedPolicy("Hello."), samples=1)
    assert (episode.verdict.status, episode.verdict.score) == (Status.FAULT, None)
    assert "the user's policy gave no response" in episode.verdict.reason


def test_the_users_seed_depends_on_the_sample_and_a_replay_asks_for_nothing_again(stage: Stage) -> None:
    env, speaker = stage("domain=mock&ids=create_task_1", "Help.", "Please.")
    for _ in range(2):
        start(env, sample=1)
        assert env.step("What?")[0] == "Please."
    assert speaker.keys == ["mock_create_task_1/1/user1", "mock_create_task_1/1/user2"]
    start(env, sample=2)
    assert speaker.keys[2:] == ["mock_create_task_1/2/user1"]


def test_a_user_may_end_the_conversation_at_once(stage: Stage) -> None:
    env, _ = stage("domain=mock&ids=create_task_1", "###OUT-OF-SCOPE###")
    start(env)
    _, reward, ended, _, _ = env.step(written(CREATE))
    assert (reward, ended) == (0.0, True)


def test_a_call_that_does_not_end_scores_0(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "LIMITS", simulation.Limits(cpu_seconds=2.5, memory=1 << 30))
    env, _ = stage("domain=retail&each=1", "Help.")
    start(env)
    _, reward, ended, _, info = env.step(written(call("calculate", {"expression": "9**9**9**9"})))
    assert (reward, ended, info["verdict"].status) == (0.0, True, Status.TIMEOUT)


def test_environments_pass_gymnasiums_checker() -> None:
    env = tenfold.make("tenfold/Tau2Mock-v0", user_policy="scripted:Help me.")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
    env.close()


def test_a_user_policy_must_be_named() -> None:
    env = tenfold.make("tenfold/Tau2Airline-v0")
    with pytest.raises(UserError, match="set user_policy"):
        env.reset(seed=0)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.unwrapped.step("Hello.")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("domain=bank", "no domain 'bank'"),
        ("domain=retail&split=all", "no split 'all'; use train, test, base"),
        ("domain=mock&ids=create_task_1;nothing", "no task 'nothing'"),
    ],
)
def test_unknown_tasks_are_errors(query: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Tau2(f"{URI}?{query}")


def test_splits_are_those_of_the_benchmark() -> None:
    sizes = {(domain, split): len([*tasks(domain, split)]) for domain in ("airline", "retail") for split in ("base", "test")}
    assert sizes == {("airline", "base"): 50, ("airline", "test"): 20, ("retail", "base"): 114, ("retail", "test"): 40}
    assert not {task.id for task in tasks("telecom", "train")} & {task.id for task in tasks("telecom", "test")}


def test_the_user_is_part_of_an_environments_identity() -> None:
    first, second = (identity.of_environment("tenfold/Tau2Mock-v0", {"user_policy": f"scripted:{said}"}) for said in "ab")
    assert first != second


def test_a_benchmark_reports_reliability_and_what_differs_from_the_published_protocol(tmp_path: Path) -> None:
    result = evaluate.run_task(
        f"env:tenfold/Tau2Mock-v0_avg2?user_policy=scripted:I+am+done.+%23%23%23STOP%23%23%23&problems={URI}"
        "?domain=mock%26ids=create_task_1;create_task_1_nl_eval",
        ScriptedPolicy("Good bye."),
        Options(),
        folder=tmp_path,
    )
    assert (result.score.mean, result.figures["pass^2"]) == (0.5, 0.5)
    assert any("tau2-bench 0.2" in line for line in result.settings["protocol"])
    assert any("the user is simulated by scripted:" in line for line in result.settings["protocol"])


def test_options_reach_the_environments_of_a_suite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", "tau2_airline", "--policy", "scripted:Hello.", "--limit", "1", "--samples", "1", "--out", str(tmp_path)]
    assert cli.main(command) == 2
    assert "set user_policy" in capsys.readouterr().err
    assert cli.main([*command, "--set", "user_policy=scripted:That is all. ###STOP###"]) == 0
    said = capsys.readouterr()
    assert "env_tenfold_Tau2Airline-v0_avg1: avg@1 100.0" in said.out, "nothing is to be done in the first task"
    assert "differs from the published protocol: the user is simulated by scripted:" in said.err


def of_task(id: str, domain: str) -> Mapping[str, Any]:
    (problem,) = tasks(domain, ids=id)
    found: Mapping[str, Any] = problem.answer["task"]  # type: ignore[index]
    return found


def official(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Returns what tau2-bench's own code says about conversations; see `official_tau2.py`."""
    script = Path(__file__).with_name("official_tau2.py")
    lines = "\n".join(map(json.dumps, cases))
    run = subprocess.run([sys.executable, script], input=lines, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    return [json.loads(line) for line in run.stdout.splitlines()]


def played(stage: Stage, case: Case) -> tuple[float, str, list[list[str]]]:
    """Returns the score, the reason and what the agent saw."""
    limits = {name: case[name] for name in ("max_steps", "max_errors")}
    said = [written(each) for each in case["user"]]
    env, _ = stage(f"domain={case['domain']}", *said, "###STOP###", **limits)
    index = next(index for index, problem in enumerate(env.problems) if problem.answer["task"]["id"] == case["task"])  # type: ignore[index]
    seen = [[each["role"], each["content"]] for each in start(env, index)["messages"]]
    rest: Iterator[Response] = itertools.chain(case["agent"], itertools.repeat(text("Is there anything else?")))
    for response in rest:
        reply, reward, ended, _, info = env.step(written(response))
        if ended:
            return float(reward), info["verdict"].reason, seen
        seen += [["assistant", response["content"] or ""], [info["role"], reply]]
    raise AssertionError


def in_turns(messages: Sequence[Sequence[str]]) -> list[list[str]]:
    """Returns messages with the results of one response in one message, as an episode has them."""
    found: list[list[str]] = []
    for role, content in messages:
        if role == "tool" and found[-1][0] == "tool":
            found[-1][1] += f"\n{content}"
        else:
            found.append([role, content])
    return found


def compare(stage: Stage, cases: Sequence[Case]) -> list[float]:
    """Compares scores, reasons and the agent's messages with those of tau2-bench's own code; returns the scores."""
    scores = []
    for case, expected in zip(cases, official(cases), strict=True):
        score, reason, seen = played(stage, case)
        scores.append(score)
        if "error" in expected:  # its evaluation raised an exception
            replay = expected["error"].startswith("Tool call:")
            defect = OTHER_RESULTS if replay else f"an assertion fails: {expected['error']}"
            assert (score, reason) == (0.0, f"ended by user stop, {defect}")
            continue
        parts = "".join(f", {kind.lower()} {part:g}" for kind, part in expected["parts"].items())
        assert (score, reason) == (expected["reward"], f"ended by {expected['ended_by'].replace('_', ' ')}{parts}"), case
        shown = in_turns(expected["seen"])
        assert seen[: len(shown)] == shown, case
    return scores


OTHER_RESULTS = "the calls give other results when they are made again"
TASKS = [
    ("airline", "2"),
    ("retail", "0"),
    ("mock", "update_task_with_message_history"),
    ("mock", "create_task_1_with_env_assertions"),
]


def test_conversations_get_the_score_of_the_benchmarks_own_code(stage: Stage) -> None:
    given = [(domain, of_task(id, domain)) for domain, id in TASKS]
    golds = [scripts.gold(domain, task) for domain, task in given]
    mutants = [*scripts.mutants(golds[1], 0)][5:7] + [*scripts.mutants(golds[3], 0)][:4]
    cases = [*golds, scripts.idle(*given[3]), *mutants]
    scores = compare(stage, cases)
    assert scores[: len(golds)] == [1.0] * len(golds)
    assert {*scores} == {0.0, 1.0}


def test_a_result_that_cannot_be_repeated_scores_0(stage: Stage) -> None:
    (task,) = tasks("telecom", each=1)
    other = {"customer_id": "C1002"}
    calls = [call("refuel_data", {**other, "line_id": "L1004", "gb_amount": 1.0}), call("get_customer_by_id", other)]
    assert compare(stage, [scripts.case("telecom", task.answer["task"], calls, [text("Help.")])]) == [0.0]  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.parametrize("domain", ["airline", "retail", "telecom"])
def test_many_conversations_get_the_score_of_the_benchmarks_own_code(domain: str, stage: Stage) -> None:
    cases = []
    for number, problem in enumerate(tasks(domain, each=50)):
        task = problem.answer["task"]  # type: ignore[index]
        gold = scripts.gold(domain, task)
        mutants = [*scripts.mutants(gold, number)]
        cases += [gold, scripts.idle(domain, task), mutants[number % len(mutants)], mutants[(number + 5) % len(mutants)]]
    assert {*compare(stage, cases)} == {0.0, 1.0}
