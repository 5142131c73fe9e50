import math
import random
from collections.abc import Sequence

import pytest

from tenfold.envs.problems.pairs import PreferencePair
from tenfold.pipelines.reward import accuracy
from tenfold.verifiers.pairwise import ResponsePair


def pair(chosen: str, rejected: str, group: str = "q") -> PreferencePair:
    return PreferencePair(({"role": "user", "content": group},), chosen, rejected, group)


def judged(*probabilities: float | tuple[float, float], **texts: str) -> list[accuracy.JudgedPair]:
    """Returns one pair per probability, or per two probabilities if the orders differ."""
    both = [value if isinstance(value, tuple) else (value, value) for value in probabilities]
    return [
        accuracy.JudgedPair(pair(texts.get("chosen", "a"), texts.get("rejected", "b"), str(n)), *two)
        for n, two in enumerate(both)
    ]


def test_pairs_are_judged_in_both_orders() -> None:
    def judge(questions: Sequence[ResponsePair]) -> list[float]:
        return [{"good": 0.9, "bad": 0.3}[first] for _, first, _ in questions]

    (row,) = accuracy.compare(judge, [pair("good", "bad")])
    assert (row.first, row.second, row.probability) == pytest.approx((0.9, 0.7, 0.8))


def test_a_pair_without_an_answer_in_both_orders_is_left_out() -> None:
    def judge(questions: Sequence[ResponsePair]) -> list[float]:
        return [math.nan if first == "refused" else 0.9 for _, first, _ in questions]

    rows = accuracy.compare(judge, [pair("good", "refused"), pair("good", "bad"), pair("refused", "bad")])
    assert [row.pair.rejected for row in rows if row.pair.chosen == "good"] == ["bad"]
    assert len(rows) == 1


def test_accuracy_is_the_mean_over_problems() -> None:
    pairs = [pair("a", "b", "one"), pair("a", "c", "one"), pair("a", "d", "one"), pair("a", "b", "two")]
    score = accuracy.accuracy(pairs, [1, 1, 1, -1])
    assert (score.mean, score.problems) == (0.5, 2)
    assert accuracy.accuracy(pairs, [0, 0, 0, 0]).mean == 0.5


def test_agreement_of_the_orders_and_position_bias() -> None:
    assert accuracy.agreement(judged((0.9, 0.8), (0.9, 0.2), (0.1, 0.3), (0.9, 0.4))) == 0.5
    assert accuracy.first_shown(judged((0.9, 0.1))) == pytest.approx(0.9)
    assert accuracy.first_shown(judged((0.7, 0.7))) == 0.5


def test_calibration_error_is_0_if_predicted_and_observed_shares_are_equal() -> None:
    error, bins = accuracy.calibration(judged(*[0.75] * 3, 0.25))
    assert error == pytest.approx(0)
    assert [(row.probability, row.correct, row.count) for row in bins] == [(0.25, 0.25, 4), (0.75, 0.75, 4)]
    assert accuracy.calibration(judged(1.0, 0.0))[0] == pytest.approx(0.5)
    assert accuracy.calibration(judged(0.9, 0.9))[0] == pytest.approx(0.1)


def test_length_bias_has_accuracies_by_length_and_a_correlation() -> None:
    long_chosen = judged(0.9, 0.8, chosen="long answer", rejected="short")
    bias = accuracy.length_bias(long_chosen + judged(0.2, 0.7, chosen="short", rejected="long answer"))
    assert bias.longer is not None
    assert bias.shorter is not None
    assert (bias.longer.mean, bias.shorter.mean) == (1, 0.5)
    assert 0 < bias.correlation < 1
    assert accuracy.length_bias(judged(0.9, chosen="long answer", rejected="short")).shorter is None
    by_length = judged(0.9, chosen="long answer", rejected="short") + judged(0.1, chosen="short", rejected="long answer")
    assert accuracy.length_bias(by_length).correlation == pytest.approx(1)


def test_baselines_detect_words_and_length_and_nothing_else() -> None:
    generator = random.Random(0)

    def text(words: str) -> str:
        return " ".join(generator.choices(words.split(), k=8)) + f" {generator.randint(1, 99)}"

    polite = [pair(text("thanks please dear so it is"), text("meh whatever so it is"), str(n)) for n in range(200)]
    alike = [pair(text("so it is"), text("so it is"), str(n)) for n in range(400)]
    assert accuracy.accuracy(polite[100:], accuracy.bag_of_words(polite[:100])(polite[100:])).mean > 0.95
    assert accuracy.accuracy(alike[200:], accuracy.bag_of_words(alike[:200])(alike[200:])).mean == pytest.approx(0.5, abs=0.12)
    assert accuracy.always_longer([pair("longer", "short"), pair("a", "longer")]) == [1, -5]
