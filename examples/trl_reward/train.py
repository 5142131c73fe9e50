"""TRL's GRPOTrainer with the problems and the verifiers of tenfold's environments."""

import sys
from collections.abc import Callable
from typing import Any

from datasets import Dataset

import tenfold
from tenfold import Problem
from tenfold.verifiers import as_verifier

CHAIN_SUM = "tenfold/ChainSum-v0"
IN_DIGITS = "lab/InDigits-v0"
Reward = Callable[..., list[float | None]]


@as_verifier()
def in_digits(problem: Problem, response: str) -> float:
    """Returns the share of digits among the characters of a response. This is a custom verifier."""
    return sum(character.isdigit() for character in response) / max(1, len(response))


tenfold.register(IN_DIGITS, problems="reasoning_gym:chain_sum?part=train&size=64", verifier=in_digits)


def first_problems(id: str, size: int) -> Dataset:
    """Returns the first problems of an environment, with the columns `prompt` (a conversation) and `problem` (its number)."""
    environment = tenfold.make(id)
    rows = []
    for index in range(size):
        _, info = environment.reset(options={"problem": index})
        rows.append({"prompt": [dict(message) for message in info["messages"]], "problem": index})
    return Dataset.from_list(rows)


def reward_function(id: str, name: str) -> Reward:
    """Returns the verifier of an environment as a reward function.

    A verdict without a score (status undecided or fault) becomes None. TRL leaves this function out of the
    sample's sum of rewards; if no function returns a value, TRL prints a warning and uses the reward 0.

    Args:
        id: id of the environment.
        name: name of the reward in the logs of TRL.
    """
    environment: Any = tenfold.make(id).unwrapped

    def judge(completions: list[list[dict[str, str]]], problem: list[int], **columns: Any) -> list[float | None]:
        verdicts = (
            environment.verifier(environment.problems[index], completion[-1]["content"])
            for index, completion in zip(problem, completions, strict=True)
        )
        return [verdict.score for verdict in verdicts]

    judge.__name__ = name
    return judge


def train(policy: str, steps: int) -> None:
    """Trains on the CPU, then prints the mean rewards of each ten steps."""
    from trl import GRPOConfig, GRPOTrainer

    from tenfold.policies.checkpoints import checkpoint

    settings = GRPOConfig(
        output_dir="trl-run",
        max_steps=steps,
        per_device_train_batch_size=32,
        num_generations=8,
        max_completion_length=16,
        learning_rate=3e-3,
        logging_steps=10,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        seed=1,
    )
    trainer = GRPOTrainer(
        model=str(checkpoint(policy)),
        reward_funcs=[reward_function(CHAIN_SUM, "correct"), reward_function(IN_DIGITS, "in_digits")],
        train_dataset=first_problems(CHAIN_SUM, size=64),
        args=settings,
    )
    trainer.train()
    for row in trainer.state.log_history:
        if "reward" in row:
            correct, in_digits_mean = row["rewards/correct/mean"], row["rewards/in_digits/mean"]
            print(f"step {row['step']}: correct {correct:.3f}, in digits {in_digits_mean:.3f}")


if __name__ == "__main__":
    train(sys.argv[1] if len(sys.argv) > 1 else "micro:", steps=30)
