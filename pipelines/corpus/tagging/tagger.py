"""The tagger: a small model, distilled from an annotator's labels, that scores documents on all dimensions in bulk.

The features of a text are its embedding (`retrieval/embed.py`) and surface features such as length and character classes. Each
dimension has a ridge regression for the raw score. An isotonic regression, fitted on other documents, maps the raw score to the
annotator's scale. The score is interpolated between the steps of the isotonic regression, because plain steps would produce
ties.

    tagger = train("hash:", names, train_features, train_labels, calibration_features, calibration_labels)
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
"""Strengths of the ridge penalty; leave-one-out cross-validation selects one per dimension. Our choice."""
DECIMALS = 3
"""Decimals of a score. Further decimals depend on the batch size, because the order of sums affects rounding."""
MAX_CHARACTERS = 8_192
"""Characters for the surface features, except the length. Equal to the limit of the embedding `hash:` (`embed.py`)."""
FORMAT = 1
"""Version of the file format."""


@dataclass(frozen=True, slots=True)
class Tagger:
    """A trained tagger."""

    embedder: str
    """URI of the embedding."""
    names: tuple[str, ...]
    """Names of the dimensions."""
    mean: np.ndarray
    """Mean of the training documents' features, shape (features,)."""
    scale: np.ndarray
    """Their standard deviation, shape (features,)."""
    weights: np.ndarray
    """Weights of the standardised features, shape (features, dimensions)."""
    bias: np.ndarray
    """Intercepts, shape (dimensions,)."""
    levels: tuple[tuple[np.ndarray, np.ndarray], ...]
    """Calibration of each dimension: increasing raw scores, and the calibrated scores for them."""


def features(texts: Sequence[str], embedder: embed.Embed, batch_size: int = 256) -> np.ndarray:
    """Returns the features of texts: embedding and surface features, float32, shape (texts, features).

    Args:
        texts: the documents' texts.
        embedder: embedding function, see `embed.load`.
        batch_size: texts per call.
    """
    blocks = [texts[start : start + batch_size] for start in range(0, len(texts), batch_size)] or [texts]
    return np.concatenate([np.hstack([embedder(block), surface(block)]) for block in blocks])


def surface(texts: Sequence[str]) -> np.ndarray:
    """Returns surface features that an embedding of norm 1 does not contain: float32, shape (texts, 12).

    They are the logarithms of the length and of the mean line length; the shares of capitals, digits, spaces, line ends, signs,
    control characters and non-ASCII bytes; the share of distinct lines; the compression ratio; the logarithm of the mean word
    length.
    """
    return np.array([_surface(text) for text in texts], np.float32).reshape(-1, 12)


def _surface(text: str) -> list[float]:
    head = text[:MAX_CHARACTERS].encode("utf-8", "replace")
    size = max(len(head), 1)
    kinds = np.bincount(_KINDS[np.frombuffer(head, np.uint8)], minlength=8)[1:] / size
    lines = [line for line in head.split(b"\n") if line.strip()]
    packed = len(zlib.compress(head, 1)) / (size + 20)
    once = len(set(lines)) / max(len(lines), 1)
    line, word = size / max(len(lines), 1), size / max(len(head.split()), 1)
    return [np.log1p(len(text)), np.log1p(line), *kinds, once, packed, np.log1p(word)]


def _kinds() -> np.ndarray:
    """Returns the class of each byte: 0 lower case, 1 capital, 2 digit, 3 space, 4 line end, 5 sign, 6 control, 7 non-ASCII."""
    kinds = np.full(256, 7, np.uint8)
    kinds[:128] = 5
    kinds[:32] = 6
    for kind, characters in enumerate(
        (b"abcdefghijklmnopqrstuvwxyz", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"0123456789", b" \t", b"\n")
    ):
        kinds[list(characters)] = kind
    return kinds


_KINDS = _kinds()


def fit(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fits ridge regressions of labels on features.

    Args:
        features: shape (documents, features).
        labels: shape (documents, dimensions).

    Returns:
        Mean, scale, weights and bias, as in `Tagger`. A dimension whose labels are all equal has weights of 0.
    """
    from sklearn.linear_model import RidgeCV

    labels = labels.astype(np.float64)
    mean, scale = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    scale[scale < 1e-9] = 1.0
    head = RidgeCV(ALPHAS, alpha_per_target=True).fit((features - mean) / scale, labels)
    weights = np.where(np.ptp(labels, axis=0) > 0, np.atleast_2d(head.coef_).T, 0.0)
    return mean, scale, weights, np.atleast_1d(head.intercept_)


def train(
    embedder: str,
    names: Sequence[str],
    train_features: np.ndarray,
    train_labels: np.ndarray,
    calibration_features: np.ndarray,
    calibration_labels: np.ndarray,
) -> Tagger:
    """Trains and calibrates a tagger.

    Args:
        embedder: URI of the embedding model that made the features.
        names: names of the dimensions.
        train_features: features of the training documents, shape (documents, features).
        train_labels: their labels, 0 to 9, shape (documents, dimensions).
        calibration_features: features of other documents for the calibration.
        calibration_labels: their labels.
    """
    tagger = Tagger(embedder, tuple(names), *fit(train_features, train_labels), levels=())
    scores = raw_scores(tagger, calibration_features)
    levels = tuple(_levels(scores[:, column], calibration_labels[:, column]) for column in range(len(names)))
    return Tagger(embedder, tagger.names, tagger.mean, tagger.scale, tagger.weights, tagger.bias, levels)


def _levels(raw: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the steps of an isotonic regression: the mean raw score and the height of each."""
    from sklearn.isotonic import IsotonicRegression

    stepped = IsotonicRegression().fit_transform(raw.astype(np.float64), labels.astype(np.float64))
    heights, step = np.unique(np.round(stepped, 9), return_inverse=True)
    return np.bincount(step, raw) / np.bincount(step), heights


def raw_scores(tagger: Tagger, features: np.ndarray) -> np.ndarray:
    """Returns the scores before calibration, shape (documents, dimensions)."""
    return ((features - tagger.mean) / tagger.scale) @ tagger.weights + tagger.bias


def calibrate(tagger: Tagger, raw: np.ndarray) -> np.ndarray:
    """Returns raw scores on the annotator's scale: float32, 0 to 9, shape (documents, dimensions)."""
    columns = [np.interp(raw[:, column], *levels) for column, levels in enumerate(tagger.levels)]
    return np.round(np.clip(np.stack(columns, axis=1), 0, 9), DECIMALS).astype(np.float32)


def score(tagger: Tagger, texts: Sequence[str], batch_size: int = 256) -> np.ndarray:
    """Returns the scores of texts: float32, 0 to 9, shape (texts, dimensions). They do not depend on the batch size.

    Args:
        tagger: see `train`.
        texts: the documents' texts.
        batch_size: texts per call of the embedding function.
    """
    return calibrate(tagger, raw_scores(tagger, features(texts, embedding(tagger.embedder), batch_size)))


@functools.lru_cache(maxsize=2)
def embedding(uri: str) -> embed.Embed:
    """Returns an embedding function, loaded once per process."""
    return embed.load(uri)


def save(tagger: Tagger, folder: Path) -> None:
    """Writes `tagger.json` and `weights.safetensors` into a folder, atomically."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    arrays = {name: getattr(tagger, name) for name in ("mean", "scale", "weights", "bias")}
    levels = {
        f"{part}_{number}": array for number, pair in enumerate(tagger.levels) for part, array in zip("xy", pair, strict=True)
    }
    save_file({name: np.ascontiguousarray(array) for name, array in (arrays | levels).items()}, partial / "weights.safetensors")
    about = {"format": FORMAT, "embedder": tagger.embedder, "dimensions": tagger.names}
    (partial / "tagger.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)


def load(folder: str | Path) -> Tagger:
    """Returns a saved tagger.

    Raises:
        UserError: the folder contains no tagger, or one of another format.
    """
    folder = Path(folder)
    if not (folder / "tagger.json").is_file():
        raise UserError(f"{folder} contains no tagger: use the folder `tagger` of a tag stage")
    remedy = "remove the folder and run its tag stage again"
    about = disk.read_object(folder / "tagger.json", remedy)
    if about.get("format") != FORMAT:
        raise UserError(f"{folder}: expected tagger format {FORMAT}, got {about.get('format')}; run its tag stage again")
    with disk.reading(folder, remedy):
        names = tuple(about["dimensions"])
        arrays = load_file(folder / "weights.safetensors")
        levels = tuple((arrays[f"x_{number}"], arrays[f"y_{number}"]) for number in range(len(names)))
        mean, scale, weights, bias = (arrays[name] for name in ("mean", "scale", "weights", "bias"))
        return Tagger(about["embedder"], names, mean, scale, weights, bias, levels)
