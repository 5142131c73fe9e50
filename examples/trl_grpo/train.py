"""TRL's GRPOTrainer on an environment of tenfold. Every draw is written to draws.jsonl."""

import json
import sys
from pathlib import Path
from typing import Any

from trl import GRPOConfig, GRPOTrainer

from tenfold.envs.interop import trl
from tenfold.policies.checkpoints import checkpoint

ENVIRONMENT = "sums:lab/Sums-v0"
DRAWS = Path("draws.jsonl")


def train(policy: str, steps: int) -> None:
    """Trains on the CPU, then prints the mean rewards of each ten steps."""
    folder = checkpoint(policy)
    reward = trl.reward(ENVIRONMENT, model=folder, name="sums")
    DRAWS.unlink(missing_ok=True)

    def recorded(**call: Any) -> list[float | None]:
        """Calls the reward function, and records what TRL drew."""
        rewards = reward(**call)
        with DRAWS.open("a", encoding="utf-8") as file:
            for problem, tokens, value in zip(call["problem"], call["completion_ids"], rewards, strict=True):
                file.write(json.dumps({"problem": problem, "tokens": tokens, "reward": value}) + "\n")
        return rewards

    settings = GRPOConfig(
        output_dir="trl-run",
        max_steps=steps,
        per_device_train_batch_size=32,
        num_generations=8,
        max_completion_length=16,
        mask_truncated_completions=True,  # as in tenfold's stage: the score of truncated text is not that of a whole response
        learning_rate=3e-3,
        logging_steps=10,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        seed=1,
    )
    trainer = GRPOTrainer(model=str(folder), reward_funcs=recorded, train_dataset=trl.dataset(ENVIRONMENT), args=settings)
    trainer.train()
    for row in trainer.state.log_history:
        if "reward" in row:
            print(f"step {row['step']}: mean reward {row['reward']:.3f}")


if __name__ == "__main__":
    train(sys.argv[1] if len(sys.argv) > 1 else "micro:", steps=30)
