"""Speed and time left of a stage."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.pipelines.recipe.progress.pace import LastValues, Pace, duration


def test_the_speed_is_that_of_this_process() -> None:
    pace = Pace()
    pace.add(500, 1000, at=0.0)  # done by an earlier process
    assert (pace.speed, pace.seconds_left, str(pace)) == (None, None, "")
    pace.add(510, 1000, at=5.0)
    assert (pace.speed, pace.seconds_left, str(pace)) == (2.0, 245.0, "2/s, 4m05s left")


def test_slow_work_has_seconds_each() -> None:
    pace = Pace()
    for step in range(3):
        pace.add(step, 4, at=90.0 * step)
    assert str(pace) == "90 s each, 3m00s left"


def test_another_part_of_the_work_begins_anew() -> None:
    pace = Pace()
    pace.add(0, 10, at=0.0)
    pace.add(10, 10, at=1.0)
    pace.add(0, 2000, at=2.0)
    assert pace.speed is None


@given(steps=st.lists(st.tuples(st.integers(1, 5), st.floats(0.01, 1000)), min_size=2, max_size=100))
def test_the_speed_lies_between_the_slowest_and_the_fastest(steps: list[tuple[int, float]]) -> None:
    pace, at, done = Pace(), 0.0, 0
    pace.add(done, 10_000, at=at)
    for work, seconds in steps:
        at, done = at + seconds, done + work
        pace.add(done, 10_000, at=at)
    speeds = [work / seconds for work, seconds in steps]
    assert pace.speed is not None
    assert min(speeds) * 0.999 <= pace.speed <= max(speeds) * 1.001
    assert pace.seconds_left == pytest.approx((10_000 - done) / pace.speed)


def test_only_the_last_minute_or_the_last_changes_count() -> None:
    pace = Pace()
    for step in range(1000):
        pace.add(step, 10_000, at=step * 0.1)
    for step in range(1000, 1020):
        pace.add(step, 10_000, at=100 + (step - 999) * 100.0)
    assert pace.speed == pytest.approx(1 / 100)


def test_values_of_an_earlier_part_of_a_stage_do_not_count() -> None:
    last = LastValues()
    assert last.after(0, 100, {"tokenized": "8 of 9"}) == {"tokenized": "8 of 9"}
    assert last.after(1, 100, {}) == {}
    assert last.after(2, 100, {"loss": 2.5}) == {"loss": 2.5}
    assert last.after(3, 100, {"waiting": "for a server"}) == {"loss": 2.5, "waiting": "for a server"}
    assert last.after(4, 100, {"waiting": None}) == {"loss": 2.5}
    assert last.after(5, 200, {}) == {}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (59.7, "1m00s"), (200, "3m20s"), (3599.6, "1h00m"), (7500, "2h05m"), (270_000, "3d03h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
