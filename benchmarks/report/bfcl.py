"""The overall score of BFCL-V4 with the leaderboard's own weights, its 95% interval, and the paired difference of two policies.

The sections and the overall score are weighted means of the scores of categories. Their intervals are over new problems, and
combine the intervals of the categories (`stats/intervals.py`, `weighted_mean_distances`). Some categories have the same
problems under other conditions (`SAME_PROBLEMS`). Their scores are not independent, so they count as one category for the
intervals, in which a problem has the samples of all conditions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from ...core import UserError
from ..result import CATEGORY, Result, results, scored
from ..stats import intervals, scores
from . import result_folders

NON_LIVE = (("simple_python", "simple_java", "simple_javascript"), ("multiple",), ("parallel",), ("parallel_multiple",))
"""Groups of categories. The score of a group is the mean over its categories, and the section's the mean over its groups."""
LIVE = {"live_simple": 258, "live_multiple": 1053, "live_parallel": 16, "live_parallel_multiple": 24}
"""Categories and their numbers of problems. The section's score is the mean over all problems."""
IRRELEVANCE = (("irrelevance",), ("live_irrelevance",))
MULTI_TURN = (("multi_turn_base",), ("multi_turn_miss_func",), ("multi_turn_miss_param",), ("multi_turn_long_context",))
AGENTIC = (("web_search_base", "web_search_no_snippet"), ("memory_kv", "memory_vector", "memory_rec_sum"))
GROUPS = {
    **{"non-live": NON_LIVE, "irrelevance": IRRELEVANCE, "multi-turn": MULTI_TURN},
    **{"web search": AGENTIC[:1], "memory": AGENTIC[1:]},
}
WEIGHTS = {"non-live": 0.1, "live": 0.1, "irrelevance": 0.1, "multi-turn": 0.3, "web search": 0.2, "memory": 0.2}
"""The leaderboard's weights of the sections. Its section "agentic" is the mean of web search and memory."""
SAME_PROBLEMS = (tuple(category for group in MULTI_TURN for category in group), *AGENTIC)
"""Categories with the same problems under other conditions. The ids of a problem differ only in the name of the category."""
OVERALL = "overall"

Scores = Mapping[str, Mapping[str, Sequence[float]]]
"""The scores of a policy's samples, by category and by the id of the problem without the name of its category."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score or a difference, 0..1, with its 95% interval over new problems."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The paired differences of two policies, the second minus the first."""

    first: str
    second: str
    differences: Mapping[str, Estimate]
    """For each section that both have measured, and "overall". Sections that are not measured count as 0 in both."""
    problems: int
    """Problems that both have, with each condition of a problem."""
    not_compared: Sequence[str]
    """The sections that are missing, with the reason."""

    @property
    def name(self) -> str:
        """Name of the difference, "B - A"."""
        return f"{self.second} - {self.first}"


def weights(section: str) -> dict[str, float]:
    """Returns the weights of a section's categories. Their sum is 1."""
    if section == "live":
        return {category: number / sum(LIVE.values()) for category, number in LIVE.items()}
    groups = GROUPS[section]
    return {category: 1 / len(groups) / len(group) for group in groups for category in group}


def measured(folder: str | Path, found: Sequence[Result]) -> Scores:
    """Returns the scores of BFCL-V4 in a folder. Problems without a score are left out.

    Args:
        folder: the folder of the results.
        found: the results. Of several with a category, the one with the most samples counts; of several with as many, the last
            one. Results of other benchmarks are left out.

    Raises:
        UserError: a file is missing or damaged.
    """
    known = {category for section in WEIGHTS for category in weights(section)}
    by_category: dict[str, dict[str, list[float]]] = {}
    for result in found:
        if known.isdisjoint(name.removeprefix(CATEGORY) for name in result.figures if name.startswith(CATEGORY)):
            continue
        categories: dict[str, dict[str, list[float]]] = {}
        for row in scored(folder, result.task):
            category = str(row["meta"].get("category"))
            samples = [sample["score"] for sample in row["samples"] if sample["score"] is not None]
            if category in known and samples:
                categories.setdefault(category, {})[str(row["problem"]).removeprefix(category)] = samples
        for category, problems in categories.items():
            if _size(problems) >= _size(by_category.get(category, {})):
                by_category[category] = problems
    return by_category


def _size(problems: Mapping[str, Sequence[float]]) -> int:
    """Returns the number of samples."""
    return sum(map(len, problems.values()))


def missing(policy: Scores) -> dict[str, list[str]]:
    """Returns the sections that are not measured as a whole, each with the categories that are missing."""
    found = {section: [category for category in weights(section) if category not in policy] for section in WEIGHTS}
    return {section: categories for section, categories in found.items() if categories}


def missing_text(section: str, categories: Sequence[str]) -> str:
    """Returns the name of a section, and the categories that are missing if others are measured."""
    return section if len(categories) == len(weights(section)) else f"{section} ({', '.join(categories)})"


def sections(policy: Scores) -> dict[str, Estimate]:
    """Returns the scores of the sections whose categories are all measured, and "overall" if any section is.

    A section that is not measured counts as 0, as on the leaderboard.
    """
    absent = missing(policy)
    return _with_overall({name: _section(weights(name), policy) for name in WEIGHTS if name not in absent}, least=0.0)


def compare_folders(folders: Sequence[Path]) -> list[Comparison]:
    """Compares the results of BFCL-V4 in folders with those in the first folder.

    Problems are matched by their ids, so that calls in the prompt mode can be compared with calls of tools.

    Returns:
        One comparison for each folder but the first; none for a folder that shares no section with the first.
    """
    first, *others = [measured(folder, results(folder)) for folder in folders]
    label, *labels = result_folders.labels(folders)
    found = [compare(label, first, other_label, other) for other_label, other in zip(labels, others, strict=True)]
    return [comparison for comparison in found if comparison.differences]


def compare(first_name: str, first: Scores, second_name: str, second: Scores) -> Comparison:
    """Returns the paired differences of two policies over the problems that both have.

    Args:
        first_name: name of the first policy, for the reader.
        first: the first policy.
        second_name: name of the second policy.
        second: the second policy; the first is subtracted from it.
    """
    one, other = _shared(first, second), _shared(second, first)
    absent = missing(one)
    found = {name: _section_difference(weights(name), one, other) for name in WEIGHTS if name not in absent}
    reasons = [_reason(section, {first_name: first, second_name: second}) for section in absent]
    problems = sum(len(one[category]) for section in found for category in weights(section))
    return Comparison(first_name, second_name, _with_overall(found, least=-1.0), problems, reasons)


def _shared(policy: Scores, other: Scores) -> Scores:
    """Returns the scores of the problems that another policy has, too. Categories without such problems are left out."""
    shared = {
        category: {id: samples for id, samples in rows.items() if id in other.get(category, ())}
        for category, rows in policy.items()
    }
    return {category: rows for category, rows in shared.items() if rows}


def _reason(section: str, policies: Mapping[str, Scores]) -> str:
    """Returns a section's name and why it is not compared.

    Args:
        section: the section.
        policies: the policies, by name.
    """
    found = []
    for name, policy in policies.items():
        if absent := missing(policy).get(section):
            is_whole = len(absent) == len(weights(section))
            found.append(f"{'' if is_whole else ', '.join(absent) + ' '}not measured in {name}")
    return f"{section}: {', '.join(found) or 'the policies share no problems of a category'}"


def _section(category_weights: Mapping[str, float], policy: Scores) -> Estimate:
    mean = sum(weight * fmean(map(fmean, policy[category].values())) for category, weight in category_weights.items())
    parts = []
    for weight, categories in _independent(category_weights):
        statistics = intervals.statistics([*_joined(policy, categories).values()])
        parts.append(intervals.Part(weight, statistics.means.mean(), *intervals.new_problems(statistics)))
    return _estimate(mean, parts, least=0.0)


def _section_difference(category_weights: Mapping[str, float], first: Scores, second: Scores) -> Estimate:
    means = [
        weight * (fmean(map(fmean, second[category].values())) - fmean(map(fmean, first[category].values())))
        for category, weight in category_weights.items()
    ]
    parts = []
    for weight, categories in _independent(category_weights):
        before, after = (_joined(policy, categories) for policy in (first, second))
        try:
            found = scores.difference(after, before)
            parts.append(intervals.Part(weight, found.mean, found.low, found.high))
        except UserError:  # fewer than two problems, which say nothing about others
            parts.append(intervals.Part(weight, 0.0, -1.0, 1.0))
    return _estimate(sum(means), parts, least=-1.0)


def _independent(category_weights: Mapping[str, float]) -> list[tuple[float, tuple[str, ...]]]:
    """Returns the categories of a section, those with the same problems together, each with their weight."""
    joined = [same for same in SAME_PROBLEMS if category_weights.keys() >= {*same}]
    alone = [(category,) for category in category_weights if not any(category in same for same in joined)]
    return [(sum(category_weights[category] for category in together), together) for together in [*alone, *joined]]


def _joined(policy: Scores, categories: Sequence[str]) -> dict[str, list[float]]:
    """Returns the scores of each problem under all conditions."""
    found: dict[str, list[float]] = {}
    for category in categories:
        for id, samples in policy[category].items():
            found.setdefault(id, []).extend(samples)
    return found


def _with_overall(found: Mapping[str, Estimate], least: float) -> dict[str, Estimate]:
    parts = [intervals.Part(WEIGHTS[name], each.mean, each.low, each.high) for name, each in found.items()]
    mean = sum(WEIGHTS[name] * each.mean for name, each in found.items())
    return {**found, OVERALL: _estimate(mean, parts, least)} if found else {}


def _estimate(mean: float, parts: Sequence[intervals.Part], least: float) -> Estimate:
    below, above = intervals.weighted_mean_distances(parts)
    return Estimate(mean, max(least, mean - float(below)), min(1.0, mean + float(above)))
