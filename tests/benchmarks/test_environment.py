"""Registered environments as benchmark tasks (`env:ID`)."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tenfold
from tenfold import cli
from tenfold.benchmarks import evaluate
from tenfold.benchmarks.report import comparable, compare, leaderboard
from tenfold.benchmarks.result import Result, results
from tenfold.core import Conversation, Problem, UserError
from tenfold.policies.scripted import ScriptedPolicy

ROOT = Path(__file__).parents[2]

MODULE = """
import json
import gymnasium
import tenfold
from tenfold.envs.text import Text

tenfold.register("lab/Sums-v0", problems="jsonl:train.jsonl", held_out="jsonl:test.jsonl", template="Sum: {prompt}")
tenfold.register("lab/All-v0", problems="jsonl:train.jsonl")
parts = ["math", {"name": "length", "weight": 0.5, "free": 0, "limit": 2}]
tenfold.register("lab/Parts-v0", problems="jsonl:train.jsonl", held_out="jsonl:test.jsonl", verifier=parts)


class Guess(gymnasium.Env):
    '''Three turns at most. Replies "higher" or "lower".'''

    def __init__(self, problems="jsonl:train.jsonl", scale=1.0, limit=3):
        self.problems, self.scale = [json.loads(line) for line in open(problems.partition(":")[2])], scale
        self.limit = limit
        self.observation_space = self.action_space = Text()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.gold, self.turns = self.problems[options["problem"]]["answer"], 0
        return "Guess.", {}

    def step(self, action):
        self.turns += 1
        correct = action.strip() == str(self.gold)
        reply = "higher" if int(action) < self.gold else "lower"
        return reply, self.scale * correct, correct or self.turns == self.limit, False, {}


tenfold.register("lab/Guess-v0", entry_point=Guess, held_out="jsonl:test.jsonl")
class Alike(Guess):
    '''Its problems have one id. Its replies are long.'''

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed, options=options)[0], {"problem_id": "alike"}

    def step(self, action):
        reply, reward, *rest = super().step(action)
        return f"{reply} than {action}" * 20, reward + 0.1 * (action == "5"), *rest


tenfold.register("lab/Alike-v0", entry_point=Alike, held_out="jsonl:test.jsonl")
tenfold.register("lab/Unfit-v0", entry_point=lambda: Guess(), held_out="jsonl:test.jsonl")
"""
POLICY = """
import os, pathlib, signal

def answer(conversation, seed):
    calls = pathlib.Path("calls")
    count = int(calls.read_text()) + 1 if calls.exists() else 1
    calls.write_text(str(count))
    if os.environ.get("KILL_AT") == str(count):
        os.kill(os.getpid(), signal.SIGKILL)
    return "4"
"""


@pytest.fixture
def units(lab: Path) -> Path:
    """A folder with environments of the user: training problems have the answers 0 to 3, held-out problems 4 to 13."""
    for name, numbers in (("train", range(4)), ("test", range(4, 14))):
        rows = [{"question": f"{number} + 0 =", "answer": number} for number in numbers]
        (lab / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (lab / "lab_sums.py").write_text(MODULE)
    (lab / "lab_policy.py").write_text(POLICY)
    return lab


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.scores.jsonl").read_text().splitlines()]


def guess(conversation: Conversation, seed: int) -> str:
    """Starts with 5, then moves by one."""
    guesses = [int(turn["content"]) for turn in conversation if turn["role"] == "assistant"]
    return str(guesses[-1] + (1 if conversation[-1]["content"] == "higher" else -1) if guesses else 5)


def measure(task: str, policy: ScriptedPolicy | None = None, **options: Any) -> Result:
    return evaluate.evaluate(task, policy or ScriptedPolicy("4"), **options)


def test_a_result_has_the_mean_score_of_each_part_of_the_reward(units: Path) -> None:
    result = measure("env:lab_sums:lab/Parts-v0", samples=2, folder="b")
    assert result.figures == {"part math": 0.1, "part length": 0.5}  # "4" is right on one of ten problems, and one character
    assert result.score.mean == pytest.approx((0.1 + 0.5 * 0.5) / 1.5)
    assert rows_of(units / "b", result.task)[0]["samples"][0]["parts"][1]["name"] == "length"


def test_an_environment_is_measured_on_its_held_out_problems_with_its_template(units: Path) -> None:
    assert cli.main(["bench", "env:lab_sums:lab/Sums-v0", "--policy", "scripted:4", "--samples", "2", "--out", "b"]) == 0
    (result,) = results("b")
    assert (result.task, result.score.problems, result.score.samples) == ("env_lab_Sums-v0_avg2", 10, 2)
    assert (result.score.mean, result.score.pass_at_k) == pytest.approx((0.1, 0.1))
    assert result.score.low < result.score.same_problems_low < 0.1 < result.score.same_problems_high < result.score.high
    assert result.settings["problems"] == "jsonl:test.jsonl"
    assert result.settings["identity"]["verifier"] == "tenfold.verifiers.math:verify"
    assert not result.cautions
    first = rows_of(units / "b", result.task)[0]
    assert (first["prompt"], first["gold"]) == ([{"role": "user", "content": "Sum: 4 + 0 ="}], 4)
    assert {"score": 1.0, "tokens": 1, "finish_reason": "stop"}.items() <= first["samples"][0].items()
    assert '"text": "4"' in (units / "b/page/env_lab_Sums-v0_avg2/0.js").read_text()


def test_without_held_out_problems_all_are_played_with_a_caution(units: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "env:lab_sums:lab/All-v0_avg2", "--policy", "scripted:1", "--out", "b"]) == 0
    assert "these may be training problems" in capsys.readouterr().err
    assert results("b")[0].score.problems == 4
    assert "may be training problems" in (units / "b/index.html").read_text()


def test_episodes_of_several_turns_are_played_stored_and_judged_again(units: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = "env:lab_sums:lab/Guess-v0_avg2"
    result = measure(task, ScriptedPolicy(guess), folder="b", max_tokens=50, store_settings={"policy": "guess"})
    assert result.score.mean == pytest.approx(0.4)  # 4, 5, 6 and 7 are found in three turns
    assert result.tokens == pytest.approx(sum([2, 1, 2, 3, 3, 3, 3, 3, 3, 3]) / 10)
    assert cli.main(["bench", "rescore", "b", "--trust"]) == 0
    assert results("b") == [result]
    assert "assistant: 5\\n\\nuser: lower\\n\\nassistant: 4" in (units / f"b/page/{result.task}/0.js").read_text()
    (units / "test.jsonl").write_text((units / "test.jsonl").read_text().replace('"answer": 7', '"answer": 8'))
    assert cli.main(["bench", "rescore", "b", "--trust"]) == 0
    (changed,) = results("b")
    assert changed.task == result.task
    assert changed.score.mean == pytest.approx(0.3)
    (units / "test.jsonl").write_text((units / "test.jsonl").read_text().replace('"answer": 6', '"answer": 2'))
    capsys.readouterr()
    assert cli.main(["bench", "rescore", "b", "--trust"]) == 2
    assert "the environment's prompts or replies have changed" in capsys.readouterr().err


@pytest.mark.usefixtures("sandboxed")
def test_an_environment_with_tools_is_measured_on_the_held_out_problems_of_its_inner_environment(units: Path) -> None:
    def compute(conversation: Conversation, seed: int) -> str:
        if conversation[-1]["role"] == "tool":
            return str(conversation[-1]["content"])
        sum_ = conversation[-1]["content"].removeprefix("Sum: ").removesuffix("=")
        return f'<tool_call>\n{{"name": "python", "arguments": {{"code": "{sum_}"}}}}\n</tool_call>'

    import lab_sums  # type: ignore[import-not-found]  # noqa: F401

    tenfold.register("lab/SumsPython-v0", entry_point="tenfold.envs.tools:with_python", environment="lab/Sums-v0")
    result = measure("env:lab/SumsPython-v0", ScriptedPolicy(compute), samples=1, limit=3)
    assert (result.score.mean, result.settings["held_out"]) == (1, True)


def test_a_killed_benchmark_of_an_environment_resumes_with_the_same_result(units: Path) -> None:
    def run(out: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = ["-m", "tenfold.cli", "bench", "env:lab_sums:lab/Sums-v0_avg16", "--policy", "call:lab_policy:answer"]
        environment = os.environ | {"PYTHONPATH": str(Path(tenfold.__file__).parent.parent)} | variables
        arguments = [sys.executable, *command, "--out", out, "--max-tokens", "9"]
        return subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)

    assert run("killed", KILL_AT="100").returncode == -signal.SIGKILL
    stored = len((units / "killed/env_lab_Sums-v0.samples.jsonl").read_text().splitlines()) - 1
    assert stored <= 64, "one batch was sampled"
    (units / "calls").unlink()
    assert run("killed").returncode == 0
    assert (units / "calls").read_text() == str(160 - stored)
    assert run("whole").returncode == 0
    assert results("killed") == results("whole")


def test_a_changed_environment_is_refused_on_resume(units: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", "env:lab_sums:lab/Sums-v0_avg2", "--policy", "scripted:4", "--out", "b"]
    assert cli.main(command) == 0
    (units / "test.jsonl").write_text('{"question": "4 + 0 =", "answer": 5}\n')
    assert cli.main(command) == 2
    assert "was made with rewards=" in capsys.readouterr().err
    assert results("b")[0].score.problems == 10


def test_options_of_the_environment_are_part_of_the_task_and_other_options_have_other_files(units: Path) -> None:
    command = ["bench", "env:lab_sums:lab/Guess-v0_avg2", "--policy", "scripted:4", "--out", "b"]
    assert cli.main([*command, "--set", "scale=0.5"]) == 0
    assert cli.main([*command, "--temperature", "1"]) == 0
    assert cli.main([*command, "--temperature", "1.0"]) == 0
    first, second = results("b")
    assert re.fullmatch("env_lab_Guess-v0_avg2-[0-9a-f]{6} env_lab_Guess-v0_avg2", f"{first.task} {second.task}")
    assert [(result.settings["options"], result.score.mean) for result in (second, first)] == [
        ({"scale": 0.5}, 0.05),
        ({}, 0.1),
    ]
    assert len(list((units / "b").glob("*.samples.jsonl"))) == 2
    assert measure("env:lab_sums:lab/Guess-v0?scale=0.5").score.mean == pytest.approx(0.05)


def test_the_seed_of_an_episode_is_that_of_a_rollout(units: Path) -> None:
    def by_seed(conversation: Conversation, seed: int) -> str:
        return str(seed)

    measure("env:lab_sums:lab/Sums-v0", ScriptedPolicy(by_seed), samples=2, seed=3, folder="b", limit=2)
    environment = tenfold.make("lab/Sums-v0", problems="jsonl:test.jsonl")
    sampling = tenfold.Sampling(seed=3)
    episodes = tenfold.rollout(lambda: environment, ScriptedPolicy(by_seed), 2, problems=2, sampling=sampling)
    stored = [json.loads(line) for line in (units / "b/env_lab_Sums-v0.samples.jsonl").read_text().splitlines()[1:]]
    stored.sort(key=lambda row: (row["problem"], row["sample"]))
    assert [row["messages"][-1]["content"] for row in stored] == [game.messages[-1]["content"] for game in episodes]


def test_samples_without_a_score_and_truncated_samples_are_counted(units: Path) -> None:
    problems = [Problem(str(n), ({"role": "user", "content": "?"},), str(n), "lab") for n in range(3)]

    def verify(problem: Problem, response: str) -> tenfold.Verdict:
        status = {"0": tenfold.Status.FAULT, "1": tenfold.Status.UNDECIDED}.get(str(problem.answer), tenfold.Status.SCORED)
        return tenfold.Verdict(status, 1.0 if problem.answer == "2" else None, "lab", "")

    tenfold.register("lab/Verdicts-v0", problems=problems, verifier=verify)
    result = measure("env:lab/Verdicts-v0", ScriptedPolicy("a b c"), samples=2, max_tokens=2)
    assert (result.score.problems, result.score.without_score, result.truncated) == (1, 4, 1)


def test_an_error_without_any_score_quotes_the_first_reason_in_one_line(units: Path) -> None:
    def verify(problem: Problem, response: str) -> tenfold.Verdict:
        raise ValueError("a\nb")

    tenfold.register("lab/Faults-v0", problems="jsonl:train.jsonl", verifier=verify)
    with pytest.raises(UserError, match=r"^none of 8 samples has a score: .*; first reason: ValueError: a b .*$"):
        measure("env:lab/Faults-v0", samples=2)


def test_an_environment_has_a_part_of_its_generator_held_out(lab: Path) -> None:
    result = measure("env:tenfold/ChainSum-v0", samples=1, limit=20, folder="b")
    assert "part=held_out" in result.settings["problems"]
    assert compare.compare([result]) == []
    result = measure("env:tenfold/ChainSum-v0", samples=1, problems="reasoning_gym:chain_sum?size=3")
    assert (result.settings["own"], result.score.problems, result.cautions) == ("problems", 3, [])


def test_changed_options_of_the_problem_uri_apply_to_the_held_out_problems(lab: Path) -> None:
    assert cli.main(["bench", "env:tenfold/ChainSum-v0", "--policy", "scripted:4", "--problems", "?size=5", "--out", "b"]) == 0
    (found,) = results("b")
    assert found.score.problems == 5
    assert {"part=held_out", "size=5", "max_terms=4"} <= {*re.split("[?&]", found.settings["problems"])}
    assert found.settings["held_out"]
    assert cli.main(["bench", "rescore", "b"]) == 0
    assert results("b") == [found]
    named = measure("env:tenfold/ChainSum-v0?problems=?part%3Dheld_out%26size%3D5", samples=1)
    assert named.score.problems == 5
    assert named.settings["problems_hash"] == found.settings["problems_hash"]


def test_the_same_problems_in_another_file_are_the_same_task(units: Path) -> None:
    (units / "sub").mkdir()
    (units / "sub/test.jsonl").write_text((units / "test.jsonl").read_text())
    for name in ("test", "sub/test"):
        measure("env:lab_sums:lab/All-v0", samples=1, folder=name, problems=f"jsonl:{name}.jsonl")
    first, second = (comparable.Measured(Path(name), name, results(name)[0]) for name in ("test", "sub/test"))
    assert first.result.hash == second.result.hash
    assert not comparable.setting_differences(first, second).settings
    assert (
        measure("env:lab_sums:lab/All-v0", samples=1, folder="test", problems="jsonl:sub/test.jsonl").task == first.result.task
    )


def test_the_verifier_among_the_options_is_the_recorded_one(units: Path) -> None:
    assert measure("env:lab_sums:lab/Sums-v0?verifier=text", samples=1).settings["verifier"] == "text"


def test_an_environment_with_other_options_is_another_task_of_a_leaderboard(units: Path) -> None:
    for scale in ("0.5", "1"):
        measure(f"env:lab_sums:lab/Guess-v0?scale={scale}", samples=1, folder="b")
    assert leaderboard.leaderboard([Path("b")]).tasks == (
        "env:lab/Guess-v0?scale=1",
        "env:lab/Guess-v0?scale=0.5",
    )


def test_the_order_of_options_and_the_module_of_an_environment_do_not_matter_in_a_comparison(units: Path) -> None:
    tasks = ("lab_sums:lab/Guess-v0?scale=0.5&limit=2", "lab/Guess-v0?limit=2&scale=0.5", "lab/Guess-v0?limit=1&scale=0.5")
    for number, task in enumerate(tasks):
        measure(f"env:{task}", samples=1, folder=f"b{number}")
    measure(f"env:{tasks[1]}", samples=1, temperature=1, folder="hot")
    first, second, other, hot = (comparable.Measured(Path(name), name, results(name)[0]) for name in ("b0", "b1", "b2", "hot"))
    assert first.task == second.task == hot.task == "env:lab/Guess-v0?limit=2&scale=0.5"
    assert first.result.hash == second.result.hash
    assert other.task != first.task
    assert str(comparable.setting_differences(first, hot)) == "not comparable: temperature 0.6 and 1"


def test_a_stage_is_judged_again_with_the_environments_of_the_modules_of_its_recipe(units: Path) -> None:
    import lab_sums  # type: ignore[import-not-found]  # noqa: F401

    before = measure("env:lab/Sums-v0", samples=1, folder="run/bench")
    stage = {"kind": "bench", "name": "bench", "tasks": ["env:lab/Sums-v0"]}
    recipe = {"name": "r", "policy": "micro:", "modules": ["lab_sums"], "stages": [stage]}
    (units / "run/recipe.yaml").write_text(json.dumps(recipe))
    environment = {**os.environ, "PYTHONPATH": str(Path(tenfold.__file__).parent.parent), "PYTHONSAFEPATH": "1"}
    rescore = [sys.executable, "-m", "tenfold.cli", "bench", "rescore", "run/bench"]  # a new process
    for options, code in (([], 2), (["--trust"], 0)):
        done = subprocess.run([*rescore, *options], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
    assert results("run/bench") == [before]


@pytest.mark.parametrize(("max_tokens", "max_turns"), [(1_000, 1), (20, 3)])
def test_problems_with_one_id_and_turns_whose_reply_ends_the_episode_are_judged_again(
    max_tokens: int, max_turns: int, units: Path
) -> None:
    responses = iter("5678905678")
    policy = ScriptedPolicy(lambda conversation, seed: next(responses))
    before = measure("env:lab_sums:lab/Alike-v0", policy, samples=1, folder="b", max_tokens=max_tokens, max_turns=max_turns)
    assert before.score.mean > 0
    assert cli.main(["bench", "rescore", "b", "--trust"]) == 0
    assert results("b") == [before]


def test_a_truncated_answer_does_not_vote(units: Path) -> None:
    def answer(conversation: Conversation, seed: int) -> str:
        return "4" if seed % 5 < 2 else "The answer is 3 plus 1"

    result = measure("env:lab_sums:lab/Sums-v0", ScriptedPolicy(answer), samples=32, limit=1, max_tokens=4)
    assert 0.2 < result.score.mean < 0.5
    assert result.figures["maj@32"] == 1


def test_the_problems_of_a_mixture_are_judged_again(units: Path) -> None:
    problems = [[{"question": f"{n} + {part} =", "answer": n + part} for n in range(3)] for part in range(2)]
    for part, rows in enumerate(problems):
        tenfold.register(f"lab/Part{part}-v0", problems=rows)
    ids = ["lab/Part0-v0", "lab/Part1-v0"]
    tenfold.register("lab/Parts-v1", entry_point="tenfold.envs.mixture:Mixture", environments=ids)
    before = measure("env:lab/Parts-v1", ScriptedPolicy("2"), samples=1, folder="b")
    assert len({row["problem"] for row in rows_of(units / "b", before.task)}) == 6
    assert cli.main(["bench", "rescore", "b", "--trust"]) == 0
    assert results("b") == [before]


@pytest.mark.parametrize(
    ("task", "options", "words"),
    [
        ("env:lab/Missing-v0", {}, "no environment 'lab/Missing-v0'"),
        ("env:lab_sums:lab/Unfit-v0", {}, "held_out is set, but its entry point has no argument problems"),
        ("env:lab_sums:lab/Guess-v0?scale=2", {}, "the reward 2 is not between 0 and 1, as avg@k needs; scale the rewards"),
        ("env:lab_sums:lab/Guess-v0?level=2", {}, "the arguments are problems, scale"),
        ("env:lab_sums:lab/Sums-v0", {"fewshot": 2}, "omit --fewshot"),
        ("env:lab_sums:lab/Sums-v0_avg0", {}, "at least one sample per problem"),
    ],
)
def test_a_mistake_is_a_one_line_error(units: Path, task: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        measure(task, **options)
    assert "\n" not in str(error.value)


def test_an_environment_with_and_without_its_module_is_one_task(units: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measure("env:lab_sums:lab/Sums-v0", samples=2, folder="a")
    measure("env:lab/Sums-v0", ScriptedPolicy("5"), samples=4, folder="b")
    assert cli.main(["bench", "compare", "a", "b"]) == 0
    assert "b - a: paired interval over problems" in capsys.readouterr().out


def test_a_policy_with_a_small_window_gets_a_caution_that_says_which_option_to_add(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = "micro:?hidden=16&layers=1&heads=2"
    command = ["bench", "env:tenfold/ChainSum-v0", "chain_sum", "--policy", policy, "--limit", "1", "--samples", "1"]
    assert cli.main([*command, "--out", "a"]) == 0
    words = (
        "caution: env:tenfold/ChainSum-v0: without --max-tokens, a sample that does not end fills the policy's context window "
        "of 1,024 tokens; add --max-tokens N for fewer, such as --max-tokens 64\n"
    )
    assert words in capsys.readouterr().err, "chain_sum has a limit of its own, 32"
    assert cli.main([*command, "--out", "b", "--max-tokens", "16"]) == 0
    assert "--max-tokens" not in capsys.readouterr().err
