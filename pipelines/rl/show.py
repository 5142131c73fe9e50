"""What a policy said in a step of GRPO, for a person to read."""

from pathlib import Path
from typing import Any

from ... import disk
from ...core import UserError
from . import metrics


def read(run: str | Path, stage: str | None = None, step: int | None = None) -> tuple[int, list[dict[str, Any]]]:
    """The episodes of one step.

    Args:
        run: a run's folder, or that of one of its GRPO stages.
        stage: which of the run's stages; needed where it has several.
        step: from 1; default: the last.

    Returns:
        The step, and its episodes by problem and sample.

    Raises:
        UserError: no such run, stage or step.
    """
    folder = _stage(Path(run), stage)
    played = metrics.episodes(folder)
    if not played:
        raise UserError(f"{folder} has no episodes yet")
    if step is None:
        step = max(played)
    if step not in played:
        raise UserError(f"{folder} has no step {step}; there are {min(played)} to {max(played)}")
    with disk.reading(folder / "episodes", "name another step"):
        for episode in played[step]:
            disk.check_types(episode, problem_id=str, tokens=int, messages=list)
            for turn in episode["messages"]:
                disk.check_types(turn, role=str, content=str)
    return step, played[step]


def _stage(run: Path, stage: str | None) -> Path:
    if not run.is_dir():
        raise UserError(f"there is no folder {run}")
    if stage is None and (run / "episodes").is_dir():
        return run
    found = sorted(path.parent.name for path in run.glob("*/episodes") if path.is_dir())
    if stage is None and len(found) == 1:
        return run / found[0]
    if stage not in found:
        said = f"its GRPO stages are {', '.join(found)}: name one with --stage" if found else "it has no GRPO stage that began"
        raise UserError(f"{run}: {f'no stage {stage!r}; ' if stage else ''}{said}")
    return run / stage


def text(episode: dict[str, Any]) -> str:
    """One episode as text: a line on its verdict, then who said what."""
    verdict = episode["verdict"]
    score = "no score" if verdict["score"] is None else f"score {verdict['score']:g}"
    head = (
        f"=== {episode['problem_id']}, sample {episode['sample']}: {score} ({verdict['status']}, by {verdict['method']}: "
        f"{verdict['reason']}); {episode['tokens']} tokens{', cut' if episode['finish_reason'] == 'length' else ''}"
    )
    return "\n".join([head, *(f"{turn['role']}: {turn['content']}" for turn in episode["messages"]), ""])
