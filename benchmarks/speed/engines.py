"""Utilisation of several engines by a rollout: the share of the time in which they sample.

    python -m tenfold.benchmarks.speed.engines [--engines 4] [--episodes 10000] [--batch 64] [--seconds 0.5] [--judge 0.01]

The engines are Ray actors, as those of a filter stage. Each has a policy of known speed: a batch takes a time in proportion to
its samples. Therefore the minimum sampling time of each engine is known. In the baseline, all engines together sample one batch
after the other, and each batch waits for the verdicts of the previous one.
"""

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...core import Completion, Conversation, Problem, Sampling
from ...envs.text import TextEnv
from ...pipelines.cluster import Cluster
from ...pipelines.launch import engines, nodes
from ...policies import checkpoints
from ...policies.completions import completion
from ...policies.play.engines import EnginePool
from ...policies.rollout import rollout
from ...policies.transcript import generate_from_tokens

POLICY = "micro:?hidden=16&layers=1&heads=2"
SAMPLES = 10


class Timed:
    """A policy that takes the same time for every sample, and answers with one token."""

    def __init__(self, batch_size: int, seconds: float):
        """Takes the size of a full batch and its time."""
        checkpoint = checkpoints.checkpoint(POLICY)
        self.batch_size, self.seconds, self.window = batch_size, seconds, checkpoints.window(checkpoint)
        self.tokenizer = checkpoints.tokenizer_of(checkpoint)
        self.stop_ids = checkpoints.stop_ids(checkpoint, self.tokenizer)

    def complete(
        self, prompts: Sequence[list[int]], sampling: Sampling, seeds: Sequence[int], limits: Sequence[int] | None = None
    ) -> list[Completion]:
        """Waits, and returns a token that depends on the seed. See `TokenPolicy.complete`."""
        end = time.monotonic() + self.seconds * len(prompts) / self.batch_size
        ids = (10 + seed % 50 for seed in seeds)
        found = [completion(self.tokenizer, prompt, [id], self.stop_ids) for prompt, id in zip(prompts, ids, strict=True)]
        time.sleep(max(0.0, end - time.monotonic()))
        return found

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """See `Policy.generate`."""
        return generate_from_tokens(self, conversations, samples, sampling, keys)


def main() -> None:
    """Prints the utilisation of the engines and of the baseline."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--engines", type=int, default=4)
    parser.add_argument("--episodes", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=64, help="samples of a batch of one engine")
    parser.add_argument("--seconds", type=float, default=0.5, help="time of a full batch")
    parser.add_argument("--judge", type=float, default=0.01, help="time of a verdict")
    given = parser.parse_args()
    problems = [
        Problem(f"p{n}", ({"role": "user", "content": f"{n} + 1 ="},), str(n + 1), "here")
        for n in range(max(1, given.episodes // SAMPLES))
    ]

    def judged(problem: Problem, response: str) -> float:
        time.sleep(given.judge)
        return 1.0

    def play(policy: Any, environment: Any = lambda: TextEnv(problems, judged)) -> float:
        begun = time.monotonic()
        rollout(environment, policy, SAMPLES, sampling=Sampling(max_tokens=4))
        return time.monotonic() - begun

    alone = Timed(given.batch, given.seconds)
    start = engines.on_ray(
        lambda: Timed(given.batch, given.seconds), Cluster.model_validate({"device": "cpu", "engines": given.engines})
    )
    pool = EnginePool(start, given.engines, given.batch, alone.tokenizer, alone.stop_ids, alone.window)
    pool.complete([[5]] * pool.batch_size, Sampling(max_tokens=1), [0] * pool.batch_size)  # until all engines have started
    needed = len(problems) * SAMPLES / given.batch * given.seconds / given.engines
    print(f"{given.engines} engines, {len(problems) * SAMPLES} episodes, at least {needed:.1f} s of sampling each")
    seconds = play(pool)
    print(f"engines take a batch when they are free: {seconds:.1f} s, utilisation {needed / seconds:.1%}")
    nodes.release()
    baseline = 0.0
    with ThreadPoolExecutor(16) as threads:  # a rollout judges episodes in 16 threads
        for begin in range(0, len(problems) * SAMPLES, given.batch * given.engines):
            size = min(given.batch * given.engines, len(problems) * SAMPLES - begin)
            started = time.monotonic()
            time.sleep(given.seconds)
            list(threads.map(lambda _: time.sleep(given.judge), range(size)))
            baseline += time.monotonic() - started
    print(f"all engines wait for the verdicts of a batch: {baseline:.1f} s, utilisation {needed / baseline:.1%}")


if __name__ == "__main__":
    main()
