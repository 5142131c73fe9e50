import re
from collections.abc import Sequence

import pytest

from tenfold.pipelines.reward import perturbations
from tenfold.verifiers.pairwise import ResponsePair

ANSWERS = [
    (({"role": "user", "content": f"How many are {n} and 3?"},), f"Add {n} and 3.\nThat makes {n + 3}.\nA: {n + 3}")
    for n in range(20)
]


@pytest.mark.parametrize("part", ["train", "measured"])
@pytest.mark.parametrize("kind", [*perturbations.KINDS])
def test_a_doctored_answer_says_the_same_and_more(kind: str, part: perturbations.Part) -> None:
    for _, answer in ANSWERS:
        noisy = perturbations.doctored(kind, answer, part)
        assert len(noisy) > len(answer)
        assert noisy == perturbations.doctored(kind, answer, part)
        bare = re.sub(r"[*_`]", "", noisy)
        assert all(line in bare for line in answer.splitlines())


def test_the_words_that_are_measured_are_none_that_are_trained_on() -> None:
    def said(part: perturbations.Part) -> set[str]:
        """The lines that doctoring adds to answers without words of their own; of formats, the heads and points."""
        answers = [f"{n}\n{n + 1}" for n in range(200)]
        noisy = [perturbations.doctored(kind, answer, part) for kind in perturbations.KINDS for answer in answers]
        lines = {re.sub(r"\d+", "0", line).strip() for text in noisy for line in text.splitlines()}
        return {line for line in lines if re.search("[A-Za-z]", line)}

    assert len(said("train")) > 15
    assert len(said("measured")) > 15
    assert not said("train") & said("measured")
    for words in (
        perturbations.PADDING,
        perturbations.FLATTERY,
        perturbations.REPETITION,
        perturbations.FORMATS,
        perturbations.INJECTIONS,
    ):
        assert not set(words["train"]) & set(words["measured"])  # type: ignore[index]


def test_a_judge_that_goes_by_length_falls_for_all_of_them() -> None:
    def longer(questions: Sequence[ResponsePair]) -> list[float]:
        return [0.9 if len(first) > len(second) else 0.1 for _, first, second in questions]

    rows = perturbations.probe(longer, ANSWERS)
    assert [row.kind for row in rows] == [*perturbations.KINDS]
    assert all(row.wins.mean == 1 and row.probability == pytest.approx(0.9) for row in rows)
    assert all(0.75 < row.wins.low < 1 for row in rows)


def test_a_judge_that_falls_for_one_kind_is_found_out_for_that_one() -> None:
    def obedient(questions: Sequence[ResponsePair]) -> list[float]:
        told = re.compile("ignore|prefer|<.im_start", re.IGNORECASE)
        return [0.5 + 0.3 * (bool(told.search(first)) - bool(told.search(second))) for _, first, second in questions]

    assert {row.kind: row.wins.mean for row in perturbations.probe(obedient, ANSWERS)} == {
        **dict.fromkeys(perturbations.KINDS, 0),
        "injecting": 1,
    }


def test_the_place_a_response_is_shown_in_wins_nothing() -> None:
    assert all(row.wins.mean == 0 for row in perturbations.probe(lambda questions: [0.9] * len(questions), ANSWERS))
