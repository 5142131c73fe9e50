"""Gradients of one GRPO update with verl's engine and loss, for several divisions into micro-batches.

    python one_update.py FOLDER      writes FOLDER/WORLD.json: {mode of the loss: {division: gradient}}

The engine is made as in a worker of verl, from a stage's configuration, on a CPU, in one process and in two.
"""

import functools
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ |= {"VERL_USE_EXTERNAL_MODULES": "tenfold.pipelines.verl_compat.cpu", "VERL_PLATFORM": "cpu", "OMP_NUM_THREADS": "1"}

import torch
from omegaconf import OmegaConf
from verl.utils import tensordict_utils
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.engine import EngineRegistry
from verl.workers.utils.losses import ppo_loss

from tenfold.pipelines.cluster import Cluster
from tenfold.pipelines.rl import verl_config
from tenfold.pipelines.rl.grpo import GRPO
from tenfold.policies import checkpoints

MODES = ("token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm")
LENGTHS = (3, 9, 5, 7)
ADVANTAGES = (1.0, -1.0, -0.5, 2.0)
TRUNCATED = 1
"""The response that is not in the loss."""
TOKENS = 14
"""Largest number of tokens in a dynamic micro-batch: one or two sequences."""


def stage(mode: str) -> GRPO:
    given = {"kind": "grpo", "name": "g", "environment": "lab/None-v0", "steps": 1, "kl": 0.1, "entropy": 0.01}
    return GRPO.model_validate(given | {"loss_agg_mode": mode, "max_response_tokens": 16})


def configured(model: Path) -> dict[str, Any]:
    """Returns verl's configuration for each mode. One is composed and the others are changes of it, which is faster."""
    cluster = Cluster(device="cpu")
    lines = {mode: verl_config.overrides(stage(mode), 0, model, Path("stage"), cluster, {}) for mode in MODES}
    first = lines[MODES[0]]
    config = verl_config.checked(first, {})
    changes = {mode: OmegaConf.from_dotlist([line for line in lines[mode] if line not in first]) for mode in MODES}
    return {mode: OmegaConf.merge(config, changed).actor_rollout_ref for mode, changed in changes.items()}


def batch(rows: list[int], samples: int, micro: int, dynamic: bool) -> Any:
    """Returns some of the sequences in the form in which verl sends them to its workers."""
    generator = torch.Generator().manual_seed(0)

    def nested(values: list[torch.Tensor]) -> torch.Tensor:
        return torch.nested.as_nested_tensor([values[row] for row in rows], layout=torch.jagged)

    def noise() -> torch.Tensor:
        return nested([torch.randn(length, generator=generator) - 4 for length in LENGTHS])

    prompts = [torch.randint(1, 50, (4,), generator=generator) for _ in LENGTHS]
    responses = [torch.randint(1, 50, (length,), generator=generator) for length in LENGTHS]
    masks = [torch.full((length,), int(row != TRUNCATED)) for row, length in enumerate(LENGTHS)]
    whole = [torch.cat(pair) for pair in zip(prompts, responses, strict=True)]
    columns = {
        "input_ids": nested(whole),
        "position_ids": nested([torch.arange(len(ids)) for ids in whole]),
        "prompts": nested(prompts),
        "responses": nested(responses),
        "response_mask": nested(masks),
        "loss_mask": nested(masks),
        "old_log_probs": noise(),
        "ref_log_prob": noise(),
        "advantages": nested([torch.full((n,), advantage) for n, advantage in zip(LENGTHS, ADVANTAGES, strict=True)]),
    }
    settings = {
        "temperature": 1.0,
        "global_batch_size": samples,  # verl's trainer sets the number of all samples of the update
        "calculate_entropy": True,
        "use_remove_padding": False,
        "use_dynamic_bsz": dynamic,
        "max_token_len_per_gpu": TOKENS,
        "micro_batch_size_per_gpu": micro,
        "use_fused_kernels": False,
    }
    return tensordict_utils.get_tensordict(columns, settings)


def main(folder: Path, configs: Mapping[str, Any], rank: int, world: int) -> None:
    torch.distributed.init_process_group("gloo", rank=rank, world_size=world, init_method=f"file://{folder}/store{world}")
    config = configs[MODES[0]]
    actor = omega_conf_to_dataclass(config.actor)
    engine = EngineRegistry.new(
        model_type="language_model",
        backend=actor.engine.strategy,
        model_config=omega_conf_to_dataclass(config.model),
        engine_config=actor.engine,
        optimizer_config=actor.optim,
        checkpoint_config=actor.checkpoint,
    )
    engine.initialize()
    mine = list(range(len(LENGTHS)))[rank * len(LENGTHS) // world : (rank + 1) * len(LENGTHS) // world]
    ways = {f"{micro} per micro-batch": (mine, micro, False) for micro in (1, 2, 4) if len(mine) % micro == 0}
    ways["dynamic"] = (mine, 1, True)
    if world == 1:
        ways["without the truncated response"] = ([row for row in mine if row != TRUNCATED], 3, False)
    gradients: dict[str, dict[str, list[float]]] = {}
    for mode in MODES:
        loss = functools.partial(ppo_loss, config=omega_conf_to_dataclass(configs[mode].actor))
        for way, (rows, micro, dynamic) in ways.items():
            engine.optimizer_zero_grad()
            with engine.train_mode():
                engine.forward_backward_batch(batch(rows, len(rows) * world, micro, dynamic), loss)
                of = torch.cat([weights.grad.full_tensor().flatten() for weights in engine.module.parameters()])
            gradients.setdefault(mode, {})[way] = of.tolist()
    if rank == 0:
        (folder / f"{world}.json").write_text(json.dumps(gradients))


if __name__ == "__main__":
    out = Path(sys.argv[1])
    start = checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2")
    each_mode = configured(start)
    child = os.fork()  # before torch starts threads
    second = os.fork() if child else 0
    if not child or not second:
        main(out, each_mode, rank=int(bool(child)), world=2)
        os._exit(0)
    ended = [os.waitpid(each, 0)[1] for each in (child, second)]
    assert ended == [0, 0]
    main(out, each_mode, rank=0, world=1)
