"""A stage that writes the training data of the environment."""

import json
from typing import ClassVar, Literal

from pydantic import Field

from tenfold.pipelines.stage import Context, Metrics, Stage

from .environments import problems


class RomanData(Stage):
    """Writes worked examples to `train.jsonl` in the stage's folder."""

    reads_policy: ClassVar[bool] = False

    kind: Literal["roman_data"]
    size: int = Field(100, ge=1, description="examples")
    largest: int = Field(100, ge=1, le=3999, description="largest number")

    def run(self, context: Context) -> Metrics:
        """Writes the file."""
        made = list(problems(self.size, context.seed, self.largest))
        rows = [{"question": one.prompt[0]["content"], "answer": one.answer} for one in made]
        (context.folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return {"examples": len(rows)}

    def summary(self, metrics: Metrics) -> str:
        """How many examples there are."""
        return f"{metrics['examples']} examples"
