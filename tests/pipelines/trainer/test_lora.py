"""Stages that train a LoRA adapter: the policy has it merged into the weights, and the adapter alone is beside it."""

import json
import shutil
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file

from tenfold.core import UserError
from tenfold.pipelines.cluster import Cluster
from tenfold.pipelines.reward.reward_model import RewardModel
from tenfold.pipelines.sft.sft import SFT
from tenfold.pipelines.stage import Context, Stage
from tenfold.policies import checkpoints

TINY = "micro:?hidden=16&layers=2&heads=2"
SUMS = "generate:tenfold.envs.toy.chain_sums:chain_sums_with_solutions?size=40&seed=1"


def sft(**changes: Any) -> SFT:
    """Returns a stage that trains an adapter."""
    stage = {"kind": "sft", "name": "sft", "problems": SUMS, "steps": 6, "batch_size": 8, "learning_rate": 1e-2}
    return SFT.model_validate(stage | {"save_steps": 2, "keep_checkpoints": 3, "lora": {"rank": 2}} | changes)


def run(stage: Stage, folder: Path) -> dict[str, Any]:
    """Runs a stage alone and returns its metrics."""
    folder.mkdir(exist_ok=True)
    return stage.run(Context(folder, TINY, 1, {}, lambda *done, **values: None))


def base() -> Any:
    """Returns the model from which the stages start."""
    return checkpoints.load(checkpoints.checkpoint(TINY), torch.float32)[0]


def test_the_policy_is_the_start_with_the_adapter_merged(lab: Path) -> None:
    metrics = run(sft(), lab / "out")
    assert metrics["losses"][-1][1] < metrics["losses"][0][1]
    ids = torch.arange(1, 12)[None]
    with torch.no_grad():
        policy = checkpoints.load(lab / "out/policy", torch.float32)[0](ids).logits
        merged = peft.PeftModel.from_pretrained(base(), lab / "out/adapter")(ids).logits
        assert torch.allclose(policy, merged, atol=1e-5)
        assert not torch.allclose(policy, base()(ids).logits, atol=1e-3)
    before, after = base().state_dict(), load_file(lab / "out/policy/model.safetensors")
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed == {name for name in after if "_proj" in name}, "only linear modules change"
    adapter = load_file(lab / "out/adapter/adapter_model.safetensors")
    assert {min(weights.shape) for weights in adapter.values()} == {2}


def test_named_modules_alone_are_trained(lab: Path) -> None:
    run(sft(lora={"rank": 2, "alpha": 4, "targets": ["q_proj"]}, steps=2), lab / "out")
    before, after = base().state_dict(), load_file(lab / "out/policy/model.safetensors")
    assert all(torch.equal(before[name], after[name]) != ("q_proj" in name) for name in after)


def test_a_killed_training_resumes_with_the_same_adapter_and_each_kept_step_is_a_policy(lab: Path) -> None:
    metrics = run(sft(), lab / "out")
    adapter = load_file(lab / "out/adapter/adapter_model.safetensors")
    shutil.copytree(lab / "out", lab / "killed")
    for left in ("policy", "adapter", "checkpoints/checkpoint-6", "checkpoints/checkpoint-4"):  # as after a kill at step 3
        shutil.rmtree(lab / "killed" / left)
    assert run(sft(), lab / "killed") == metrics
    again = load_file(lab / "killed/adapter/adapter_model.safetensors")
    # Equal in all bits, because the operations and their order are equal.
    assert all(torch.equal(adapter[name], again[name]) for name in adapter)
    policies = [checkpoints.load(checkpoints.checkpoint(f"stage:{lab}/out@step={step}"), torch.float32)[0] for step in (2, 6)]
    final = load_file(lab / "out/policy/model.safetensors")
    matches = [all(torch.equal(model.state_dict()[name], final[name]) for name in final) for model in policies]
    assert matches == [False, True]


def test_an_adapter_trains_on_adapters_merged_before(lab: Path) -> None:
    run(sft(steps=2), lab / "first")
    (lab / "first/stage.json").write_text("{}")
    (lab / "second").mkdir()
    sft(steps=2).run(Context(lab / "second", f"stage:{lab}/first", 1, {}, lambda *done, **values: None))
    config = json.loads((lab / "second/adapter/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(lab / "first/policy")
    assert checkpoints.checkpoint(f"path:{lab}/second/adapter")


def test_gradient_checkpointing_changes_no_loss(lab: Path) -> None:
    plain, recomputed = run(sft(), lab / "plain"), run(sft(gradient_checkpointing=True), lab / "recomputed")
    losses = [[loss for _, loss in metrics["losses"]] for metrics in (plain, recomputed)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_training_in_two_processes_equals_training_in_one(lab: Path, by_one_and_by_two: Any) -> None:
    by_one_and_by_two(sft(), TINY, 1)
    one, two = (load_file(lab / name / "adapter/adapter_model.safetensors") for name in ("by one", "by two"))
    assert one.keys() == two.keys()
    # The checkpoints of two processes are shards of an adapter. Each is a policy.
    final = load_file(lab / "by two/policy/model.safetensors")
    policies = [load_file(checkpoints.checkpoint(f"stage:{lab}/by two@step={n}") / "model.safetensors") for n in (2, 6)]
    assert [all(torch.equal(weights[name], final[name]) for name in final) for weights in policies] == [False, True]


def test_a_reward_model_is_an_adapter(lab: Path) -> None:
    rows = [{"prompt": f"Note {n}.", "chosen": "yes", "rejected": "no"} for n in range(40)]
    (lab / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    stage = {"kind": "reward_model", "name": "judge", "pairs": "jsonl:pairs.jsonl", "steps": 30, "batch_size": 8}
    settings = {"learning_rate": 1e-2, "perturbed_share": 0.0, "held_out": 0.1, "perturbed_responses": 0, "lora": {"rank": 4}}
    metrics = run(RewardModel.model_validate(stage | settings), lab / "out")
    assert metrics["losses"][-1][1] < metrics["losses"][0][1]
    assert (lab / "out/adapter/adapter_model.safetensors").is_file()
    assert checkpoints.load(lab / "out/policy", torch.float32)


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        (
            {"targets": ["qproj"]},
            r"lora: targets: Target modules \{'qproj'\} not found .*; the linear modules of the model are ",
        ),
        ({"targets": ["lm_head"]}, "lora: targets: the output layer lm_head cannot be a target; remove it"),
    ],
)
def test_modules_that_cannot_be_trained_are_errors_before_training(lora: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        sft(lora=lora).check_policy(checkpoints.checkpoint(TINY), Cluster())
