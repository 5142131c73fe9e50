import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenfold.core import Completion, draw_seed


@given(st.integers(), st.text(), st.integers(min_value=0))
def test_a_draws_seed_is_its_own_and_exact_in_json(base: int, key: str, sample: int) -> None:
    seed = draw_seed(base, key, sample)
    assert seed == draw_seed(base, key, sample)
    assert 0 <= seed < 2**53
    assert (
        len({seed, draw_seed(base, key, sample + 1), draw_seed(base + 1, key, sample), draw_seed(base, key + "x", sample)}) == 4
    )


@pytest.mark.parametrize(
    ("text", "judged"),
    [
        ("So the answer is 1", ""),
        ("We add them. So the answer is 1", "We add them."),
        ("The answer is 10.5", ""),
        ("4 + 5 = 9\nSo it is 9\nor per", "4 + 5 = 9\nSo it is 9\n"),
        ("#### 1", ""),
        ("Two points.\n1. It is 5.\n2. Now we", "Two points.\n1. It is 5.\n"),
        ("So it is: 1. 2. 3. 4", "So it is: 1."),
        (r"It is \boxed{12}. And as to why, that is 1", r"It is \boxed{12}. And as to why, that is 1"),
        (r"I put it in \boxed{}. It is 1", r"I put it in \boxed{}."),
    ],
)
def test_of_a_text_that_was_cut_whole_sentences_are_judged(text: str, judged: str) -> None:
    assert Completion(text, "length").judged == judged
    assert Completion(text, "stop").judged == text


@given(st.text(alphabet="ab1.!? \n\\{}", max_size=40), st.integers(0, 40))
def test_what_is_judged_of_a_cut_text_is_its_beginning(text: str, at: int) -> None:
    judged = Completion(text[:at], "length").judged
    assert text.startswith(judged)
