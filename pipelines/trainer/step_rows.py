"""`steps.jsonl` of a training: the logged values of its steps, one line each, written as the steps end.

A line has `step`, `loss`, `grad_norm`, `learning_rate`, `epoch` and the stage's own values, such as the terms of its loss. A
value that is not finite is null. A training that resumes repeats the steps after its last checkpoint. Therefore the file is
first written again, up to that step.
"""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from ... import disk
from ..stage import STEPS

if TYPE_CHECKING:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

SUMMARY = "train_runtime"
"""A value that only the Trainer's summary at the end has. It is not a step."""


def step_rows(folder: Path) -> "TrainerCallback":
    """Returns a Trainer callback that writes the file in the first process.

    Args:
        folder: the stage's folder.
    """
    from transformers import TrainerCallback

    class StepRows(TrainerCallback):
        def on_train_begin(
            self, args: "TrainingArguments", state: "TrainerState", control: "TrainerControl", **kwargs: object
        ) -> None:
            if state.is_world_process_zero:
                rows = [entry for entry in state.log_history if SUMMARY not in entry]
                if rows or (folder / STEPS).exists():
                    disk.write(folder / STEPS, "".join(map(_line, rows)))

        def on_log(
            self,
            args: "TrainingArguments",
            state: "TrainerState",
            control: "TrainerControl",
            logs: dict[str, float] | None = None,
            **kwargs: object,
        ) -> None:
            if logs and SUMMARY not in logs and state.is_world_process_zero:
                with (folder / STEPS).open("a", encoding="utf-8") as file:
                    file.write(_line({**logs, "step": state.global_step}))

    return StepRows()


def _line(entry: dict[str, float]) -> str:
    values = {name: value for name, value in entry.items() if name != "step"}
    finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
    return json.dumps({"step": entry["step"], **finite}) + "\n"
