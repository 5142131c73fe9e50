"""Tasks of inspect-ai's own package: the scores are those of its own `eval`; faults, refusals and identity."""

import math
from pathlib import Path

import pytest

pytest.importorskip("inspect_ai")
import gymnasium
from gymnasium.envs.registration import EnvSpec

import tenfold
from tenfold.core import Status, UserError
from tenfold.envs import identity, registry
from tenfold.envs.interop import inspect_tasks
from tenfold.policies.scripted import ScriptedPolicy

from . import inspect_cases

pytestmark = pytest.mark.interop
FILE = Path(__file__).with_name("inspect_cases.py")


def id_of(task: str) -> str:
    return f"inspect:{FILE}@{task}"


def played(env: "gymnasium.Env[str, str]", problem: int, response: str) -> tuple[float, tenfold.core.Verdict]:
    env.reset(options={"problem": problem})
    _, reward, terminated, _, info = env.step(response)
    assert terminated
    return float(reward), info["verdict"]


def test_the_scores_of_825_responses_are_those_of_inspects_own_eval() -> None:
    pairs = 0
    for task, rows in inspect_cases.official().items():
        env = tenfold.make(id_of(task))
        for problem, response, score in rows:
            reward, verdict = played(env, problem, response)
            assert (reward, verdict.score, verdict.status) == (score, score, Status.SCORED), (task, problem, response)
        assert {score for _, _, score in rows} >= {0.0, 1.0}, task
        pairs += len(rows)
    assert pairs == 825


def test_the_prompt_is_that_of_the_tasks_solvers() -> None:
    _, info = tenfold.make(id_of("sums_match")).reset(options={"problem": 1})
    assert info["problem_id"] == "sum1"
    assert info["messages"] == (
        {"role": "system", "content": "Reply briefly."},
        {"role": "user", "content": "What is 1 plus 4?\nANSWER: a number"},
    )


@pytest.mark.parametrize(
    ("response", "status", "score"),
    [
        ("abc", Status.SCORED, 0.03),
        ("partial", Status.SCORED, 0.5),
        ("yes", Status.SCORED, 1.0),
        ("five", Status.SCORED, 5.0),
        ("<think>raise</think>yes", Status.SCORED, 1.0),
        ("nan", Status.UNDECIDED, None),
        ("unscored", Status.UNDECIDED, None),
        ("raise", Status.FAULT, None),
        ("sleep", Status.FAULT, None),
    ],
)
def test_what_is_no_score_is_never_0(response: str, status: Status, score: float | None) -> None:
    env = tenfold.make(id_of("own_scorer"), seconds=1)
    reward, verdict = played(env, 0, response)
    assert (verdict.status, verdict.score) == (status, score)
    assert math.isnan(reward) if score is None else reward == score
    assert played(env, 0, "yes")[0] == 1.0  # also after a scorer that did not end


@pytest.mark.parametrize(
    ("task", "line"),
    [
        ("graded", "a model of its own is asked"),
        ("two_turns", "its solvers ask the model more than once"),
        ("boxed_in", "it needs a sandbox"),
        ("named_values", "set value to one of length, right"),
        ("two_scorers", "set scorer to one of match, includes"),
        ("nothing", "cannot be loaded"),
    ],
)
def test_a_task_that_cannot_be_played_is_refused_with_one_line(task: str, line: str) -> None:
    with pytest.raises(UserError, match=line) as raised:
        tenfold.make(id_of(task))
    assert "\n" not in str(raised.value)


def test_one_of_several_scorers_and_numbers_is_chosen_by_name() -> None:
    assert played(tenfold.make(id_of("two_scorers"), scorer="includes"), 0, "3!")[0] == 1.0
    assert played(tenfold.make(id_of("named_values"), value="length"), 0, "3!")[0] == 0.2


def test_a_prompt_that_differs_each_time_is_a_fault() -> None:
    _, verdict = played(tenfold.make(id_of("other_prompts")), 0, "3")
    assert verdict.status == Status.FAULT
    assert "another prompt each time" in verdict.reason


def test_another_process_makes_the_environment_from_its_declaration() -> None:
    env = tenfold.make(id_of("sums_match"), limit=2)
    other = gymnasium.make(EnvSpec.from_json(registry.declaration(env, id_of("sums_match"), {"limit": 2})))
    assert len(other.unwrapped.problems) == 2  # type: ignore[attr-defined]
    assert played(other, 1, "ANSWER: 5")[0] == 1.0


def test_a_rollout_of_a_changed_task_is_refused_on_resume(tmp_path: Path) -> None:
    file = tmp_path / "tasks.py"
    text = "from inspect_ai import Task, task\nfrom inspect_ai.dataset import Sample\nfrom inspect_ai.scorer import match\n"
    text += "@task\ndef sums():\n    return Task(dataset=[Sample(input='1 + 1?', target='2')], scorer=match())\n"
    file.write_text(text)
    id = f"inspect:{file}@sums"

    def scores() -> list[float | None]:
        episodes = tenfold.rollout(id, ScriptedPolicy("2"), samples=2, store=tmp_path / "episodes")
        return [each.verdict.score for each in episodes]

    assert scores() == [1.0, 1.0]
    before = identity.of_environment(id)
    file.write_text(text.replace("target='2'", "target='3'"))
    changed = {name for name, value in identity.of_environment(id).items() if before[name] != value}
    assert changed == {"neighbour samples", "neighbour source"}
    with pytest.raises(UserError, match="neighbour"):
        scores()


def test_the_samples_stay_as_they_are() -> None:
    task = inspect_tasks.load(f"{FILE}@options", {})
    before = [sample.model_dump_json() for sample in task.dataset]
    played(tenfold.make(id_of("options")), 0, "ANSWER: C")
    assert [sample.model_dump_json() for sample in task.dataset] == before
