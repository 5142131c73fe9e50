"""A real run of verl in which most groups have no gradient."""

import json
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

import tenfold

LAB = '''
import gymnasium
import tenfold
from tenfold.envs.text import Text

class Half(gymnasium.Env):
    """Every second of twelve problems always scores 1, one raises an error, and the others score an odd length."""
    def __init__(self):
        self.observation_space = self.action_space = Text()
        self.problems = range(12)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.problem = (options or {}).get("problem", 0)
        return f"Say something, {self.problem}.", {"problem_id": f"half {self.problem}"}
    def step(self, action):
        if self.problem == 3:
            raise ConnectionError("this problem is broken")
        return "", 1.0 if self.problem % 2 == 0 else float(len(action) % 2), True, False, {}

tenfold.register("lab/Half-v0", entry_point="lab_half:Half")
'''


@pytest.mark.slow
def test_groups_without_a_gradient_are_replaced_and_the_kl_is_measured(lab: Path) -> None:
    (lab / "lab_half.py").write_text(LAB)
    says = [{"question": q, "answer": a} for q in ("Say something, 1.", "And?") for a in ("a", "b c d e f g h")]
    (lab / "says.jsonl").write_text("".join(json.dumps(row) + "\n" for row in says))
    sft = {"kind": "sft", "name": "sft", "problems": "jsonl:says.jsonl", "steps": 60, "batch_size": 8, "learning_rate": 5e-3}
    grpo = {"kind": "grpo", "name": "grpo", "environment": "lab/Half-v0", "steps": 3, "batch_size": 3, "samples": 4}
    grpo |= {"learning_rate": 3e-4, "max_prompt_tokens": 64, "max_response_tokens": 32, "stall_seconds": 3600}
    grpo |= {"drop_zero_variance": True, "max_without_score": 1.0}
    recipe = {"name": "half", "seed": 3, "policy": "micro:?hidden=32&layers=2&heads=2", "modules": ["lab_half"]}
    (lab / "half.yaml").write_text(yaml.safe_dump(recipe | {"stages": [sft, grpo]}))
    tenfold.run(lab / "half.yaml", "out", quiet=True, trust=True)

    steps = [json.loads(line) for line in (lab / "out/grpo/steps.jsonl").read_text().splitlines()]
    assert steps[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert steps[-1]["kl"] > 1e-6
    played: dict[int, dict[int, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for path in (lab / "out/grpo/episodes").iterdir():
        for row in map(json.loads, path.read_text().splitlines()):
            played[row["step"]][row["problem"]][row["sample"]] = row["verdict"]["score"]
    assert {problem for groups in played.values() for problem in groups} >= {0, 2, 3}
    for step in steps:
        # The reward is that of groups with variance. Groups without variance would have a mean of 0 or 1.
        means = [sum(group.values()) / 4 for group in played[step["step"]].values() if len(set(group.values())) > 1]
        assert min(means) - 1e-6 <= step["reward"] <= max(means) + 1e-6
    reported = [json.loads(line)["data"] for line in (lab / "out/grpo/metrics/000.jsonl").read_text().splitlines()]
    assert sum(row.get("training/filter_groups/evicted_samples", 0) for row in reported) > 0
    assert sum(row.get("training/rollout_failure/evicted_samples", 0) for row in reported) > 0
