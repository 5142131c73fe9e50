"""Learning rate schedules: exact at every boundary."""

import itertools

import pytest

from tenfold.pipelines.pretrain.schedule import SCHEDULES, ScheduleName, Segment, learning_rate

RECIPE = [
    Segment(10, 0, 4.5e-4),
    Segment(1240, 4.5e-4, 4.5e-4),
    Segment(650, 4.5e-4, 4.5e-4),
    Segment(400, 4.5e-4, 1.5e-6, "cosine"),
]


def test_the_learning_rates_at_the_boundaries_are_exact() -> None:
    rates = [learning_rate(RECIPE, step) for step in range(2300)]
    assert rates[0] == pytest.approx(4.5e-5)
    assert rates[9] == 4.5e-4
    assert set(rates[9:1900]) == {4.5e-4}
    assert rates[-1] == 1.5e-6
    assert learning_rate(RECIPE, 5000) == 1.5e-6


@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
def test_every_schedule_decreases_from_start_to_end(schedule: ScheduleName) -> None:
    rates = [learning_rate([Segment(100, 1.0, 0.01, schedule)], step) for step in range(100)]
    assert rates[-1] == pytest.approx(0.01)
    assert all(before > after for before, after in itertools.pairwise(rates))
    assert rates[0] < 1.0
