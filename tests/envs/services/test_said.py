"""Whether a response says a text."""

import pytest

from tenfold.envs.services.said import says


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ("There are no copies.", "0"),
        ("There are three of them.", "3"),
        ("It costs 12.00 euros.", "12"),
        ("It costs _12_ euros.", "12"),
        ("12EUR", "12"),
        ("That is 1,234 euros.", "1234"),
        ("It starts at 8:30 am.", "08:30"),
        ("It starts at 2:30 p.m.", "14:30"),
        ("at 14:30", "14:30"),
        ("at 9 am", "09:00"),
        ("the parents\u2019 evening", "parents' evening"),
        ('It says "Buy paint".', "Buy paint."),
        ("BLUE   Harbour", "Blue Harbour"),
        ("**T1**", "T1"),
    ],
)
def test_other_forms_of_a_text_are_said(response: str, text: str) -> None:
    assert says(response, text)


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ("12.50", "12"),
        ("112", "12"),
        ("It starts at 8:30 pm.", "08:30"),
        ("18:30", "08:30"),
        ("another", "other"),
        ("T12", "T1"),
        ("", "0"),
        ("nobody knows", "0"),
    ],
)
def test_other_texts_are_not_said(response: str, text: str) -> None:
    assert not says(response, text)
