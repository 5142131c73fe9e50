"""Paired differences between two ways of training."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tenfold.core import UserError
from tenfold.pipelines.bench.bench import Bench
from tenfold.pipelines.bench.contrast import Contrast, contrast
from tenfold.pipelines.distill.distill import Distill
from tenfold.pipelines.pretrain.pretrain import Pretrain
from tenfold.pipelines.stage import Context


def stage(folder: Path, name: str, comparable: dict[str, float]) -> None:
    (folder / name).mkdir()
    record: dict[str, Any] = {"stage": {"kind": "bench"}, "policy": "micro:", "seed": 0, "wall_seconds": 1, "resumed": False}
    (folder / name / "stage.json").write_text(json.dumps(record | {"metrics": {}, "comparable": comparable}))


def test_the_interval_is_student_t_of_paired_differences() -> None:
    found = contrast([0.5, 0.6, 0.7], [0.4, 0.5, 0.5])
    assert found["difference"] == pytest.approx(0.4 / 3)
    # t(0.975, 2) = 4.3027; the differences' standard deviation is 0.057735
    assert found["high"] - found["difference"] == pytest.approx(4.3027 * 0.057735 / 3**0.5, abs=1e-4)
    assert found["low"] + found["high"] == pytest.approx(2 * found["difference"])


def test_scores_and_losses_of_all_stages_are_compared(tmp_path: Path) -> None:
    for seed in (1, 2):
        for way, gain in (("new", 0.1), ("old", 0.0)):
            stage(tmp_path, f"{way}_{seed}", {"sums": 0.3 * seed + gain, f"only_{way}": 1.0, "loss on high": 2.0 - gain})
    settings = Contrast(kind="contrast", name="c", stages=["new_1", "new_2"], baselines=["old_1", "old_2"])
    inputs = {path.name: path for path in tmp_path.iterdir()}
    metrics = settings.run(Context(tmp_path, "micro:", 0, inputs, lambda *a, **k: None))
    found = metrics["contrasts"]
    assert found.keys() == {"sums", "loss on high"}
    assert found["sums"]["difference"] == pytest.approx(0.1)
    assert found["loss on high"]["difference"] == pytest.approx(-0.1)
    # the two means, their difference, and an interval of width 0: both seeds differ by the same
    row = re.sub(r"\s+|<[^>]*>", " ", settings.tables(metrics))
    assert re.search(r"sums +0\.5500 +0\.4500 +\+0\.1000 +\[\+0\.1000, \+0\.1000\], 2 seeds", row)
    assert "sums +0.100 [+0.100, +0.100], 2 seeds" in settings.summary(metrics)


def test_a_damaged_record_is_one_line(tmp_path: Path) -> None:
    for name in "abcd":
        stage(tmp_path, name, {"sums": 0.5})
    (tmp_path / "a/stage.json").write_text(json.dumps({"name": "a", "metrics": {}, "comparable": 3}))
    settings = Contrast(kind="contrast", name="e", stages=["a", "b"], baselines=["c", "d"])
    with pytest.raises(UserError, match="remove the folder"):
        settings.run(Context(tmp_path, "micro:", 0, {p.name: p for p in tmp_path.iterdir()}, lambda *a, **k: None))


def test_unequal_numbers_of_stages_and_stages_without_common_figures_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected as many names in stages as in baselines, got 3 and 2"):
        Contrast(kind="contrast", name="c", stages=["a", "b", "c"], baselines=["d", "e"])
    with pytest.raises(ValueError, match="a stage is named twice"):
        Contrast(kind="contrast", name="c", stages=["a", "b", "c"], baselines=["d", "e", "e"])
    for name in "abcd":
        stage(tmp_path, name, {name: 1.0})
    settings = Contrast(kind="contrast", name="c", stages=["a", "b"], baselines=["c", "d"])
    with pytest.raises(UserError, match="these stages have no metric in common"):
        settings.run(Context(tmp_path, "micro:", 0, {p.name: p for p in tmp_path.iterdir()}, lambda *a, **k: None))


def test_stages_name_the_metrics_that_are_compared() -> None:
    bench = Bench(kind="bench", name="b", tasks=["chain_sum"])
    assert bench.comparable({"scores": {"sums": {"mean": 0.5}}}) == {"sums": 0.5}
    assert Pretrain.comparable(bench, {"held_out": {"high": {"loss": 2.0}}}) == {"loss on high": 2.0}  # type: ignore[arg-type]
    distill = Distill(kind="distill", name="d", pairs="p", teacher="micro:", steps=1)
    after = {"chosen": 0.9, "confident_errors": 0.1, "rejected": None}
    found = distill.comparable({"held_out": {"pairs": 9, "before": {"chosen": 0.5}, "after": after}})
    assert found == {"held-out chosen": 0.9, "held-out confident errors": 0.1}
