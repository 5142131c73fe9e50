"""How fast a stage is, how long it still takes, and the last values that it reported."""

import time
from collections import deque
from collections.abc import Mapping

WINDOW = 60.0
"""Seconds of the past that count, or the time of the last `POINTS` changes if they took longer. Our choice."""
POINTS = 10


class Pace:
    """Estimates speed from the times at which work was done. Work of an earlier process does not count."""

    def __init__(self) -> None:
        """Begins without work."""
        self.points: deque[tuple[float, int]] = deque()
        """(time, work done) at each change."""
        self.total = 0

    def add(self, done: int, total: int, at: float | None = None) -> None:
        """Adds a report.

        Args:
            done: work done.
            total: all work.
            at: time of the report in seconds; default: now.
        """
        at = time.monotonic() if at is None else at
        if self.points and (total != self.total or done < self.points[-1][1]):
            self.points.clear()  # another part of the stage, with other work
        self.total = total
        if not self.points or done != self.points[-1][1]:
            self.points.append((at, done))
        while len(self.points) > POINTS and at - self.points[1][0] > WINDOW:
            self.points.popleft()

    @property
    def speed(self) -> float | None:
        """Work per second; None if it is not known yet."""
        if len(self.points) < 2:
            return None
        (start, first), (end, last) = self.points[0], self.points[-1]
        return (last - first) / (end - start) if end > start else None

    @property
    def seconds_left(self) -> float | None:
        """Seconds until all work is done; None if they are not known."""
        speed = self.speed
        return (self.total - self.points[-1][1]) / speed if speed else None

    def __str__(self) -> str:
        """Speed and time left as text, such as "2.1/s, 3m20s left"; empty if they are not known."""
        speed, left = self.speed, self.seconds_left
        if speed is None or left is None:
            return ""
        number = speed if speed >= 1 else 1 / speed
        text = f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
        each = f"{text}/s" if speed >= 1 else f"{text} s each"
        return f"{each}, {duration(left)} left" if left >= 1 else each


class LastValues:
    """The last values of the current part of a stage, such as its loss. A training reports them only in some of its steps.

    A new part begins when the total changes, when less work is done than before, and with the first work that is done. The
    values of the part before, such as the number of documents that were tokenized before the first step, no longer count.
    """

    def __init__(self) -> None:
        """Begins without values."""
        self.values: dict[str, object] = {}
        self.done, self.total = 0, -1

    def after(self, done: int, total: int, values: Mapping[str, object]) -> dict[str, object]:
        """Returns the last values after a report. Those that are None are left out.

        Args:
            done: work done.
            total: all work.
            values: the values of this report; None removes an earlier value.
        """
        if total != self.total or done < self.done or (done and not self.done):
            self.values.clear()
        self.done, self.total = done, total
        self.values |= values
        return {name: value for name, value in self.values.items() if value is not None}


def duration(seconds: float) -> str:
    """Returns a duration as text: "45s", "3m20s", "2h05m" or "3d04h"."""
    whole = round(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if days:
        return f"{days}d{hours % 24:02}h"
    if hours:
        return f"{hours}h{minutes % 60:02}m"
    return f"{minutes}m{whole % 60:02}s" if minutes else f"{whole}s"
