import random
from collections.abc import Sequence

import pytest

from tenfold.envs.problems.pairs import PreferencePair
from tenfold.pipelines.reward import accuracy
from tenfold.verifiers.pairwise import ResponsePair


def pair(chosen: str, rejected: str, group: str = "q") -> PreferencePair:
    return PreferencePair(({"role": "user", "content": group},), chosen, rejected, group)


def compared(*chances: float | tuple[float, float], **texts: str) -> list[accuracy.Compared]:
    both = [chance if isinstance(chance, tuple) else (chance, chance) for chance in chances]
    return [
        accuracy.Compared(pair(texts.get("chosen", "a"), texts.get("rejected", "b"), str(n)), *two)
        for n, two in enumerate(both)
    ]


def test_pairs_are_asked_in_both_orders() -> None:
    def judge(questions: Sequence[ResponsePair]) -> list[float]:
        return [{"good": 0.9, "bad": 0.3}[first] for _, first, _ in questions]

    (one,) = accuracy.compare(judge, [pair("good", "bad")])
    assert (one.first, one.second, one.chance) == pytest.approx((0.9, 0.7, 0.8))


def test_accuracy_counts_by_question() -> None:
    pairs = [pair("a", "b", "one"), pair("a", "c", "one"), pair("a", "d", "one"), pair("a", "b", "two")]
    score = accuracy.accuracy(pairs, [1, 1, 1, -1])
    assert (score.mean, score.problems) == (0.5, 2)
    assert accuracy.accuracy(pairs, [0, 0, 0, 0]).mean == 0.5


def test_agreement_and_place() -> None:
    judged = compared((0.9, 0.8), (0.9, 0.2), (0.1, 0.3), (0.9, 0.4))
    assert accuracy.agreement(judged) == 0.5
    assert accuracy.first_shown(compared((0.9, 0.1))) == pytest.approx(0.9)
    assert accuracy.first_shown(compared((0.7, 0.7))) == 0.5


def test_calibration_is_perfect_where_what_is_said_comes_true_that_often() -> None:
    error, bins = accuracy.calibration(compared(*[0.75] * 3, 0.25))
    assert error == pytest.approx(0)
    assert [(one.chance, one.right, one.count) for one in bins] == [(0.25, 0.25, 4), (0.75, 0.75, 4)]
    assert accuracy.calibration(compared(1.0, 0.0))[0] == pytest.approx(0.5)
    assert accuracy.calibration(compared(0.9, 0.9))[0] == pytest.approx(0.1)


def test_length_bias() -> None:
    judged = compared(0.9, 0.8, chosen="long answer", rejected="short") + compared(
        0.2, 0.7, chosen="short", rejected="long answer"
    )
    bias = accuracy.length_bias(judged)
    assert bias.longer is not None
    assert bias.shorter is not None
    assert (bias.longer.mean, bias.shorter.mean) == (1, 0.5)
    assert 0 < bias.correlation < 1
    assert accuracy.length_bias(compared(0.9, chosen="long answer", rejected="short")).shorter is None
    sees_length = compared(0.9, chosen="long answer", rejected="short") + compared(0.1, chosen="short", rejected="long answer")
    assert accuracy.length_bias(sees_length).correlation == pytest.approx(1)


def test_baselines_find_what_they_look_at_and_nothing_else() -> None:
    draw = random.Random(0)

    def some(words: str) -> str:
        return " ".join(draw.choices(words.split(), k=8)) + f" {draw.randint(1, 99)}"

    polite = [pair(some("thanks please dear so it is"), some("meh whatever so it is"), str(n)) for n in range(200)]
    alike = [pair(some("so it is"), some("so it is"), str(n)) for n in range(400)]
    assert accuracy.accuracy(polite[100:], accuracy.bag_of_words(polite[:100])(polite[100:])).mean > 0.95
    assert accuracy.accuracy(alike[200:], accuracy.bag_of_words(alike[:200])(alike[200:])).mean == pytest.approx(0.5, abs=0.12)
    assert accuracy.always_longer([pair("longer", "short"), pair("a", "longer")]) == [1, -5]
