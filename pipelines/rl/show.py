"""Shows a GRPO step and its episodes as text."""

from pathlib import Path
from typing import cast

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
    folder = stage_folder(Path(run), stage)
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


def stage_folder(run: Path, stage: str | None) -> Path:
    """Returns the folder of a GRPO stage.

    Args:
        run: folder of a run, or of one of its GRPO stages.
        stage: name of the stage; required if the run has several GRPO stages.

    Raises:
        UserError: no such run or stage.
    """
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


def line(row: disk.Row, steps: int) -> str:
    """Returns what matters of a step: reward, groups without variance, truncation, length, entropy, KL and time.

    Args:
        row: the step's metrics (`metrics.step_metrics`).
        steps: number of steps of the stage.
    """
    shares = {"correct": "correct", "zero_variance": "groups all equal", "truncated": "truncated"}
    numbers = {"response_length": "{:.0f} tokens", "entropy": "entropy {:.2f}", "kl": "kl {:.3g}", "seconds": "{:.1f} s"}
    known = [f"reward {row['reward']:.3f}"] if row.get("reward") is not None else []
    known += [f"{row[name]:.0%} {text}" for name, text in shares.items() if row.get(name) is not None]
    known += [text.format(row[name]) for name, text in numbers.items() if row.get(name) is not None]
    known += [f"{row['without_score']} without a score"] if row.get("without_score") else []
    return f"step {row['step']}/{steps}: {', '.join(known)}"


def text(episode: metrics.StepEpisode) -> str:
    """Returns an episode as text: a line with the verdict, then the messages."""
    verdict = episode["verdict"]
    score = "no score" if verdict["score"] is None else f"score {verdict['score']:g}"
    head = (
        f"=== {episode['problem_id']}, sample {episode['sample']}: {score} ({verdict['status']}, by {verdict['method']}: "
        f"{verdict['reason']}); {episode['tokens']} tokens{', truncated' if episode['finish_reason'] == 'length' else ''}"
    )
    return "\n".join([head, *(f"{turn['role']}: {message_text(turn)}" for turn in episode["messages"]), ""])


class Extremes:
    """Reads the best and the worst samples of one step after another, while the stage runs."""

    def __init__(self, folder: Path):
        """Starts at the first episode.

        Args:
            folder: the stage's folder.
        """
        self.rows = metrics.NewRows(folder / "episodes", metrics.check_episode)
        self.played: dict[int, dict[tuple[int, int, int], metrics.StepEpisode]] = {}
        """Episodes of the steps that were not asked for yet; then by problem, attempt and sample."""

    def __call__(self, step: int, count: int) -> list[str]:
        """Returns samples as texts, best first. Samples without a score are left out.

        Args:
            step: number of the step. Earlier steps are forgotten.
            count: number of the best, and of the worst samples.
        """
        for row in self.rows.read():
            episode = cast(metrics.StepEpisode, row)
            self.played.setdefault(episode["step"], {})[*metrics.group(episode), episode["sample"]] = episode
        self.played = {number: episodes for number, episodes in self.played.items() if number >= step}
        episodes = self.played.get(step, {}).values()
        scored = [(score, episode) for episode in episodes if (score := episode["verdict"]["score"]) is not None]
        ranked = [episode for _, episode in sorted(scored, key=lambda pair: -pair[0])]
        return [text(each) for each in (ranked if len(ranked) <= 2 * count else [*ranked[:count], *ranked[-count:]])]
