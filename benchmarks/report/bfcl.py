"""The overall score of BFCL-V4 from the scores of its categories, with the leaderboard's own weights."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from ..result import CATEGORY, Result

NON_LIVE = (("simple_python", "simple_java", "simple_javascript"), ("multiple",), ("parallel",), ("parallel_multiple",))
"""Groups of categories. The score of a group is the mean over its categories, and the section's the mean over its groups."""
LIVE = {"live_simple": 258, "live_multiple": 1053, "live_parallel": 16, "live_parallel_multiple": 24}
"""Categories and their numbers of problems. The section's score is the mean over all problems."""
IRRELEVANCE = (("irrelevance",), ("live_irrelevance",))
MULTI_TURN = (("multi_turn_base",), ("multi_turn_miss_func",), ("multi_turn_miss_param",), ("multi_turn_long_context",))
AGENTIC = (("web_search_base", "web_search_no_snippet"), ("memory_kv", "memory_vector", "memory_rec_sum"))
GROUPS = {"non-live": NON_LIVE, "irrelevance": IRRELEVANCE, "multi-turn": MULTI_TURN, "agentic": AGENTIC}
WEIGHTS = {"non-live": 0.1, "live": 0.1, "irrelevance": 0.1, "multi-turn": 0.3, "agentic": 0.4}
"""The leaderboard's weights of the sections."""


def sections(results: Sequence[Result]) -> dict[str, float]:
    """Returns the scores of the sections whose categories are all measured, and "overall" if any section is.

    A section that is not measured counts as 0, as on the leaderboard.

    Args:
        results: results of the tasks of BFCL-V4. Of several results with a category, the last one counts.
    """
    by_category = {
        name.removeprefix(CATEGORY): value
        for result in results
        for name, value in result.figures.items()
        if name.startswith(CATEGORY)
    }
    found: dict[str, float] = {}
    for name, groups in GROUPS.items():
        if all(category in by_category for group in groups for category in group):
            found[name] = fmean(fmean(by_category[category] for category in group) for group in groups)
    if by_category.keys() >= LIVE.keys():
        found["live"] = sum(by_category[name] * number for name, number in LIVE.items()) / sum(LIVE.values())
    return _with_overall(found) if found else {}


def _with_overall(found: Mapping[str, float]) -> dict[str, float]:
    scores = {name: found[name] for name in WEIGHTS if name in found}
    return scores | {"overall": sum(WEIGHTS[name] * score for name, score in scores.items())}
