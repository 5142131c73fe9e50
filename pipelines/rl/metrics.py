"""What a GRPO run tells of each step: verl's metrics and the episodes that our agent loops wrote, in one row."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ... import disk

FROM_VERL = {
    "reward": "critic/score/mean",
    "response_length": "response_length/mean",
    "entropy": "actor/entropy",
    "kl": "actor/kl_loss",
    "loss": "actor/pg_loss",
    "grad_norm": "actor/grad_norm",
    "clip_fraction": "actor/pg_clipfrac",
    "seconds": "timing_s/step",
    "generate_seconds": "timing_s/gen",
    "update_seconds": "timing_s/update_actor",
}
"""Our name of each figure, and verl's."""

CURVES = ("reward", "pass_rate", "flat", "response_length", "entropy", "kl", "truncated", "faults")
"""Figures that a report samples over the steps."""


def gather(folder: Path, last: int) -> list[dict[str, Any]]:
    """One row a step up to the last, in order. A step played again after a kill counts once, as it was played last.

    Of a step whose checkpoint was the last thing before a kill verl has reported nothing: what its episodes tell is there.
    """
    steps = reported(folder)
    played = episodes(folder, _check_played)
    known = sorted(step for step in steps.keys() | played.keys() if step <= last)
    return [_step(step, steps.get(step, {}), played.get(step, [])) for step in known]


def episodes(folder: Path, check: Callable[[dict[str, Any]], None] | None = None) -> dict[int, list[dict[str, Any]]]:
    """The episodes of each step, by problem, attempt and sample. Of one that was played again the last play counts.

    Args:
        folder: of the stage.
        check: given a row, raises where it lacks what is wanted of it; default: `check_episode`.
    """
    found: dict[int, dict[tuple[int, int, int], dict[str, Any]]] = {}
    for path in sorted((folder / "episodes").iterdir(), key=lambda path: path.stat().st_mtime):
        for row in _rows(path, check or check_episode):
            found.setdefault(row["step"], {})[*group(row), row["sample"]] = row
    return {step: [found[step][place] for place in sorted(found[step])] for step in sorted(found)}


def group(episode: dict[str, Any]) -> tuple[int, int]:
    """The group of a step that an episode is of: its problem, and how often that had come in the step before."""
    return episode["problem"], episode.get("attempt", 0)


def _step(step: int, verl: dict[str, Any], episodes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    scored = [row for row in episodes if row["verdict"]["score"] is not None]
    groups: dict[tuple[int, int], list[float]] = {}
    for row in scored:
        groups.setdefault(group(row), []).append(row["verdict"]["score"])
    figures = {name: verl.get(key) for name, key in FROM_VERL.items()}
    if not verl and scored:
        figures["reward"] = sum(row["verdict"]["score"] for row in scored) / len(scored)
    return {
        "step": step,
        **figures,
        "pass_rate": sum(_passed(row["verdict"]) for row in scored) / len(scored) if scored else None,
        "flat": sum(map(is_flat, groups.values())) / len(groups) if groups else None,
        "truncated": sum(row["finish_reason"] == "length" for row in scored) / len(scored) if scored else None,
        "timeouts": sum(row["verdict"]["status"] == "timeout" for row in episodes),
        "faults": len(episodes) - len(scored),
        "refused": sum(row["verdict"]["method"] == "refused" for row in episodes),
        "reused": sum(row["reused"] for row in episodes),
        "environment_seconds": sum(row["environment_seconds"] for row in episodes),
    }


def _passed(verdict: dict[str, Any]) -> bool:
    """Whether a sample is right; one that is compared with others passes where it is more often the better one."""
    return bool(verdict["score"] > 0.5 if verdict["method"] == "pairwise" else verdict["score"] >= 1)


def is_flat(scores: Sequence[float]) -> bool:
    """Whether all samples of a group score the same: GRPO learns nothing from it."""
    return max(scores) == min(scores)


def reported(folder: Path) -> dict[int, dict[str, Any]]:
    """What verl reported of each step; of one that was run again the last time counts."""
    return {row["step"]: row["data"] for path in sorted((folder / "metrics").iterdir()) for row in _rows(path, _check_report)}


def steps_done(folder: Path) -> int:
    """The last step that verl reported."""
    return int(last_step(folder).get("step", 0))


def last_step(folder: Path) -> dict[str, float]:
    """Step, reward and seconds of the last step that verl reported; empty before the first."""
    for path in sorted((folder / "metrics").iterdir(), reverse=True):
        if rows := list(_rows(path, _check_report)):
            data = rows[-1]["data"]
            return {"step": rows[-1]["step"]} | {name: data[FROM_VERL[name]] for name in ("reward", "seconds")}
    return {}


def mean(steps: Sequence[dict[str, Any]], name: str) -> float | None:
    """Mean of one figure over steps; None over none."""
    return sum(step[name] for step in steps) / len(steps) if steps else None


def check_episode(row: dict[str, Any]) -> None:
    """Raises what a row makes it raise that no agent loop wrote (KeyError, TypeError, ...)."""
    disk.check_types(row, step=int, problem=int, sample=int, verdict=dict)
    disk.check_types(row["verdict"], score=(int, float, type(None)), reason=str)


def _check_played(row: dict[str, Any]) -> None:
    """Likewise, where all that a step's figures are made of has to be there."""
    check_episode(row)
    disk.check_types(row, finish_reason=str, reused=bool, environment_seconds=(int, float))
    disk.check_types(row["verdict"], status=str, method=str)


def _check_report(row: dict[str, Any]) -> None:
    """Likewise, of a row that verl wrote."""
    disk.check_types(row, step=int, data=dict)
    disk.check_types(row["data"], **{FROM_VERL[name]: (int, float) for name in ("reward", "seconds")})


def _rows(path: Path, check: Callable[[dict[str, Any]], None]) -> Iterator[dict[str, Any]]:
    """The rows of a file that another process may be writing, or was killed while writing: broken lines are passed over."""
    rows = (disk.parse_row(line, check) for line in path.read_bytes().split(b"\n")[:-1])
    return (row for row in rows if row is not None)
