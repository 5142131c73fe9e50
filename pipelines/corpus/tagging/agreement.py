"""How well the labels and the taggers of two `tag` stages on the same documents agree, by dimension.

Rank correlations are Spearman's. The taggers are compared on the documents that both stages held out, so that neither of them
was trained on a label of these documents.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np

from .... import disk
from ....core import UserError
from . import predictability, tagger
from .dimensions import Dimension

LABELS, TAGGER, REPORT = "labels.jsonl", "tagger", "report.json"
"""Files of a `tag` stage: the annotator's labels, the tagger and its report."""
HELD_OUT = "held_out_documents"
"""Name of the held-out documents' ids in the report."""
DIGESTS = "document_digests"
"""Name of the digests of the labelled documents' texts in the report, by id."""
_LOG = logging.getLogger("tenfold")


class Labelled(NamedTuple):
    """The labels of a `tag` stage and the scores of its tagger."""

    name: str
    labels: Mapping[str, Sequence[float]]
    """Labels by id of the document, in the order of the dimensions. Unlabelled documents are left out."""
    held_out: frozenset[str]
    """Ids of the documents that the tagger was not trained on."""
    tagger: tagger.Tagger
    digests: Mapping[str, str] = {}
    """Digests of the documents' texts by id; empty if the stage is of an earlier version, and for the stage that reports."""


class AgreementRow(TypedDict):
    """Rank correlations for one dimension; None: not defined, because all values on one side are equal.

    All fields but `labels` are measured on the documents that both stages held out.
    """

    name: str
    kind: str
    labels: float | None
    """Labels of this stage and labels of the other stage, over the documents that both labelled."""
    own_tagger_own_labels: float | None
    """Scores of this stage's tagger and labels of this stage."""
    own_tagger_other_labels: float | None
    """Scores of this stage's tagger and labels of the other stage."""
    other_tagger_own_labels: float | None
    """Scores of the other stage's tagger and labels of this stage."""
    other_tagger_other_labels: float | None
    """Scores of the other stage's tagger and labels of the other stage."""


class Agreement(TypedDict):
    """The agreement of a stage with another one."""

    documents: int
    """Documents that both labelled."""
    held_out: int
    """Documents that both held out."""
    defined: int
    """Dimensions in which all correlations are defined."""
    means: dict[str, dict[str, float | None]]
    """Means of the correlations over these dimensions: all, content and format."""
    dimensions: list[AgreementRow]


def load(folder: str | Path, dimensions: Sequence[Dimension]) -> Labelled:
    """Returns the labels and the tagger of a finished `tag` stage.

    Args:
        folder: folder of the stage.
        dimensions: the dimensions, in the order of the labels.

    Raises:
        UserError: the folder is not that of a finished `tag` stage, or its files have another form.
    """
    folder = Path(folder)
    if missing := [name for name in (LABELS, TAGGER, REPORT) if not (folder / name).exists()]:
        raise UserError(f"{folder} has no {missing[0]}: use the folder of a finished tag stage")
    names = [dimension.name for dimension in dimensions]
    remedy = "run its tag stage again"
    report = disk.read_object(folder / REPORT, remedy)
    if HELD_OUT not in report:
        raise UserError(f"{folder / REPORT} is of an earlier version and does not name the held-out documents; {remedy}")
    with disk.reading(folder / LABELS, remedy):
        rows = (row for _, row in disk.read_rows(folder / LABELS) if row.get("labels"))
        labels = {str(row["id"]): [float(row["labels"][name]) for name in names] for row in rows}
    return Labelled(folder.name, labels, frozenset(report[HELD_OUT]), tagger.load(folder / TAGGER), report.get(DIGESTS, {}))


def digest(text: str) -> str:
    """Returns the digest of a document's text."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def check_documents(other: Labelled, texts: Mapping[str, str]) -> None:
    """Checks that documents with equal ids have equal texts. If the other stage has no digests, this is a warning.

    Args:
        other: the stage that is compared.
        texts: texts by id, of the documents of the stage that reports.

    Raises:
        UserError: a document of the other stage has another text.
    """
    if not other.digests:
        _LOG.warning("%s is of an earlier version: make sure that its documents have the same texts", other.name)
    if differing := [id for id, text in texts.items() if id in other.digests and other.digests[id] != digest(text)]:
        raise UserError(
            f"compare: {len(differing)} documents of {other.name} have the same ids but other texts, such as {differing[0]}; "
            "compare stages on the same documents"
        )


def agreement(own: Labelled, other: Labelled, texts: Mapping[str, str], dimensions: Sequence[Dimension]) -> Agreement:
    """Returns how well two stages agree.

    Args:
        own: the stage that reports.
        other: the stage that it is compared with.
        texts: texts by id, of all documents that `own` labelled.
        dimensions: the dimensions, in the order of the labels.

    Raises:
        UserError: no document is labelled by both, or their taggers have other dimensions.
    """
    both = sorted(own.labels.keys() & other.labels.keys())
    if not both:
        raise UserError(
            f"{own.name} and {other.name} labelled no document in common; give them the same documents, sample and seed"
        )
    names = tuple(dimension.name for dimension in dimensions)
    for stage in (own, other):
        if stage.tagger.names != names:
            raise UserError(f"the tagger of {stage.name} has other dimensions than rubrics.yaml; run its tag stage again")
    held_out = [id for id in both if id in own.held_out and id in other.held_out]
    own_scores, other_scores = (
        tagger.score(stage.tagger, [texts[id] for id in held_out]) if held_out else np.zeros((0, len(names)))
        for stage in (own, other)
    )
    pairs = {
        "labels": (_matrix(own, both), _matrix(other, both)),
        "own_tagger_own_labels": (own_scores, _matrix(own, held_out)),
        "own_tagger_other_labels": (own_scores, _matrix(other, held_out)),
        "other_tagger_own_labels": (other_scores, _matrix(own, held_out)),
        "other_tagger_other_labels": (other_scores, _matrix(other, held_out)),
    }
    found = {key: [_correlation(*pair, column) for column in range(len(names))] for key, pair in pairs.items()}
    rows: list[AgreementRow] = [
        {
            "name": dimension.name,
            "kind": dimension.kind,
            "labels": found["labels"][column],
            "own_tagger_own_labels": found["own_tagger_own_labels"][column],
            "own_tagger_other_labels": found["own_tagger_other_labels"][column],
            "other_tagger_own_labels": found["other_tagger_own_labels"][column],
            "other_tagger_other_labels": found["other_tagger_other_labels"][column],
        }
        for column, dimension in enumerate(dimensions)
    ]
    defined = [column for column in range(len(names)) if all(values[column] is not None for values in found.values())]
    means = {
        key: predictability.means((dimensions[column].kind, values[column]) for column in defined)
        for key, values in found.items()
    }
    return {
        "documents": len(both),
        "held_out": len(held_out),
        "defined": len(defined),
        "means": means,
        "dimensions": rows,
    }


def _matrix(stage: Labelled, ids: Iterable[str]) -> np.ndarray:
    """Returns the labels of documents, shape (documents, dimensions)."""
    return np.array([stage.labels[id] for id in ids]).reshape(-1, len(stage.tagger.names))


def _correlation(first: np.ndarray, second: np.ndarray, column: int) -> float | None:
    return predictability.rank_correlation(first[:, column], second[:, column]) if len(first) else None
