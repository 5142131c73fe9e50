"""How well a tagger predicts an annotator, on documents that it was not trained on, dimension by dimension.

Rank correlation is Spearman's, of the tagger's scores with the annotator's. A dimension whose labels are all the same, in
training or held out, has no correlation: it is marked constant, and left out of every mean.
"""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from .dimensions import Dimension

GOOD = 5
"""Scores from here on are the yes of the binary question. Ours: the upper half of 0 to 9."""
BINS = 10
"""Groups of documents, by score, that the calibration error compares means in. Ours."""
RESAMPLES = 200
"""Of the held-out documents, for an interval."""


def report(
    dimensions: Sequence[Dimension],
    trained_on: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    graded: np.ndarray,
    binary: np.ndarray,
) -> dict[str, Any]:
    """What the tagger is worth. All arrays but the first are of the held-out documents, (documents, dimensions).

    Args:
        dimensions: of the columns.
        trained_on: labels of the training documents.
        labels: the annotator's, 0 to 9.
        scores: the tagger's, calibrated.
        graded: its raw scores.
        binary: the raw scores of a tagger that is the same but for its labels: 1 from `GOOD` on, else 0.

    Returns:
        "dimensions": a row each; "rank_correlation": the means over all, content and format; "binary": the means of the two
        taggers on the dimensions where both can be measured, and their difference with a 95% interval over documents.
    """
    rows = []
    for column, dimension in enumerate(dimensions):
        label, score, good = labels[:, column], scores[:, column], labels[:, column] >= GOOD
        constant = not (np.ptp(label) and np.ptp(trained_on[:, column]))
        one_sided = constant or len(set(trained_on[:, column] >= GOOD)) < 2
        rows.append(
            {
                "name": dimension.name,
                "kind": dimension.kind,
                "constant": bool(constant),
                "mean_label": float(label.mean()),
                "rank_correlation": None if constant else rank_correlation(score, label),
                "raw_rank_correlation": None if constant else rank_correlation(graded[:, column], label),
                "binary_rank_correlation": None if one_sided else rank_correlation(binary[:, column], label),
                "area_under_curve": None if one_sided else area_under_curve(graded[:, column], good),
                "binary_area_under_curve": None if one_sided else area_under_curve(binary[:, column], good),
                "calibration_error": calibration_error(score, label),
                "absolute_error": float(np.abs(score - label).mean()),
                "nearest": _nearest(dimensions, np.vstack([trained_on, labels]), column),
            }
        )
    both = [column for column, row in enumerate(rows) if row["binary_rank_correlation"] is not None]
    means = {
        kind: _mean(row["rank_correlation"] for row in rows if kind in ("all", row["kind"]))
        for kind in ("all", "content", "format")
    }
    return {"rank_correlation": means, "binary": _compared(rows, both, labels, graded, binary), "dimensions": rows}


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    """Spearman's; None where either is the same for all."""
    if not (np.ptp(one) and np.ptp(other)):
        return None
    return float(np.corrcoef(stats.rankdata(one), stats.rankdata(other))[0, 1])


def area_under_curve(scores: np.ndarray, good: np.ndarray) -> float | None:
    """How often a good document scores above another, ties counted half (Mann and Whitney's U); None without both."""
    positives, negatives = int(good.sum()), int((~good).sum())
    if not positives or not negatives:
        return None
    rank_sum = float(stats.rankdata(scores)[good].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def calibration_error(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean distance, in points, of mean score and mean label over groups of documents of like score and equal size.

    A group's mean label is itself uncertain, so that a perfect tagger is not at 0: about 0.8 standard errors of a group.
    """
    groups = np.array_split(np.argsort(scores, kind="stable"), min(BINS, len(scores)))
    return float(sum(len(group) * abs(scores[group].mean() - labels[group].mean()) for group in groups) / len(scores))


def _nearest(dimensions: Sequence[Dimension], labels: np.ndarray, column: int) -> dict[str, Any] | None:
    """The dimension that the annotator scores most alike: a high correlation says that one of the two could go."""
    others = [
        (correlation, dimension.name)
        for other, dimension in enumerate(dimensions)
        if other != column and (correlation := rank_correlation(labels[:, column], labels[:, other])) is not None
    ]
    if not others:
        return None
    correlation, name = max(others, key=lambda found: abs(found[0]))
    return {"name": name, "rank_correlation": correlation}


def _compared(
    rows: Sequence[dict[str, Any]], columns: list[int], labels: np.ndarray, graded: np.ndarray, binary: np.ndarray
) -> dict[str, Any]:
    """The tagger of 0 to 9 against the binary one, by rank correlation with the labels and by the binary question."""
    if not columns:
        return {"dimensions": 0}
    draw, differences = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        drawn = draw.integers(0, len(labels), len(labels))[:, None]
        label, one, other = (stats.rankdata(scores[drawn, columns], axis=0) for scores in (labels, graded, binary))
        differences.append(float(np.nanmean([_correlations(one, label) - _correlations(other, label)])))
    chosen = [rows[column] for column in columns]
    means = {
        name: _mean(row[key] for row in chosen)
        for name, key in (
            ("graded_rank_correlation", "raw_rank_correlation"),
            ("binary_rank_correlation", "binary_rank_correlation"),
            ("graded_area_under_curve", "area_under_curve"),
            ("binary_area_under_curve", "binary_area_under_curve"),
        )
    }
    graded_mean, binary_mean = means["graded_rank_correlation"], means["binary_rank_correlation"]
    low, high = (float(np.percentile(differences, share)) for share in (2.5, 97.5))
    difference = None if graded_mean is None or binary_mean is None else graded_mean - binary_mean
    ahead = sum(row["raw_rank_correlation"] > row["binary_rank_correlation"] for row in chosen)
    return {"dimensions": len(columns), "graded_ahead": ahead, **means, "difference": difference, "low": low, "high": high}


def _correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pearson's, column by column; not a number where a column is the same for all."""
    one, other = one - one.mean(0), other - other.mean(0)
    norms = np.sqrt((one**2).sum(0) * (other**2).sum(0))
    return np.divide((one * other).sum(0), norms, out=np.full(len(norms), np.nan), where=norms > 0)


def _mean(values: Any) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None


def page(found: dict[str, Any]) -> str:
    """The report as a page: a row a dimension, the best predicted first."""
    columns = {
        "rank correlation": "rank_correlation",
        "binary": "binary_rank_correlation",
        "AUC": "area_under_curve",
        "binary AUC": "binary_area_under_curve",
        "calibration error": "calibration_error",
        "absolute error": "absolute_error",
        "mean label": "mean_label",
    }
    ordered = sorted(found["dimensions"], key=lambda row: (row["rank_correlation"] is None, -(row["rank_correlation"] or 0)))
    body = "".join(
        f"<tr><td>{html.escape(row['name'])}<td>{row['kind']}{''.join(f'<td>{_figure(row[key])}' for key in columns.values())}"
        f"<td>{_near(row['nearest'])}"
        for row in ordered
    )
    said, binary = found["rank_correlation"], found["binary"]
    lines = [
        f"Labels by {found['annotator']}"
        + (", rules that stand in for a model: the figures say how well rules are learned" if found["stand_in"] else "")
        + f"; {found['labelled']} documents labelled, {found['unlabelled']} not, {found['held_out']} held out. "
        f"Embedding {found['embedder']}.",
        f"Mean rank correlation {_figure(said['all'])}: content {_figure(said['content'])}, format {_figure(said['format'])}.",
    ]
    if binary["dimensions"]:
        lines.append(
            f"Trained on 0 to 9, {_figure(binary['graded_rank_correlation'])}; on whether a label is {GOOD} or more, "
            f"{_figure(binary['binary_rank_correlation'])}; difference {_figure(binary['difference'])} "
            f"[{_figure(binary['low'])}, {_figure(binary['high'])}] over {binary['dimensions']} dimensions, before calibration."
        )
    head = "".join(f"<th>{name}" for name in ("dimension", "kind", *columns, "scored most alike"))
    return (
        "<!doctype html><meta charset=utf-8><title>How predictable the dimensions are</title>"
        "<style>body{font:16px system-ui;max-width:75em;margin:2em auto;padding:0 1em}td,th{padding:.3em .8em;text-align:left;"
        "border-bottom:1px solid #ddd}</style><h1>How predictable the dimensions are</h1>"
        f"{''.join(f'<p>{html.escape(line)}' for line in lines)}<table><tr>{head}{body}</table>"
    )


def _figure(value: float | None) -> str:
    return "constant" if value is None else f"{value:.2f}"


def _near(nearest: dict[str, Any] | None) -> str:
    return f"{html.escape(nearest['name'])} ({nearest['rank_correlation']:.2f})" if nearest else ""
