from hypothesis import given
from hypothesis import strategies as st
from tenfold.core import draw_seed


@given(st.integers(), st.text(), st.integers(min_value=0))
def test_a_draws_seed_is_its_own_and_exact_in_json(base: int, key: str, sample: int) -> None:
    seed = draw_seed(base, key, sample)
    assert seed == draw_seed(base, key, sample)
    assert 0 <= seed < 2**53
    assert (
        len({seed, draw_seed(base, key, sample + 1), draw_seed(base + 1, key, sample), draw_seed(base, key + "x", sample)}) == 4
    )
