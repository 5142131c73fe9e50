import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tenfold.core import UserError
from tenfold.envs.problems import pairs as pair_sources
from tenfold.pipelines.reward import perturbations, reward_model
from tenfold.pipelines.reward.report import stored
from tenfold.pipelines.reward.reward_model import RewardModel
from tenfold.pipelines.stage import Context
from tenfold.policies.preference import preference
from tenfold.policies.store import Store

POLICY, TINY = "micro:?hidden=32&layers=1&heads=2", "micro:?hidden=16&layers=1&heads=2"


def settings(folder: Path, **changes: Any) -> RewardModel:
    """200 pairs: who says yes is better than who says no, however long either says it."""
    draw = random.Random(0)
    rows = [
        {"prompt": f"Note {n}.", "chosen": "yes" + "." * draw.randint(0, 5), "rejected": "no" + "!" * draw.randint(0, 5)}
        for n in range(200)
    ]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    given = {"kind": "reward_model", "name": "judge", "pairs": f"jsonl:{folder}/pairs.jsonl", "steps": 4, "batch_size": 4}
    return RewardModel.model_validate(given | {"learning_rate": 6e-3, "probes": 0.0, "held_out": 0.0} | changes)


def run(
    stage: RewardModel, folder: Path, progress: Callable[..., None] = lambda *done, **figures: None, policy: str = POLICY
) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    return stage.run(Context(folder, policy, 3, {}, progress))


def test_it_learns_which_response_is_better_and_says_how_well(tmp_path: Path) -> None:
    learns = {"steps": 56, "batch_size": 16, "learning_rate": 1e-2, "warmup_steps": 8}
    stage = settings(tmp_path, **learns, held_out=0.1, probed=4, judge=POLICY, judge_batch_size=64)
    stage.check()
    metrics = run(stage, tmp_path / "out")
    trained = metrics["held_out"]["trained"]
    assert trained["accuracy"]["mean"] > 0.9
    assert trained["accuracy"]["low"] > 0.7
    assert trained["orders_agree"] > 0.9
    assert metrics["losses"][-1][1] < 0.65 < metrics["losses"][0][1]
    assert metrics["held_out"]["plain"]["orders_agree"] < trained["orders_agree"]
    assert metrics["baselines"]["bag of words"]["mean"] == 1
    assert [row["kind"] for row in metrics["probes"]["plain"]] == [*perturbations.KINDS]

    report = (tmp_path / "out" / "report.md").read_text()
    assert "| trained | 100.0 [" in report
    assert "| flattering |" in report
    assert json.loads((tmp_path / "out" / "report.json").read_text())["held_out"]["trained"]["pairs"] == trained["pairs"]
    assert "<svg" in (tmp_path / "out" / "calibration.svg").read_text()

    prefer = preference(f"path:{tmp_path / 'out' / 'policy'}")
    yes_first, no_first = prefer(
        [(({"role": "user", "content": "Note 999."},), *two) for two in (("yes..", "no!"), ("no!", "yes.."))]
    )
    assert yes_first > 0.5 > no_first


def test_it_is_a_policy_that_no_later_stage_starts_from() -> None:
    assert RewardModel.leaves_policy
    assert not RewardModel.feeds_next


def test_a_killed_stage_goes_on_to_the_same_weights_and_losses(tmp_path: Path) -> None:
    # Of so many steps not every one is reported, and yet a checkpoint falls on one that is.
    stage = settings(tmp_path, steps=100, save_steps=20, batch_size=2)

    def killed(done: int, total: int, **figures: Any) -> None:
        if done == 23:
            raise KeyboardInterrupt

    whole = run(stage, tmp_path / "whole", policy=TINY)
    with pytest.raises(KeyboardInterrupt):
        run(stage, tmp_path / "halved", killed, TINY)
    assert not (tmp_path / "halved" / "policy").exists()
    steps: list[int] = []
    halved = run(stage, tmp_path / "halved", lambda done, total, **figures: steps.append(done), TINY)
    assert min(steps) == 21  # what was learnt until the last checkpoint was kept
    assert halved["losses"] == whole["losses"]
    assert len(whole["losses"]) == 50
    # The same operations in the same order on the same processor: equal to the last bit.
    ends = [load_file(tmp_path / name / "policy" / "model.safetensors") for name in ("whole", "halved")]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_smaller_forward_passes_learn_the_same(tmp_path: Path, assert_same_training: Any) -> None:
    run(settings(tmp_path), tmp_path / "whole")
    run(settings(tmp_path, micro_batch_size=1), tmp_path / "parts")
    assert_same_training(tmp_path / "whole", tmp_path / "parts", POLICY)


def test_another_rate_or_other_examples_are_another_training(tmp_path: Path, assert_same_training: Any) -> None:
    run(settings(tmp_path), tmp_path / "one")
    run(settings(tmp_path, learning_rate=5.9e-3), tmp_path / "slower")
    run(settings(tmp_path, batch_size=2), tmp_path / "half")
    for other in ("slower", "half"):
        with pytest.raises(AssertionError):
            assert_same_training(tmp_path / "one", tmp_path / other, POLICY)


def test_two_processes_learn_what_one_learns(tmp_path: Path, by_one_and_by_two: Any) -> None:
    by_one_and_by_two(settings(tmp_path), POLICY, 3)


def test_two_processes_go_on_from_what_they_left(tmp_path: Path, in_two_processes: Any) -> None:
    """Their checkpoints are read as weights and plain data."""
    record = {"policy": POLICY, "seed": 3}
    first = settings(tmp_path, steps=4, save_steps=2).model_dump(mode="json")
    whole = in_two_processes(record | {"stage": first}, tmp_path / "two")
    before = (tmp_path / "two/policy/model.safetensors").read_bytes()
    shutil.rmtree(tmp_path / "two/policy")
    shutil.rmtree(tmp_path / "two/checkpoints/checkpoint-4")
    assert in_two_processes(record | {"stage": first}, tmp_path / "two")["losses"] == whole["losses"]
    assert (tmp_path / "two/policy/model.safetensors").read_bytes() == before


def test_every_pass_shows_every_pair_once_and_the_next_in_the_other_order(tmp_path: Path) -> None:
    pairs = pair_sources.load(settings(tmp_path).pairs)[:20]
    examples = list(reward_model.schedule(pairs, 40, 0.0, "seed"))
    first, second = (
        {example.question[0][0]["content"]: example for example in some} for some in (examples[:20], examples[20:])
    )
    assert first.keys() == second.keys() == {pair.group for pair in pairs}
    for name in first:
        assert first[name].question[1:] == second[name].question[:0:-1]
        assert {first[name].letter, second[name].letter} == {"A", "B"}
    for example in examples:
        assert example.question["AB".index(example.letter) + 1].startswith("yes")
    assert [*first] != [*second]


def test_in_every_step_the_letters_are_right_equally_often(tmp_path: Path) -> None:
    pairs = pair_sources.load(settings(tmp_path).pairs)[:21]
    examples = list(reward_model.schedule(pairs, 63, 0.0, "seed"))
    for start in range(0, 20, 4):
        assert sorted(example.letter for example in examples[start : start + 4]) == ["A", "A", "B", "B"]
    shown = [(example.question[0][0]["content"], example.letter) for example in examples]
    assert len(set(shown[:42])) == 42  # an odd number of pairs, each in both orders
    assert sorted(shown[42:]) == sorted(shown[:21])


def test_a_share_of_the_examples_rejects_what_is_only_doctored(tmp_path: Path) -> None:
    pairs = pair_sources.load(settings(tmp_path).pairs)
    examples = list(reward_model.schedule(pairs, 1000, 0.2, "seed"))
    doctored = [example for example in examples if example.probe]
    assert len(doctored) / 1000 == pytest.approx(0.2, abs=0.05)
    assert {example.probe for example in doctored} == {*perturbations.KINDS}
    for example in doctored:
        chosen, rejected = example.question[1:] if example.letter == "A" else example.question[:0:-1]
        assert chosen.startswith("yes")
        assert rejected == perturbations.doctored(str(example.probe), chosen, "train")
        assert rejected != perturbations.doctored(str(example.probe), chosen, "measured")


def test_what_was_judged_is_not_asked_again(tmp_path: Path) -> None:
    asked: list[int] = []

    def judge(questions: Any) -> list[float]:
        asked.append(len(questions))
        return [len(first) / 100 for _, first, _ in questions]

    questions = [(({"role": "user", "content": "q"},), "x" * n, "y") for n in range(5)]
    told = stored(judge, Store(tmp_path / "judged.jsonl", {}), 2, lambda done, total: None)(questions)
    again = stored(judge, Store(tmp_path / "judged.jsonl", {}), 2, lambda done, total: None)([*questions, *questions])
    assert told == [n / 100 for n in range(5)]
    assert again == told + told
    assert asked == [2, 2, 1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pairs": "jsonl:nowhere.jsonl"}, "there is no file"),
        ({"held_out": 1e-6}, "leaves 200 pairs to learn from, 0 to measure"),
        ({"micro_batch_size": 3}, "no multiple of micro_batch_size=3"),
    ],
)
def test_what_cannot_be_is_said_before_it_starts(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        settings(tmp_path, **changes).check()
