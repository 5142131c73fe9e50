"""The program `gpu_check` on a CPU, with small sizes."""

import json
from pathlib import Path
from typing import Any

import pytest

from tenfold.benchmarks.speed.gpu_check import program


def checked(out: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Runs the program; returns its exit status and its report."""
    status = program.main(["--device", "cpu", "--out", str(out), *arguments])
    report: dict[str, Any] = json.loads(out.read_text())
    return status, report


def test_the_figures_of_training_are_reported_with_what_could_not_run(tmp_path: Path) -> None:
    status, report = checked(tmp_path / "g.json", "--only", "sft,fsdp2,rounding")
    assert status == 0
    assert not report["failed"]
    sft, rounding = report["figures"]["sft"], report["figures"]["rounding"]
    assert sft["last_loss"] < sft["first_loss"]
    assert sft["examples_per_s"] > 0
    assert 0 < rounding["mean_difference"] < rounding["largest_difference"] < 0.1  # bfloat16 has 8 bits
    assert report["not_run"] == {"fsdp2: fsdp2": "accelerate shards a model over GPUs only"}
    assert report["machine"]["torch"]


def test_the_attention_of_the_stages_is_compared_with_a_mask(tmp_path: Path) -> None:
    status, report = checked(tmp_path / "g.json", "--only", "attention")
    assert status == 0
    found = report["figures"]["attention"]
    assert found["sequences_loss"] == pytest.approx(found["sdpa_loss"], rel=2**-8)
    assert found["sequences_tokens_per_s"] > 0
    assert "attention: flash_attention_2" in report["not_run"]


def test_a_check_that_fails_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (broken := tmp_path / "sitecustomize.py").write_text("import torch\ntorch.randint = None\n")
    monkeypatch.setenv("PYTHONPATH", str(broken.parent), prepend=":")
    status, report = checked(tmp_path / "g.json", "--only", "loss,product")
    assert status == 1
    assert "NoneType" in report["failed"]["loss"]
    assert report["figures"]["product"]["bf16_tflops"] > 0


def test_checks_for_which_no_time_is_left_are_named(tmp_path: Path) -> None:
    status, report = checked(tmp_path / "g.json", "--seconds", "1", "--only", "product,grpo")
    assert status == 0
    assert report["not_run"] == {"product": "the time is over", "grpo": "the time is over"}


def test_an_unknown_check_is_an_error_that_names_the_checks(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["--device", "cpu", "--only", "sfd"])
    assert "there is no check sfd; the checks are product, sft" in capsys.readouterr().err


def test_an_output_in_a_missing_folder_is_an_error_before_the_first_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        program.main(["--device", "cpu", "--only", "product", "--out", str(tmp_path / "none" / "g.json")])
    output = capsys.readouterr()
    assert f"there is no folder {tmp_path / 'none'}" in output.err
    assert "product" not in output.out


@pytest.mark.slow
def test_all_checks_run_on_a_cpu(tmp_path: Path) -> None:
    status, report = checked(tmp_path / "g.json")
    assert status == 0, report["failed"]
    assert [*report["figures"]] == [*program.CHECKS]
    assert report["figures"]["grpo"]["on"] == "CPU, transformers"
