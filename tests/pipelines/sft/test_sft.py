import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

import tenfold
from tenfold import cli
from tenfold.pipelines.recipe import recipe, runner
from tenfold.pipelines.sft import sft
from tenfold.pipelines.trainer import trainer
from tenfold.pipelines.trainer.data.tokenized import IGNORED
from tenfold.policies import checkpoints

TINY = "micro:?hidden=16&layers=1&heads=2"


def examples(count: int) -> list[dict[str, list[int]]]:
    """Returns random examples of many lengths. The first half of each is the prompt."""
    generator = random.Random(count)
    rows = [[generator.randint(5, 200) for _ in range(generator.randint(2, 60))] for _ in range(count)]
    return [{"input_ids": row, "labels": [IGNORED] * (len(row) // 2) + row[len(row) // 2 :]} for row in rows]


def test_padding_has_no_attention_and_no_labels() -> None:
    batch = sft.padded([{"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}, {"input_ids": [8], "labels": [8]}], pad=0)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 6, 7], [8, -100, -100]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_an_example_has_the_same_loss_in_a_packed_row_and_alone() -> None:
    model = checkpoints.load(checkpoints.checkpoint(TINY), torch.float32)[0]
    batch = examples(24)
    rows = sft.in_rows(batch, pad=0)
    filled = sum(len(example["input_ids"]) for example in batch)
    assert rows["input_ids"].shape[1] == sft.ROW_TOKENS
    assert filled > 0.8 * rows["input_ids"].numel(), "less than a fifth is padding"
    for example in batch:
        alone = model(**sft.padded([example], pad=0), use_cache=False).loss
        ids = torch.tensor(example["input_ids"])
        # Labels of this example alone.
        found_row, found_start = next(
            (row, start)
            for row in range(len(rows["input_ids"]))
            for start in (rows["position_ids"][row] == 0).nonzero().ravel().tolist()
            if rows["input_ids"][row, start : start + len(ids)].tolist() == ids.tolist()
        )
        labels = torch.full_like(rows["labels"], IGNORED)
        span = slice(found_start, found_start + len(ids))
        labels[found_row, span] = rows["labels"][found_row, span]
        packed = model(**rows | {"labels": labels}, use_cache=False).loss
        assert packed.item() == pytest.approx(alone.item(), rel=1e-4)  # attention to neighbours would change some percent


def test_packed_and_padded_training_have_the_same_losses(lab: Path) -> None:
    Path("r.jsonl").write_text("".join(json.dumps({"question": "1 + " * n, "answer": n}) + "\n" for n in range(1, 40)))
    stages = [
        {"kind": "sft", "name": "sft", "problems": "jsonl:r.jsonl", "steps": 6, "batch_size": 8, "learning_rate": 1e-3}
        | {"packed": packed, "micro_batch_size": micro}
        for packed, micro in ((True, 8), (False, 8), (True, 4))
    ]
    losses = []
    for number, stage in enumerate(stages):
        content = {"name": "packing", "seed": 1, "policy": TINY, "stages": [stage]}
        metrics = tenfold.run(recipe.Recipe.model_validate(content), f"out{number}", quiet=True)
        losses.append([loss for _, loss in metrics["sft"]["losses"]])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)  # the order of sums differs; see RELATIVE in conftest.py
    assert losses[2] == pytest.approx(losses[0], rel=1e-4)


def test_in_bfloat16_the_losses_are_rounded_and_the_weights_stay_float32(lab: Path) -> None:
    Path("r.jsonl").write_text("".join(json.dumps({"question": "1 + " * n, "answer": n}) + "\n" for n in range(1, 40)))
    stage = {"kind": "sft", "problems": "jsonl:r.jsonl", "steps": 6, "batch_size": 8, "learning_rate": 1e-3}
    stages = [stage | {"name": name, "policy": TINY, "precision": name} for name in ("float32", "bfloat16")]
    content = {"name": "rounded", "seed": 1, "policy": TINY, "stages": stages}
    metrics = tenfold.run(recipe.Recipe.model_validate(content), "out", quiet=True)
    exact, rounded = ([loss for _, loss in metrics[name]["losses"]] for name in ("float32", "bfloat16"))
    assert rounded == pytest.approx(exact, rel=2**-6)
    assert rounded != exact
    weights = load_file("out/bfloat16/policy/model.safetensors")
    assert {values.dtype for values in weights.values()} == {torch.float32}


def test_without_a_precision_the_settings_are_those_of_runs_that_did_not_have_it() -> None:
    stage = {"kind": "sft", "name": "sft", "problems": "jsonl:r.jsonl", "steps": 1}
    assert "precision" not in sft.SFT.model_validate(stage).model_dump(mode="json")
    assert sft.SFT.model_validate(stage | {"precision": "bfloat16"}).model_dump(mode="json")["precision"] == "bfloat16"


def test_packing_is_not_supported_for_recurrent_models() -> None:
    gpt2 = transformers.GPT2Config(vocab_size=64, n_embd=16, n_layer=1, n_head=2)
    mamba = transformers.MambaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=1)
    assert trainer.supports_packing(checkpoints.load(checkpoints.checkpoint(TINY), torch.float32)[0])
    assert trainer.supports_packing(transformers.GPT2LMHeadModel(gpt2))
    assert not trainer.supports_packing(transformers.MambaForCausalLM(mamba))


def test_training_in_two_processes_equals_training_in_one(lab: Path, by_one_and_by_two: Any) -> None:
    Path("r.jsonl").write_text(
        "".join(json.dumps({"question": "1 + " * (n % 9 + 1), "answer": n}) + "\n" for n in range(1, 41))
    )
    stage = {"kind": "sft", "name": "sft", "problems": "jsonl:r.jsonl", "steps": 5, "batch_size": 8, "learning_rate": 1e-3}
    by_one_and_by_two(sft.SFT.model_validate(stage), TINY, 1)


def test_two_killed_processes_resume_with_the_same_result(lab: Path, in_two_processes: Any) -> None:
    stage = {
        "kind": "sft",
        "name": "sft",
        "problems": "generate:tenfold.envs.toy.chain_sums:chain_sums_with_solutions?size=40&seed=1",
    }
    record = {"stage": stage | {"steps": 5, "batch_size": 8, "save_steps": 3}, "policy": TINY, "seed": 1}
    whole = in_two_processes(record, lab / "two")
    policy = load_file("two/policy/model.safetensors")
    for left in ("two/policy", "two/checkpoints/checkpoint-5"):  # as after a kill after step 3
        shutil.rmtree(left)
    written = Path("two/checkpoints/checkpoint-3/trainer_state.json").stat().st_mtime_ns
    assert in_two_processes(record, lab / "two") == whole
    assert Path("two/checkpoints/checkpoint-3/trainer_state.json").stat().st_mtime_ns == written
    again = load_file("two/policy/model.safetensors")
    # Bit for bit, because the operations and their order are the same, in processes with one thread each.
    assert all(torch.equal(policy[name], again[name]) for name in policy)


def test_every_checkpoint_is_measured_without_changing_the_training(lab: Path) -> None:
    Path("r.jsonl").write_text("".join(json.dumps({"question": f"{n} + 1 = ?", "answer": n + 1}) + "\n" for n in range(40)))
    stage = {"kind": "sft", "name": "sft", "problems": "jsonl:r.jsonl", "steps": 4, "batch_size": 8, "learning_rate": 1e-3}
    found = {}
    for name, more in (("plain", {}), ("measured", {"bench": ["chain_sum"], "bench_limit": 4})):
        content = {"name": name, "seed": 1, "policy": TINY, "stages": [stage | {"save_steps": 2} | more]}
        Path("recipe.yaml").write_text(json.dumps(content))
        runner.run("recipe.yaml", out=name)
        found[name] = json.loads(Path(name, "sft/stage.json").read_text())["metrics"]
    assert found["measured"]["losses"] == found["plain"]["losses"]
    benchmarks = found["measured"]["benchmarks"]
    assert {step: [*scores] for step, scores in benchmarks.items()} == {"2": ["chain_sum_avg8"], "4": ["chain_sum_avg8"]}


def test_the_summary_names_what_is_left_out_and_the_setting_to_change(
    lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    rows = [{"question": "1 + 1 ?" + " + 1" * 20 * (n > 2), "answer": "2"} for n in range(8)]
    Path("r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stage = {"kind": "sft", "name": "sft", "problems": "jsonl:r.jsonl", "steps": 1, "batch_size": 2, "max_tokens": 30}
    Path("r.yaml").write_text(json.dumps({"name": "r", "policy": TINY, "stages": [stage]}))
    assert cli.main(["run", "r.yaml", "--out", "out"]) == 0
    output = capsys.readouterr().out
    assert "left out 5 of 8 problems: 5 too long (raise max_tokens=30, or set truncate: true)" in output
    assert re.search(r"^sft: 1/1", output, re.MULTILINE)


def test_a_learning_rate_that_cannot_train_random_weights_is_named(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("r.jsonl").write_text('{"question": "1 + 1", "answer": 2}\n')
    sft = {"kind": "sft", "problems": "jsonl:r.jsonl", "steps": 1, "batch_size": 1}
    stages = [sft | {"name": "low", "learning_rate": 1e-6}, sft | {"name": "next", "learning_rate": 1e-6}]
    Path("r.yaml").write_text(json.dumps({"name": "r", "policy": TINY, "stages": stages}))
    caution = "low: caution: learning_rate=1e-06 is too low for micro:, which learns from 0.0001 to 0.01"
    for options in (["--dry-run"], ["--out", "out"]):
        assert cli.main(["run", "r.yaml", *options]) == 0
        output = capsys.readouterr().out.splitlines()
        assert caution in output
        assert not any(line.startswith("next: caution") for line in output), "it starts from trained weights"
    assert cli.main(["run", "r.yaml", "--dry-run", "--out", "other", "--set", "low.learning_rate=1"]) == 0
    assert "low: caution: learning_rate=1 is too high for micro:" in capsys.readouterr().out


@pytest.mark.parametrize(("rate", "caution"), [(9e-4, "low"), (1e-3, None), (0.1, None), (0.11, "high")])
def test_the_learning_rates_of_an_adapter_are_ten_times_as_high(
    lab: Path, capsys: pytest.CaptureFixture[str], rate: float, caution: str | None
) -> None:
    Path("r.jsonl").write_text('{"question": "1 + 1", "answer": 2}\n')
    sft = {"kind": "sft", "name": "sft", "problems": "jsonl:r.jsonl", "steps": 1, "batch_size": 1, "lora": {}}
    Path("r.yaml").write_text(json.dumps({"name": "r", "policy": TINY, "stages": [sft | {"learning_rate": rate}]}))
    assert cli.main(["run", "r.yaml", "--dry-run"]) == 0
    words = f"learning_rate={rate:g} is too {caution} for a LoRA adapter of micro:, which learns from 0.001 to 0.1"
    found = [line for line in capsys.readouterr().out.splitlines() if "caution" in line]
    assert found == ([f"sft: caution: {words}"] if caution else [])


@pytest.mark.parametrize(
    ("setting", "placeholder"), [("template", "{prompt}"), ("target_template", "{answer}")], ids=["template", "target_template"]
)
def test_a_template_without_its_placeholder_is_refused(
    setting: str, placeholder: str, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (lab / "rows.jsonl").write_text('{"question": "1 + 1?", "answer": "2"}\n')
    stage = {"kind": "sft", "name": "sft", "problems": "jsonl:rows.jsonl", "steps": 1, setting: "Solve it."}
    (lab / "r.yaml").write_text(json.dumps({"name": "r", "policy": "micro:?hidden=16&layers=1&heads=1", "stages": [stage]}))
    assert cli.main(["run", "r.yaml", "--dry-run"]) == 2
    line = f"error: sft: {setting}: the template 'Solve it.' does not contain {placeholder}: add it\n"
    assert capsys.readouterr().err.endswith(line)
