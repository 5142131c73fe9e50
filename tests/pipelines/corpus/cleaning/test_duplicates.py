import itertools
import random
from pathlib import Path

import numpy
import pyarrow
import pytest

from tenfold.pipelines.corpus import shards
from tenfold.pipelines.corpus.cleaning import duplicates, ngrams

WORDS = [f"word{number}" for number in range(5_000)]


def text(seed: object, length: int = 300) -> str:
    draw = random.Random(str(seed))
    return " ".join(draw.choice(WORDS) for _ in range(length))


def changed(original: str, places: int) -> str:
    words = original.split()
    for place in range(places):
        words[(place + 1) * len(words) // (places + 2)] = f"other{place}"
    return " ".join(words)


def kept(texts: list[str], folder: Path, threshold: float = 0.8, sizes: int = 7, problems: bool = False) -> list[int]:
    """Returns for each text the number of the text that is kept in its place."""
    folder.mkdir(exist_ok=True)
    paths = []
    for start in range(0, len(texts), sizes):
        words = [ngrams.words(one) for one in texts[start : start + sizes]]
        signatures = [duplicates.signature(ngrams.word_hashes(one)) for one in words]
        owns = [duplicates.number_hash(one) if problems else 0 for one in words]
        paths.append(folder / f"{start:04}.parquet")
        shards.write(paths[-1], pyarrow.table(duplicates.signature_columns(signatures, owns, threshold)))
    return duplicates.near_duplicates(paths, numpy.arange(len(texts)), threshold)[0].tolist()


def test_texts_with_few_changed_words_are_near_duplicates(tmp_path: Path) -> None:
    texts = [text(1), text(2), changed(text(1), 3), changed(text(2), 60), text(3)]
    assert duplicates.jaccard(texts[0], texts[2]) > 0.85 > 0.3 > duplicates.jaccard(texts[1], texts[3])
    assert kept(texts, tmp_path) == [0, 1, 0, 3, 4]


def test_near_duplicates_do_not_depend_on_the_shards(tmp_path: Path) -> None:
    texts = [changed(text(seed // 3), seed % 3) for seed in range(60)]
    assert (
        kept(texts, tmp_path / "a", sizes=60) == kept(texts, tmp_path / "b", sizes=7) == [seed // 3 * 3 for seed in range(60)]
    )


def test_at_a_threshold_of_one_only_texts_with_the_same_runs_are_near_duplicates(tmp_path: Path) -> None:
    texts = [text(1), changed(text(1), 1), text(1).upper(), text(2)]
    assert kept(texts, tmp_path, threshold=1.0) == [0, 1, 0, 3]


def test_estimated_similarity_is_close_to_the_exact_one() -> None:
    for places in (0, 2, 5, 10, 20):
        one, other = text("estimate", 1_000), changed(text("estimate", 1_000), places)
        left, right = (duplicates.signature(ngrams.word_hashes(ngrams.words(each))) for each in (one, other))
        assert (left == right).mean() == pytest.approx(duplicates.jaccard(one, other), abs=0.12)


def test_short_documents_and_problems_of_one_template_are_kept_apart(tmp_path: Path) -> None:
    short = [f"{first} {second}" for first in ("yes", "no", "perhaps") for second in ("sir", "madam", "so")]
    assert kept(short, tmp_path) == list(range(9))
    template = (
        "Solve the following exercise and explain each of your steps in full sentences, so that a pupil of ten years can "
    )
    template += "follow them without help. Check the result at the end by putting it into the first line again, and say so."
    sums = [f"{template} {first} {sign} {second} =" for first in range(4) for second in range(4) for sign in "+-"]
    assert duplicates.jaccard(sums[0], sums[-1]) > 0.8
    assert kept(sums, tmp_path, problems=True) == list(range(32))
    assert len(set(kept(sums, tmp_path))) < 4  # as prose they are near duplicates
    again = [sums[3].replace("Solve", "Do please solve"), *sums]
    assert kept(again, tmp_path, problems=True)[4] == 0


def test_a_removed_text_is_similar_to_the_kept_one(tmp_path: Path) -> None:
    """Uses a chain in which each text is similar to the next one, but the ends are not similar."""
    words = text("chain", 400).split()
    chain = [" ".join(words[12 * step : 12 * step + 200]) for step in range(16)]
    places = kept(chain, tmp_path)
    assert 1 < len(set(places)) < 16
    assert all(duplicates.jaccard(chain[one], chain[other]) > 0.7 for one, other in enumerate(places))
    assert all(places[place] == place for place in places)
    stays = sorted(set(places))
    assert all(other - one > 1 for one, other in itertools.pairwise(stays))  # because neighbours are similar


def test_pairs_above_the_threshold_are_found_at_the_rate_of_the_bands(tmp_path: Path) -> None:
    pairs = [each for seed in range(100) for each in (text(seed), changed(text(seed), 5))]
    assert 0.84 < duplicates.jaccard(*pairs[:2]) < 0.86
    found = sum(place < row for row, place in enumerate(kept(pairs, tmp_path, sizes=50)))
    assert found >= 85  # 99% share a band; the estimate is below 0.8 for some of these


def test_exact_duplicates_differ_only_in_case_and_white_space() -> None:
    digests = [duplicates.text_hash(one) for one in ("A b\n c", "x", "a  B c", "ab c", "X ", "Stra\u00dfe", "STRASSE")]
    assert duplicates.exact_duplicates(numpy.array(digests, numpy.uint64)).tolist() == [0, 1, 0, 3, 1, 5, 5]


def test_words_and_run_hashes_follow_their_definition() -> None:
    assert ngrams.words("Sum: 3+4 = x_1!") == ["sum", "3", "+", "4", "=", "x_1"]
    assert ngrams.words("Sum: 3+4 = x_1! \u00e9t\u00e9") == ["sum", "3", "+", "4", "=", "x_1", "\u00e9t\u00e9"]
    assert ngrams.words("\u5c0f\u660e\u67095\u4e2a apples") == ["\u5c0f", "\u660e", "\u6709", "5", "\u4e2a", "apples"]
    hashed = ngrams.word_hashes("a b c d".split())
    assert ngrams.run_hashes(hashed, 3).tolist() == ngrams.combine(ngrams.windows(hashed, 3)).tolist()
    assert ngrams.run_hashes(hashed, 2)[0] != ngrams.run_hashes(hashed[[1, 0]], 2)[0]
    assert ngrams.run_hashes(hashed, 5).tolist() == []
