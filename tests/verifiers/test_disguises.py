import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.verifiers.disguises import folded, plain, visible


@pytest.mark.parametrize(
    "text",
    ["se\u200bcret", "se\u00adcret", "\ufeffsecret", "sec\u2060ret", "se\u3164cret", "se\u2800cret", "s\u202eecret",
     "sec\U000e0041ret", "se\u034fcret", "secre\ufe0ft", "se\u200dcret", "se\ufe0f\u200dcret", "se\u061c\u200dcret",
     "se\u2800\u200ccret", "se\x00cret", "se\x1bcret"],
)  # fmt: skip
def test_invisible_characters_are_removed(text: str) -> None:
    assert visible(text) == "secret"


@pytest.mark.parametrize(
    "text",
    ["می‌خواهم", "क्‍ष", "👨‍👩‍👧", "❤\u200d🔥", "naïve café", "zwei\nZeilen\tund mehr", "한국어 텍스트", "日本語、テスト。"],
)
def test_joiners_are_kept_in_scripts_that_need_them(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    "text", ["sесret", "ѕесrеt", "ｓｅｃｒｅｔ", "𝘀𝗲𝗰𝗿𝗲𝘁", "ⓢⓔⓒⓡⓔⓣ", "s\u0336ecr\u0332et", "sεcret".replace("ε", "е")]
)
def test_a_disguised_word_is_read_in_the_letters_that_it_looks_like(text: str) -> None:
    assert plain(f"the {text} is out") == "the secret is out"


def test_a_word_of_only_look_alikes_is_read_by_the_surrounding_script() -> None:
    assert plain("a cup of сосоа") == "a cup of cocoa"  # Cyrillic letters, all five
    assert plain("Она сосоа в оперу") == "Она сосоа в оперу"
    assert plain("это cлово") == "это слово"  # a Latin c


@pytest.mark.parametrize(
    "text", ["Это обычный текст", "Το κείμενο είναι ελληνικό", "the angle α and β-carotene", "Москва is big"]
)
def test_text_in_other_scripts_is_unchanged(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize("text", ["🄰🄱", "🅐🅑", "🅰🅱", "ＡＢ", "Ⓐ𝐁"])
def test_wide_ornamented_and_enclosed_letters_are_read_as_plain_ones(text: str) -> None:
    assert plain(text) == folded(text) == "AB"


@given(st.text(max_size=200))
def test_folding_keeps_positions(text: str) -> None:
    assert len(folded(text)) == len(text)
    assert visible(visible(text)) == visible(text)
