"""A result as the JSON object that `tenfold bench --json` prints."""

from pathlib import Path

from ..result import Result


def json_object(result: Result, folder: str | Path) -> dict[str, object]:
    """Returns a result as JSON data with stable names. Scores are shares, 0..1.

    Args:
        result: the result.
        folder: folder of the results.
    """
    score, settings = result.score, result.settings
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
        "without_score": score.without_score,
        "refused": result.refused,
        "truncated": result.truncated,
        "tokens": result.tokens,
        "seed": settings.get("seed"),
        "sampling": settings.get("sampling"),
        "settings_hash": result.hash,
        "cautions": result.cautions,
        "folder": str(folder),
    }
