"""GRPO stages in which verl samples with its own vLLM rollout on a CPU."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

import tenfold
from tenfold.core import UserError

PR_SET_CHILD_SUBREAPER = 36  # of Linux
LAB = '''
import gymnasium
import tenfold
from tenfold.envs.text import Text

class Echo(gymnasium.Env):
    """Two turns with the reply of a tool between them. Short responses score more."""
    def __init__(self):
        self.observation_space = self.action_space = Text()
        self.problems = range(6)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.problem, self.turn = (options or {}).get("problem", 0), 0
        return f"Say something, {self.problem}.", {"problem_id": f"echo {self.problem}"}
    def step(self, action):
        self.turn += 1
        return "And?", float(len(action) < 12) / 2, self.turn == 2, False, {"role": "tool"}

tenfold.register("lab/Echo-v0", entry_point="lab_echo:Echo")
'''


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the environment, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TENFOLD_CONFIG", str(tmp_path / "settings"))
    (tmp_path / "lab_echo.py").write_text(LAB)
    return tmp_path


def write(lab: Path, **changes: Any) -> Path:
    """Writes a recipe of two stages: SFT on short responses, then GRPO."""
    says = [
        {"question": question, "answer": answer}
        for question in ("Say something, 1.", "And?")
        for answer in ("a", "b c d e f g h")
    ]
    (lab / "says.jsonl").write_text("".join(json.dumps(row) + "\n" for row in says))
    learns = {"kind": "sft", "name": "sft", "problems": "jsonl:says.jsonl", "steps": 60, "batch_size": 8, "learning_rate": 5e-3}
    stage = {
        **{"kind": "grpo", "name": "grpo", "environment": "lab/Echo-v0", "steps": 4, "batch_size": 3, "samples": 4},
        **{"learning_rate": 1e-3, "max_prompt_tokens": 64, "max_response_tokens": 64, "save_steps": 1},
    }
    recipe = {
        "name": "echo",
        "seed": 3,
        "policy": "micro:?hidden=64&layers=2&heads=2",
        "cluster": {"device": "cpu", "rollout": "vllm", "threads": 1},
        "modules": ["lab_echo"],
        "stages": [learns, stage | changes],
    }
    (lab / "echo.yaml").write_text(yaml.safe_dump(recipe))
    return lab / "echo.yaml"


def steps(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "grpo/steps.jsonl").read_text().splitlines()]


def children() -> list[str]:
    """Returns the state and the command line of each living child of this process, without `ps` itself."""
    listed = subprocess.run(["ps", "-o", "stat=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if not line.startswith("Z") and not line.split()[1].endswith("ps")]


def test_weights_arrive_and_log_probabilities_are_the_trainers(lab: Path) -> None:
    tenfold.run(write(lab), "out", quiet=True, trust=True)
    rows = steps(lab / "out")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert any(row["grad_norm"] > 0 for row in rows[:-1])  # so the weights have changed between the steps
    for row in rows:
        assert abs(row["rollout_ratio_max"] - 1) < 1e-5
        assert abs(row["rollout_ratio_min"] - 1) < 1e-5
        assert row["rollout_clipped"] == 0
    episodes = [json.loads(line) for path in (lab / "out/grpo/episodes").iterdir() for line in path.read_text().splitlines()]
    assert any([turn["role"] for turn in row["messages"]] == ["user", "assistant", "tool", "assistant"] for row in episodes)
    assert all(row["verdict"]["status"] == "scored" for row in episodes)


def test_a_killed_stage_leaves_no_process_and_resumes_to_equal_weights(lab: Path) -> None:
    # With several samples at once, the time decides which of them are computed together, and so the last bits of their
    # log-probabilities and of the importance weights. Adam makes a difference above 1e-5 of them in some weights.
    path = write(lab, verl={"actor_rollout_ref": {"rollout": {"max_num_seqs": 1}}})
    tenfold.run(path, "whole", quiet=True, trust=True)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # processes whose parent has ended become children of this one
    before = children()
    command = [sys.executable, "-P", "-m", "tenfold.cli", "run", str(path), "--out", "killed", "--quiet", "--trust"]
    child = subprocess.Popen(command, env=os.environ)
    while not (lab / "killed/grpo/checkpoints/latest_checkpointed_iteration.txt").exists() and child.poll() is None:
        time.sleep(0.1)
    child.send_signal(signal.SIGKILL)
    child.wait()
    deadline = time.monotonic() + 180  # agents of Ray first try to report to a server that has ended
    while children() != before and time.monotonic() < deadline:
        time.sleep(1)
    assert children() == before
    tenfold.run(path, "killed", quiet=True, trust=True)
    whole, killed = (load_file(lab / out / "grpo/policy/model.safetensors") for out in ("whole", "killed"))
    assert all(whole[name].allclose(killed[name], atol=1e-5) for name in whole)


def test_a_step_whose_responses_are_all_truncated_changes_nothing(lab: Path) -> None:
    metrics = tenfold.run(write(lab, steps=1, max_response_tokens=1), "out", quiet=True, trust=True)["grpo"]
    assert metrics["steps"] == 1
    assert steps(lab / "out")[0]["truncated"] == 1


def test_an_engine_that_dies_ends_the_stage_with_its_cause(lab: Path) -> None:
    with pytest.raises(UserError, match="head_dim=16"):
        tenfold.run(write(lab, steps=2, policy="micro:?hidden=64&layers=2&heads=4"), "out", quiet=True, trust=True)


def test_an_adapter_is_trained_while_vllm_samples_with_it(lab: Path) -> None:
    tenfold.run(write(lab, lora={"rank": 8}, learning_rate=1e-2), "out", quiet=True, trust=True)
    rows = steps(lab / "out")
    assert any(row["grad_norm"] > 0 for row in rows[:-1])
    assert rows[-1]["kl"] > 0
    for row in rows:
        assert abs(row["rollout_ratio_max"] - 1) < 1e-5
        assert abs(row["rollout_ratio_min"] - 1) < 1e-5
    adapter = load_file(lab / "out/grpo/adapter/adapter_model.safetensors")
    assert any(weights.abs().max() > 0 for name, weights in adapter.items() if "lora_B" in name)
