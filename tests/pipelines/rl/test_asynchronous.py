"""GRPO stages that sample while they train (`max_staleness`)."""

import asyncio
import functools
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file

import tenfold
from tenfold.core import UserError
from tenfold.pipelines import cluster as clusters
from tenfold.pipelines.cluster import Cluster
from tenfold.pipelines.rl import verl_config
from tenfold.pipelines.rl.grpo import GRPO
from tenfold.pipelines.verl_compat import names
from tenfold.policies import checkpoints


def on(cluster: str, **changes: Any) -> Cluster:
    settings = {"device": "cpu"} if cluster == "cpu" else clusters.named(cluster)
    return Cluster.model_validate(settings | changes)


def stage(**changes: Any) -> GRPO:
    settings = {"kind": "grpo", "name": "g", "environment": "tenfold/ChainSum-v0", "steps": 5, "max_staleness": 1}
    return GRPO.model_validate(settings | changes)


def test_some_gpus_of_each_node_sample_and_the_others_train() -> None:
    config = verl_config.check(stage(), on("several_nodes", rollout_gpus=4))
    rollout = config.actor_rollout_ref.rollout
    assert (config.trainer.nnodes, config.trainer.n_gpus_per_node) == (2, 4)
    assert (rollout.nnodes, rollout.n_gpus_per_node, rollout.tensor_model_parallel_size) == (2, 4, 2)
    assert (config.actor_rollout_ref.hybrid_engine, rollout.checkpoint_engine.backend) == (False, "nccl")
    assert config.algorithm.rollout_correction.rollout_is == "token"
    synchronous = verl_config.check(stage(max_staleness=0), on("several_nodes", rollout_gpus=4))
    assert (synchronous.trainer.n_gpus_per_node, synchronous.trainer.v1.trainer_mode) == (8, "sync")


def test_verls_asynchronous_trainer_accepts_the_settings() -> None:
    from verl.trainer.ppo.v1 import PPOTrainerSeparateAsync, get_trainer_cls

    import tenfold.pipelines.verl_compat.asynchronous.trainer  # noqa: F401 - registers the trainer

    for cluster in (on("cpu"), on("one_node", rollout_gpus=4)):
        config = verl_config.check(stage(), cluster)
        trainer = get_trainer_cls(config.trainer.v1.trainer_mode)
        assert issubclass(trainer, PPOTrainerSeparateAsync)
        made = trainer(config)  # verl checks sizes of batches and the rollout's resources here
        made._init_resource_pool_mgr()
        assert made.resource_pool_manager.resource_pool_spec["global_pool"] == [config.trainer.n_gpus_per_node]


def test_on_a_cpu_the_tokens_are_weighted_by_default() -> None:
    def correction(**changes: Any) -> tuple[str | None, bool]:
        config = verl_config.check(stage(**changes), on("cpu"))
        return config.algorithm.rollout_correction.rollout_is, config.actor_rollout_ref.rollout.calculate_log_probs

    assert correction() == ("token", True)
    assert correction(rollout_is="none") == (None, True)
    assert correction(max_staleness=0) == (None, False)
    variables = verl_config.environment(Path("/m"), on("cpu"), max_staleness=1)
    assert variables["VERL_USE_EXTERNAL_MODULES"].split(",") == [names.CPU, names.TRAINER_PLUGIN]


@pytest.mark.parametrize(
    ("settings", "cluster", "words"),
    [
        ({"lora": {"rank": 4, "alpha": 8}}, on("cpu"), "max_staleness cannot be combined with lora"),
        (
            {"verl": {"trainer.v1.separate_async": {"parameter_sync_step": 4}}},
            on("cpu"),
            "verl: trainer.v1.separate_async.parameter_sync_step: max_staleness sets it",
        ),
        ({}, on("cpu", rollout="vllm"), "max_staleness on a CPU samples with transformers; set cluster.rollout to auto"),
        ({}, on("cpu", ray_address="auto"), "max_staleness on a CPU needs the stage's own Ray"),
        ({}, on("one_gpu"), "each node has gpus=1; use nodes with more GPUs"),
        ({}, on("one_node"), "set cluster.rollout_gpus to a number below gpus=8"),
        ({}, on("one_node", rollout_gpus=3), "8 x 8 = 64 samples per step cannot be split evenly over 5 GPUs"),
        ({}, on("one_node", rollout_gpus=3, sequence_parallel=2), "sequence_parallel=2 does not divide the 5 GPUs that train"),
    ],
)
def test_what_cannot_be_combined_is_named_in_one_line(settings: Any, cluster: Cluster, words: str) -> None:
    with pytest.raises(UserError, match=words):
        verl_config.check(stage(**settings), cluster)


def test_some_gpus_must_train() -> None:
    with pytest.raises(ValueError, match=r"rollout_gpus=8: expected less than gpus=8"):
        on("one_node", rollout_gpus=8)


def test_each_process_gets_the_weights_of_the_one_that_sends() -> None:
    from tenfold.pipelines.verl_compat.asynchronous.weights import GlooEngine

    sender, receivers = GlooEngine(1, is_master=True), [GlooEngine(1), GlooEngine(1)]
    metadata = [engine.prepare() for engine in (sender, *receivers)]
    send, receive = GlooEngine.build_topology(2, 2, metadata)
    assert send["rank"] == [0, -1], "the trainer's other processes take no part"
    received: list[dict[str, torch.Tensor]] = [{}, {}]

    async def get(number: int) -> None:
        received[number] = {name: weight async for name, weight in receivers[number].receive_weights()}

    def work(number: int, updates: list[dict[str, torch.Tensor]]) -> None:
        engine, arguments = (sender, send) if number == 2 else (receivers[number], receive)
        row = 0 if number == 2 else number
        engine.init_process_group(**{name: values[row] for name, values in arguments.items()})
        for update in updates:
            asyncio.run(sender.send_weights(update.items()) if number == 2 else get(number))

    updates = [{"a": torch.randn(3, 2), "b": torch.tensor(float(number))} for number in range(2)]
    threads = [threading.Thread(target=work, args=(number, updates)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for found in received:
        assert found.keys() == updates[1].keys()
        assert all(torch.equal(found[name], weight) for name, weight in updates[1].items())


def test_an_aborted_sample_is_continued_with_the_next_weights() -> None:
    from tenfold.pipelines.verl_compat.cpu_rollout import Server

    async def play() -> tuple[Any, Any]:
        server = Server(SimpleNamespace(response_length=200, max_num_seqs=1), str(checkpoints.checkpoint("micro:")))
        await server.load_weights(server.model.state_dict(), 4)
        server.stop_ids = frozenset()  # so that only the limit ends a sample
        first = asyncio.create_task(server.generate("r", [5, 6, 7], {"max_tokens": 200, "seed": 1}))
        while server.idle.is_set():
            await asyncio.sleep(0)
        await server.abort_all_requests()
        begun = await first
        rest = {"max_tokens": 200 - len(begun.token_ids), "seed": 1}
        second = asyncio.create_task(server.generate("r", [5, 6, 7, *begun.token_ids], rest))
        await server.load_weights(server.model.state_dict(), 5)
        assert not second.done()
        await server.resume_generation()
        return begun, await second

    begun, continued = asyncio.run(play())
    assert (begun.stop_reason, continued.stop_reason) == ("aborted", "length")
    assert 0 < len(begun.token_ids) == len(begun.log_probs) < 200
    assert len(begun.token_ids) + len(continued.token_ids) == 200
    assert [output.extra_fields["global_steps"] for output in (begun, continued)] == [4, 5]


def test_samples_in_flight_are_read_as_plain_data(tmp_path: Path) -> None:
    from tenfold.pipelines.verl_compat.asynchronous import in_flight

    torch.save([functools.partial(os.mkdir, str(tmp_path / "ran"))], tmp_path / in_flight.FILE)
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        in_flight.load(tmp_path)
    assert not (tmp_path / "ran").exists()
    in_flight.load(tmp_path / "no checkpoint")


LAB = '''
import gymnasium
import tenfold
from tenfold.envs.text import Text

class Short(gymnasium.Env):
    """Two turns. Short responses score more, one problem always scores 1, and one raises an error."""
    def __init__(self):
        self.observation_space = self.action_space = Text()
        self.problems = range(8)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.problem, self.turn = (options or {}).get("problem", 0), 0
        return f"Say something, {self.problem}.", {"problem_id": f"short {self.problem}"}
    def step(self, action):
        self.turn += 1
        if self.problem == 3:
            raise ConnectionError("this problem is broken")
        return "And?", 0.5 if self.problem == 4 else float(len(action) < 12) / 2, self.turn == 2, False, {}

tenfold.register("lab/Short-v0", entry_point="lab_short:Short")
'''


def write(lab: Path, **changes: Any) -> Path:
    """Writes a recipe of two stages: SFT on short and long responses, then GRPO."""
    (lab / "lab_short.py").write_text(LAB)
    questions, answers = ("Say something, 1.", "And?"), ("a", "b c d e f g h")
    says = [{"question": question, "answer": answer} for question in questions for answer in answers]
    (lab / "says.jsonl").write_text("".join(json.dumps(row) + "\n" for row in says))
    sft = {"kind": "sft", "name": "sft", "problems": "jsonl:says.jsonl", "steps": 60, "batch_size": 8, "learning_rate": 5e-3}
    grpo = {"kind": "grpo", "name": "grpo", "environment": "lab/Short-v0", "steps": 6, "batch_size": 3, "samples": 4}
    grpo |= {"learning_rate": 1e-3, "max_prompt_tokens": 64, "max_response_tokens": 64, "save_steps": 2, "stall_seconds": 3600}
    grpo |= {"max_staleness": 1, "max_without_score": 1.0}
    recipe = {"name": "short", "seed": 3, "policy": "micro:?hidden=32&layers=2&heads=2", "modules": ["lab_short"]}
    (lab / "short.yaml").write_text(yaml.safe_dump(recipe | {"stages": [sft, grpo | changes]}))
    return lab / "short.yaml"


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]


def start(path: Path, out: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-P", "-m", "tenfold.cli", "run", str(path), "--out", out, "--quiet", "--trust"]
    return subprocess.Popen(command, env=os.environ, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_samples_are_one_step_old_and_a_killed_run_ends_with_equal_weights(lab: Path) -> None:
    path = write(lab)
    metrics = tenfold.run(path, "whole", quiet=True, trust=True)["grpo"]
    whole = rows(lab / "whole/grpo")
    assert [row["step"] for row in whole] == [1, 2, 3, 4, 5, 6]
    assert (whole[0]["staleness_max"], metrics["staleness_max"]) == (0, 1)
    assert whole[0]["rollout_ratio_max"] == pytest.approx(1, abs=1e-3)
    for row in whole[1:]:
        assert 0 < row["staleness"] <= row["staleness_max"] == 1
        assert row["rollout_ratio_max"] > 1.001
    assert any(row["staleness"] < 1 for row in whole[1:]), "replacements are sampled with the newest weights"
    assert len(metrics["curves"]["staleness"]) == 6

    child = start(path, "killed")
    tracker = lab / "killed/grpo/checkpoints/latest_checkpointed_iteration.txt"
    while not tracker.exists() and child.poll() is None:
        time.sleep(0.1)
    child.send_signal(signal.SIGKILL)
    child.wait()
    tenfold.run(path, "killed", quiet=True, trust=True)
    assert len(list((lab / "killed/grpo/metrics").iterdir())) == 2
    for row, expected in zip(rows(lab / "killed/grpo"), whole, strict=True):
        assert (row["step"], row["without_score"]) == (expected["step"], expected["without_score"])
        assert row["reward"] == pytest.approx(expected["reward"])
        # If the kill came between a step's checkpoint and verl's report, the step has only the metrics of its episodes.
        assert row["staleness"] in (None, expected["staleness"])
    first, second = (load_file(lab / out / "grpo/policy/model.safetensors") for out in ("whole", "killed"))
    assert all(torch.equal(weight, second[name]) for name, weight in first.items())


@pytest.mark.slow
def test_several_batches_ahead_the_staleness_has_a_limit_and_a_killed_run_resumes(lab: Path) -> None:
    path = write(lab, max_staleness=2, steps=8)
    child = start(path, "out")
    while not (lab / "out/grpo/checkpoints/latest_checkpointed_iteration.txt").exists() and child.poll() is None:
        time.sleep(0.1)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    metrics = tenfold.run(path, "out", quiet=True, trust=True)["grpo"]
    steps = rows(lab / "out/grpo")
    assert [row["step"] for row in steps] == list(range(1, 9))
    assert metrics["staleness_max"] == 2
    assert all(row["staleness_max"] <= min(2, row["step"] - 1) for row in steps if row["staleness_max"] is not None)
    episodes = [json.loads(line) for file in (lab / "out/grpo/episodes").iterdir() for line in file.read_text().splitlines()]
    assert all(len({row["problem"] for row in episodes if row["step"] == step}) >= 3 for step in range(1, 9))


@pytest.mark.slow
@pytest.mark.parametrize("actor", ["ServerActor", "CheckpointEngineWorker", "WorkerDict"])
def test_a_process_that_dies_ends_the_stage_with_its_cause(lab: Path, actor: str) -> None:
    child = start(write(lab, steps=500, save_steps=500), "out")
    while child.poll() is None and not ((lab / "out/grpo/steps.jsonl").exists() and rows(lab / "out/grpo")):
        time.sleep(0.1)
    workers = psutil.Process(child.pid).children(recursive=True)
    (found,) = [worker for worker in workers if worker.name().startswith("ray::") and actor in worker.name()]
    found.kill()
    _, error = child.communicate()
    assert child.returncode == 2
    assert f"process {found.pid} was killed (SIGKILL)" in error.decode()
