"""The checks of `program.py` that train and sample. See `kernels.py` for their arguments and results."""

import json
import statistics
import subprocess
import time
from pathlib import Path

import torch

from .... import disk
from ....core import Message, Policy, Sampling
from ....envs.problems import sources
from ....pipelines.cluster import Cluster
from ....pipelines.distill.sample_pairs import PAIRS
from ....pipelines.launch import processes
from ....pipelines.recipe import runner
from ....pipelines.recipe.recipe import Recipe
from ....pipelines.sft.examples import example
from ....pipelines.stage import STEPS, Context, Stage
from ....pipelines.stages import KINDS
from ....pipelines.trainer.data.tokenized import IGNORED
from ....pipelines.trainer.empty_model import parameters
from ....policies import checkpoints
from ....policies.transformers import TransformersPolicy
from ....policies.vllm import VLLMPolicy
from .kernels import Figures, missing, product, wait_for
from .sizes import Sizes

WARM_UP = 2
"""First steps that do not count. Our choice."""
GRPO = {
    "kind": "grpo",
    "name": "grpo",
    "environment": "tenfold/ChainSum-v0",
    "steps": 4,
    "batch_size": 8,
    "samples": 8,
    "learning_rate": 1e-5,
    "max_prompt_tokens": 64,
    "max_response_tokens": 24,
}
PROBLEMS = "generate:tenfold.envs.toy.chain_sums:chain_sums_with_solutions?size={size}&seed=1"


def sft(sizes: Sizes, device: str, folder: Path) -> Figures:
    """An `sft` stage: bfloat16 on a GPU."""
    figures = _stage(_sft(sizes), sizes.policy, device, folder)
    return figures | {"examples_per_s": sizes.batch_size / figures["step_s"]}


def fsdp2(sizes: Sizes, device: str, folder: Path) -> Figures:
    """The same `sft` stage under FSDP2 with one process. The difference of the losses should be rounding."""
    if device == "cpu":
        return {"not_run": {"fsdp2": "accelerate shards a model over GPUs only"}}
    at = folder / "fsdp2"
    at.mkdir()
    cluster = Cluster.model_validate({"device": "cuda"})
    start = {"stage": _sft(sizes).model_dump(mode="json"), "policy": sizes.policy, "seed": 0}
    disk.write(at / processes.START, json.dumps(start | {"cluster": cluster.model_dump(mode="json")}))
    begun = time.monotonic()
    subprocess.run(processes.launch(cluster, at), check=True, stdout=subprocess.DEVNULL)
    losses = json.loads((at / processes.TRAINED).read_text())["losses"]
    found: Figures = {"all_s": time.monotonic() - begun, "last_loss": losses[-1][1]}
    alone = folder / "sft" / processes.TRAINED
    if not alone.is_file():
        return found | {"not_run": {"comparison": "the check sft has no result"}}
    pairs = zip(losses, json.loads(alone.read_text())["losses"], strict=True)
    return found | {"largest_difference_of_losses": max(abs(one[1] - other[1]) for one, other in pairs)}


def distill(sizes: Sizes, device: str, folder: Path) -> Figures:
    """A `distill` stage whose teacher is another random model."""
    pairs, count = folder / "pairs", 4 * sizes.batch_size
    pairs.mkdir(exist_ok=True)
    tokenizer = checkpoints.tokenizer_of(checkpoints.checkpoint(sizes.policy))
    rows = []
    for problem in sources.load(PROBLEMS.format(size=count)):
        new = example(problem, tokenizer, "{prompt}", None, "{answer}", None)
        tokens = {"ids": new["input_ids"], "mask": [int(label != IGNORED) for label in new["labels"]]}
        rows.append({"id": problem.id, "chosen_tokens": tokens, "rejected_tokens": tokens})
    disk.write(pairs / PAIRS, "".join(json.dumps(row) + "\n" for row in rows))
    teacher = sizes.policy + "&seed=1"
    settings = {"pairs": str(pairs), "teacher": teacher, "held_out": 0.0, "learning_rate": 1e-4}
    stage = _of("distill", sizes, **settings)
    figures = _stage(stage, sizes.policy, device, folder)
    return figures | {"pairs_per_s": sizes.batch_size / figures["step_s"]}


def pretrain(sizes: Sizes, device: str, folder: Path) -> Figures:
    """A `pretrain` stage on Python's own source code. `mfu` is the share of the peak of `product`; a token takes 6 FLOPs per
    parameter (Kaplan et al., 2020).
    """
    tokens = sizes.rows * sizes.row_tokens
    documents = f"python:code?of=stdlib&characters={int(8e5 + 4 * tokens * sizes.steps)}"
    stages = [
        {"kind": "documents", "name": "documents", "sources": [documents]},
        {"kind": "mix", "name": "mix", "documents": "{stage:documents}", "workers": 1},
    ]
    recipe = {"name": "corpus", "policy": sizes.policy, "cluster": {"device": "cpu"}, "stages": stages}
    runner.run(Recipe.model_validate(recipe), folder / "corpus", quiet=True)
    phase = {"name": "all", "tokens": tokens * sizes.steps, "learning_rate": 3e-4, "mixture": {"*": 1}}
    stage = KINDS["pretrain"].model_validate(
        {
            "kind": "pretrain",
            "name": "pretrain",
            "data": str(folder / "corpus" / "mix"),
            "phases": [phase | {"context": sizes.row_tokens}],
            "batch_tokens": tokens,
            "max_passes": {"*": 1000.0},
            "held_out_sequences": 0,
        }
    )
    figures = _stage(stage, sizes.policy, device, folder)
    speed = tokens / figures["step_s"]
    flops = 6 * figures["parameters"] * speed
    peak = product(sizes, device, folder)["bf16_tflops"]
    return figures | {"tokens_per_s": speed, "tflops": flops / 1e12, "mfu": flops / 1e12 / peak}


def rounding(sizes: Sizes, device: str, folder: Path) -> Figures:
    """Log-probabilities of the policy of the check `sft` in bfloat16 beside those in float32, at the tokens of responses."""
    policy = folder / "sft" / "policy"
    if not policy.is_dir():
        return {"not_run": {"rounding": "the check sft has no policy"}}
    tokenizer = checkpoints.tokenizer_of(policy)
    problems = sources.load(PROBLEMS.format(size=64))
    examples = [example(problem, tokenizer, "{prompt}", None, "{answer}", None) for problem in problems]
    found: dict[torch.dtype, torch.Tensor] = {}
    for dtype in (torch.float32, torch.bfloat16):
        model, _ = checkpoints.load(policy, dtype)
        model.to(device).eval()
        parts = []
        with torch.inference_mode():
            for each in examples:
                ids, labels = (torch.tensor([each[name]], device=device) for name in ("input_ids", "labels"))
                log_p = model(input_ids=ids, use_cache=False).logits[0, :-1].float().log_softmax(-1)
                of_labels = log_p.gather(-1, labels[0, 1:].clamp(min=0)[:, None])[:, 0]
                parts.append(of_labels[labels[0, 1:] != IGNORED])
        found[dtype] = torch.cat(parts)
    difference = found[torch.bfloat16] - found[torch.float32]
    return {
        "tokens": len(difference),
        "mean_difference": float(difference.abs().mean()),
        "largest_difference": float(difference.abs().max()),
        "largest_ratio": float(difference.abs().max().exp()),
    }


def sampling(sizes: Sizes, device: str, folder: Path) -> Figures:
    """Tokens per second that the transformers policy and the vLLM policy sample, at most 64 in each sample."""
    checkpoint = checkpoints.checkpoint(sizes.policy)
    conversations = [(Message(role="user", content=f"{number} + 1 ="),) for number in range(sizes.samples // 8)]
    limit = Sampling(max_tokens=64)

    def speed(policy: Policy) -> float:
        policy.generate(conversations[:8], 1, limit)
        begun = time.monotonic()
        found = policy.generate(conversations, 8, limit)
        return sum(len(sample.token_ids or ()) for samples in found for sample in samples) / (time.monotonic() - begun)

    transformers = TransformersPolicy(checkpoint, batch_size=sizes.samples, device=device)
    figures: Figures = {"transformers_tokens_per_s": speed(transformers)}
    if reason := missing("vllm", "vllm"):
        return figures | {"not_run": {"vllm": reason}}
    del transformers
    if device == "cuda":
        torch.cuda.empty_cache()
    return figures | {"vllm_tokens_per_s": speed(VLLMPolicy(checkpoint, gpu_memory_utilization=0.5))}


def grpo(sizes: Sizes, device: str, folder: Path) -> Figures:
    """A `grpo` stage on verl. On a GPU vLLM samples, in sleep mode while the policy trains. Without vLLM or FlashAttention the
    stage runs on the CPU, where transformers samples.
    """
    reason = missing("vllm", "vllm") or missing("flash_attn", "flash-attn")
    on_gpu = device == "cuda" and not reason
    cluster: dict[str, object] = (
        {"device": "cuda", "rollout": "vllm"} if on_gpu else {"device": "cpu", "rollout": "transformers"}
    )
    start = f"path:{policy}" if on_gpu and (policy := folder / "sft" / "policy").is_dir() else sizes.small_policy
    recipe = {"name": "grpo", "policy": start, "cluster": cluster, "stages": [GRPO]}
    runner.run(Recipe.model_validate(recipe), folder / "grpo", quiet=True)
    lines = (folder / "grpo" / "grpo" / STEPS).read_text().splitlines()
    steps = [json.loads(line) for line in lines]
    names = ("seconds", "generate_seconds", "update_seconds", "rollout_ratio_max", "rollout_kl")
    found: Figures = {"on": "GPU, vLLM" if on_gpu else "CPU, transformers"}
    found |= {name: statistics.median(step[name] for step in steps[1:]) for name in names if steps[-1].get(name) is not None}
    return found if on_gpu or device == "cpu" else found | {"not_run": {"grpo on the GPU": reason}}


def _of(kind: str, sizes: Sizes, **settings: object) -> Stage:
    """Returns a training stage with the settings that all of them have."""
    shared = {"kind": kind, "name": kind, "steps": sizes.steps, "batch_size": sizes.batch_size, "keep_checkpoints": 0}
    return KINDS[kind].model_validate(shared | settings)


def _sft(sizes: Sizes) -> Stage:
    return _of("sft", sizes, problems=PROBLEMS.format(size=4 * sizes.batch_size), learning_rate=1e-3)


def _stage(stage: Stage, policy: str, device: str, folder: Path) -> Figures:
    """Runs a training stage in this process; returns the figures that all stages have."""
    at, ends = folder / stage.name, list[float]()
    at.mkdir(exist_ok=True)

    def progress(done: int, total: int, **values: object) -> None:
        if done and not values:  # the end of a step
            wait_for(device)
            ends.append(time.monotonic())

    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    begun = time.monotonic()
    metrics = stage.run(Context(at, policy, 0, {}, progress, Cluster.model_validate({"device": device})))
    disk.write(at / processes.TRAINED, json.dumps(metrics))
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else 0
    seconds = [later - earlier for earlier, later in zip(ends[WARM_UP - 1 :], ends[WARM_UP:], strict=False)]
    found: Figures = {
        "parameters": parameters(checkpoints.checkpoint(policy)),
        "step_s": statistics.median(seconds),
        "first_step_after_s": ends[0] - begun,
        "first_loss": metrics["losses"][0][1],
        "last_loss": metrics["losses"][-1][1],
    }
    return found | ({"peak_gib": peak / 2**30} if device == "cuda" else {})
