"""GRPO stages with real runs of verl on a CPU."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

import tenfold
from tenfold.core import UserError
from tenfold.policies import checkpoints

LAB = '''
import os, sys
import gymnasium
import tenfold
from tenfold.envs.text import Text
from tenfold.core import Status, Verdict

class Echo(gymnasium.Env):
    """Two turns: the first gets a reply, the second ends the episode. Short responses score more; one problem raises."""
    def __init__(self):
        self.observation_space = self.action_space = Text()
        self.problems = range(6)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        # A run's processes import this module although its folder is not on their path.
        assert "pytest" in sys.modules or os.path.dirname(__file__) not in [os.path.abspath(path) for path in sys.path]
        self.problem, self.turn = (options or {}).get("problem", 0), 0
        return f"Say something, {self.problem}.", {"problem_id": f"echo {self.problem}"}
    def step(self, action):
        self.turn += 1
        if self.problem == 3 and "a" not in action:
            raise ConnectionError("this problem is broken")
        return "And?", float(len(action) < 12) / 2, self.turn == 2, False, {}

tenfold.register("lab/Echo-v0", entry_point="lab_echo:Echo")
'''


def write(lab: Path, **changes: Any) -> Path:
    """Writes a recipe of two stages: SFT on short responses, then GRPO."""
    (lab / "lab_echo.py").write_text(LAB)
    says = [
        {"question": question, "answer": answer}
        for question in ("Say something, 1.", "And?")
        for answer in ("a", "b c d e f g h")
    ]
    (lab / "says.jsonl").write_text("".join(json.dumps(row) + "\n" for row in says))
    learns = {"kind": "sft", "name": "sft", "problems": "jsonl:says.jsonl", "steps": 60, "batch_size": 8, "learning_rate": 5e-3}
    stage = {
        "kind": "grpo",
        "name": "grpo",
        "environment": "lab/Echo-v0",
        "steps": 3,
        "batch_size": 3,
        "samples": 4,
        "learning_rate": 1e-3,
        "max_prompt_tokens": 64,
        "max_response_tokens": 64,
        "save_steps": 1,
        "stall_seconds": 3600,
    }
    recipe = {
        "name": "echo",
        "seed": 3,
        "policy": "micro:?hidden=32&layers=2&heads=2",
        "modules": ["lab_echo"],
        "stages": [learns, stage | changes],
    }
    path = lab / "echo.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def test_verl_trains_on_a_two_turn_environment_without_faults(lab: Path) -> None:
    out = "an out, a = 'b' of {c} é"  # characters with a meaning in Hydra's grammar, and one outside ASCII
    metrics = tenfold.run(write(lab), out, quiet=True, trust=True)["grpo"]
    steps = [json.loads(line) for line in (lab / out / "grpo/steps.jsonl").read_text().splitlines()]
    assert [step["step"] for step in steps] == [1, 2, 3]
    assert metrics["steps"] == 3
    for step in steps:
        assert {"reward", "correct", "response_length", "entropy", "truncated", "without_score"} <= step.keys()
    assert any(step["entropy"] for step in steps)
    episodes = [json.loads(line) for path in (lab / out / "grpo/episodes").iterdir() for line in path.read_text().splitlines()]
    broken = [row for row in episodes if row["verdict"]["status"] == "fault"]
    assert broken
    assert {row["problem"] for row in broken} == {3}
    assert sum(step["without_score"] for step in steps) > 0
    # The reward that verl reports is the mean over the scored episodes, so no fault counts as 0. A response's length covers
    # both turns and the reply between them.
    tokenizer = checkpoints.load(lab / out / "grpo/policy", torch.float32)[1]
    reply = len(tokenizer("<|user|>And?<|end|><|assistant|>")["input_ids"])
    for step in steps:
        final = {(row["problem"], row["sample"]): row for row in episodes if row["step"] == step["step"]}
        scored = [row for row in final.values() if row["verdict"]["score"] is not None]
        assert step["reward"] == pytest.approx(sum(row["verdict"]["score"] for row in scored) / len(scored), abs=1e-6)
        lengths = [row["tokens"] + reply * (len(row["messages"]) == 4) for row in scored]
        assert step["response_length"] == pytest.approx(sum(lengths) / len(lengths), abs=1e-4)
    assert any(len(row["messages"]) == 4 for row in episodes)
    policy = tenfold.load_policy(f"stage:{out}/grpo")
    assert policy.generate([[{"role": "user", "content": "Say something."}]], 1, tenfold.Sampling(max_tokens=4))
    kept = [path.name for path in (lab / out / "grpo/checkpoints").iterdir() if path.is_dir()]
    assert kept == ["global_step_3"], "only the last"


OWN = """
import tenfold
from tenfold import Status, Verdict

def odd(problem, response):
    return Verdict(Status.SCORED, float(len(response) % 2), "odd", str(problem.answer))

rows = [{"question": f"Say {number}.", "answer": number} for number in range(6)]
tenfold.register("lab/Odd-v0", problems=rows, verifier=odd)
"""


@pytest.mark.slow
def test_an_environment_of_a_module_whose_verifier_is_a_function_trains(lab: Path) -> None:
    (lab / "lab_own.py").write_text(OWN)
    path = write(lab, environment="lab_own:lab/Odd-v0", steps=2, options={"template": "{prompt} Please."})
    recipe = yaml.safe_load(path.read_text()) | {"modules": ["lab_own"]}
    recipe["stages"] = recipe["stages"][1:]
    path.write_text(yaml.safe_dump(recipe))
    assert tenfold.run(path, "out", quiet=True, trust=True)["grpo"]["without_score"] == 0
    episodes = [json.loads(line) for file in (lab / "out/grpo/episodes").iterdir() for line in file.read_text().splitlines()]
    assert len(episodes) == 2 * 3 * 4
    for row in episodes:
        assert row["messages"][0]["content"] == f"Say {row['problem']}. Please."
        assert (row["verdict"]["method"], row["verdict"]["reason"]) == ("odd", str(row["problem"]))
    assert {row["verdict"]["score"] for row in episodes} == {0.0, 1.0}


def test_problems_with_long_prompts_are_skipped_before_verl_starts(lab: Path) -> None:
    with pytest.raises(
        UserError,
        match="3 problems whose prompts have at most max_prompt_tokens=3 tokens, got 0; the prompts have 16",
    ):
        tenfold.run(write(lab, max_prompt_tokens=3), "out", quiet=True, trust=True)
    assert not (lab / "out/grpo/verl.log").exists()
    with pytest.raises(
        UserError, match="at most max_prompt_tokens=2 tokens, got 0"
    ):  # a start without work does not fix the settings
        tenfold.run(write(lab, max_prompt_tokens=2), "out", quiet=True, trust=True)


@pytest.mark.slow
def test_a_killed_grpo_run_resumes_and_ends_with_equal_weights(lab: Path) -> None:
    path = write(lab, steps=6, save_steps=2)
    tenfold.run(path, "whole", quiet=True, trust=True)
    command = [sys.executable, "-P", "-m", "tenfold.cli", "run", str(path), "--out", "killed", "--quiet", "--trust"]
    child = subprocess.Popen(command, env=os.environ)
    while not (lab / "killed/grpo/checkpoints/latest_checkpointed_iteration.txt").exists() and child.poll() is None:
        time.sleep(0.1)
    child.send_signal(signal.SIGKILL)
    child.wait()
    (lab / "killed/grpo/checkpoints/latest_checkpointed_iteration.txt").write_text(
        ""
    )  # as after a kill while verl writes this file
    tenfold.run(path, "killed", quiet=True, trust=True)
    assert len(list((lab / "killed/grpo/metrics").iterdir())) == 2

    def rewards(out: str) -> list[tuple[int, float]]:
        rows = [json.loads(line) for line in (lab / out / "grpo/steps.jsonl").read_text().splitlines()]
        return [(row["step"], row["reward"]) for row in rows]

    # If the kill came between a step's checkpoint and verl's report, the step's reward is computed from its episodes.
    assert [step for step, _ in rewards("killed")] == [step for step, _ in rewards("whole")]
    assert [reward for _, reward in rewards("killed")] == pytest.approx([reward for _, reward in rewards("whole")], abs=1e-6)
    # Equal in all bits, because the operations, their order and the number of threads are equal.
    weights = [(lab / out / "grpo/policy/model.safetensors").read_bytes() for out in ("whole", "killed")]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_an_adapter_is_trained_exported_and_resumed_after_a_kill(lab: Path) -> None:
    path = write(lab, steps=6, save_steps=2, keep_checkpoints=3, lora={"rank": 4}, learning_rate=1e-2, rollout_is="token")
    tenfold.run(path, "whole", quiet=True, trust=True)
    steps = [json.loads(line) for line in (lab / "whole/grpo/steps.jsonl").read_text().splitlines()]
    trained = [step for step in steps if step["rollout_kl"] is not None]
    # The sampler computes with the adapter, as the trainer does: the ratio of their probabilities is 1 but for rounding.
    assert trained
    assert all(abs(step[f"rollout_ratio_{side}"] - 1) < 1e-3 for step in trained for side in ("min", "max"))
    assert trained[0]["kl"] == 0, "the KL divergence from the model without the adapter"
    assert trained[-1]["kl"] > 0

    before, after = (load_file(lab / "whole" / stage / "policy/model.safetensors") for stage in ("sft", "grpo"))
    assert {name for name in after if not torch.equal(before[name], after[name])} == {name for name in after if "_proj" in name}
    for uri in (f"path:{lab}/whole/grpo/adapter", f"stage:{lab}/whole/grpo@step=6"):
        again = load_file(checkpoints.checkpoint(uri) / "model.safetensors")
        assert all(torch.equal(again[name], after[name]) for name in after)
    early = load_file(checkpoints.checkpoint(f"stage:{lab}/whole/grpo@step=2") / "model.safetensors")
    assert any(not torch.equal(early[name], after[name]) for name in after)

    shutil.copytree(lab / "whole", lab / "killed")
    for left in ("stage.json", "policy", "adapter", "checkpoints/global_step_6", "checkpoints/global_step_4"):  # as at step 3
        path_left = lab / "killed/grpo" / left
        shutil.rmtree(path_left) if path_left.is_dir() else path_left.unlink()
    (lab / "killed/grpo/checkpoints/latest_checkpointed_iteration.txt").write_text("2")
    tenfold.run(path, "killed", quiet=True, trust=True)
    resumed = load_file(lab / "killed/grpo/adapter/adapter_model.safetensors")
    # Equal in all bits, because the operations, their order and the number of threads are equal.
    whole = load_file(lab / "whole/grpo/adapter/adapter_model.safetensors")
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


@pytest.mark.slow
def test_more_steps_give_the_result_of_a_new_run_and_any_kept_step_is_a_policy(lab: Path) -> None:
    tenfold.run(write(lab, steps=6), "whole", quiet=True, trust=True)
    tenfold.run(write(lab, steps=4, save_steps=2, keep_checkpoints=2), "out", quiet=True, trust=True)
    early = load_file(lab / "out/grpo/checkpoints/global_step_2/actor/huggingface/model.safetensors")
    tenfold.run(write(lab, steps=6, save_steps=2, keep_checkpoints=3), "out", quiet=True, trust=True)
    assert json.loads((lab / "out/grpo/stage.json").read_text())["extended"] == [{"step": 4, "exact": True}]

    def steps(out: str) -> list[dict[str, Any]]:
        rows = [json.loads(line) for line in (lab / out / "grpo/steps.jsonl").read_text().splitlines()]
        times = re.compile("seconds|environment_share")
        return [{name: value for name, value in row.items() if not times.search(name)} for row in rows]

    assert [row["step"] for row in steps("out")] == [1, 2, 3, 4, 5, 6]
    assert steps("out") == steps("whole")
    # Equal in all bits, because the operations, their order and the number of threads are equal.
    weights = [(lab / out / "grpo/policy/model.safetensors").read_bytes() for out in ("whole", "out")]
    assert weights[0] == weights[1]
    metrics = [json.loads((lab / out / "grpo/stage.json").read_text())["metrics"] for out in ("whole", "out")]
    assert metrics[0] == metrics[1]
    from tenfold.policies import checkpoints

    branch = checkpoints.checkpoint(f"stage:{lab}/out/grpo@step=2")
    assert all(torch.equal(weight, early[name]) for name, weight in load_file(branch / "model.safetensors").items())
    assert tenfold.load_policy(f"stage:{lab}/out/grpo@step=4")
    with pytest.raises(UserError, match="steps with a checkpoint: 2, 4, 6"):
        checkpoints.checkpoint(f"stage:{lab}/out/grpo@step=3")


class Touches:
    """An object whose pickle runs a command."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("hit",)


@pytest.mark.slow
def test_a_changed_checkpoint_runs_no_code(lab: Path) -> None:
    path = write(lab, steps=6)
    command = [sys.executable, "-P", "-m", "tenfold.cli", "run", str(path), "--out", "out", "--quiet", "--trust"]
    child = subprocess.Popen(command, env=os.environ)
    while not (lab / "out/grpo/checkpoints/latest_checkpointed_iteration.txt").exists() and child.poll() is None:
        time.sleep(0.1)
    child.send_signal(signal.SIGKILL)
    child.wait()
    for state in (lab / "out/grpo/checkpoints").glob("global_step_*/actor/extra_state_*.pt"):
        torch.save({"rng": Touches()}, state)
    with pytest.raises(UserError, match="checkpoints: expected only weights"):
        tenfold.run(path, "out", quiet=True, trust=True)
    assert not (lab / "hit").exists()


@pytest.mark.slow
def test_a_step_with_only_truncated_responses_changes_no_weights(lab: Path) -> None:
    metrics = tenfold.run(write(lab, steps=1, max_response_tokens=1), "out", quiet=True, trust=True)
    (step,) = [json.loads(line) for line in (lab / "out/grpo/steps.jsonl").read_text().splitlines()]
    assert step["truncated"] == 1
    assert metrics["grpo"]["steps"] == 1
    before, after = (load_file(lab / "out" / stage / "policy" / "model.safetensors") for stage in ("sft", "grpo"))
    assert all(torch.equal(before[name], after[name].float()) for name in before)


@pytest.mark.slow
def test_a_failed_run_is_a_one_line_error_with_the_cause(lab: Path) -> None:
    with pytest.raises(UserError) as error:
        tenfold.run(write(lab, verl={"data.prompt_key": "missing"}), "out", quiet=True, trust=True)
    assert "\n" not in str(error.value)
    assert "log: " in str(error.value)


@pytest.mark.slow
def test_samples_of_a_group_are_compared_in_pairs(lab: Path) -> None:
    path = write(lab, environment="lab/Group-v0", steps=2)
    recipe = yaml.safe_load(path.read_text())
    recipe["environments"] = {
        "lab/Group-v0": {
            "entry_point": "tenfold.envs.preference:PreferenceEnv",
            "problems": "jsonl:says.jsonl",
            "reward_model": "micro:?hidden=16&layers=1&heads=2",
            "compare_with": "group",
        }
    }
    path.write_text(yaml.safe_dump(recipe))
    tenfold.run(path, "out", quiet=True, trust=True)
    episodes = [json.loads(line) for file in (lab / "out/grpo/episodes").iterdir() for line in file.read_text().splitlines()]
    groups: dict[tuple[int, int], list[float]] = {}
    for row in episodes:
        assert row["verdict"]["method"] == "pairwise"
        if row["verdict"]["score"] is not None:
            groups.setdefault((row["step"], row["problem"]), []).append(row["verdict"]["score"])
    # In each pair the two scores add up to 1, so the mean of a complete group is 0.5.
    complete = [scores for scores in groups.values() if len(scores) == 4]
    assert complete
    assert all(sum(scores) / 4 == pytest.approx(0.5) for scores in complete)
