"""Lines in the terminal for the steps of a training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from tenfold.pipelines.recipe.progress.step_lines import StepLines
from tenfold.pipelines.stage import STEPS, Stage


class Counts(Stage):
    kind: Literal["counts"] = "counts"

    def step_line(self, row: dict[str, Any]) -> str:  # type: ignore[override]
        return f"step {row['step']}"

    def examples(self, folder: Path) -> Callable[[int, int], list[str]]:
        return lambda step, count: [f"{count} of step {step}"]


@pytest.fixture
def stage() -> Stage:
    return Counts(name="counts")


def append(folder: Path, *steps: int, end: str = "") -> None:
    with (folder / STEPS).open("a") as file:
        file.write("".join(json.dumps({"step": step}) + "\n" for step in steps) + end)


def test_each_step_has_a_line_once_it_has_ended(stage: Stage, tmp_path: Path) -> None:
    append(tmp_path, 1, 2)
    lines = StepLines(stage, tmp_path)
    assert [*lines.new()] == [], "steps of an earlier process"
    append(tmp_path, 3, 4, end='{"step": 5')
    assert [*lines.new()] == ["step 3", "step 4"]
    append(tmp_path, end="}\nbroken\n[1]\n{}\n")
    assert [*lines.new()] == ["step 5"]


def test_examples_follow_the_line_on_request(stage: Stage, tmp_path: Path) -> None:
    lines = StepLines(stage, tmp_path, examples=2)
    assert [*lines.new()] == []
    append(tmp_path, 1)
    assert [*lines.new()] == ["step 1", "2 of step 1"]


def test_a_file_that_is_written_again_does_not_repeat_its_lines(stage: Stage, tmp_path: Path) -> None:
    append(tmp_path, *range(9))
    lines = StepLines(stage, tmp_path)
    (tmp_path / STEPS).unlink()
    append(tmp_path, 0, 1, 2)
    assert [*lines.new()] == []
    append(tmp_path, 3)
    assert [*lines.new()] == ["step 3"]
