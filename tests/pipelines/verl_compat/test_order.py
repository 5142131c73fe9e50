"""The order of problems in a GRPO stage, and verl's use of it."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core import sample_seed
from tenfold.pipelines.verl_compat import order
from tenfold.pipelines.verl_compat.order import SampleId


@given(st.integers(1, 6), st.integers(0, 9), st.integers(1, 12), st.integers(0, 3))
def test_a_batch_has_no_problem_twice(batch: int, more: int, step: int, seed: int) -> None:
    assert len(set(order.batch(batch + more, batch, seed, step))) == batch


@given(st.integers(1, 6), st.integers(0, 9), st.integers(1, 12), st.integers(0, 3))
def test_a_problem_is_repeated_in_a_step_only_after_all_others(batch: int, more: int, step: int, seed: int) -> None:
    problems = batch + more
    attempts = list(itertools.islice(order.attempts(problems, batch, seed, step), 3 * problems))
    assert [attempt.problem for attempt in attempts[:batch]] == order.batch(problems, batch, seed, step)
    for number in range(3):
        in_round = attempts[number * problems : (number + 1) * problems]
        assert sorted(attempt.problem for attempt in in_round) == list(range(problems))
        assert {attempt.number for attempt in in_round} == {number}


def test_each_pass_has_all_problems_in_another_order() -> None:
    def played(seed: int, steps: Sequence[int]) -> list[int]:
        return [problem for step in steps for problem in order.batch(40, 8, seed, step)]

    first, second = played(1, range(1, 6)), played(1, range(6, 11))
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second
    assert played(2, range(1, 6)) != first


class Queue:
    """The part of TransferQueue that verl's replay buffer uses, in this process."""

    def __init__(self) -> None:
        self.tags: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self.rows: dict[str, dict[str, Any]] = {}

    def kv_list(self, partition_id: str | None = None) -> dict[str, dict[str, dict[str, Any]]]:
        return {partition: dict(tags) for partition, tags in self.tags.items()}

    def kv_batch_put(self, keys: list[str], partition_id: str, tags: list[dict[str, Any]], fields: Any = None) -> None:
        for row, (key, tag) in enumerate(zip(keys, tags, strict=True)):
            self.tags[partition_id].setdefault(key, {}).update(tag)
            if fields is not None:
                self.rows[key] = {"extra_info": fields["extra_info"][row]}

    def kv_clear(self, partition_id: str, keys: list[str]) -> None:
        for key in keys:
            self.tags[partition_id].pop(key, None)

    def kv_batch_get(self, keys: list[str], partition_id: str, select_fields: list[str]) -> dict[str, list[Any]]:
        return {field: [self.rows[key][field] for key in keys] for field in select_fields}


class Plays:
    """Replaces verl's agent loops. A group has zero variance with the probability `flat`, which depends on the group only."""

    def __init__(self, queue: Queue, flat: float, samples: int):
        self.queue, self.flat, self.samples = queue, flat, samples
        self.groups: list[SampleId] = []

    def generate_sequences(self, batch: Any) -> None:
        for uid, info in zip(batch["uid"], batch["extra_info"], strict=True):
            info = getattr(info, "data", info)
            place = SampleId(int(info["index"]), 0, int(info["step"]), int(info["attempt"]))
            self.groups.append(place)
            flat = sample_seed(0, repr(place), 0) / 2**53 < self.flat
            for sample in range(self.samples):
                key = f"{uid}_{sample}_0"
                score = torch.tensor([0.0 if flat else float(sample % 2)])
                self.queue.rows[key] = {"rm_scores": score, "extra_info": info, "session_id": sample}
                self.queue.kv_batch_put([key], "train", [{"status": "success"}])
            self.queue.kv_batch_put([str(uid)], "train", [{"status": "finished"}])


def trainer(
    folder: Path,
    problems: int,
    batch: int,
    flat: float,
    monkeypatch: pytest.MonkeyPatch,
    mode: str = "sync",
    samples: int = 2,
    drop_zero_variance: bool = True,
) -> Any:
    """Returns verl's trainer with the parts that select problems and replace groups: data loader, replay buffer, refills."""
    from omegaconf import OmegaConf
    from torch.utils.data import SequentialSampler
    from torchdata.stateful_dataloader import StatefulDataLoader
    from verl.trainer.ppo.v1 import replay_buffer, trainer_base
    from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
    from verl.utils.dataset.rl_dataset import collate_fn

    from tenfold.pipelines.verl_compat import replay
    from tenfold.pipelines.verl_compat.asynchronous import in_flight
    from tenfold.pipelines.verl_compat.dataset import StepDataset

    rows = [
        {"prompt": [{"role": "user", "content": f"{n}?"}], "data_source": f"p{n}", "extra_info": {"index": n}}
        for n in range(problems)
    ]
    pandas.DataFrame(rows).to_parquet(folder / "problems.parquet")
    data = {"train_batch_size": batch, "gen_batch_size": 1, "seed": 3, "max_prompt_length": 64, "cache_dir": str(folder)}
    made = PPOTrainerSync.__new__(PPOTrainerSync)
    made.config = OmegaConf.create({"data": data | {"filter_overlong_prompts": False, "prompt_key": "prompt"}})
    made.trainer_mode, made.global_steps, made.train_dataloader_it = mode, 0, None
    monkeypatch.setattr(StepDataset, "restored", 0)
    made.train_dataset = StepDataset(str(folder / "problems.parquet"), None, made.config.data, None)
    made.train_dataloader = StatefulDataLoader(
        made.train_dataset, 1, drop_last=True, collate_fn=collate_fn, sampler=SequentialSampler(made.train_dataset)
    )
    queue = Queue()
    for module in (replay_buffer, trainer_base):
        monkeypatch.setattr(module, "tq", queue)
    for module in (replay, in_flight):
        monkeypatch.setattr(module, "transfer_queue", queue)
    made.agent_loop_manager = Plays(queue, flat, samples)
    made.replay_buffer = replay.OrderedReplayBuffer(
        trainer_mode=mode,
        trainer_config=OmegaConf.create({}),
        max_off_policy_threshold=None,
        max_off_policy_strategy="drop",
        sampler_kwargs=OmegaConf.create(
            {"batch_size": batch, "drop_zero_variance": drop_zero_variance, "max_staleness": int(mode != "sync")}
        ),
        refill_fn=made._add_prompts_to_generate,
    )
    return made


def run(made: Any, steps: Sequence[int]) -> dict[int, list[SampleId]]:
    """Returns the groups that are sampled for each step. Checks that verl gets a complete batch, all of it for the step."""
    sampled: dict[int, list[SampleId]] = defaultdict(list)
    size, queue = made.config.data.train_batch_size, made.agent_loop_manager.queue
    for step in steps:
        made.global_steps, made.agent_loop_manager.groups = step, []
        if step == steps[0] and made.trainer_mode != "sync" and not made.train_dataset.restored:
            made._add_prompts_to_generate(size)  # as verl's asynchronous trainers begin
        made.prepare_step()
        batch, _ = made.replay_buffer.sample(global_steps=step, partition_id="train", batch_size=size)
        assert len(batch.keys) == 2 * size
        assert {queue.rows[key]["extra_info"]["step"] for key in batch.keys} == {step}
        queue.kv_clear("train", batch.keys)
        for group in made.agent_loop_manager.groups:
            sampled[group.step].append(group)
    return sampled


@pytest.mark.parametrize(("problems", "batch", "flat"), [(50, 32, 0.4), (34, 32, 0.4), (8, 8, 0.6)])
def test_a_group_is_replaced_by_another_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problems: int, batch: int, flat: float
) -> None:
    sampled = run(trainer(tmp_path, problems, batch, flat, monkeypatch), range(1, 5))
    for step, groups in sampled.items():
        assert len(groups) > batch  # some were replaced
        times = Counter(group.problem for group in groups)
        # No problem is repeated before all others have been used.
        assert max(times.values()) - min(times[problem] for problem in range(problems)) <= 1
        if len(groups) <= problems:
            assert max(times.values()) == 1
        seeds = {tuple(sample_seed(1, f"{group.seed_key(str(group.problem))}/0", n) for n in range(2)) for group in groups}
        assert len(seeds) == len(groups)
        assert [group.problem for group in groups[:batch]] == order.batch(problems, batch, 3, step)


@pytest.mark.parametrize(
    ("samples", "drop_zero_variance", "cause"),
    [
        (2, True, "too few had samples with different scores: choose problems that the policy sometimes solves"),
        (1, False, "too few had two samples with a score: see the verdicts"),
    ],
)
def test_too_many_replacements_end_the_run_with_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, samples: int, drop_zero_variance: bool, cause: str
) -> None:
    made = trainer(tmp_path, 8, 4, 1.0, monkeypatch, samples=samples, drop_zero_variance=drop_zero_variance)
    with pytest.raises(RuntimeError, match=f"^80 replacement problems in one step, and {cause}"):
        run(made, [1])


def test_a_resumed_run_plays_the_same_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = trainer(tmp_path, 20, 8, 0.4, monkeypatch)
    whole = run(made, range(1, 7))
    killed = trainer(tmp_path, 20, 8, 0.4, monkeypatch)
    run(killed, range(1, 3))
    saved = killed.train_dataloader.state_dict()
    run(killed, [3])
    resumed = trainer(tmp_path, 20, 8, 0.4, monkeypatch)
    resumed.train_dataloader.load_state_dict(saved)
    assert run(resumed, range(3, 7)) == {step: whole[step] for step in range(3, 7)}


def test_a_step_has_the_same_problems_if_they_are_sampled_a_step_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(trainer(tmp_path, 20, 8, 0.4, monkeypatch), range(1, 6))
    ahead = run(trainer(tmp_path, 20, 8, 0.4, monkeypatch, "one step off"), range(1, 6))
    assert ahead.pop(6) == [SampleId(problem, 0, 6, 0) for problem in order.batch(20, 8, 3, 6)]
    assert ahead == whole
    assert any(len(groups) > 8 for groups in whole.values())  # some were replaced

    # A checkpoint of step 2 has the batch of step 3; its replacements are chosen later.
    from tenfold.pipelines.verl_compat.dataset import StepDataset

    killed = trainer(tmp_path, 20, 8, 0.4, monkeypatch, "one step off")
    run(killed, range(1, 3))
    resumed = trainer(tmp_path, 20, 8, 0.4, monkeypatch, "one step off")
    stored = killed.agent_loop_manager.queue
    resumed.agent_loop_manager.queue.tags.update(stored.tags)
    resumed.agent_loop_manager.queue.rows.update(stored.rows)
    monkeypatch.setattr(StepDataset, "restored", 8)
    found = run(resumed, range(3, 6))
    assert found[3] == whole[3][8:]
    assert {step: found[step] for step in (4, 5)} == {step: whole[step] for step in (4, 5)}


def test_the_seed_key_of_a_first_attempt_has_only_problem_and_step() -> None:
    assert SampleId(4, 0, step=7, attempt=0).seed_key("p4") == "p4/7"
    keys = [SampleId(4, 0, step, attempt).seed_key("p4") for step in range(1, 30) for attempt in range(12)]
    assert len(set(keys)) == len(keys)
