"""The order in which a GRPO stage plays its problems."""

from hypothesis import given
from hypothesis import strategies as st

from tenfold.pipelines.rl.stage import in_order
from tenfold.pipelines.rl.verl_config import GRPO


def order(problems: int, batch: int, steps: int, seed: int) -> list[int]:
    given = {"kind": "grpo", "name": "g", "environment": "e", "steps": steps, "batch_size": batch}
    rows = [{"index": index} for index in range(problems)]
    return [row["index"] for row in in_order(rows, GRPO.model_validate(given), seed)]


@given(st.integers(1, 6), st.integers(0, 9), st.integers(1, 12), st.integers(0, 3))
def test_no_step_plays_a_problem_twice_and_a_longer_run_begins_like_a_shorter_one(
    batch: int, more: int, steps: int, seed: int
) -> None:
    played = order(batch + more, batch, steps, seed)
    assert len(played) >= steps * batch
    for step in range(steps):
        assert len(set(played[step * batch : (step + 1) * batch])) == batch
    longer = order(batch + more, batch, steps + 5, seed)
    assert longer[: len(played)] == played


def test_every_pass_plays_all_problems_in_an_order_of_its_own() -> None:
    played = order(40, 8, 10, seed=1)
    first, second = played[:40], played[40:80]
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second
    assert order(40, 8, 10, seed=2)[:40] != first
