"""The `pretrain` stage: independent documents in a row, and results that interruptions do not change."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pytest
import torch
from accelerate import Accelerator
from transformers import AutoConfig, MambaConfig, MambaForCausalLM

from tenfold.core import UserError
from tenfold.pipelines.cluster import Cluster
from tenfold.pipelines.corpus import mix, shards
from tenfold.pipelines.pretrain import batch, pretrain, rotary
from tenfold.pipelines.stage import Context
from tenfold.pipelines.trainer import limited_logits, trainer
from tenfold.pipelines.trainer.data.tokenized import IGNORED
from tenfold.policies import checkpoints

TINY = "micro:?hidden=16&layers=1&heads=2"
PHASES = [
    {"name": "warmup", "tokens": 512, "learning_rate": [0, 2e-3], "mixture": {"*": 1}, "context": 32},
    {"name": "stable", "tokens": 1024, "learning_rate": 2e-3, "mixture": {"code": 0.5, "text": 0.5}, "context": 32},
    {
        **{"name": "decay", "tokens": 1024, "learning_rate": [2e-3, 1e-5], "schedule": "cosine"},
        **{"mixture": {"code": 0.75, "text": 0.25}, "context": 64, "rope_theta": 5e4},
    },
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "documents").mkdir()
    rows = [
        {"id": str(n), "text": f"{n} and {n + 1} make {2 * n + 1}; so it is said", "domain": "code" if n % 2 else "text"}
        for n in range(200)
    ]
    shards.write(folder / "documents" / "0.parquet", pyarrow.Table.from_pylist(rows))
    stage = mix.Mix.model_validate({"kind": "mix", "name": "mix", "documents": str(folder), "held_out": 0.1})
    (folder / "mix").mkdir()
    stage.run(Context(folder / "mix", TINY, 0, {}, lambda *a, **k: None))
    return folder / "mix"


def settings(data: Path, **changes: Any) -> pretrain.Pretrain:
    given = {"kind": "pretrain", "name": "pretrain", "data": str(data), "batch_tokens": 256, "phases": PHASES}
    return pretrain.Pretrain.model_validate(given | changes)


def run(stage: pretrain.Pretrain, folder: Path, policy: str = TINY, stop_at: int | None = None) -> dict[str, Any]:
    def progress(done: int, total: int, **values: object) -> None:
        if done == stop_at:
            raise KeyboardInterrupt

    folder.mkdir(exist_ok=True)
    return stage.run(Context(folder, policy, 7, {}, progress))


def test_positions_restart_at_each_document_and_its_first_label_is_masked() -> None:
    rows = batch.batch_of([(numpy.array([5, 6, 9, 7, 8, 9, 4, 3]), 4), (numpy.array([1, 2, 3, 4, 5, 6, 7, 8]), 8)], end=9)
    assert rows["position_ids"].tolist() == [[0, 1, 2, 0, 0, 1, 0, 1], [0, 1, 2, 3, 4, 5, 6, 7]]
    assert rows["labels"].tolist() == [
        [IGNORED, 6, 9, IGNORED, IGNORED, 9, IGNORED, 3],
        [IGNORED, 2, 3, 4, 5, 6, 7, 8],
    ]


def test_logits_of_a_document_do_not_depend_on_the_other_documents_in_its_row() -> None:
    model, _ = checkpoints.load(checkpoints.checkpoint("micro:?hidden=32&layers=2&heads=2"), torch.float32)
    first, second = [10, 11, 12, 9], [20, 21, 22, 23]
    with torch.inference_mode():
        packed = batch.batch_of([(numpy.array(first + second), 8)], end=9)
        together = model(input_ids=packed["input_ids"], position_ids=packed["position_ids"], use_cache=False).logits
        alone = model(input_ids=torch.tensor([second]), use_cache=False).logits
    # Logits are about 1, each a sum of 32 products. 1e-4 is far above rounding and far below the effect of other documents.
    assert torch.allclose(together[0, 4:], alone[0], atol=1e-4)


def test_a_killed_run_resumes_with_the_same_result(data: Path, tmp_path: Path, assert_same_training: Any) -> None:
    whole = run(settings(data, save_steps=2), tmp_path / "whole")
    assert [step for step, _ in whole["losses"]] == list(range(1, 11))
    with pytest.raises(KeyboardInterrupt):
        run(settings(data, save_steps=2), tmp_path / "killed", stop_at=7)
    again = run(settings(data, save_steps=3, micro_batch_size=2, data_workers=1), tmp_path / "killed")
    assert dict(again["losses"]) == pytest.approx(dict(whole["losses"]), rel=1e-4)  # see RELATIVE in conftest.py
    assert again["held_out"] == {source: pytest.approx(figures, rel=1e-4) for source, figures in whole["held_out"].items()}
    assert_same_training(tmp_path / "whole", tmp_path / "killed", TINY)


def test_every_phase_has_its_tokens_and_the_last_rotary_base_is_saved(data: Path, tmp_path: Path) -> None:
    metrics = run(settings(data), tmp_path / "run")
    assert metrics["phases"][1]["tokens"] == {"code": 512, "text": 512}
    assert metrics["phases"][2]["tokens"] == {"code": 768, "text": 256}
    assert AutoConfig.from_pretrained(tmp_path / "run" / "policy").rope_parameters["rope_theta"] == 5e4
    assert set(metrics["held_out"]) == {"code", "text"}
    assert metrics["losses"][-1][1] < metrics["losses"][0][1]


def good(tmp_path: Path, share: float) -> Path:
    """Returns the folder of a `mix` stage with other documents."""
    rows = [
        {"id": str(n), "text": f"{n} is a number; so it is said, and it is said again", "domain": "good"} for n in range(99)
    ]
    (tmp_path / "documents").mkdir()
    shards.write(tmp_path / "documents" / "0.parquet", pyarrow.Table.from_pylist(rows))
    stage = mix.Mix.model_validate({"kind": "mix", "name": "good", "documents": str(tmp_path), "held_out": share})
    (tmp_path / "good").mkdir()
    stage.run(Context(tmp_path / "good", TINY, 0, {}, lambda *a, **k: None))
    return tmp_path / "good"


def test_the_loss_is_measured_on_the_held_out_tokens_of_another_mix_stage(data: Path, tmp_path: Path) -> None:
    chosen = settings(data, held_out_data=str(good(tmp_path, share=0.1)))
    chosen.check()
    assert set(run(chosen, tmp_path / "run")["held_out"]) == {"good"}
    assert "held_out_data" not in settings(data).model_dump()  # so that runs of earlier versions resume

    index = tmp_path / "good" / "sources.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"tokenizer": "another"}))
    with pytest.raises(UserError, match="were made with another tokenizer"):
        chosen.check()


def test_a_larger_held_out_share_than_that_of_the_training_is_refused(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = settings(data, held_out_data=str(good(tmp_path, share=0.5)))
    with pytest.raises(UserError, match=r"good holds out 0\.5 of the documents and .*mix only 0\.1, .* to the same share$"):
        chosen.check()

    index = tmp_path / "good" / "sources.json"
    recorded = json.loads(index.read_text())
    del recorded["held_out_share"]  # as an earlier version
    index.write_text(json.dumps(recorded))
    chosen.check()
    assert "does not record its share held_out" in caplog.text


def test_a_run_killed_after_its_last_step_saves_the_last_rotary_base(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Accelerator, "get_state_dict", killed)
        with pytest.raises(KeyboardInterrupt):
            run(settings(data), tmp_path / "run")
    run(settings(data), tmp_path / "run")
    assert AutoConfig.from_pretrained(tmp_path / "run" / "policy").rope_parameters["rope_theta"] == 5e4


@pytest.mark.parametrize("nodes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_several_processes_of_a_cluster_train_like_one_process(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, assert_same_training: Any, forked_python: Path, nodes: int
) -> None:
    """The test machines have no GPU, so Ray gets a false number of GPUs and the processes train on processors.

    On one node the command runs with `forked_python`, on two nodes with Python itself.
    """
    from ray.cluster_utils import Cluster as Rays

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    if nodes == 1:
        monkeypatch.setattr(sys, "executable", str(forked_python))
        monkeypatch.setenv("PYTHON_EXEC", str(forked_python))
    stage, folder = settings(data), tmp_path / "spread"
    alone = run(stage, tmp_path / "one")
    rays = Rays(initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 1}) if nodes > 1 else None
    try:
        if rays:
            rays.add_node(num_cpus=2, num_gpus=1)
        cluster = Cluster(device="cuda", nodes=nodes, gpus=2 // nodes, ray_address=rays and rays.address)
        folder.mkdir()
        reported: list[int] = []
        spread = stage.run(Context(folder, TINY, 7, {}, lambda done, *a, **k: reported.append(done), cluster))
    finally:
        if rays:
            rays.shutdown()
    assert [loss for _, loss in spread["losses"]] == pytest.approx([loss for _, loss in alone["losses"]], rel=1e-4)
    assert_same_training(tmp_path / "one", folder, TINY)
    assert reported[-1] == spread["steps"]


def test_a_scaled_rotary_position_embedding_is_refused_before_the_first_step(data: Path, tmp_path: Path) -> None:
    stretched = tmp_path / "stretched"
    shutil.copytree(checkpoints.checkpoint(TINY), stretched)
    config = json.loads((stretched / "config.json").read_text())
    config["rope_parameters"] |= {"rope_type": "linear", "factor": 2.0}
    (stretched / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="rope_theta cannot be set: the model's rotary position embedding has type linear"):
        run(settings(data), tmp_path / "run", f"path:{stretched}")
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_model_without_rotary_position_embedding_cannot_have_a_base() -> None:
    mamba = MambaForCausalLM(MambaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=1))
    rotary.set_theta(mamba, None)
    with pytest.raises(UserError, match="rope_theta cannot be set: MambaForCausalLM has no rotary position embedding"):
        rotary.set_theta(mamba, 5e4)


def test_set_theta_sets_the_frequencies_of_the_new_base() -> None:
    model, _ = checkpoints.load(checkpoints.checkpoint(TINY), torch.float32)
    before = model.model.rotary_emb.inv_freq.clone()
    rotary.set_theta(model, 1e6)
    fresh = type(model.model.rotary_emb)(model.config)
    assert torch.equal(model.model.rotary_emb.inv_freq, fresh.inv_freq)
    assert not torch.equal(model.model.rotary_emb.inv_freq, before)


def test_large_batches_and_recomputation_do_not_change_the_training(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, assert_same_training: Any
) -> None:
    plain = run(settings(data), tmp_path / "plain")
    monkeypatch.setattr(limited_logits, "MAX_LOGITS", 0)
    monkeypatch.setattr(trainer, "TOKENS", 128)
    large = run(settings(data, gradient_checkpointing=True, micro_batch_size=2), tmp_path / "large")
    assert_same_training(tmp_path / "plain", tmp_path / "large", TINY)
    assert plain["held_out"].keys() == large["held_out"].keys() == {"code", "text"}
    for source, measured in plain["held_out"].items():
        assert large["held_out"][source] == pytest.approx(measured, rel=1e-4), source


def test_the_training_needs_no_mask_of_the_attention(
    data: Path, tmp_path: Path, without_masks: Callable[[], None], assert_same_training: Any
) -> None:
    plain = run(settings(data), tmp_path / "plain")
    without_masks()
    found = run(settings(data), tmp_path / "without")
    assert_same_training(tmp_path / "plain", tmp_path / "without", TINY)
    for source, measured in plain["held_out"].items():
        assert found["held_out"][source] == pytest.approx(measured, rel=1e-4), source


def test_training_in_two_processes_equals_training_in_one(data: Path, by_one_and_by_two: Any) -> None:
    by_one_and_by_two(settings(data), TINY, 7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_tokens": 100}, "batch_tokens=100 is not a multiple of the longest context, 64"),
        ({"batch_tokens": 1024}, "warmup.tokens=512 is less than batch_tokens=1024"),
        ({"phases": [*PHASES, {**PHASES[0], "context": 48}]}, "warmup.context=32 does not divide|warmup.context=48"),
        ({"phases": [{**PHASES[0], "schedule": "exponential"}]}, "schedule=exponential is not defined from 0 to 0.002"),
        ({"phases": [{**PHASES[0], "learning_rate": [-1, 2e-3]}]}, "learning_rate=-1 is negative; use 0 or more"),
        ({"phases": [{**PHASES[0], "learning_rate": 0}]}, "learning_rate is 0 in all phases"),
        ({"phases": [{**PHASES[0], "learning_rate": float("nan")}]}, "learning_rate.*\n.*finite number"),
        ({"phases": [{**PHASES[0], "tokens": float("inf")}]}, "tokens\n.*finite number"),
        ({"phases": [{**PHASES[0], "mixture": {"code": 1.5, "text": -0.5}}]}, "mixture.text\n.*greater than or equal to 0"),
    ],
)
def test_invalid_phases_are_refused(data: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(data, **changes)


def test_tokens_of_another_tokenizer_are_refused(data: Path, tmp_path: Path) -> None:
    tokenizer = checkpoints.learned_tokenizer(["some other words than those"], 300)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    with pytest.raises(UserError, match="were made with another tokenizer than"):
        run(settings(data), tmp_path / "run", f"{TINY}&tokenizer={tmp_path / 'tokenizer'}")


def test_further_phases_continue_a_training_like_a_new_one(data: Path, tmp_path: Path) -> None:
    phases = [phase | {"context": 32} for phase in PHASES]
    short, whole = settings(data, phases=phases[:2]), settings(data, phases=phases)
    expected = run(whole, tmp_path / "whole")
    run(short, tmp_path / "out")
    extension = whole.extension(short.model_dump(mode="json"))
    assert extension is not None
    assert (extension.step, extension.difference) == (6, "")
    assert run(whole, tmp_path / "out") == expected
    # Equal in all bits, because the operations and their order are equal.
    weights = [(tmp_path / out / "policy/model.safetensors").read_bytes() for out in ("whole", "out")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    "phases",
    [
        [*PHASES[:1], PHASES[1] | {"tokens": 2048}],  # the order within a phase depends on its length
        [*PHASES[:2], PHASES[2] | {"context": 64}],  # sources are shuffled in pieces of the longest context
        [*PHASES[:2], PHASES[1] | {"learning_rate": 3e-3}],
    ],
)
def test_other_changes_of_the_phases_do_not_continue_a_training(data: Path, phases: list[dict[str, Any]]) -> None:
    assert settings(data, phases=phases).extension(settings(data, phases=PHASES[:2]).model_dump(mode="json")) is None
