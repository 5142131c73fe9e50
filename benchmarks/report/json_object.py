"""Results and comparisons as the JSON objects that `tenfold bench --json` prints."""

from collections.abc import Mapping
from pathlib import Path

from ..result import Result
from . import bfcl, format_sensitivity, live_bench
from .paired import Pair, TaskComparison


def json_object(result: Result, folder: str | Path) -> dict[str, object]:
    """Returns a result as JSON data with stable names. Scores are shares, 0..1.

    Args:
        result: the result.
        folder: folder of the results.
    """
    score, settings = result.score, result.settings
    sensitivity = format_sensitivity.of_result(result)
    further = {"max_delta": sensitivity.max_delta, "standard_deviation": sensitivity.standard_deviation} if sensitivity else {}
    return {
        "name": result.task,
        "task": settings["task"],
        "policy": settings.get("policy"),
        "k": score.samples,
        "problems": score.problems,
        "avg_at_k": score.mean,
        "new_problems": [score.low, score.high],
        "new_samples": [score.same_problems_low, score.same_problems_high],
        "pass_at_k": score.pass_at_k,
        "figures": result.figures,
        "judge": result.judge,
        "without_score": score.without_score,
        "refused": result.refused,
        "truncated": result.truncated,
        "tokens": result.tokens,
        "seed": settings.get("seed"),
        "sampling": settings.get("sampling"),
        "settings_hash": result.hash,
        "cautions": result.cautions,
        "folder": str(folder),
        **further,
    }


def bfcl_object(policy: bfcl.Scores, folder: str | Path) -> dict[str, object]:
    """Returns the sections of BFCL-V4 and the overall score as JSON data. Scores are shares, 0..1.

    Args:
        policy: the scores of a policy.
        folder: folder of the results.
    """
    sections = _estimates(bfcl.sections(policy), "score")
    return {"name": "bfcl_v4", "sections": sections, "not_measured": bfcl.missing(policy), "folder": str(folder)}


def live_bench_object(policy: Mapping[str, Result], folder: str | Path) -> dict[str, object]:
    """Returns the categories of LiveBench and their mean as JSON data. Scores are shares, 0..1.

    Args:
        policy: the results of a policy, by category.
        folder: folder of the results.
    """
    found = live_bench.categories(policy)
    sections = {name: {"score": each.mean, "new_problems": [each.low, each.high]} for name, each in found.items()}
    return {"name": "livebench", "sections": sections, "not_measured": live_bench.missing(policy), "folder": str(folder)}


def bfcl_comparison(comparison: bfcl.Comparison) -> dict[str, object]:
    """Returns the paired differences of the sections of BFCL-V4 and of the overall score as JSON data."""
    return {
        "name": "bfcl_v4",
        "first": comparison.first,
        "second": comparison.second,
        "problems": comparison.problems,
        "sections": _estimates(comparison.differences, "difference"),
        "not_compared": [*comparison.not_compared],
    }


def _estimates(found: Mapping[str, bfcl.Estimate], key: str) -> dict[str, object]:
    return {
        name: {"weight": bfcl.WEIGHTS.get(name, 1.0), key: each.mean, "new_problems": [each.low, each.high]}
        for name, each in found.items()
    }


def pair(task: TaskComparison, compared: Pair) -> dict[str, object]:
    """Returns the paired difference of two results of a task as JSON data.

    Args:
        task: the task.
        compared: the two results.
    """
    difference = compared.difference
    return {
        "name": task.name,
        "first": compared.first.label,
        "second": compared.second.label,
        "problems": difference.problems if difference else 0,
        "difference": difference.mean if difference else None,
        "new_problems": [difference.low, difference.high] if difference else None,
        "new_samples": [difference.same_problems_low, difference.same_problems_high] if difference else None,
        "p_value": compared.p_value,
        "caution": str(compared.settings),
        "gained": [*compared.gained],
        "lost": [*compared.lost],
    }
