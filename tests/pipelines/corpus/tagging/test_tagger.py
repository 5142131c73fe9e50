from pathlib import Path

import numpy as np
import pytest

from tenfold.core import UserError
from tenfold.pipelines.corpus.tagging import predictability, tagger
from tenfold.pipelines.corpus.tagging.dimensions import POSITIVE, Dimension

RNG = np.random.default_rng(0)
WORDS = "sum proof prime even odd number line point circle angle".split()
TEXTS = [" ".join(RNG.choice(WORDS, size=RNG.integers(10, 60))) for _ in range(300)]
LABELS = np.array(
    [[min(9, text.count("proof")), min(9, len(text) // 40), 7] for text in TEXTS]
)  # the count of a word, the length, and a constant
NAMES = ("proofs", "length", "safety")


@pytest.fixture(scope="module")
def trained() -> tagger.Tagger:
    features = tagger.features(TEXTS, tagger.embedding("hash:"))
    return tagger.train("hash:", NAMES, features[:150], LABELS[:150], features[150:200], LABELS[150:200])


def test_scores_correlate_with_the_labels_of_new_texts(trained: tagger.Tagger) -> None:
    scores = tagger.score(trained, TEXTS[200:])
    assert scores.shape == (100, 3)
    assert predictability.rank_correlation(scores[:, 0], LABELS[200:, 0]) > 0.7  # type: ignore[operator]
    assert predictability.rank_correlation(scores[:, 1], LABELS[200:, 1]) > 0.9  # type: ignore[operator]
    assert (scores[:, 2] == 7).all()


def test_scores_are_on_the_scale_of_the_labels(trained: tagger.Tagger) -> None:
    scores = tagger.score(trained, [*TEXTS[200:], "", "proof " * 5_000, "\x00" * 50])
    assert scores.min() >= 0
    assert scores.max() <= 9
    assert np.abs(scores[:100] - LABELS[200:]).mean() < 1


def test_a_saved_tagger_has_equal_scores_for_any_batch_size(trained: tagger.Tagger, tmp_path: Path) -> None:
    tagger.save(trained, tmp_path / "tagger")
    again = tagger.load(tmp_path / "tagger")
    assert again.names == NAMES
    assert (tagger.score(again, TEXTS, batch_size=7) == tagger.score(trained, TEXTS)).all()


def test_an_empty_list_of_texts_has_no_scores(trained: tagger.Tagger) -> None:
    assert tagger.score(trained, []).shape == (0, 3)


def test_a_folder_without_a_tagger_raises_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="contains no tagger"):
        tagger.load(tmp_path)
    (tmp_path / "tagger.json").write_text('{"format": 0}')
    with pytest.raises(UserError, match="expected tagger format 1, got 0"):
        tagger.load(tmp_path)


def test_calibration_is_monotonic(trained: tagger.Tagger) -> None:
    raw = np.repeat(np.linspace(-5, 15, 200)[:, None], 3, axis=1)
    assert (np.diff(tagger.calibrate(trained, raw), axis=0) >= 0).all()


def dimension(name: str, kind: str) -> Dimension:
    return Dimension.model_validate({"name": name, "kind": kind, "asks": "", "rubric": {}})


def test_the_report_distinguishes_predictable_dimensions() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 10, (400, 4))
    labels[:, 3] = 5
    scores = labels.astype(float)
    scores[:, 1] = 10 * rng.random(400)
    kinds = [
        dimension("seen", "content"),
        dimension("missed", "content"),
        dimension("half", "format"),
        dimension("same", "format"),
    ]
    scores[:, 2] += rng.normal(0, 3, 400)
    found = predictability.report(kinds, labels, labels, scores, scores, (scores >= 5) * 1.0)
    seen, missed, half, same = found["dimensions"]
    assert seen["rank_correlation"] == pytest.approx(1)
    assert seen["area_under_curve"] == 1
    assert seen["calibration_error"] == pytest.approx(0, abs=0.01)
    assert abs(missed["rank_correlation"]) < 0.15
    assert 0.6 < half["rank_correlation"] < 0.85
    assert same["constant"]
    assert same["rank_correlation"] is None
    assert found["rank_correlation"]["format"] == half["rank_correlation"]
    assert found["thresholded"]["dimensions"] == 3
    assert 0 < found["thresholded"]["low"] < found["thresholded"]["difference"] < found["thresholded"]["high"]
    page = predictability.page(found | {"annotator": "rules:", "labels_by_rules": True, "embedder": "hash:"} | COUNTS)
    assert "not defined" in page
    assert "rules instead of a model" in page


def test_a_dimension_with_low_labels_only_has_no_thresholded_values() -> None:
    labels = np.random.default_rng(1).integers(0, POSITIVE, (100, 1))
    (low,) = predictability.report([dimension("low", "content")], labels, labels, labels, labels, labels)["dimensions"]
    assert not low["constant"]
    assert low["rank_correlation"] == pytest.approx(1)
    assert low["area_under_curve"] is low["thresholded_rank_correlation"] is None


COUNTS = {"labelled": 800, "unlabelled": 0, "held_out": 400}


def test_the_report_names_the_most_similar_dimension() -> None:
    labels = np.random.default_rng(1).integers(0, 10, (100, 3))
    labels[:, 2] = 9 - labels[:, 0]
    kinds = [dimension(name, "content") for name in ("one", "two", "three")]
    found = predictability.report(kinds, labels, labels, labels, labels, labels)
    assert found["dimensions"][0]["nearest"] == {"name": "three", "rank_correlation": pytest.approx(-1)}


def test_area_under_the_curve_is_the_share_of_ordered_pairs() -> None:
    good = np.array([False, False, True, True])
    assert predictability.area_under_curve(np.array([1.0, 3.0, 2.0, 4.0]), good) == 0.75
    assert predictability.area_under_curve(np.array([1.0, 1.0, 1.0, 1.0]), good) == 0.5
    assert predictability.area_under_curve(np.arange(4.0), good | True) is None


def test_shifted_scores_have_a_calibration_error() -> None:
    labels = np.repeat(np.arange(10), 20)
    assert predictability.calibration_error(labels + 2.0, labels) == pytest.approx(2)
