"""tau2-bench: what a result says about its protocol, and that it is not judged again."""

from pathlib import Path
from typing import Any

import pytest

import tenfold
from tenfold import cli
from tenfold.benchmarks import evaluate, rescore
from tenfold.benchmarks.result import Options, results
from tenfold.envs.tau2.environment import Tau2
from tenfold.envs.tau2.problems import URI, tasks
from tenfold.policies.scripted import ScriptedPolicy

from .stage import NEEDS_PACKAGES

pytestmark = [NEEDS_PACKAGES, pytest.mark.usefixtures("sandboxed")]
PUBLISHED = "openai:gpt-4.1-2025-04-14"


def protocol(**options: Any) -> list[str]:
    """Returns the lines that an environment has because of its options."""
    default = Tau2(user_policy=PUBLISHED).protocol
    return [line for line in Tau2(**{"user_policy": PUBLISHED, **options}).protocol if line not in default]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"user_temperature": 0.7}, "the user's messages have the temperature 0.7; tau2-bench's is 0"),
        ({"user_max_tokens": 100}, "a message of the user has at most 100 tokens; tau2-bench has no limit"),
        ({"max_steps": 30}, "max_steps is 30; tau2-bench's default is 200"),
        ({"max_errors": 1}, "max_errors is 1; tau2-bench's default is 10"),
        ({"system": "Be brief."}, "the option system puts a text before the system turn"),
        ({"problems": f"{URI}?domain=retail&split=test"}, "the tasks are not the 114 of the split base of retail, which"),
        ({"problems": f"{URI}?domain=airline&ids=2"}, "the tasks are not the 50 of the split base of airline, which"),
        ({"problems": [*tasks("airline"), *tasks("mock")]}, "tasks are not of one domain"),
    ],
)
def test_a_result_names_each_option_that_differs_from_the_published_protocol(options: dict[str, Any], line: str) -> None:
    (found,) = protocol(**options)
    assert line in found


def test_the_published_tasks_and_options_add_no_line() -> None:
    assert not protocol(domain="retail", seed=3, user_policy="openai:gpt-4.1")
    assert not protocol(problems=[*reversed([*tasks("telecom")])])


@pytest.mark.parametrize(
    "uri",
    [
        "openai:gpt-4.1?base_url=http://localhost:8000/v1",
        "openai:gpt-4.1?omit_parameters=temperature",
        "openai:gpt-4.1-mini",
        "scripted:gpt-4.1",
    ],
)
def test_only_openais_own_model_is_the_published_user(uri: str) -> None:
    line = f"the user is simulated by {uri}; tau2-bench's default is OpenAI's gpt-4.1"
    assert protocol(user_policy=uri) == [line]


def test_a_server_of_an_environment_variable_is_not_the_published_user(monkeypatch: pytest.MonkeyPatch) -> None:
    default = Tau2(user_policy=PUBLISHED).protocol
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1")
    (line,) = {*Tau2(user_policy=PUBLISHED).protocol} - {*default}
    assert line.startswith(f"the user is simulated by {PUBLISHED}")


def test_results_are_not_judged_again_because_the_user_would_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    part = {"id": "tenfold/Tau2Mock-v0", "user_policy": "scripted:Thanks. ###STOP###"}
    sums = {"id": "tenfold/ChainSum-v0"}
    tenfold.register("lab/ServiceAndSums-v0", entry_point="tenfold.envs.mixture:Mixture", environments=[part, sums])
    options = Options(limit=1, samples=1)
    policy = ScriptedPolicy("7")
    alone = f"env:tenfold/Tau2Mock-v0?user_policy={part['user_policy'].replace('#', '%23')}"
    for task in (alone, "env:lab/ServiceAndSums-v0"):
        evaluate.run_task(task, policy, options, folder=tmp_path)
    before = results(tmp_path)
    assert cli.main(["bench", "rescore", str(tmp_path)]) == 2
    assert "only results of tau2-bench, whose simulated user is a policy that would be asked again" in capsys.readouterr().err
    other = evaluate.run_task("env:tenfold/ChainSum-v0", policy, options, folder=tmp_path)
    assert rescore.rescore(tmp_path) == [(other, other)], "other results in the folder are judged again"
    assert [each for each in results(tmp_path) if each != other] == before
