"""The overall score of LiveBench: the mean over its categories, with its 95% interval over new problems.

The score of a category is that of its task, which is the mean over LiveBench's tasks in it. As in the benchmark's own code, the
mean is over the categories that are measured.
"""

from collections.abc import Mapping, Sequence

from .. import catalogue
from ..result import Result
from ..stats import intervals
from .bfcl import OVERALL, Estimate


def measured(found: Sequence[Result]) -> dict[str, Result]:
    """Returns the results of LiveBench's categories, by category.

    Args:
        found: the results. Of several of a category, the one with the most samples counts; of several with as many, the last
            one. Results of other benchmarks are left out.
    """
    results: dict[str, Result] = {}
    for task in catalogue.LIVEBENCH:
        same = [result for result in found if result.settings.get("task") == task]
        for result in sorted(same, key=lambda result: result.score.problems * result.score.samples):
            results[task.removeprefix("livebench_")] = result
    return results


def missing(policy: Mapping[str, Result]) -> list[str]:
    """Returns the categories that are not measured."""
    names = [task.removeprefix("livebench_") for task in catalogue.LIVEBENCH]
    return [name for name in names if name not in policy]


def categories(policy: Mapping[str, Result]) -> dict[str, Estimate]:
    """Returns the scores of the categories, and "overall" if there is any."""
    scores = {name: result.score for name, result in policy.items()}
    found = {name: Estimate(score.mean, score.low, score.high) for name, score in scores.items()}
    if not found:
        return {}
    parts = [intervals.Part(1 / len(found), each.mean, each.low, each.high) for each in found.values()]
    mean = sum(part.weight * float(part.mean) for part in parts)
    below, above = intervals.weighted_mean_distances(parts)
    return {**found, OVERALL: Estimate(mean, max(0.0, mean - float(below)), min(1.0, mean + float(above)))}
