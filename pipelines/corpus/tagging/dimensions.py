"""The dimensions on which documents are scored, each from 0 to 9, with their rubrics (`rubrics.yaml`)."""

import functools
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

Labels = dict[str, int]
"""A score for every dimension."""


class Dimension(BaseModel):
    """A quality of documents, with its written rubric."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: Literal["content", "format"]
    asks: str
    rubric: dict[int, str]


@functools.cache
def dimensions() -> tuple[Dimension, ...]:
    """The dimensions, in the order of their file."""
    rows = yaml.safe_load(Path(__file__).with_name("rubrics.yaml").read_text(encoding="utf-8"))
    return tuple(Dimension.model_validate(row) for row in rows)
