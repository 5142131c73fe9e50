"""Speed of vLLM if requests join those that it computes, relative to batches of which each waits for its longest sample.

    python -m tenfold.benchmarks.speed.continuous --policy "vllm+packaged:qwen2.5-coder-0.5b?dtype=bfloat16" \\
        [--samples 128] [--batch 64] [--max-tokens 512] [--rounds 1]

The prompts are word problems like those of GSM8K. Both ways sample the same prompts with the same seeds, in the same engine.
The processor time of vLLM's processes depends less on other programs than the duration does.
"""

import argparse
import time
from collections.abc import Sequence

import psutil

from ...core import Completion, Sampling
from ...envs.problems import sources
from ...policies import load_policy
from ...policies.play.completions import in_parts
from ...policies.vllm import VLLMPolicy

SAMPLES = 4
"""Samples of a problem."""


def processor_seconds() -> float:
    """Returns the processor time of vLLM's processes, in seconds."""
    times = [process.cpu_times() for process in psutil.Process().children(recursive=True)]
    return sum(one.user + one.system for one in times)


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
        tokens, seconds, processor = list[list[int]](), list[float](), list[float]()
        for name, sample in (("batches", in_batches), ("joined", joined)):
            begun, used = time.monotonic(), processor_seconds()
            tokens.append([len(one.token_ids) for row in sample() for one in row])
            seconds.append(time.monotonic() - begun)
            processor.append(processor_seconds() - used)
            total = sum(tokens[-1])
            print(
                f"{name}: {total} tokens in {seconds[-1]:.0f} s, {total / seconds[-1]:.0f} tokens per second, "
                f"{total / processor[-1]:.0f} per second of processor time",
                flush=True,
            )
        batches = [tokens[0][start : start + given.batch] for start in range(0, len(tokens[0]), given.batch)]
        print(
            f"speed relative to batches: {seconds[0] / seconds[1]:.2f} by duration, {processor[0] / processor[1]:.2f} by "
            f"processor time; in batches, a step computes {sum(tokens[0]) / sum(map(max, batches)):.0f} of {given.batch} "
            f"samples on average; lengths {min(tokens[0])} to {max(tokens[0])}; "
            f"{sum(map(int.__eq__, *tokens))} of {len(tokens[0])} samples have equal lengths"
        )


if __name__ == "__main__":
    main()
