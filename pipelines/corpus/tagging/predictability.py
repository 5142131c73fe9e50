"""The report of the `tag` stage: how well the tagger predicts the annotator on held-out documents, by dimension.

Rank correlation is Spearman's, between the scores of the tagger and of the annotator. If all labels of a dimension are equal,
in the training documents or in the held-out ones, the dimension has no correlation. It is marked constant and left out of all
means.
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from scipy import stats

from .dimensions import POSITIVE, Dimension

BINS = 10
"""Groups of documents of similar score in the calibration error. Our choice."""
RESAMPLES = 200
"""Bootstrap resamples of the held-out documents for an interval. Our choice."""


class Nearest(TypedDict):
    """The dimension whose labels correlate most with those of another dimension."""

    name: str
    rank_correlation: float


class DimensionRow(TypedDict):
    """The report's values for one dimension. None: not defined.

    A correlation is not defined if all labels or all scores are equal. Thresholded labels are graded labels cut at `POSITIVE`:
    1 if a label is at least `POSITIVE`, else 0. The areas and the values of the tagger trained on thresholded labels need
    training documents with both values. The areas also need such held-out documents.
    """

    name: str
    kind: str
    constant: bool
    mean_label: float
    rank_correlation: float | None
    """Rank correlation of the calibrated scores with the labels."""
    raw_rank_correlation: float | None
    """Rank correlation of the scores before calibration."""
    thresholded_rank_correlation: float | None
    """Rank correlation of the tagger trained on thresholded labels."""
    area_under_curve: float | None
    thresholded_area_under_curve: float | None
    calibration_error: float
    absolute_error: float
    nearest: Nearest | None


def report(
    dimensions: Sequence[Dimension],
    trained_on: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    raw: np.ndarray,
    thresholded: np.ndarray,
) -> dict[str, Any]:
    """Returns how well the tagger predicts the labels of the held-out documents.

    The arrays `labels`, `scores`, `raw` and `thresholded` are of the held-out documents, shape (documents, dimensions).

    Args:
        dimensions: the columns' dimensions.
        trained_on: labels of the training documents, shape (training documents, dimensions).
        labels: the annotator's labels, 0 to 9.
        scores: the tagger's calibrated scores.
        raw: the tagger's scores before calibration.
        thresholded: scores before calibration of a tagger trained on thresholded labels.

    Returns:
        "dimensions": the rows. "rank_correlation": the means over all, content and format dimensions. "thresholded": the means
        of both taggers over the dimensions where both correlations are defined, and their difference with a 95% interval over
        documents.
    """
    rows: list[DimensionRow] = []
    for column, dimension in enumerate(dimensions):
        label, score, positive = labels[:, column], scores[:, column], labels[:, column] >= POSITIVE
        constant = not (np.ptp(label) and np.ptp(trained_on[:, column]))
        one_sided = constant or len(set(trained_on[:, column] >= POSITIVE)) < 2
        rows.append(
            {
                "name": dimension.name,
                "kind": dimension.kind,
                "constant": bool(constant),
                "mean_label": float(label.mean()),
                "rank_correlation": None if constant else rank_correlation(score, label),
                "raw_rank_correlation": None if constant else rank_correlation(raw[:, column], label),
                "thresholded_rank_correlation": None if one_sided else rank_correlation(thresholded[:, column], label),
                "area_under_curve": None if one_sided else area_under_curve(raw[:, column], positive),
                "thresholded_area_under_curve": None if one_sided else area_under_curve(thresholded[:, column], positive),
                "calibration_error": calibration_error(score, label),
                "absolute_error": float(np.abs(score - label).mean()),
                "nearest": _nearest(dimensions, np.vstack([trained_on, labels]), column),
            }
        )
    both = [
        column
        for column, row in enumerate(rows)
        if row["raw_rank_correlation"] is not None and row["thresholded_rank_correlation"] is not None
    ]
    correlations = means((row["kind"], row["rank_correlation"]) for row in rows)
    return {"rank_correlation": correlations, "thresholded": _compare(rows, both, labels, raw, thresholded), "dimensions": rows}


def means(values: Iterable[tuple[str, float | None]]) -> dict[str, float | None]:
    """Returns the means over all, content and format dimensions, from pairs of a dimension's kind and its value."""
    pairs = [*values]
    return {kind: _mean(value for own, value in pairs if kind in ("all", own)) for kind in ("all", "content", "format")}


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Returns Spearman's rank correlation of two arrays (documents,), or None if all values of one are equal."""
    if not (np.ptp(first) and np.ptp(second)):
        return None
    return float(np.corrcoef(stats.rankdata(first), stats.rankdata(second))[0, 1])


def area_under_curve(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Returns how often a positive document scores above a negative one, ties counted half (Mann and Whitney's U).

    It is None if the documents are all positive or all negative.
    """
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return None
    rank_sum = float(stats.rankdata(scores)[positive].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def calibration_error(scores: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean distance between the mean score and the mean label of a group, in points.

    The documents are ordered by score and divided into groups of equal size. Even a perfect tagger has an
    error of about 0.8 standard errors of a group's mean label, because that mean is uncertain.
    """
    groups = np.array_split(np.argsort(scores, kind="stable"), min(BINS, len(scores)))
    return float(sum(len(group) * abs(scores[group].mean() - labels[group].mean()) for group in groups) / len(scores))


def _nearest(dimensions: Sequence[Dimension], labels: np.ndarray, column: int) -> Nearest | None:
    """Returns the dimension with the most similar labels. A high correlation means that one of the two is redundant."""
    others = [
        (correlation, dimension.name)
        for other, dimension in enumerate(dimensions)
        if other != column and (correlation := rank_correlation(labels[:, column], labels[:, other])) is not None
    ]
    if not others:
        return None
    correlation, name = max(others, key=lambda pair: abs(pair[0]))
    return {"name": name, "rank_correlation": correlation}


def _compare(
    rows: Sequence[DimensionRow], columns: list[int], labels: np.ndarray, raw: np.ndarray, thresholded: np.ndarray
) -> dict[str, float | None]:
    """Compares the taggers trained on labels 0 to 9 and on thresholded labels."""
    if not columns:
        return {"dimensions": 0}
    random, differences = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        resample = random.integers(0, len(labels), len(labels))[:, None]
        label, by_raw, by_thresholded = (
            stats.rankdata(scores[resample, columns], axis=0) for scores in (labels, raw, thresholded)
        )
        defined = (difference := _correlations(by_raw, label) - _correlations(by_thresholded, label))[~np.isnan(difference)]
        if len(defined):  # in a resample of few documents, all values of each dimension may be equal
            differences.append(float(defined.mean()))
    chosen = [rows[column] for column in columns]
    means = {
        "raw_rank_correlation": _mean(row["raw_rank_correlation"] for row in chosen),
        "thresholded_rank_correlation": _mean(row["thresholded_rank_correlation"] for row in chosen),
        "raw_area_under_curve": _mean(row["area_under_curve"] for row in chosen),
        "thresholded_area_under_curve": _mean(row["thresholded_area_under_curve"] for row in chosen),
    }
    raw_mean, thresholded_mean = means["raw_rank_correlation"], means["thresholded_rank_correlation"]
    low, high = (float(np.percentile(differences, share)) for share in (2.5, 97.5))
    difference = None if raw_mean is None or thresholded_mean is None else raw_mean - thresholded_mean
    ahead = sum((row["raw_rank_correlation"] or 0) > (row["thresholded_rank_correlation"] or 0) for row in chosen)
    return {"dimensions": len(columns), "raw_ahead": ahead, **means, "difference": difference, "low": low, "high": high}


def _correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns Pearson's correlation by column; NaN if all values of a column are equal."""
    first, second = first - first.mean(0), second - second.mean(0)
    norms = np.sqrt((first**2).sum(0) * (second**2).sum(0))
    return np.divide((first * second).sum(0), norms, out=np.full(len(norms), np.nan), where=norms > 0)


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def lines(found: Mapping[str, Any]) -> list[str]:
    """Returns sentences on the report as a whole.

    Args:
        found: the report of a `tag` stage, or its metrics.
    """
    means = found["rank_correlation"]
    thresholded = found.get("thresholded", {"dimensions": 0})  # reports of earlier versions lack it
    said = [
        f"Labels by {found['annotator']}"
        + (", rules instead of a model: the numbers show how well rules are learned" if found["labels_by_rules"] else "")
        + f"; {found['labelled']} documents labelled, {found['unlabelled']} not, {found['held_out']} held out. "
        f"Embedding {found['embedder']}.",
        f"Mean rank correlation {as_text(means['all'])} "
        f"(content {as_text(means['content'])}, format {as_text(means['format'])}).",
    ]
    if missing := found.get("without_valid_score"):
        shares = ", ".join(f"{name} {share:.1%}" for name, share in missing.items() if share)
        said.append(f"{found['answers']} answers. Answers without a valid score: {shares or 'none'}.")
    for name, other in found.get("agreement", {}).items():
        said.append(_agreement_line(name, other))
    if thresholded["dimensions"] and found.get("scale") != "binary":
        said.append(
            f"Mean rank correlation before calibration over {thresholded['dimensions']} dimensions: trained on labels 0 to 9 "
            f"{as_text(thresholded['raw_rank_correlation'])}, trained on whether a label is at least {POSITIVE} "
            f"{as_text(thresholded['thresholded_rank_correlation'])}; difference {as_text(thresholded['difference'])} "
            f"[{as_text(thresholded['low'])}, {as_text(thresholded['high'])}]."
        )
    return said


def page(found: Mapping[str, Any]) -> str:
    """Returns the report as an HTML page with a row per dimension, the best predicted first."""
    columns = {
        "rank correlation": "rank_correlation",
        "thresholded": "thresholded_rank_correlation",
        "AUC": "area_under_curve",
        "thresholded AUC": "thresholded_area_under_curve",
        "calibration error": "calibration_error",
        "absolute error": "absolute_error",
        "mean label": "mean_label",
    }
    ordered = sorted(found["dimensions"], key=lambda row: (row["rank_correlation"] is None, -(row["rank_correlation"] or 0)))
    body = "".join(
        f"<tr><td>{html.escape(row['name'])}<td>{row['kind']}{''.join(f'<td>{as_text(row[key])}' for key in columns.values())}"
        f"<td>{_nearest_cell(row['nearest'])}"
        for row in ordered
    )
    head = "".join(f"<th>{name}" for name in ("dimension", "kind", *columns, "most similar dimension"))
    return (
        "<!doctype html><meta charset=utf-8><title>Predictability of the dimensions</title>"
        "<style>body{font:16px system-ui;max-width:75em;margin:2em auto;padding:0 1em}td,th{padding:.3em .8em;text-align:left;"
        "border-bottom:1px solid #ddd}</style><h1>Predictability of the dimensions</h1>"
        f"{''.join(f'<p>{html.escape(line)}' for line in lines(found))}<table><tr>{head}{body}</table>"
    )


def _agreement_line(name: str, other: Mapping[str, Any]) -> str:
    """Returns a sentence on the agreement with another stage (`agreement.py`)."""
    mean = {key: as_text(values["all"]) for key, values in other["means"].items()}
    return (
        f"Mean rank correlation with the labels of {name} on {other['documents']} documents: {mean['labels']}. "
        f"On {other['held_out']} documents that both held out: this tagger with these labels {mean['own_tagger_own_labels']}, "
        f"with the labels of {name} {mean['own_tagger_other_labels']}; the tagger of {name} with these labels "
        f"{mean['other_tagger_own_labels']}, with its own {mean['other_tagger_other_labels']}. "
        f"Means over {other['defined']} dimensions in which all of these are defined."
    )


def as_text(value: float | None) -> str:
    """Returns a value with two decimals."""
    return "not defined" if value is None else f"{value:.2f}"


def _nearest_cell(nearest: Nearest | None) -> str:
    return f"{html.escape(nearest['name'])} ({nearest['rank_correlation']:.2f})" if nearest else ""
