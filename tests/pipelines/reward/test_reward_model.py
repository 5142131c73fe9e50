import json
import math
import random
import shutil
from collections.abc import Callable, Sequence
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
from tenfold.verifiers.pairwise import ResponsePair

POLICY, TINY = "micro:?hidden=32&layers=1&heads=2", "micro:?hidden=16&layers=1&heads=2"


def settings(folder: Path, **changes: Any) -> RewardModel:
    """Returns a stage with 200 pairs, in which yes is better than no at any length."""
    generator = random.Random(0)

    def length() -> int:
        return generator.randint(0, 5)

    rows = [{"prompt": f"Note {n}.", "chosen": "yes" + "." * length(), "rejected": "no" + "!" * length()} for n in range(200)]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    fixed = {"kind": "reward_model", "name": "judge", "pairs": f"jsonl:{folder}/pairs.jsonl", "steps": 4, "batch_size": 4}
    return RewardModel.model_validate(fixed | {"learning_rate": 6e-3, "perturbed_share": 0.0, "held_out": 0.0} | changes)


def run(
    stage: RewardModel, folder: Path, progress: Callable[..., None] = lambda *done, **values: None, policy: str = POLICY
) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    return stage.run(Context(folder, policy, 3, {}, progress))


def test_a_reward_model_learns_the_better_response_and_is_measured(tmp_path: Path) -> None:
    training = {"steps": 56, "batch_size": 16, "learning_rate": 1e-2, "warmup_steps": 8}
    stage = settings(tmp_path, **training, held_out=0.1, perturbed_responses=4, judge=POLICY, judge_batch_size=64)
    stage.check()
    metrics = run(stage, tmp_path / "out")
    trained = metrics["held_out"]["trained"]
    assert trained["accuracy"]["mean"] > 0.9
    assert trained["accuracy"]["low"] > 0.7
    assert stage.comparable(metrics) == {"accuracy on held-out pairs": trained["accuracy"]["mean"]}
    assert trained["orders_agree"] > 0.9
    assert metrics["losses"][-1][1] < 0.65 < metrics["losses"][0][1]
    assert metrics["held_out"]["untrained"]["orders_agree"] < trained["orders_agree"]
    assert metrics["baselines"]["bag of words"]["mean"] == 1
    assert [row["kind"] for row in metrics["perturbed"]["untrained"]] == [*perturbations.KINDS]

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


def test_later_stages_do_not_start_from_a_reward_model() -> None:
    assert RewardModel.writes_policy
    assert not RewardModel.is_default_start


def test_a_killed_stage_resumes_with_the_same_weights_and_losses(tmp_path: Path) -> None:
    # With 100 steps not every loss is logged, but every checkpoint falls on a logged step.
    stage = settings(tmp_path, steps=100, save_steps=20, batch_size=2)

    def killed(done: int, total: int, **values: Any) -> None:
        if done == 23:
            raise KeyboardInterrupt

    whole = run(stage, tmp_path / "whole", policy=TINY)
    with pytest.raises(KeyboardInterrupt):
        run(stage, tmp_path / "halved", killed, TINY)
    assert not (tmp_path / "halved" / "policy").exists()
    steps: list[int] = []
    halved = run(stage, tmp_path / "halved", lambda done, total, **values: steps.append(done), TINY)
    assert min(filter(None, steps)) == 21  # it resumes from the last checkpoint
    assert halved["losses"] == whole["losses"]
    assert len(whole["losses"]) == 50
    # Bit for bit, because the operations and their order are the same on one processor.
    ends = [load_file(tmp_path / name / "policy" / "model.safetensors") for name in ("whole", "halved")]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_micro_batches_do_not_change_the_training(tmp_path: Path, assert_same_training: Any) -> None:
    run(settings(tmp_path), tmp_path / "whole")
    run(settings(tmp_path, micro_batch_size=1), tmp_path / "parts")
    assert_same_training(tmp_path / "whole", tmp_path / "parts", POLICY)


def test_recomputation_does_not_change_the_training(tmp_path: Path, assert_same_training: Any) -> None:
    run(settings(tmp_path), tmp_path / "plain")
    run(settings(tmp_path, gradient_checkpointing=True), tmp_path / "recomputed")
    assert_same_training(tmp_path / "plain", tmp_path / "recomputed", POLICY)


def test_the_training_needs_no_mask_of_the_attention(
    tmp_path: Path, without_masks: Callable[[], None], assert_same_training: Any
) -> None:
    run(settings(tmp_path), tmp_path / "plain")
    without_masks()
    run(settings(tmp_path), tmp_path / "without")
    assert_same_training(tmp_path / "plain", tmp_path / "without", POLICY)


def test_another_learning_rate_or_batch_size_changes_the_training(tmp_path: Path, assert_same_training: Any) -> None:
    run(settings(tmp_path), tmp_path / "one")
    run(settings(tmp_path, learning_rate=5.9e-3), tmp_path / "slower")
    run(settings(tmp_path, batch_size=2), tmp_path / "half")
    for other in ("slower", "half"):
        with pytest.raises(AssertionError):
            assert_same_training(tmp_path / "one", tmp_path / other, POLICY)


def test_training_in_two_processes_equals_training_in_one(tmp_path: Path, by_one_and_by_two: Any) -> None:
    by_one_and_by_two(settings(tmp_path), POLICY, 3)


def test_two_killed_processes_resume_from_their_checkpoint(tmp_path: Path, in_two_processes: Any) -> None:
    record = {"policy": POLICY, "seed": 3}
    first = settings(tmp_path, steps=4, save_steps=2).model_dump(mode="json")
    whole = in_two_processes(record | {"stage": first}, tmp_path / "two")
    before = (tmp_path / "two/policy/model.safetensors").read_bytes()
    shutil.rmtree(tmp_path / "two/policy")
    shutil.rmtree(tmp_path / "two/checkpoints/checkpoint-4")
    assert in_two_processes(record | {"stage": first}, tmp_path / "two")["losses"] == whole["losses"]
    assert (tmp_path / "two/policy/model.safetensors").read_bytes() == before


def test_every_pass_contains_every_pair_once_and_the_next_pass_the_other_order(tmp_path: Path) -> None:
    pairs = list(pair_sources.load(settings(tmp_path).pairs))[:20]
    examples = list(reward_model.Schedule(pairs, 40, 0.0, "seed"))
    first, second = (
        {example.pair[0][0]["content"]: example for example in one_pass} for one_pass in (examples[:20], examples[20:])
    )
    assert first.keys() == second.keys() == {pair.prompt_text for pair in pairs}
    for name in first:
        assert first[name].pair[1:] == second[name].pair[:0:-1]
        assert {first[name].letter, second[name].letter} == {"A", "B"}
    for example in examples:
        assert example.pair["AB".index(example.letter) + 1].startswith("yes")
    assert [*first] != [*second]


def test_both_letters_are_correct_equally_often_in_every_step(tmp_path: Path) -> None:
    pairs = list(pair_sources.load(settings(tmp_path).pairs))[:21]
    examples = list(reward_model.Schedule(pairs, 63, 0.0, "seed"))
    for start in range(0, 60, 4):  # three passes; some steps contain the end of one pass and the start of the next
        assert sorted(example.letter for example in examples[start : start + 4]) == ["A", "A", "B", "B"]
    shown = [(example.pair[0][0]["content"], example.letter) for example in examples]
    assert len(set(shown[:42])) == 42  # an odd number of pairs, each in both orders
    assert sorted(shown[42:]) == sorted(shown[:21])


def test_a_share_of_the_examples_rejects_a_perturbed_copy(tmp_path: Path) -> None:
    pairs = list(pair_sources.load(settings(tmp_path).pairs))
    examples = list(reward_model.Schedule(pairs, 1000, 0.2, "seed"))
    perturbed = [example for example in examples if example.perturbation]
    assert len(perturbed) / 1000 == pytest.approx(0.2, abs=0.05)
    assert {example.perturbation for example in perturbed} == {*perturbations.KINDS}
    for example in perturbed:
        chosen, rejected = example.pair[1:] if example.letter == "A" else example.pair[:0:-1]
        assert chosen.startswith("yes")
        assert rejected == perturbations.perturbed(str(example.perturbation), chosen, "train")
        assert rejected != perturbations.perturbed(str(example.perturbation), chosen, "measured")


def test_stored_answers_of_the_judge_are_not_asked_for_again(tmp_path: Path) -> None:
    batches: list[int] = []

    def judge(questions: Sequence[ResponsePair]) -> list[float]:
        batches.append(len(questions))
        return [len(first) / 100 for _, first, _ in questions]

    questions: list[ResponsePair] = [([{"role": "user", "content": "q"}], "x" * n, "y") for n in range(5)]
    first = stored(judge, Store(tmp_path / "judged.jsonl", {}), 2, lambda done, total: None)(questions)
    again = stored(judge, Store(tmp_path / "judged.jsonl", {}), 2, lambda done, total: None)([*questions, *questions])
    assert first == [n / 100 for n in range(5)]
    assert again == first + first
    assert batches == [2, 2, 1]


def test_a_missing_answer_of_the_judge_is_asked_for_again(tmp_path: Path) -> None:
    questions: list[ResponsePair] = [([{"role": "user", "content": "q"}], "x" * n, "y") for n in range(3)]

    def fails_once(questions: Sequence[ResponsePair]) -> list[float]:
        return [math.nan if first == "x" else 0.5 for _, first, _ in questions]

    first = stored(fails_once, Store(tmp_path / "judged.jsonl", {}), 2, lambda done, total: None)(questions)
    again = stored(lambda left: [0.25] * len(left), Store(tmp_path / "judged.jsonl", {}), 2, lambda done, total: None)(
        questions
    )
    assert [math.isnan(chance) for chance in first] == [False, True, False]
    assert again == [0.5, 0.25, 0.5]


def test_a_judge_without_letters_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"scripted:It depends\.: the judge must answer A or B, got .It depends\..; use another judge"
    ):
        run(settings(tmp_path, steps=1, held_out=0.1, judge="scripted:It depends."), tmp_path / "out", policy=TINY)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pairs": "jsonl:nowhere.jsonl"}, "no file"),
        ({"held_out": 1e-6}, "held_out=1e-06 leaves no pair for measurement"),
        ({"micro_batch_size": 3}, "not a multiple of micro_batch_size=3"),
        ({"pairs": "jsonl:~no_such_user/pairs.jsonl"}, "there is no file ~no_such_user/pairs.jsonl"),
    ],
)
def test_impossible_settings_are_errors_before_training(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        settings(tmp_path, **changes).check()


def test_all_of_a_large_file_is_read_only_when_the_stage_prepares_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reward_model, "CHECKED", 150)
    stage = settings(tmp_path, held_out=0.1)
    with (tmp_path / "pairs.jsonl").open("a") as file:
        file.write('\n{"prompt": "no responses"}\n')
    stage.check()
    with pytest.raises(UserError, match="row 201: there is no column 'chosen'"):
        run(stage, tmp_path / "out")
    monkeypatch.setattr(reward_model, "CHECKED", 250)
    with pytest.raises(UserError, match="row 201: there is no column 'chosen'"):
        stage.model_copy(update={"held_out": 0.11}).check()


def test_the_measurement_has_the_precision_of_the_training(tmp_path: Path) -> None:
    chances = {}
    for precision in ("float32", "bfloat16"):
        stage = settings(tmp_path, held_out=0.1, perturbed_responses=0, judge=POLICY, precision=precision)
        run(stage, tmp_path / precision)
        rows = (tmp_path / precision / "judged-untrained.jsonl").read_text().splitlines()[1:]
        chances[precision] = [json.loads(row)["first"] for row in rows]
    shutil.copy(tmp_path / "bfloat16" / "judged-untrained.jsonl", tmp_path / "float32" / "judged-untrained.jsonl")
    with pytest.raises(UserError, match=r"judged-untrained\.jsonl was made with precision='bfloat16'"):
        run(settings(tmp_path, held_out=0.1, perturbed_responses=0, judge=POLICY, precision="float32"), tmp_path / "float32")
    assert chances["bfloat16"] != chances["float32"]
    assert chances["bfloat16"] == pytest.approx(chances["float32"], abs=0.02)
