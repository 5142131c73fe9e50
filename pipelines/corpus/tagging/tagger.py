"""A small tagger distilled from an annotator's labels: it scores every dimension of a document at once, in bulk.

A text becomes its embedding (`embed.py`) and a few figures of its surface; a ridge regression a dimension gives a raw score;
an isotonic regression, fitted on documents that the ridge never saw, brings it to the annotator's scale. Between the levels of
the isotonic steps the score is interpolated, so that it keeps the raw score's order where plain steps would tie.

    tagger = train("hash:", names, texts, labels, more_texts, more_labels)
    save(tagger, folder)
    score(load(folder), texts)      # (texts, dimensions), 0 to 9
"""

import functools
import json
import os
import shutil
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from .... import disk
from ....core import UserError
from ..retrieval import embed

ALPHAS = tuple(float(10**power) for power in range(-1, 6))
"""Strengths of the ridge that leave-one-out chooses from, a dimension for itself. Ours."""
DECIMALS = 3
"""Of a score: what lies behind differs with the size of a batch, as sums in another order do."""
READ = 8_192
"""Characters that the figures of the surface are taken from, the length apart: as many as `hash:` reads."""
FORMAT = 1
"""Version of the files."""


@dataclass(frozen=True, slots=True)
class Tagger:
    """What `score` needs."""

    embedder: str
    """URI of the embedding."""
    names: tuple[str, ...]
    """The dimensions."""
    mean: np.ndarray
    """(features,), of the training documents."""
    scale: np.ndarray
    """(features,)"""
    weights: np.ndarray
    """(features, dimensions), of features less mean, over scale."""
    bias: np.ndarray
    """(dimensions,)"""
    levels: tuple[tuple[np.ndarray, np.ndarray], ...]
    """A dimension's calibration: raw scores, rising, and the scores they stand for."""


def features(texts: Sequence[str], embedder: embed.Embed, batch_size: int = 256) -> np.ndarray:
    """What the tagger sees of texts: (texts, embedding and surface), float32."""
    blocks = [texts[start : start + batch_size] for start in range(0, len(texts), batch_size)] or [texts]
    return np.concatenate([np.hstack([embedder(block), surface(block)]) for block in blocks])


def surface(texts: Sequence[str]) -> np.ndarray:
    """Figures that an embedding of unit norm does not hold: (texts, 12), float32.

    The logarithms of the length and of the mean line; the shares of capitals, digits, spaces, line ends, signs, control
    characters and bytes outside ASCII; the share of lines that occur once; the size after compression; the mean word.
    """
    return np.array([_surface(text) for text in texts], np.float32).reshape(-1, 12)


def _surface(text: str) -> list[float]:
    head = text[:READ].encode("utf-8", "replace")
    size = max(len(head), 1)
    kinds = np.bincount(_KINDS[np.frombuffer(head, np.uint8)], minlength=8)[1:] / size
    lines = [line for line in head.split(b"\n") if line.strip()]
    packed = len(zlib.compress(head, 1)) / (size + 20)
    once = len(set(lines)) / max(len(lines), 1)
    line, word = size / max(len(lines), 1), size / max(len(head.split()), 1)
    return [np.log1p(len(text)), np.log1p(line), *kinds, once, packed, np.log1p(word)]


def _kinds() -> np.ndarray:
    """What kind of character each byte is: 0 a small letter, 1 a capital, 2 a digit, 3 a space, 4 a line end, ..."""
    kinds = np.full(256, 7, np.uint8)
    kinds[:128] = 5
    kinds[:32] = 6
    for kind, characters in enumerate(
        (b"abcdefghijklmnopqrstuvwxyz", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"0123456789", b" \t", b"\n")
    ):
        kinds[list(characters)] = kind
    return kinds


_KINDS = _kinds()


def fit(seen: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Ridge regressions of labels on features.

    Args:
        seen: (documents, features).
        labels: (documents, dimensions).

    Returns:
        Mean, scale, weights and bias, as in `Tagger`. A dimension whose labels are all the same has weights of 0.
    """
    from sklearn.linear_model import RidgeCV

    labels = labels.astype(np.float64)
    mean, scale = seen.mean(0, dtype=np.float64), seen.std(0, dtype=np.float64)
    scale[scale < 1e-9] = 1.0
    head = RidgeCV(ALPHAS, alpha_per_target=True).fit((seen - mean) / scale, labels)
    weights = np.where(np.ptp(labels, axis=0) > 0, np.atleast_2d(head.coef_).T, 0.0)
    return mean, scale, weights, np.atleast_1d(head.intercept_)


def train(
    embedder: str, names: Sequence[str], seen: np.ndarray, labels: np.ndarray, apart: np.ndarray, apart_labels: np.ndarray
) -> Tagger:
    """A tagger of labelled documents.

    Args:
        embedder: URI of what made the features.
        names: the dimensions.
        seen: features of the training documents.
        labels: (documents, dimensions), 0 to 9.
        apart: features of other documents, for calibration.
        apart_labels: their labels.
    """
    tagger = Tagger(embedder, tuple(names), *fit(seen, labels), levels=())
    raw_scores = raw(tagger, apart)
    levels = tuple(_levels(raw_scores[:, column], apart_labels[:, column]) for column in range(len(names)))
    return Tagger(embedder, tagger.names, tagger.mean, tagger.scale, tagger.weights, tagger.bias, levels)


def _levels(raw_scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The steps of an isotonic regression, each at the middle of its raw scores."""
    from sklearn.isotonic import IsotonicRegression

    stepped = IsotonicRegression().fit_transform(raw_scores.astype(np.float64), labels.astype(np.float64))
    heights, step = np.unique(np.round(stepped, 9), return_inverse=True)
    return np.bincount(step, raw_scores) / np.bincount(step), heights


def raw(tagger: Tagger, seen: np.ndarray) -> np.ndarray:
    """Scores before calibration: (documents, dimensions)."""
    return ((seen - tagger.mean) / tagger.scale) @ tagger.weights + tagger.bias


def calibrated(tagger: Tagger, raw_scores: np.ndarray) -> np.ndarray:
    """Raw scores on the annotator's scale: (documents, dimensions), float32, 0 to 9."""
    columns = [np.interp(raw_scores[:, column], *levels) for column, levels in enumerate(tagger.levels)]
    return np.round(np.clip(np.stack(columns, axis=1), 0, 9), DECIMALS).astype(np.float32)


def score(tagger: Tagger, texts: Sequence[str], batch_size: int = 256) -> np.ndarray:
    """The scores of texts: (texts, dimensions), float32, 0 to 9; the same whatever the size of a batch."""
    return calibrated(tagger, raw(tagger, features(texts, embedding(tagger.embedder), batch_size)))


@functools.lru_cache(maxsize=2)
def embedding(uri: str) -> embed.Embed:
    """An embedding, loaded once a process."""
    return embed.load(uri)


def save(tagger: Tagger, folder: Path) -> None:
    """Writes `tagger.json` and `weights.safetensors` into a folder, which is there whole or not at all."""
    half = folder.with_name(folder.name + ".partial")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    arrays = {name: getattr(tagger, name) for name in ("mean", "scale", "weights", "bias")}
    levels = {
        f"{part}_{number}": array for number, pair in enumerate(tagger.levels) for part, array in zip("xy", pair, strict=True)
    }
    save_file({name: np.ascontiguousarray(array) for name, array in (arrays | levels).items()}, half / "weights.safetensors")
    about = {"format": FORMAT, "embedder": tagger.embedder, "dimensions": tagger.names}
    (half / "tagger.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(half, folder)


def load(folder: str | Path) -> Tagger:
    """A tagger that was saved.

    Raises:
        UserError: the folder holds none, or one of another version.
    """
    folder = Path(folder)
    if not (folder / "tagger.json").is_file():
        raise UserError(f"{folder} holds no tagger: name the folder `tagger` of a tag stage")
    remedy = "remove the folder, and run its tag stage again"
    about = disk.read_object(folder / "tagger.json", remedy)
    if about.get("format") != FORMAT:
        raise UserError(f"{folder} holds a tagger of format {about.get('format')}, not {FORMAT}; run its tag stage again")
    with disk.reading(folder, remedy):
        names = tuple(about["dimensions"])
        kept = load_file(folder / "weights.safetensors")
        levels = tuple((kept[f"x_{number}"], kept[f"y_{number}"]) for number in range(len(names)))
        return Tagger(about["embedder"], names, kept["mean"], kept["scale"], kept["weights"], kept["bias"], levels)
