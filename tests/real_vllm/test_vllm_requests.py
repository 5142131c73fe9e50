"""Requests to vLLM join those that it computes, and its end reaches all of them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import psutil
import pytest

import tenfold
from tenfold.core import Sampling
from tenfold.pipelines.cluster import Cluster
from tenfold.pipelines.launch import engines, nodes
from tenfold.policies.play.async_engine import EngineDied
from tenfold.policies.play.engines import EnginePool
from tenfold.policies.play.loop import SupportsSubmit
from tenfold.policies.vllm import VLLMPolicy

ENGINE = "dtype=float32&kv_cache_memory_bytes=67108864&max_model_len=1024"
MICRO = f"micro:?hidden=64&layers=2&heads=2&{ENGINE}"
GREEDY = Sampling(temperature=0)
PROMPTS = [[{"role": "user", "content": f"{n} + 1 ="}] for n in range(12)]


def processes(parent: int) -> list[psutil.Process]:
    """Returns vLLM's processes below another one."""
    below = psutil.Process(parent).children(recursive=True)
    return [one for one in below if one.status() != psutil.STATUS_ZOMBIE and any("VLLM" in part for part in one.cmdline())]


@pytest.fixture
def policy() -> VLLMPolicy:
    return cast(VLLMPolicy, tenfold.load_policy(f"vllm+{MICRO}"))


def test_requests_end_by_themselves_until_the_engine_dies(policy: VLLMPolicy) -> None:
    assert isinstance(policy, SupportsSubmit)
    (long,) = policy.submit([[5, 6, 7]], GREEDY, [1], [1000])
    (short,) = policy.submit([[5, 6, 7]], GREEDY, [1], [4])
    assert len(short.result(120).token_ids) == 4
    assert not long.done()
    assert short.result().token_ids == policy.complete([[5, 6, 7]], GREEDY, [1], [4])[0].token_ids
    assert sum(policy.choice_probabilities(PROMPTS[:1], ["A", "B"])[0]) == pytest.approx(1)
    long.cancel()
    waiting = policy.submit([[5, 6, 7]] * 3, GREEDY, [1, 2, 3], [1000] * 3)
    for process in processes(os.getpid()):
        process.kill()
    for future in waiting:
        with pytest.raises(EngineDied, match=r"^vllm\+: the engine has ended while it sampled; [^\n]*$"):
            future.result(120)
    with pytest.raises(EngineDied):
        policy.complete([[5, 6, 7]], GREEDY, [1], [4])


@pytest.mark.parametrize("end", ["SIGINT", "SIGTERM", "an engine that is killed"])
def test_a_command_ends_and_leaves_no_process(end: str, tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "tenfold.cli", "bench", "chain_sum", "--policy", f"vllm+{MICRO}", "--samples", "64"]
    out = tmp_path / "out"
    with (tmp_path / "log").open("wb") as log:
        child = subprocess.Popen(
            [*command, "--max-tokens", "1000", "--out", str(out), "--yes"], stdout=log, stderr=log, env=os.environ
        )
    while child.poll() is None and not [*out.rglob("*.samples.jsonl")]:
        time.sleep(0.1)
    assert child.poll() is None, (tmp_path / "log").read_text()[-3000:]
    below = processes(child.pid)
    assert below
    if end.startswith("SIG"):
        child.send_signal(signal.Signals[end])
    else:
        below[0].kill()
    child.wait(120)
    lines = (tmp_path / "log").read_text().splitlines()
    assert not any(line.startswith("Traceback") for line in lines)
    if not end.startswith("SIG"):
        assert child.returncode == 2
        assert any(line.startswith("error: vllm+: the engine has ended") for line in lines)
    psutil.wait_procs(below, timeout=60)
    assert not [one for one in below if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_two_engines_of_a_run_give_the_same_samples_although_an_engine_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_worker_niceness", "0")  # else vLLM hardly starts on a busy machine
    cluster = Cluster.model_validate({"device": "cpu", "engines": 2, "threads": 1, "rollout": "vllm"})
    pool = engines.load_policy(MICRO, cluster=cluster, batch_size=4)
    keys = [str(n) for n in range(len(PROMPTS))]
    sampling = Sampling(max_tokens=24, seed=1)
    try:
        assert isinstance(pool, EnginePool)
        first = pool.generate(PROMPTS, 4, sampling, keys)
        assert pool.choice_probabilities(PROMPTS[:1], ["A", "B"])[0] == pytest.approx([0.5, 0.5], abs=0.5)
        (long,) = pool.submit([[5, 6, 7]], GREEDY, [1], [900])
        (short,) = pool.submit([[5, 6, 7]], GREEDY, [1], [4])
        assert short.result(300).token_ids == long.result(300).token_ids[:4]
        ray = next(one for one in psutil.process_iter() if one.name() == "raylet" and one.ppid() == os.getpid())
        processes(ray.pid)[0].kill()
        again = pool.generate(PROMPTS, 4, sampling, keys)
    finally:
        nodes.release()
    texts = [[[one.text for one in row] for row in rows] for rows in (first, again)]
    assert texts[0] == texts[1]
