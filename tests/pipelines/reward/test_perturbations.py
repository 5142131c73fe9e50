import math
import re
from collections.abc import Sequence

import pytest

from tenfold.pipelines.reward import perturbations
from tenfold.verifiers.pairwise import ResponsePair

RESPONSES = [
    (({"role": "user", "content": f"How many are {n} and 3?"},), f"Add {n} and 3.\nThat makes {n + 3}.\nA: {n + 3}")
    for n in range(20)
]


@pytest.mark.parametrize("part", ["train", "measured"])
@pytest.mark.parametrize("kind", [*perturbations.KINDS])
def test_a_perturbed_response_contains_the_original_and_more(kind: str, part: perturbations.Part) -> None:
    for _, response in RESPONSES:
        noisy = perturbations.perturbed(kind, response, part)
        assert len(noisy) > len(response)
        assert noisy == perturbations.perturbed(kind, response, part)
        bare = re.sub(r"[*_`]", "", noisy)
        assert all(line in bare for line in response.splitlines())


def test_the_texts_for_measurement_differ_from_those_for_training() -> None:
    def added(part: perturbations.Part) -> set[str]:
        """Returns the lines that perturbations add to responses without words."""
        responses = [f"{n}\n{n + 1}" for n in range(200)]
        noisy = [perturbations.perturbed(kind, response, part) for kind in perturbations.KINDS for response in responses]
        lines = {re.sub(r"\d+", "0", line).strip() for text in noisy for line in text.splitlines()}
        return {line for line in lines if re.search("[A-Za-z]", line)}

    assert len(added("train")) > 15
    assert len(added("measured")) > 15
    assert not added("train") & added("measured")
    for texts in (
        perturbations.PADDING,
        perturbations.FLATTERY,
        perturbations.REPETITION,
        perturbations.FORMATS,
        perturbations.INJECTIONS,
    ):
        assert not set(texts["train"]) & set(texts["measured"])  # type: ignore[index]


def test_a_judge_of_length_prefers_every_kind_of_perturbation() -> None:
    def longer(questions: Sequence[ResponsePair]) -> list[float]:
        return [0.9 if len(first) > len(second) else 0.1 for _, first, second in questions]

    rows = perturbations.win_rates(longer, RESPONSES)
    assert [row.kind for row in rows] == [*perturbations.KINDS]
    assert all(row.wins.mean == 1 and row.probability == pytest.approx(0.9) for row in rows)
    assert all(0.75 < row.wins.low < 1 for row in rows)


def test_a_judge_that_follows_injections_shows_it_for_that_kind_alone() -> None:
    def obedient(questions: Sequence[ResponsePair]) -> list[float]:
        command = re.compile("ignore|prefer|<.im_start", re.IGNORECASE)
        return [0.5 + 0.3 * (bool(command.search(first)) - bool(command.search(second))) for _, first, second in questions]

    assert {row.kind: row.wins.mean for row in perturbations.win_rates(obedient, RESPONSES)} == {
        **dict.fromkeys(perturbations.KINDS, 0),
        "injecting": 1,
    }


def test_responses_without_all_answers_are_left_out() -> None:
    def refuses(questions: Sequence[ResponsePair]) -> list[float]:
        return [
            math.nan if "How many are 3 and" in str(prompt) else 0.5 + 0.4 * (len(a) > len(b)) for prompt, a, b in questions
        ]

    rows = perturbations.win_rates(refuses, RESPONSES)
    assert [row.wins.problems for row in rows] == [len(RESPONSES) - 1] * len(perturbations.KINDS)
    assert all(row.wins.mean == 1 and row.probability == pytest.approx(0.7) for row in rows)
    assert perturbations.win_rates(lambda questions: [math.nan] * len(questions), RESPONSES) == []


def test_a_judge_of_position_alone_prefers_no_perturbation() -> None:
    assert all(row.wins.mean == 0 for row in perturbations.win_rates(lambda questions: [0.9] * len(questions), RESPONSES))
