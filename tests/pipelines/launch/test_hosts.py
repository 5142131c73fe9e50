"""Stages that sample compute verdicts on all nodes of a Ray cluster: two nodes on this machine, without GPUs."""

import importlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import tenfold
from tenfold.core import UserError
from tenfold.envs import registry
from tenfold.pipelines.cluster import Cluster
from tenfold.pipelines.launch import hosts, nodes
from tenfold.policies import load_policy
from tenfold.policies.rollout import play

MODULE = """
import os, random, re, signal
from pathlib import Path

import ray


def answer(conversation, seed):
    one, other = map(int, re.findall(r"[0-9]+", conversation[-1]["content"])[:2])
    return f"It is {one + other + random.Random(seed).randrange(3) // 2}."


def verify(problem, response):
    "Notes the node. The file `victim` names a node and what to kill on it: the process of this verifier, or the whole node."
    node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else "here"
    with open("nodes", "a") as file:
        file.write(node + "\\n")
    if Path("victim").exists():
        name, what = Path("victim").read_text().split()
        if name == node:
            if what == "process":
                Path("victim").unlink()
            os.kill(os.getpid() if what == "process" else int(os.environ["RAY_RAYLET_PID"]), signal.SIGKILL)
            signal.pause()
    return response == f"It is {problem.answer}."
"""
SUMS = [{"id": f"sum {n}", "question": f"{n} + {n + 1} =", "answer": 2 * n + 1} for n in range(12)]
BAND = {"samples": 6, "band": [0.0, 1.0], "max_tokens": 8}
FILTER = {"kind": "filter", "name": "filter", "environment": "lab/Sums-v0", **BAND}
ADD = {
    "task_id": "T/0",
    "prompt": 'def add(a: int, b: int) -> int:\n    """Return a + b."""\n',
    "canonical_solution": "    return a + b\n",
    "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n",
    "entry_point": "add",
}


@pytest.fixture(scope="module")
def started() -> Iterator[Any]:
    """Two nodes with 2 logical processors each."""
    from ray.cluster_utils import Cluster as Nodes

    cluster = Nodes(initialize_head=True, head_node_args={"num_cpus": 2})
    cluster.add_node(num_cpus=2)
    yield cluster
    nodes.release()
    cluster.shutdown()
    os.environ.pop("RAY_ADDRESS", None)


@pytest.fixture
def two_nodes(lab: Path, started: Any) -> Iterator[dict[str, Any]]:
    """The section `cluster` of a recipe. The folder has the module `sums` and its problems."""
    (lab / "sums.py").write_text(MODULE)
    (lab / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in SUMS))
    yield {"device": "cpu", "engines": 2, "threads": 1, "ray_address": started.address}
    nodes.release()


def run(lab: Path, out: str, *stages: dict[str, Any], cluster: dict[str, Any] | None = None) -> dict[str, Any]:
    """Runs stages in which code of the module `sums` answers and judges; returns their metrics."""
    recipe = {
        "name": "hosts",
        "seed": 1,
        "policy": "call:sums:answer",
        "modules": ["sums"],
        "cluster": cluster or {"device": "cpu", "threads": 1},
        "environments": {"lab/Sums-v0": {"problems": "jsonl:sums.jsonl", "verifier": "sums:verify"}},
        "stages": list(stages),
    }
    (lab / "recipe.yaml").write_text(json.dumps(recipe))
    return tenfold.run(lab / "recipe.yaml", out, quiet=True, trust=True)


def judged(lab: Path) -> Counter[str]:
    """Returns the number of verdicts of each node since the last call."""
    found = Counter((lab / "nodes").read_text().split())
    (lab / "nodes").unlink()
    return found


def rows(path: Path) -> list[str]:
    return sorted(path.read_text().splitlines())


JOINED = Cluster.model_validate({"device": "cpu", "engines": 2, "ray_address": "head:6379"})
"""A cluster to which no test connects."""


def test_without_a_ray_cluster_this_process_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for alone in ({}, {"device": "cpu", "engines": 4}, {"device": "cpu", "ray_address": "head:6379"}):
        assert hosts.on_nodes(Cluster.model_validate(alone)) is None
    assert hosts.on_nodes(JOINED) is not None


def test_what_loads_a_model_stays_in_this_process(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"question": "1 + 1 =", "answer": 2}]
    for number, policy in enumerate(("micro:?hidden=16&layers=1&heads=2", "openai:judge?base_url=http://judge:8000/v1")):
        tenfold.register(f"lab/Judged{number}-v0", problems=rows, verifier={"name": "judge", "policy": policy})
    found = [hosts.for_environment(JOINED, f"lab/Judged{number}-v0", {}) is not None for number in range(2)]
    assert found == [False, True], "a judge at a server may be asked from every node"
    assert hosts.for_verifier(JOINED, "math") is not None
    monkeypatch.setenv("TENFOLD_JUDGE", "micro:?hidden=16&layers=1&heads=2")
    assert hosts.for_verifier(JOINED, "judge") is None


def test_ray_gets_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_JUDGE", "openai:judge?base_url=http://me:hunter2@judge/v1")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://judge/v1?api_key=hunter2")
    monkeypatch.setenv("OPENAI_API_KEY", "hunter2")
    assert "hunter2" not in str(nodes.inherited())
    assert {"TENFOLD_JUDGE", "OPENAI_BASE_URL"} <= nodes.inherited().keys()


@pytest.mark.slow
def test_filter_and_benchmarks_judge_on_both_nodes_and_give_the_results_of_one_process(
    lab: Path, two_nodes: dict[str, Any]
) -> None:
    (lab / "own.yaml").write_text("name: own\nproblems: jsonl:sums.jsonl\nverifier: sums:verify\nsamples: 6\n")
    bench = {"kind": "bench", "name": "bench", "tasks": ["own.yaml", "env:lab/Sums-v0"], "samples": 6}
    one = run(lab, "one", FILTER, bench)
    assert judged(lab).keys() == {"here"}
    two = run(lab, "two", FILTER, cluster=two_nodes)
    by_filter = judged(lab)
    two |= run(lab, "two", FILTER, bench, cluster=two_nodes)
    by_bench = judged(lab)
    assert one["filter"]["kept"] > 0
    assert two == one
    for found in (by_filter, by_bench):
        assert len(found) == 2
        assert "here" not in found
    files = ["filter/problems.parquet", *(f"bench/{path.name}" for path in (lab / "one/bench").glob("*.jsonl"))]
    assert len(files) > 3
    for name in files[1:]:
        assert rows(lab / "two" / name) == rows(lab / "one" / name)
    assert (lab / "two" / files[0]).read_bytes() == (lab / "one" / files[0]).read_bytes()


@pytest.mark.slow
def test_refine_and_synthesize_work_on_both_nodes(lab: Path, two_nodes: dict[str, Any]) -> None:
    (lab / "add.jsonl").write_text("".join(json.dumps(ADD | {"task_id": f"T/{n}"}) + "\n" for n in range(2)))
    refine = {"kind": "refine", "name": "refine", "problems": "jsonl:sums.jsonl", "verifier": "sums:verify", "max_rounds": 0}
    synthesize = {"kind": "synthesize", "name": "synthesize", "problems": "jsonl:add.jsonl", "inputs_per_round": 20}
    one = run(lab, "one", refine, synthesize)
    assert judged(lab).keys() == {"here"}
    assert run(lab, "two", refine, synthesize, cluster=two_nodes) == one
    assert len(judged(lab) - Counter("here")) == 2
    for name in ("refine/refined.jsonl", "synthesize/tests.jsonl"):
        assert (lab / "two" / name).read_text() == (lab / "one" / name).read_text()


@pytest.mark.slow
def test_a_killed_process_loses_nothing(lab: Path, two_nodes: dict[str, Any], started: Any) -> None:
    (lab / "victim").write_text(f"{started.worker_nodes.copy().pop().node_id} process")
    two = run(lab, "two", FILTER, cluster=two_nodes)
    assert not (lab / "victim").exists(), "a process was killed"
    assert two == run(lab, "one", FILTER)
    assert rows(lab / "two/filter/episodes.jsonl") == rows(lab / "one/filter/episodes.jsonl")


@pytest.mark.slow
def test_a_killed_node_loses_nothing(lab: Path, two_nodes: dict[str, Any], started: Any) -> None:
    third = started.add_node(num_cpus=2)
    (lab / "victim").write_text(f"{third.node_id} node")
    two = run(lab, "two", FILTER, cluster=two_nodes)
    assert third.node_id in judged(lab), "the node was killed while it judged"
    assert not third.any_processes_alive() or "raylet" in dict(third.dead_processes())
    (lab / "victim").unlink()
    assert two == run(lab, "one", FILTER)
    assert rows(lab / "two/filter/episodes.jsonl") == rows(lab / "one/filter/episodes.jsonl")


@pytest.mark.slow
def test_a_verifier_that_is_a_function_is_sent_to_the_nodes(lab: Path, two_nodes: dict[str, Any]) -> None:
    def ends_in_one(problem: Any, response: str) -> bool:
        with open("nodes", "a") as file:
            file.write(f"{os.getpid()}\n")
        return response.endswith("1.")

    tenfold.register("lab/Ends-v0", problems="jsonl:sums.jsonl", verifier=ends_in_one)
    cluster = Cluster.model_validate(two_nodes)

    def played(**options: Any) -> Any:
        return play(lambda: tenfold.make("lab/Ends-v0"), load_policy("call:sums:answer"), samples=2, **options)

    found = played(on_nodes=hosts.for_environment(cluster, "lab/Ends-v0", {}))
    assert str(os.getpid()) not in judged(lab)
    assert found == played()


@pytest.mark.slow
def test_a_node_on_which_the_environment_cannot_be_made_is_named(lab: Path, two_nodes: dict[str, Any]) -> None:
    def fails() -> None:
        raise UserError("there is no folder /shared")

    on_nodes = hosts.on_nodes(Cluster.model_validate(two_nodes))
    assert on_nodes is not None
    with (
        pytest.raises(UserError, match=r"cluster: node [\d.]+ cannot play .*there is no folder /shared.*doctor") as error,
        on_nodes(fails),
    ):
        pass
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_function_of_a_module_that_a_node_lacks_is_an_error(lab: Path, two_nodes: dict[str, Any]) -> None:
    (lab / "only_here.py").write_text("def verify(problem, response):\n    return True\n")
    verify = importlib.import_module("only_here").verify
    tenfold.register("lab/OnlyHere-v0", problems="jsonl:sums.jsonl", verifier=verify)
    on_nodes = hosts.for_environment(Cluster.model_validate(two_nodes), "lab/OnlyHere-v0", {})
    with pytest.raises(UserError, match=r"lab/OnlyHere-v0 cannot be made on other nodes.*'only_here'.*register it with names"):
        play(partial(registry.make, "lab/OnlyHere-v0"), load_policy("call:sums:answer"), samples=1, on_nodes=on_nodes)
