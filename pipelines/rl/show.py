"""Shows the episodes of a GRPO step as text."""

from pathlib import Path

from ... import disk
from ...core import UserError, message_text
from . import metrics


def read(run: str | Path, stage: str | None = None, step: int | None = None) -> tuple[int, list[metrics.StepEpisode]]:
    """Returns the episodes of one step.

    Args:
        run: folder of a run, or of one of its GRPO stages.
        stage: name of the stage; required if the run has several GRPO stages.
        step: number of the step, from 1; default: the last.

    Returns:
        The step, and its episodes ordered by problem and sample.

    Raises:
        UserError: no such run, stage or step, or an episode is incomplete.
    """
    folder = _stage(Path(run), stage)
    played = metrics.episodes(folder)
    if not played:
        raise UserError(f"{folder} has no episodes yet")
    if step is None:
        step = max(played)
    if step not in played:
        raise UserError(f"{folder} has no step {step}; use {min(played)} to {max(played)}")
    with disk.reading(folder / "episodes", "choose another step"):
        for episode in played[step]:
            disk.check_types({**episode}, problem_id=str, tokens=int, messages=list, finish_reason=str)
            disk.check_types({**episode["verdict"]}, status=str, method=str)
            for message in episode["messages"]:
                disk.check_types({**message}, role=str, content=str)
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
        advice = f"choose one with --stage: {', '.join(found)}" if found else "it has no GRPO stage that has begun"
        raise UserError(f"{run}: {f'no GRPO stage {stage!r}; ' if stage else ''}{advice}")
    return run / stage


def text(episode: metrics.StepEpisode) -> str:
    """Returns an episode as text: a line with the verdict, then the messages."""
    verdict = episode["verdict"]
    score = "no score" if verdict["score"] is None else f"score {verdict['score']:g}"
    head = (
        f"=== {episode['problem_id']}, sample {episode['sample']}: {score} ({verdict['status']}, by {verdict['method']}: "
        f"{verdict['reason']}); {episode['tokens']} tokens{', truncated' if episode['finish_reason'] == 'length' else ''}"
    )
    return "\n".join([head, *(f"{turn['role']}: {message_text(turn)}" for turn in episode["messages"]), ""])
