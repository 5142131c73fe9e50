"""Recipes with mistakes that would end a run after minutes or hours: a dry run names each in one line."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import tenfold
from tenfold import cli
from tenfold.pipelines.cluster import Cluster
from tenfold.pipelines.recipe import resources
from tenfold.pipelines.rl import verl_checks
from tenfold.pipelines.rl.verl_checks import Tracker
from tenfold.policies import checkpoints

TINY = "micro:?hidden=16&layers=1&heads=2"
SFT = {"kind": "sft", "name": "sft", "problems": "jsonl:rows.jsonl", "steps": 5, "batch_size": 4, "max_tokens": 60}
GRPO = {"kind": "grpo", "name": "grpo", "environment": "lab/Rows-v0", "steps": 3, "batch_size": 4, "samples": 4}
ACTOR, MODEL, ROLLOUT = (f"actor_rollout_ref.{part}" for part in ("actor", "model", "rollout"))
GPUS = {"device": "cuda", "gpus": 8}


def dry_run(lab: Path, *stages: dict[str, Any], arguments: tuple[str, ...] = (), **changes: Any) -> int:
    """Runs `tenfold run --dry-run` on a recipe with two environments, one of them with long prompts."""
    for name, text in (("rows", ""), ("long", "and so on " * 100)):
        rows = [{"question": f"{number} + 1 = {text}", "answer": number + 1} for number in range(30)]
        (lab / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    environments = {f"lab/{name.title()}-v0": {"problems": f"jsonl:{name}.jsonl"} for name in ("rows", "long")}
    recipe = {"name": "r", "policy": TINY, "environments": environments, "cluster": {"device": "cpu"}, "stages": [*stages]}
    (lab / "r.yaml").write_text(yaml.safe_dump(recipe | changes))
    return cli.main(["run", "r.yaml", "--dry-run", *arguments])


def refused(capsys: pytest.CaptureFixture[str], status: int) -> str:
    """Returns the error of a refused recipe, which is one line."""
    error = "".join(line for line in capsys.readouterr().err.splitlines(keepends=True) if "model shards" not in line)
    assert (status, error.count("\n")) == (2, 1), error
    assert error.startswith("error: ")
    return error


@pytest.fixture(autouse=True)
def no_wandb_key(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(lab))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_CONFIG_DIR", "NETRC"):
        monkeypatch.delenv(name, raising=False)


def test_the_recipe_without_a_mistake_passes(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dry_run(lab, SFT, GRPO | {"loggers": ["tensorboard"]}) == 0
    assert "weights" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        (f"{ACTOR}.ppo_mini_batch_size", 3, "ppo_micro_batch_size_per_gpu=16 does not divide the 12 samples of a GPU"),
        (f"{ACTOR}.ppo_mini_batch_size", 16, "train_batch_size (4) must be >= actor.ppo_mini_batch_size (16)"),
        ("algorithm.adv_estimator", "grppo", "algorithm.adv_estimator: unknown value 'grppo'; use one of gae, gdpo, "),
        ("algorithm.adv_estimator", "gae", "adv_estimator=gae needs a critic (critic.model.path); use grpo"),
        (f"{ACTOR}.policy_loss.loss_mode", "gspoo", "policy_loss.loss_mode: unknown value 'gspoo'; use one of "),
        (f"{ACTOR}.kl_loss_type", "lowvar", "kl_loss_type: unknown value 'lowvar'; use kl, abs, mse or low_var_kl"),
        (f"{ACTOR}.optim.optimizer", "AdamX", "optim.optimizer: unknown value 'AdamX'; use one of ASGD, "),
        (f"{ACTOR}.fsdp_config.dtype", "float31", "fsdp_config.dtype: unexpected precision: float31"),
        (f"{ACTOR}.checkpoint.save_contents", ["model"], "expected all of model, optimizer, extra, hf_model, got ['model']"),
        ("trainer.resume_mode", "always", "trainer.resume_mode: unknown value 'always'; use one of auto, disable"),
        (f"{ROLLOUT}.name", "vlm", "rollout.name: unknown value 'vlm'; use one of vllm, sglang, trtllm, tenfold_cpu"),
        (f"{ROLLOUT}.mode", "sync", "actor_rollout_ref.rollout: Rollout mode 'sync' has been removed"),
        (
            f"{ROLLOUT}.tensor_model_parallel_size",
            2,
            "pipeline_model_parallel_size = 2 does not divide the number of GPUs that sample, 1",
        ),
        (
            f"{ACTOR}.ppo_epoch",
            2,
            "there is no setting 'actor_rollout_ref.actor.ppo_epoch'; use one of actor_rollout_ref.actor.ppo_",
        ),
    ],
)
def test_a_setting_that_verl_refuses_late(
    lab: Path, capsys: pytest.CaptureFixture[str], setting: str, value: object, words: str
) -> None:
    assert words in refused(capsys, dry_run(lab, GRPO | {"verl": {setting: value}}))


@pytest.mark.parametrize(
    ("verl", "words"),
    [
        ({f"{MODEL}.external_lib": "no_such_module"}, "external_lib: there is no module 'no_such_module'; install it"),
        ({f"{MODEL}.lora_rank": 8}, f"verl: {MODEL}.lora_rank: use the stage's own setting, as in lora: {{rank: 16"),
        ({f"+{MODEL}.lora.merge": True}, f"verl: +{MODEL}.lora.merge: use the stage's own setting, as in lora: {{rank: 16"),
    ],
)
def test_settings_of_the_model_that_verl_refuses_late(
    lab: Path, capsys: pytest.CaptureFixture[str], verl: dict[str, Any], words: str
) -> None:
    assert words in refused(capsys, dry_run(lab, GRPO | {"verl": verl}))


def test_lora_needs_modules_of_the_model(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "lora: targets: Target modules {'qproj'} not found in the base model; the linear modules of the model are down_proj, "
    )
    assert words in refused(capsys, dry_run(lab, GRPO | {"lora": {"targets": ["qproj"]}}))
    only = GRPO | {"lora": {"rank": 8, "targets": ["q_proj"]}}
    assert dry_run(lab, only) == 0
    capsys.readouterr()
    assert "lora: targets: " in refused(capsys, dry_run(lab, only | {"verl": {f"{MODEL}.exclude_modules": ["q_proj"]}}))


@pytest.mark.parametrize(
    ("tracker", "words"),
    [
        ("wand", "loggers: unknown value 'wand'; use one of clearml, console, file, mlflow, "),
        ("swanlab", "loggers: the tracker swanlab is not installed: pip install no-such-module"),
        ("wandb", "loggers: the tracker wandb has no key: run `wandb login`, or set WANDB_API_KEY, or set WANDB_MODE=offline"),
    ],
)
def test_a_tracker_that_cannot_start(
    lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tracker: str, words: str
) -> None:
    trackers = verl_checks.TRACKERS | {"swanlab": Tracker("no_such_module"), "wandb": Tracker("json")}
    monkeypatch.setattr(verl_checks, "TRACKERS", trackers)
    assert words in refused(capsys, dry_run(lab, GRPO | {"loggers": [tracker]}))
    (lab / ".netrc").write_text("machine github.com login me password secret\n")  # no key of wandb
    assert "the tracker wandb has no key" in refused(capsys, dry_run(lab, GRPO | {"loggers": ["wandb"]}))
    with monkeypatch.context() as patched:
        patched.setenv("WANDB_BASE_URL", "https://github.com")
        assert dry_run(lab, GRPO | {"loggers": ["wandb"]}) == 0
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert dry_run(lab, GRPO | {"loggers": ["wandb"]}) == 0


@pytest.mark.parametrize(
    ("stage", "cluster", "words"),
    [
        (SFT | {"micro_batch_size": 3}, {"device": "cpu"}, "sft: batch_size=4 is not a multiple of micro_batch_size=3"),
        (SFT, GPUS, "sft: batch_size=4 is not a multiple of micro_batch_size=1 times 8 processes"),
        (SFT | {"batch_size": 8, "bench": ["chain_sum"]}, GPUS, "sft: bench works with one training process only"),
        (GRPO, {"device": "cuda", "tensor_parallel": 2}, "tensor_parallel=2 does not divide gpus=1"),
        (
            GRPO | {"batch_size": 8},
            GPUS | {"tensor_parallel": 8},
            "tensor_parallel=8 does not divide the model's 2 attention heads",
        ),
        (
            GRPO | {"batch_size": 8, "max_response_tokens": 2000},
            GPUS,
            "max_prompt_tokens + max_response_tokens = 2512 is more than the model's context window of 1024 tokens",
        ),
    ],
)
def test_sizes_that_do_not_fit(
    lab: Path, capsys: pytest.CaptureFixture[str], stage: dict[str, Any], cluster: dict[str, Any], words: str
) -> None:
    assert words in refused(capsys, dry_run(lab, stage, cluster=cluster))


def test_vllm_on_a_cpu_needs_a_window_of_the_longest_episode(
    lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cluster, "check", lambda cluster: None)  # as if vLLM were installed
    stage = GRPO | {"max_response_tokens": 2000}
    error = refused(capsys, dry_run(lab, stage, cluster={"device": "cpu", "rollout": "vllm"}))
    assert "max_prompt_tokens + max_response_tokens = 2512 is more than the model's context window of 1024 tokens" in error
    assert dry_run(lab, stage, cluster={"device": "cpu", "rollout": "transformers"}) == 0


def test_prompts_and_examples_that_are_too_long(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = refused(capsys, dry_run(lab, GRPO | {"environment": "lab/Long-v0"}))
    assert "expected at least batch_size=4 problems whose prompts have at most max_prompt_tokens=512 tokens, got 0" in error
    # The second stage starts from the first, whose tokenizer is known.
    error = refused(capsys, dry_run(lab, SFT, SFT | {"name": "second", "problems": "jsonl:long.jsonl"}))
    assert "second: jsonl:long.jsonl has no usable example (30 too long; max_tokens=60)" in error


def test_a_filter_with_fewer_problems_than_a_batch(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filtered = {"kind": "filter", "name": "filter", "environment": "lab/Rows-v0", "problems": 3}
    error = refused(capsys, dry_run(lab, filtered, GRPO | {"keep": "filter"}))
    assert "grpo: expected at least batch_size=4 problems, got 3 from filter" in error
    assert dry_run(lab, filtered | {"problems": 30}, GRPO | {"keep": "filter", "problems": 2}) == 0  # ignored with keep


@pytest.mark.parametrize("kind", ["filter", "grpo"])
def test_an_environment_that_does_not_report_its_number_of_problems(
    lab: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    (lab / "lab_endless.py").write_text(
        "import gymnasium\nfrom gymnasium.spaces import Text\n"
        "class Endless(gymnasium.Env):\n"
        "    observation_space = action_space = Text(1000)\n"
        "    def reset(self, *, seed=None, options=None):\n        return '?', {}\n"
        "    def step(self, action):\n        return '', 1.0, True, False, {}\n"
    )
    stage = (GRPO if kind == "grpo" else {"kind": "filter", "name": "filter"}) | {"environment": "lab/Endless-v0"}
    changes = {"environments": {"lab/Endless-v0": {"entry_point": "lab_endless:Endless"}}, "modules": ["lab_endless"]}
    error = refused(capsys, dry_run(lab, stage, arguments=("--trust",), **changes))
    assert "lab/Endless-v0 does not report its number of problems: set problems=" in error
    assert dry_run(lab, stage | {"problems": 4}, arguments=("--trust",), **changes) == 0


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("model.safetensors", "policy has no weights: save them there as safetensors with model.save_pretrained"),
        ("tokenizer.json", "policy has no tokenizer: save one there with tokenizer.save_pretrained"),
        ("config.json", "policy is not a checkpoint: it has no config.json"),
    ],
)
def test_a_policy_without_a_file(lab: Path, capsys: pytest.CaptureFixture[str], missing: str, words: str) -> None:
    shutil.copytree(checkpoints.checkpoint(TINY), "policy")
    Path("policy", missing).unlink()
    assert words in refused(capsys, dry_run(lab, SFT, policy="path:policy"))


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("Qwen/Qwen3-4B", "cannot find a policy at 'Qwen/Qwen3-4B': a policy URI starts with one of micro:, config:, "),
        ("openai:gpt", "there is no checkpoint 'openai:gpt': the URI of a checkpoint starts with one of micro:, "),
        ("path:nowhere", "there is no folder nowhere"),
    ],
)
def test_a_policy_that_does_not_exist(lab: Path, capsys: pytest.CaptureFixture[str], policy: str, words: str) -> None:
    assert words in refused(capsys, dry_run(lab, SFT, policy=policy))


def test_too_little_disk_space_and_memory(
    lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(resources.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
        error = refused(capsys, dry_run(lab, SFT))
    assert "estimated disk space: 0.2 MiB" in error
    assert "but 0.0 MiB are free; choose another --out, or delete files" in error
    monkeypatch.setattr(resources, "STATE_BYTES", 1 << 60)
    assert "sft: weights and optimizer need" in refused(capsys, dry_run(lab, SFT))


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ([SFT, SFT | {"name": "again"}], "8.0 MiB (8.0 MiB for policies, prepared data and the checkpoints that stay"),
        (
            [SFT | {"steps": 100, "save_steps": 2}],
            "10.0 MiB (4.0 MiB for policies, prepared data and the checkpoints that stay",
        ),
        (
            [SFT | {"steps": 100, "save_steps": 2, "keep_checkpoints": 10}],
            "34.0 MiB (31.0 MiB for policies, prepared data and the checkpoints that stay",
        ),
        (
            [SFT | {"steps": 100, "save_steps": 2, "keep_checkpoints": 0}],
            "10.0 MiB (1.0 MiB for policies, prepared data and the checkpoints that stay",
        ),
    ],
)
def test_the_disk_space_includes_the_checkpoints_that_stay(
    lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stages: list[Any], words: str
) -> None:
    monkeypatch.setattr(resources, "parameters", lambda folder: 1 << 18)  # 1 MiB of weights and 3 MiB for a checkpoint
    assert dry_run(lab, *stages) == 0
    assert f"estimated disk space: {words}" in capsys.readouterr().out


@pytest.mark.parametrize("data", ["problems", "pairs"])
def test_the_disk_space_includes_the_prepared_data(lab: Path, capsys: pytest.CaptureFixture[str], data: str) -> None:
    row = {"question": "1 + 1 = ?", "answer": "2", "chosen": "2", "rejected": "3", "padding": "0" * 100_000}
    stage = SFT if data == "problems" else {"kind": "reward_model", "name": "reward", "steps": 1, "held_out": 0}
    found = []
    for rows in (1, 101):  # 10 MB more
        (lab / "large.jsonl").write_text((json.dumps(row) + "\n") * rows)
        assert dry_run(lab, stage | {data: "jsonl:large.jsonl"}) == 0
        line = re.search(r"estimated disk space: ([\d.]+) MiB", capsys.readouterr().out)
        assert line
        found.append(float(line[1]))
    assert found[1] - found[0] > 10


def test_only_the_selected_stages_need_memory(
    lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "STATE_BYTES", 1 << 60)
    first = {"kind": "filter", "name": "filter", "environment": "lab/Rows-v0", "max_tokens": 6}
    assert dry_run(lab, first, SFT, arguments=("--only", "filter")) == 0
    assert "estimated disk space" not in capsys.readouterr().out


def test_a_function_as_verifier_is_refused_before_a_grpo_stage(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"question": f"{number} + 1 =", "answer": number + 1} for number in range(30)]
    tenfold.register("lab/Function-v0", problems=rows, verifier=lambda gold, answer: gold == answer)
    error = refused(capsys, dry_run(lab, GRPO | {"environment": "lab/Function-v0"}))
    assert "lab/Function-v0 cannot be made in another process" in error
    assert "write MODULE:lab/Function-v0 for the id; or register it with names" in error
