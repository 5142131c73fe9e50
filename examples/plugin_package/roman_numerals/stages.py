"""A stage that writes the training data of the environment."""

import json
from typing import ClassVar, Literal

from pydantic import Field

from tenfold.pipelines.stage import Context, Metrics, Stage

from .environments import problems


class RomanData(Stage):
    """Writes problems with their answers to `train.jsonl` in the stage's folder."""

    reads_policy: ClassVar[bool] = False

    kind: Literal["roman_data"]
    size: int = Field(100, ge=1, description="number of examples")
    largest: int = Field(100, ge=1, le=3999, description="largest number in the problems")

    def run(self, context: Context) -> Metrics:
        """Writes the file and returns the number of examples."""
        examples = list(problems(self.size, context.seed, self.largest))
        rows = [{"question": example.prompt[0]["content"], "answer": example.answer} for example in examples]
        (context.folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return {"examples": len(rows)}

    def summary(self, metrics: Metrics) -> str:
        """Returns the number of examples as text."""
        return f"{metrics['examples']} examples"
