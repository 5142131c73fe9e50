"""tau2-bench: who is responsible for a failure, and how a command reports it."""

from pathlib import Path

import pytest
import yaml

import tenfold
from tenfold import Sampling, Status, UserError, Verdict, cli
from tenfold.core import SamplingIncomplete
from tenfold.envs.tau2 import said, user
from tenfold.envs.tau2.environment import Tau2
from tenfold.envs.tau2.problems import URI
from tenfold.envs.tau2.said import Said
from tenfold.policies.scripted import ScriptedPolicy
from tenfold.verifiers.sandbox import SandboxFault

from .scripts import call, written
from .stage import NEEDS_PACKAGES, Stage, start

pytestmark = [NEEDS_PACKAGES, pytest.mark.usefixtures("sandboxed")]
TASK = "domain=mock&ids=create_task_1"


def nested(levels: int) -> str:
    """Returns a call with an argument that is nested in lists."""
    made = written(call("create_task", {"user_id": "user_1", "title": "T", "description": 0}))
    return made.replace(": 0", f": {'[' * levels}0{']' * levels}")


def test_a_call_with_an_argument_that_is_nested_too_deep_is_a_message_to_the_user(stage: Stage) -> None:
    env, speaker = stage(TASK, "Help.", "What?", "###STOP###")
    start(env)
    *_, info = env.step(nested(99))  # the arguments are the hundredth level
    assert info["role"] == "tool"
    for levels in (100, 600):
        speaker.texts[:0] = ["What?"]
        *_, info = env.step(nested(levels))
        assert (info["role"], speaker.asked[-1][-1]["content"]) == ("user", nested(levels))


def played(env: Tau2, *responses: str) -> Verdict:
    """Returns the verdict on an episode of a rollout."""
    said = iter(responses)
    (episode,) = tenfold.rollout(
        lambda: env, ScriptedPolicy(lambda conversation, seed: next(said)), samples=1, sampling=Sampling(max_tokens=9_999)
    )
    return episode.verdict


def test_an_agent_that_makes_the_benchmarks_code_fail_gets_0_and_no_fault(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(said, "MAX_NESTING", 900)
    env, _ = stage(TASK, "Help.", "###STOP###")
    verdict = played(env, nested(600), "Bye.")
    assert (verdict.status, verdict.score) == (Status.SCORED, 0.0)
    assert "tau2-bench's code raised RecursionError" in verdict.reason


def test_a_message_of_the_user_that_the_benchmarks_code_rejects_is_a_fault(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    env, _ = stage(TASK, "Help.")
    messages = iter([Said("Help.", []), Said(None, [])] * 2)
    monkeypatch.setattr(user.SimulatedUser, "hear", lambda *arguments: next(messages))
    verdict = played(env, "What?")
    assert (verdict.status, verdict.score) == (Status.FAULT, None)
    assert "must have either content or tool calls" in verdict.reason


def test_a_broken_sandbox_is_a_fault(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise SandboxFault("the sandbox is gone")

    env, _ = stage(TASK, "###STOP###", "Help.")
    start(env)
    assert env.simulation is not None
    monkeypatch.setattr(type(env.simulation._session), "call", broken)
    verdict = played(env, "What?")
    assert (verdict.status, verdict.score) == (Status.FAULT, None)


def test_a_rejected_key_of_the_user_ends_the_command_and_an_unreachable_server_is_a_fault(stage: Stage) -> None:
    rejected = SamplingIncomplete("m: 401: no such key", [])
    rejected.__cause__ = UserError("m: 401: no such key")
    for error in (rejected, UserError("m: 401: no such key")):
        env, _ = stage(TASK, error)
        with pytest.raises(UserError, match=r"^m: 401: no such key$"):
            start(env)
    env, _ = stage(TASK, SamplingIncomplete("m does not answer", []))
    with pytest.raises(user.NoMessage, match="m does not answer"):
        start(env)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A recipe of one GRPO stage."""
    monkeypatch.chdir(tmp_path)
    service = {
        "entry_point": "tenfold.envs.tau2.environment:Tau2",
        "problems": f"{URI}?domain=mock&each=3",
        "user_policy": "openai:m?base_url=http://127.0.0.1:9/v1",
    }
    grpo = {"kind": "grpo", "name": "grpo", "environment": "lab/Service-v0", "steps": 1, "batch_size": 1, "samples": 2}
    content = {
        "name": "service",
        "policy": "micro:?hidden=16&layers=1&heads=2",
        "environments": {"lab/Service-v0": service},
        "cluster": {"device": "cpu"},
        "stages": [grpo | {"max_prompt_tokens": 8192, "max_response_tokens": 8}],
    }
    Path("service.yaml").write_text(yaml.safe_dump(content))
    return "service.yaml"


@pytest.mark.parametrize(("options", "answers", "problem"), [(["--dry-run"], 0, 0), ([], 2, 1)], ids=["dry run", "stage"])
def test_grpo_says_in_one_line_that_the_user_does_not_respond(
    options: list[str],
    answers: int,
    problem: int,
    recipe: str,
    stage: Stage,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stage(TASK, *["Help."] * answers, ConnectionError("no route"))
    assert cli.main(["run", recipe, *options]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"lab/Service-v0: problem {problem} has no prompt: NoMessage: the user's policy gave no response: no route" in line
