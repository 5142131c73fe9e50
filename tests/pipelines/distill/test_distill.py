"""Sampling of response pairs from teacher and student, and training of the student on them."""

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import transformers

from tenfold.core import UserError
from tenfold.pipelines.distill import distill, sample_pairs
from tenfold.pipelines.recipe import runner
from tenfold.pipelines.stage import Context
from tenfold.pipelines.trainer.data import parts
from tenfold.policies import checkpoints

STUDENT, TEACHER = "micro:?hidden=16&layers=1&heads=2", "micro:?hidden=32&layers=1&heads=2&seed=5"


SUMS = "generate:tenfold.envs.toy.chain_sums:chain_sums_with_solutions?size=60&seed=1&worked=0&min_terms=2&max_terms=2"
SFT = {"kind": "sft", "problems": SUMS, "batch_size": 32, "learning_rate": 5e-3}


def run(*stages: dict[str, Any], verifier: str = "math") -> dict[str, dict[str, Any]]:
    """Runs a recipe of these stages and returns the metrics of each."""
    environments = {"lab/Sums-v0": {"problems": SUMS, "verifier": verifier}}
    content = {"name": "dpd", "seed": 1, "policy": STUDENT, "environments": environments, "stages": stages}
    own, _, function = verifier.partition(":")
    Path("recipe.yaml").write_text(json.dumps(content | {"modules": [own] if function else []}))
    runner.run("recipe.yaml", out="run", trust=bool(function))
    return {path.parent.name: json.loads(path.read_text())["metrics"] for path in Path("run").glob("*/stage.json")}


def samples_pairs(student: str, teacher: str) -> dict[str, Any]:
    policies = {"policy": student, "teacher": teacher}
    return {
        "kind": "sample_pairs",
        "name": "pairs",
        "environment": "lab/Sums-v0",
        "max_tokens": 8,
        "allow_truncated": True,
    } | policies


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run: a student that has partly learned sixty sums, a better teacher, and pairs of their responses."""
    folder = tmp_path_factory.mktemp("trained")
    with contextlib.chdir(folder):
        run(
            SFT | {"name": "student", "policy": "micro:?hidden=32&layers=1&heads=2", "steps": 40},
            SFT | {"name": "teacher", "policy": "micro:?hidden=64&layers=1&heads=2", "steps": 120},
            samples_pairs("stage:student", "stage:{stage:teacher}"),
        )
    return folder / "run"


def distills(trained: Path, **changes: Any) -> dict[str, Any]:
    """Returns a stage that trains the student on these pairs."""
    inputs = {"policy": f"stage:{trained}/student", "teacher": f"stage:{trained}/teacher", "pairs": str(trained / "pairs")}
    return DISTILL | inputs | changes


DISTILL = {
    "kind": "distill",
    "name": "dpd",
    "steps": 12,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "held_out": 0.25,
    "save_steps": 4,
}


def few_pairs(trained: Path, count: int) -> None:
    """Writes the first of the pairs into this folder."""
    lines = (trained / "pairs" / "pairs.jsonl").read_text().splitlines(keepends=True)
    Path("pairs.jsonl").write_text("".join(lines[:count]))


def distilled(stage: dict[str, Any], folder: Path, progress: Any = lambda *done, **values: None) -> dict[str, Any]:
    """Runs such a stage alone and returns its metrics."""
    folder.mkdir(exist_ok=True)
    return distill.Distill.model_validate(stage).run(Context(folder, stage["policy"], 1, {}, progress))


def test_distillation_moves_the_student_towards_its_teacher(lab: Path, trained: Path) -> None:
    stored = distills(trained, name="stored", cache_teacher=True, top_k=8, micro_batch_size=4)
    found = run(distills(trained), stored)
    sampled = json.loads((trained / "pairs" / "stage.json").read_text())["metrics"]
    rows = [json.loads(line) for line in (trained / "pairs" / "pairs.jsonl").read_text().splitlines()]
    assert Path("run/report.html").read_text().count('alt="distill"') == 2
    assert len({row["problem"] for row in rows}) == sampled["problems_with_pair"] <= sampled["problems_with_bad_response"]
    assert len(rows) == sampled["pairs"] == found["dpd"]["pairs"] + found["dpd"]["held_out"]["pairs"]
    assert all(row["chosen_score"] == 1 and row["rejected_score"] <= 0.5 for row in rows)
    for name in ("dpd", "stored"):
        held_out, terms = found[name]["held_out"], found[name]["figures"]
        assert terms["kd_positive"][-1][1] < terms["kd_positive"][0][1]
        assert terms["kd_negative"][-1][1] < terms["kd_negative"][0][1]
        assert terms["dpo"][0][1] == pytest.approx(0.6931, abs=1e-3), "the first step's margin is 0"
        assert held_out["after"]["preferred"] >= held_out["before"]["preferred"]
    # They differ only in the mass outside the stored top k and in the size of a forward pass.
    assert found["dpd"]["loss"] == pytest.approx(found["stored"]["loss"], rel=0.05)


LOG_2 = float(-torch.nn.functional.logsigmoid(torch.zeros(())))
NO_CHANGE = {"kd_positive": 0, "kd_negative": 0, "learning_rate": 1e-30, "held_out": 0.0, "steps": 20, "save_steps": 1}
"""Settings of a DPO training of several passes in which no weight changes."""


@pytest.mark.parametrize(
    ("precision", "changes"),
    [
        ("float32", {"micro_batch_size": 2}),
        ("bfloat16", {}),
        ("bfloat16", {"gradient_checkpointing": True}),
    ],
)
def test_every_margin_is_exactly_0_while_the_policy_is_unchanged(
    lab: Path, trained: Path, precision: str, changes: dict[str, Any]
) -> None:
    """Also in bfloat16, which GPUs use, and with a model that has dropout."""
    model, tokenizer = checkpoints.load(trained / "student" / "policy", torch.float32)
    model.config.attention_dropout = 0.3
    model.save_pretrained(lab / "drops")
    tokenizer.save_pretrained(lab / "drops")
    stage = distills(trained, policy=f"path:{lab}/drops", precision=precision, **NO_CHANGE, **changes)
    found = distilled(stage, lab / "dpd")
    assert found["pairs"] < 20 * 8 / 2, "several passes"
    assert [value for _, value in found["figures"]["dpo"]] == [LOG_2] * 20
    assert [value for _, value in found["figures"]["preferred"]] == [0] * 20


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_without_masks_of_the_attention_every_margin_starts_at_exactly_0_too(
    lab: Path, trained: Path, without_masks: Callable[[], None], precision: str
) -> None:
    without_masks()
    found = distilled(distills(trained, **NO_CHANGE | {"steps": 4, "precision": precision}), lab / "dpd")
    assert [value for _, value in found["figures"]["dpo"]] == [LOG_2] * 4


def test_the_training_needs_no_mask_of_the_attention(
    lab: Path, trained: Path, without_masks: Callable[[], None], assert_same_training: Any
) -> None:
    stage = distills(trained, steps=4)
    plain = distilled(stage, lab / "plain")
    without_masks()
    found = distilled(stage, lab / "without")
    assert_same_training(lab / "plain", lab / "without", stage["policy"])
    for side in ("chosen", "preferred"):
        assert found["held_out"]["after"][side] == pytest.approx(plain["held_out"]["after"][side], rel=1e-3)


def test_margins_start_at_exactly_0_in_two_processes_in_bfloat16(lab: Path, trained: Path, in_two_processes: Any) -> None:
    stage = distills(trained, **NO_CHANGE | {"batch_size": 4, "steps": 4, "precision": "bfloat16"})
    found = in_two_processes({"stage": stage, "policy": stage["policy"], "seed": 1}, lab / "two")
    assert [value for _, value in found["figures"]["dpo"]] == [LOG_2] * 4


def test_recomputation_changes_no_loss_and_takes_place_without_dropout(
    lab: Path, trained: Path, monkeypatch: pytest.MonkeyPatch, assert_same_training: Any
) -> None:
    recomputed, checkpoint = [], transformers.modeling_utils.checkpoint

    def counted(layer: Any, *arguments: Any, **options: Any) -> Any:
        recomputed.append(layer)
        return checkpoint(layer, *arguments, **options)

    monkeypatch.setattr(transformers.modeling_utils, "checkpoint", counted)
    stage = distills(trained, held_out=0.0, steps=4)
    distilled(stage, lab / "plain")
    assert not recomputed
    distilled(stage | {"gradient_checkpointing": True}, lab / "recomputed")
    assert len(recomputed) == 4, "a layer in each step"
    assert_same_training(lab / "plain", lab / "recomputed", stage["policy"])


def test_a_killed_distillation_resumes_with_the_same_result(lab: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = distills(trained)
    whole = distilled(stage, lab / "whole")
    calls, true_loss = 0, distill.loss

    def killed(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 7:
            raise KeyboardInterrupt
        return true_loss(*arguments)

    monkeypatch.setattr(distill, "loss", killed)
    with pytest.raises(KeyboardInterrupt):
        distilled(stage, lab / "killed")
    calls = 100
    assert distilled(stage, lab / "killed") == whole
    assert calls == 108, "from the checkpoint after step 4"


def test_more_steps_with_a_constant_learning_rate_give_the_result_of_a_new_run(lab: Path, trained: Path) -> None:
    stage = distills(trained, schedule="constant", steps=6)
    whole = distilled(stage, lab / "whole")
    distilled(stage | {"steps": 4}, lab / "out")
    assert distilled(stage, lab / "out") == whole
    weights = [(lab / out / "policy/model.safetensors").read_bytes() for out in ("whole", "out")]
    assert weights[0] == weights[1], "equal in all bits"


@pytest.mark.parametrize(("changes", "reference"), [({"steps": 2}, ["4 of 4 pairs"]), ({"steps": 2, "dpo": 0}, [])])
def test_reference_values_are_computed_for_the_pairs_that_are_used(
    lab: Path, trained: Path, changes: dict[str, Any], reference: list[str]
) -> None:
    reports = []

    def progress(done: int, total: int, **values: Any) -> None:
        if "reference" in values:
            reports.append(values["reference"])

    few_pairs(trained, 10)
    found = distilled(distills(trained, pairs=str(lab), held_out=0.0, batch_size=2, **changes), lab / "dpd", progress)
    assert found["pairs"] == 10
    assert reports[-1:] == reference


def test_neither_the_parts_nor_the_unused_reference_values_change_the_weights(
    lab: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_pairs(trained, 10)
    stage = distills(trained, pairs=str(lab), held_out=0.0, batch_size=2, steps=3)
    weights = []
    for name in ("usual", "other"):
        (lab / name).mkdir()
        weights.append(distilled(stage, lab / name / "dpd") and (lab / name / "dpd/policy/model.safetensors").read_bytes())
        monkeypatch.setattr(parts, "BYTES", 500)
        monkeypatch.setattr(parts, "PARALLEL", 1000)
        monkeypatch.setattr(distill.FixedBatches, "first", lambda self, steps: numpy.arange(self.examples))
    assert weights[0] == weights[1]


def test_two_processes_resume_within_the_second_pass_with_the_same_result(
    lab: Path, trained: Path, in_two_processes: Any
) -> None:
    few_pairs(trained, 12)
    stage = distills(trained, pairs=str(lab), held_out=0.0, batch_size=2, steps=12, save_steps=8)
    record = {"stage": stage, "policy": stage["policy"], "seed": 1}
    whole = in_two_processes(record, lab / "two")
    for left in ("two/policy", "two/checkpoints/checkpoint-12"):  # as after a kill after step 8, the second of the second pass
        shutil.rmtree(left)
    assert in_two_processes(record, lab / "two") == whole


def test_reference_values_are_not_mixed_up_if_a_resumed_run_has_another_micro_batch_size(
    lab: Path, trained: Path, in_two_processes: Any
) -> None:
    few_pairs(trained, 10)
    stage = distills(trained, pairs=str(lab), **NO_CHANGE | {"batch_size": 8, "steps": 2})
    in_two_processes({"stage": stage, "policy": stage["policy"], "seed": 1}, lab / "two")
    for left in ("two/policy", "two/checkpoints"):  # as after a kill before the second process had its reference values
        shutil.rmtree(left)
    (reference,) = Path("two").glob("reference-1-of-2*")
    reference.unlink()
    found = in_two_processes({"stage": stage | {"micro_batch_size": 1}, "policy": stage["policy"], "seed": 1}, lab / "two")
    assert [value for _, value in found["figures"]["dpo"]] == [LOG_2] * 2


@pytest.mark.parametrize("stored", [False, True])
def test_training_in_two_processes_equals_training_in_one(
    lab: Path, trained: Path, by_one_and_by_two: Any, stored: bool
) -> None:
    changes = {"cache_teacher": True, "top_k": 4, "gradient_checkpointing": True} if stored else {}
    stage = distills(trained, held_out=0.0, batch_size=4, steps=4, **changes)
    alone, shared = by_one_and_by_two(distill.Distill.model_validate(stage), stage["policy"], 1)
    for name in ("nll", "kd_negative", "dpo"):
        one, two = ([value for _, value in metrics["figures"][name]] for metrics in (alone, shared))
        assert two == pytest.approx(one, rel=1e-4), name  # see RELATIVE in conftest.py


def test_an_adapter_learns_from_the_teacher(lab: Path, trained: Path) -> None:
    metrics = distilled(distills(trained, lora={"rank": 8}, steps=40, learning_rate=2e-2), lab / "out")
    figures = {name: [value for _, value in points] for name, points in metrics["figures"].items()}
    assert sum(figures["kd_positive"][-8:]) < 0.9 * sum(figures["kd_positive"][:8])
    assert figures["dpo"][0] == LOG_2, "at the start the adapter changes nothing"
    assert (lab / "out/adapter/adapter_model.safetensors").is_file()
    assert set(metrics["held_out"]) >= {"before", "after"}


def test_the_number_of_measured_pairs_is_limited_and_the_measurement_has_progress(lab: Path, trained: Path) -> None:
    reports: list[tuple[int, int]] = []
    stage = distills(trained, held_out=0.5, held_out_pairs=3)
    metrics = distilled(stage, lab / "out", lambda done, total, **values: reports.append((done, total)))
    assert metrics["held_out"]["pairs"] == 3
    assert reports[-3:] == [(3, 9), (6, 9), (9, 9)], "three models"


def test_a_teacher_with_another_vocabulary_is_an_error(lab: Path, trained: Path) -> None:
    checkpoints.learned_tokenizer(["entirely other words"], 300, checkpoints.MICRO_CHAT).save_pretrained(lab / "other")
    other_teacher = f"micro:?hidden=16&layers=1&heads=2&tokenizer={lab}/other"
    with pytest.raises(UserError, match=r"has another vocabulary than the student .* use its texts in an sft stage instead"):
        run(samples_pairs(f"stage:{trained}/student", other_teacher))


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"teacher": "scripted:4"}, "teacher: there is no checkpoint 'scripted:4': the URI of a checkpoint starts with one of"),
        ({"teacher": "vllm+openai:4"}, "teacher: there is no checkpoint 'openai:4'"),
        ({"teacher": "path:nowhere"}, "pairs: .*nowhere"),
        ({"policy": "scripted:4"}, "there is no checkpoint 'scripted:4'"),
    ],
)
def test_a_policy_that_is_no_checkpoint_is_an_error_before_the_first_stage(
    lab: Path, stage: dict[str, str], message: str
) -> None:
    first = SFT | {"name": "first", "policy": "micro:?hidden=16&layers=1&heads=2", "steps": 1}
    with pytest.raises(UserError, match=message):
        run(first, samples_pairs(STUDENT, TEACHER) | stage)
    assert not Path("run/first").exists()


def test_a_backend_of_the_teacher_only_samples(lab: Path) -> None:
    stage = samples_pairs(f"transformers+{STUDENT}", f"transformers+{TEACHER}") | {"problems": 8, "teacher_samples": 2}
    with contextlib.suppress(UserError):  # untrained policies may have no correct response
        run(stage)
    assert Path("run/pairs/teacher.jsonl").is_file()


def test_a_teacher_without_correct_responses_is_an_error(lab: Path, trained: Path) -> None:
    message = r"the teacher has no complete response with a score of 1 or more on any of the \d+ problems"
    with pytest.raises(UserError, match=message):
        run(samples_pairs(f"stage:{trained}/student", f"{STUDENT}&seed=3") | {"problems": 5, "samples": 1})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"allow_truncated": False, "max_tokens": 1}, r"no complete response with a score of 0.5 .* or a larger max_tokens"),
        ({"min_chosen_score": 0.5, "margin": 1.0}, r"no response with a score of -0.5 .* choose harder problems or a smaller"),
    ],
)
def test_a_student_without_bad_responses_is_an_error(lab: Path, trained: Path, changes: dict[str, Any], message: str) -> None:
    stage = samples_pairs(f"{STUDENT}&seed=3", f"stage:{trained}/teacher")
    with pytest.raises(UserError, match=message):
        run(stage | {"problems": 5, "samples": 1} | changes)


def test_a_teacher_samples_until_a_correct_response_is_complete(lab: Path) -> None:
    """The verifier scores truncated responses too. They do not end the sampling, because they are not chosen."""
    Path("even.py").write_text("def even(response):\n    return len(response) % 2 == 0\n")
    stage = samples_pairs(STUDENT, TEACHER) | {"problems": 8, "teacher_samples": 6, "max_tokens": 48, "batch_size": 8}
    run(stage, verifier="even:even")
    rows = [json.loads(line) for line in Path("run/pairs/teacher.jsonl").read_text().splitlines()[1:]]
    for index in {row["problem"] for row in rows}:
        of_problem = [row for row in rows if row["problem"] == index]
        chosen = [row for row in of_problem if row["verdict"]["score"] == 1 and row["finish_reason"] != "length"]
        assert len(of_problem) == 6 or len(chosen) == 1


def test_a_score_at_the_margin_is_bad_enough() -> None:
    stage = samples_pairs(STUDENT, TEACHER) | {"margin": 0.8}
    assert sample_pairs.SamplePairs.model_validate(stage).max_rejected_score == 0.2, "one of five tests passed"


def test_a_top_k_above_the_vocabulary_is_an_error(lab: Path, trained: Path) -> None:
    with pytest.raises(UserError, match=r"dpd: top_k=100000 is more than the vocabulary's \d+ tokens; lower it"):
        distilled(distills(trained, top_k=100_000), lab / "dpd")


def test_pairs_of_another_vocabulary_are_an_error(lab: Path, trained: Path) -> None:
    sides = {"chosen_tokens": {"ids": [10, 11], "mask": [0, 1]}, "rejected_tokens": {"ids": [10, 100_000], "mask": [0, 1]}}
    Path("pairs.jsonl").write_text(json.dumps({"id": "p"} | sides) + "\n")
    with pytest.raises(UserError, match="has tokens that the student's vocabulary does not have; sample the pairs with this"):
        distilled(distills(trained, pairs=str(lab), held_out=0.0), lab / "dpd")


def test_a_loss_that_is_not_finite_is_an_error_with_its_terms(lab: Path, trained: Path) -> None:
    with pytest.raises(UserError, match=r"the loss of step \d+ is nan \(.*\); lower the learning_rate"):
        distilled(distills(trained, learning_rate=1e20), lab / "dpd")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kd_positive": 0, "kd_negative": 0, "dpo": 0}, "are all 0; give at least one a positive weight"),
        ({"cache_teacher": True}, "cache_teacher: true needs top_k"),
        ({"direction": "sideways"}, "forward"),
    ],
)
def test_impossible_settings_are_errors_before_training(lab: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(DISTILL | {"teacher": TEACHER, "pairs": "x"} | changes)
