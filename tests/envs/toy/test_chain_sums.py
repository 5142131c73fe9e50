"""Solutions of chain sums."""

import pytest

from tenfold.core import UserError
from tenfold.envs.toy.chain_sums import chain_sums_with_solutions


def test_a_share_of_the_solutions_repeats_the_sum() -> None:
    plain = list(chain_sums_with_solutions(size=200, seed=1))
    some = list(chain_sums_with_solutions(size=200, seed=1, echoed=0.2))
    assert [problem.prompt for problem in plain] == [problem.prompt for problem in some]
    changed = [new for old, new in zip(plain, some, strict=True) if old.meta["solution"] != new.meta["solution"]]
    assert 20 <= len(changed) <= 60
    assert all(f": {problem.meta['solution']} =" in problem.prompt[0]["content"] for problem in changed)


def test_a_share_above_1_is_an_error() -> None:
    with pytest.raises(UserError, match="echoed: expected a number from 0 to 1, got 2"):
        list(chain_sums_with_solutions(echoed=2))
