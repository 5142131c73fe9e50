"""Answers about benchmark results: the scores of a stage, and the paired comparison of two stages."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ...core import UserError
from .folders import MAX_FILE, NotFoundError, small_file

if TYPE_CHECKING:
    from ...benchmarks.result import Result, ScoredProblem

MAX_PROBLEMS = 20_000
"""Largest number of problems in the answer of a comparison. Our choice."""
SNIPPET = 200
Answer = dict[str, Any]


def tasks(root: Path, folder: Path) -> list[str]:
    """Returns the names of the results in a folder."""
    try:
        paths = sorted(folder.glob("*.result.json"))
    except OSError:
        return []
    return [path.name.removesuffix(".result.json") for path in paths if small_file(root, path)]


def scores(root: Path, folder: Path, task: str | None = None) -> Answer:
    """Returns the results in a folder, or of one task.

    Raises:
        UserError: a result is damaged.
        NotFoundError: there is no result.
    """
    found = [_task(result) for result in _results(root, folder) if task in (None, result.task)]
    if not found:
        raise NotFoundError("this stage has no result")
    return {"tasks": found}


def _results(root: Path, folder: Path) -> list["Result"]:
    from ...benchmarks.result import results

    names = tasks(root, folder)
    for path in folder.glob("*.result.json"):
        if path.name.removesuffix(".result.json") not in names:
            raise UserError(f"{path.name} is a link out of the run, or larger than {MAX_FILE // 2**20} MiB")
    return results(folder) if names else []


def _task(result: "Result") -> Answer:
    score, settings = result.score, result.settings
    return {
        "task": result.task,
        "samples": score.samples,
        "problems": score.problems,
        "score": score.mean,
        "low": score.low,
        "high": score.high,
        "interval": "over new problems",
        "low_samples": score.same_problems_low,
        "high_samples": score.same_problems_high,
        "pass_at_k": score.pass_at_k,
        "without_score": score.without_score,
        "truncated": result.truncated,
        "tokens": result.tokens,
        "figures": result.figures,
        "protocol": settings.get("protocol") or [],
        "cautions": result.cautions,
        "settings": settings,
    }


def compare(first: tuple[Path, Path, str | None], second: tuple[Path, Path, str | None], task: str) -> Answer:
    """Returns the paired difference of two stages on a task, second minus first, and the means of each problem.

    Args:
        first: folder of the run, folder of the stage, and the only task that belongs to it; None: all.
        second: the same of the stage that is compared with it.
        task: name of the task, as the first stage calls it; empty: the first one that both have.

    Raises:
        UserError: the stages have no task in common, or a file is damaged.
        NotFoundError: they do not have this task.
    """
    from ...benchmarks.report import paired

    for root, folder, _ in (first, second):
        for path in (folder / f"{name}.scores.jsonl" for name in tasks(root, folder)):
            if small_file(root, path) is None:
                reason = f"is missing, is a link out of the run, or is larger than {MAX_FILE // 2**20} MiB"
                raise UserError(f"{path.name} {reason}")
        _results(root, folder)
    wanted = task or first[2] or ""
    same = first[1] == second[1]
    compared = [] if same else paired.compare_folders([first[1], second[1]])
    pairs = [pair for each in compared for pair in each.pairs]
    chosen = [pair for pair in pairs if pair.first.result.task == wanted] if wanted else pairs
    chosen = [pair for pair in chosen if second[2] in (None, pair.second.result.task)]
    pair, difference = next(((pair, pair.difference) for pair in chosen if pair.difference), (None, None))
    if pair is None or difference is None:
        raise NotFoundError("these two stages have no result of this task with two problems in common; choose another task")
    return {
        "task": pair.first.result.task,
        "tasks": [each.first.result.task for each in pairs],
        "a": _task(pair.first.result),
        "b": _task(pair.second.result),
        "difference": {"value": difference.mean, "low": difference.low, "high": difference.high},
        "differing_settings": list(pair.settings.settings),
        "problems": _problems(pair.first.problems, pair.second.problems),
    }


def _problems(first: dict[str, "ScoredProblem"], second: dict[str, "ScoredProblem"]) -> list[Answer]:
    """Returns the shared problems, the largest gain first."""
    found: list[tuple[float, Answer]] = []
    for id, row in first.items():
        if id in second and second[id].get("gold") == row.get("gold"):
            means = [_mean([sample["score"] for sample in each["samples"]]) for each in (row, second[id])]
            prompt = next((turn["content"] for turn in row["prompt"][::-1] if turn["role"] == "user"), "")
            before, after = means
            gain = after - before if before is not None and after is not None else -math.inf
            found.append((gain, {"problem_id": id, "a": before, "b": after, "prompt": prompt[:SNIPPET]}))
    found.sort(key=lambda pair: -pair[0])
    return [row for _, row in found[:MAX_PROBLEMS]]


def _mean(scores: Sequence[float | None]) -> float | None:
    scored = [score for score in scores if score is not None]
    return fmean(scored) if scored else None


def policy_of(root: Path, folder: Path) -> str:
    """Returns the policy of the first result in a folder; empty if it is unknown."""
    for name in tasks(root, folder)[:1]:
        try:
            row = json.loads((folder / f"{name}.result.json").read_bytes())
            return str(row["settings"]["policy"])[:SNIPPET]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return ""
    return ""
