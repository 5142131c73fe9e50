"""Speed of vLLM if requests join those that it computes, relative to batches of which each waits for its longest sample.

    python -m tenfold.benchmarks.speed.continuous --policy "vllm+packaged:qwen2.5-coder-0.5b?dtype=bfloat16" \\
        [--samples 128] [--batch 64] [--max-tokens 512] [--rounds 1]

The prompts are word problems like those of GSM8K. Both ways sample the same prompts with the same seeds, in the same engine.
"""

import argparse
import time
from collections.abc import Sequence

from ...core import Completion, Sampling
from ...envs.problems import sources
from ...policies import load_policy
from ...policies.play.completions import in_parts
from ...policies.vllm import VLLMPolicy

SAMPLES = 4
"""Samples of a problem."""


def main() -> None:
    """Prints tokens per second of both ways, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--policy", required=True)
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64, help="samples that are generated at once")
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=1, help="times that both ways sample, one after the other")
    given = parser.parse_args()
    policy = load_policy(
        f"{given.policy}{'&' if '?' in given.policy else '?'}max_num_seqs={given.batch}", batch_size=given.batch
    )
    assert isinstance(policy, VLLMPolicy)
    prompts = [problem.prompt for problem in sources.load(f"reasoning_gym:gsm_symbolic?size={given.samples // SAMPLES}&seed=1")]
    keys = [str(number) for number in range(len(prompts))]
    sampling = Sampling(max_tokens=given.max_tokens)
    policy.generate(prompts[:1], 1, sampling, keys[:1])  # to warm up

    def in_batches() -> list[Sequence[Completion]]:
        size = given.batch // SAMPLES
        return [
            row
            for start in range(0, len(prompts), size)
            for row in policy.generate(prompts[start : start + size], SAMPLES, sampling, keys[start : start + size])
        ]

    def joined() -> list[Sequence[Completion]]:
        found = {
            place: row
            for places, rows in in_parts(policy, prompts, SAMPLES, sampling, keys)
            for place, row in zip(places, rows, strict=True)
        }
        return [found[place] for place in range(len(prompts))]

    for _ in range(given.rounds):
        speeds, texts = [], []
        for name, sample in (("batches", in_batches), ("joined", joined)):
            begun = time.monotonic()
            lengths = [len(one.token_ids) for row in sample() for one in row]
            seconds = time.monotonic() - begun
            speeds.append(sum(lengths) / seconds)
            texts.append(lengths)
            print(f"{name}: {sum(lengths)} tokens in {seconds:.0f} s, {speeds[-1]:.0f} tokens per second", flush=True)
        batches = [texts[0][start : start + given.batch] for start in range(0, len(texts[0]), given.batch)]
        steps, equal = sum(map(max, batches)), sum(map(int.__eq__, *texts))
        print(
            f"ratio {speeds[1] / speeds[0]:.2f}; samples in a step of a batch: {sum(texts[0]) / steps:.0f} of {given.batch}; "
            f"lengths from {min(texts[0])} to {max(texts[0])}; {equal} of {len(texts[0])} samples have equal lengths"
        )


if __name__ == "__main__":
    main()
