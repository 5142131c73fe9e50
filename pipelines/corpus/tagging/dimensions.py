"""The dimensions of document quality, each scored from 0 to 9, with their rubrics (`rubrics.yaml`)."""

import functools
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

MAX_LABEL = 9
"""The best score."""
POSITIVE = 5
"""Least label that is 1 in thresholded labels; the others are 0. Our choice: the upper half of 0 to 9."""
Labels = dict[str, float]
"""A score, 0 to 9, by name of the dimension."""


class Dimension(BaseModel):
    """A dimension of document quality with its rubric."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: Literal["content", "format"]
    asks: str
    """The question that the score answers."""
    rubric: dict[int, str]
    """Descriptions of the scores 0, 3, 6 and 9."""


@functools.cache
def dimensions() -> tuple[Dimension, ...]:
    """Returns the dimensions, in the order of `rubrics.yaml`."""
    rows = yaml.safe_load(Path(__file__).with_name("rubrics.yaml").read_text(encoding="utf-8"))
    return tuple(Dimension.model_validate(row) for row in rows)
