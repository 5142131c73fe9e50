"""The conformance suite through the real TRL: its trainer calls the reward function, and trains with it."""

from pathlib import Path
from typing import Any

import interop_environments as own
import pytest
from interop_pairs import MATH, TOOL, pairs
from test_trl import messages

import tenfold
from tenfold.envs.interop import trl as door
from tenfold.policies.checkpoints import checkpoint, tokenizer_of
from tenfold.policies.completions import completion

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("sandboxed")]


@pytest.fixture(scope="module")
def folder() -> Path:
    return checkpoint("micro:?hidden=64&layers=2")


def trainer(folder: Path, out: Path, id: str, **arguments: Any) -> Any:
    from trl import GRPOConfig, GRPOTrainer

    settings = GRPOConfig(
        output_dir=str(out),
        max_steps=2,
        per_device_train_batch_size=8,
        num_generations=4,
        max_completion_length=16,
        report_to="none",
        save_strategy="no",
        logging_steps=1,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
    )
    return GRPOTrainer(model=str(folder), train_dataset=door.dataset(id), args=settings, **arguments)


@pytest.mark.parametrize("id", own.IDS)
def test_every_completion_gets_the_score_of_the_suite(id: str, folder: Path, tmp_path: Path) -> None:
    expected = [pair for pair in pairs() if pair.id == id]
    tokenizer = tokenizer_of(folder)
    data = {row["problem"]: row for row in door.dataset(id)}
    tokens = [
        [token for turn in pair.turns for token in tokenizer(turn.text, add_special_tokens=False)["input_ids"]]
        + [tokenizer.eos_token_id] * (not pair.is_truncated)
        for pair in expected
    ]
    inputs = [data[pair.problem] for pair in expected]
    judge = trainer(folder, tmp_path, id, reward_funcs=door.reward(id, model=folder))
    found = judge._calculate_rewards(inputs, [row["prompt"] for row in inputs], [*map(messages, expected)], tokens)
    rewards = [None if reward != reward else reward for (reward,) in found.tolist()]  # TRL's None is NaN
    assert [*zip((pair.name for pair in expected), rewards, strict=True)] == [(pair.name, pair.score) for pair in expected]


def test_every_reward_of_a_training_is_the_environments(folder: Path, tmp_path: Path) -> None:
    reward, drawn = door.reward(MATH, model=folder, name="correct"), []

    def recorded(**call: Any) -> list[float | None]:
        scores = reward(**call)
        drawn.extend(zip(call["problem"], call["completion_ids"], scores, strict=True))
        return scores

    training = trainer(folder, tmp_path, MATH, reward_funcs=recorded)
    training.train()
    assert training.state.global_step == 2
    assert len(drawn) == 16
    environment, tokenizer = tenfold.make(MATH), tokenizer_of(folder)
    for problem, tokens, score in drawn:
        environment.reset(options={"problem": problem})
        said = completion(tokenizer, (), tokens, {tokenizer.eos_token_id})
        assert environment.step(said.scorable_text)[4]["verdict"].score == score


def test_the_trainer_takes_the_environment_factory(folder: Path, tmp_path: Path) -> None:
    import trl

    tokenizer = tokenizer_of(folder)
    tokenizer.chat_template = (Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja").read_text()
    training = trainer(folder, tmp_path, TOOL, environment_factory=door.environment(TOOL), processing_class=tokenizer)
    assert [tool.__name__ for tool in training.tools] == ["respond"]
    training.train()
    rewards = [row["rewards/TRLEnvironment/mean"] for row in training.state.log_history if "reward" in row]
    assert rewards == [0, 0]  # random weights call no function
