"""The statistics of BFCL-V4's format sensitivity: the accuracy with each prompt format, and how much the accuracies differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import stdev

from ..result import CATEGORY, Result

TASK = "bfcl_v4_format_sensitivity"


@dataclass(frozen=True, slots=True)
class FormatSensitivity:
    """The accuracies of a policy, 0..1, and the leaderboard's statistics of them."""

    accuracies: Mapping[str, float]
    """By the leaderboard's names of the prompt formats."""

    @property
    def max_delta(self) -> float:
        """The largest accuracy minus the smallest."""
        return max(self.accuracies.values()) - min(self.accuracies.values())

    @property
    def standard_deviation(self) -> float:
        """The standard deviation of the accuracies, with n - 1 in the denominator as on the leaderboard; 0 for one format."""
        return stdev(self.accuracies.values()) if len(self.accuracies) > 1 else 0.0


def of_result(result: Result) -> FormatSensitivity | None:
    """Returns the statistics of a result; None if it is a result of another task."""
    found = {name.removeprefix(CATEGORY): score for name, score in result.figures.items() if name.startswith(CATEGORY)}
    return FormatSensitivity(found) if result.settings["task"] == TASK and found else None
