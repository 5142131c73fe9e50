"""The metrics of each GRPO step, from verl's metrics and from the episodes that the agent loops wrote."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NotRequired, cast

from ... import disk
from ...disk import Row
from ...policies.store import EpisodeRow, VerdictRow, part_means

FROM_VERL = {
    "reward": "critic/score/mean",
    "response_length": "response_length/mean",
    "entropy": "actor/entropy",
    "kl": "actor/kl_loss",
    "loss": "actor/pg_loss",
    "grad_norm": "actor/grad_norm",
    "clip_fraction": "actor/pg_clipfrac",
    "rollout_kl": "rollout_corr/kl",
    "rollout_ratio_max": "rollout_corr/rollout_is_max",
    "rollout_ratio_min": "rollout_corr/rollout_is_min",
    "rollout_clipped": "rollout_corr/rollout_is_ratio_fraction_high",
    "staleness": "training/off_policy/trajectory_staleness_worst/mean",
    "staleness_max": "training/off_policy/trajectory_staleness_worst/max",
    "seconds": "timing_s/step",
    "generate_seconds": "timing_s/gen",
    "update_seconds": "timing_s/update_actor",
}
"""Names of metrics in this package, with verl's names. verl's length of a response covers all tokens after the prompt: in an
episode of several turns, those of all turns and of the environment's replies. Its "worst" staleness is that of the oldest
policy that sampled a token of an episode."""

CURVES = ("reward", "correct", "zero_variance", "response_length", "entropy", "kl", "truncated", "without_score")
"""Metrics that the report plots over the steps."""


class StepEpisode(EpisodeRow):
    """An episode as an agent loop writes it."""

    step: int
    attempt: NotRequired[int]
    """Number of earlier attempts at the problem in the step; see `order.py`."""
    generate_seconds: float
    """Time in which the episode waited for the policy."""
    environment_seconds: float
    """Time in the calls of the environment, verdict included."""
    other_seconds: NotRequired[float]
    """The rest of the episode's time: tokenizing, and waiting for a free thread or for the event loop."""
    reused: bool
    """True if a filter made the sample."""


def gather(folder: Path, last: int) -> list[Row]:
    """Returns the metrics of each step, in order, up to the step `last`. If a step is repeated, its last repetition counts.

    If a kill came between a step's checkpoint and verl's report of it, the step has only the metrics from its episodes.
    """
    reports = reported(folder)
    played = episodes(folder, check_played)
    steps = sorted(step for step in reports.keys() | played.keys() if step <= last)
    return [step_metrics(step, reports.get(step, {}), played.get(step, [])) for step in steps]


def episodes(folder: Path, check: Callable[[Row], None] | None = None) -> dict[int, list[StepEpisode]]:
    """Returns the episodes of each step, sorted by problem, attempt and sample.

    If an episode is repeated, its last repetition counts.

    Args:
        folder: the stage's folder.
        check: raises an error for an incomplete row; default: `check_episode`.
    """
    found: dict[int, dict[tuple[int, int, int], StepEpisode]] = {}
    for path in sorted((folder / "episodes").iterdir(), key=lambda path: path.stat().st_mtime):
        for row in _rows(path, check or check_episode):
            episode = cast(StepEpisode, row)
            found.setdefault(episode["step"], {})[*group(episode), episode["sample"]] = episode
    return {step: [found[step][key] for key in sorted(found[step])] for step in sorted(found)}


def group(episode: StepEpisode) -> tuple[int, int]:
    """Returns an episode's group within its step: the problem and the attempt."""
    return episode["problem"], episode.get("attempt", 0)


def step_metrics(step: int, report: Row, episodes: Sequence[StepEpisode]) -> Row:
    """Returns the metrics of a step.

    The episodes of a step run at the same time. Therefore `environment_seconds` and `other_seconds`, the sums over them, may
    exceed the duration of the step. `environment_share` is the former as a share of the sum of all times of the episodes.

    Args:
        step: number of the step.
        report: verl's metrics; empty if verl did not report the step.
        episodes: the step's episodes.
    """
    scores = [(row, score) for row in episodes if (score := row["verdict"]["score"]) is not None]
    scored = [row for row, _ in scores]
    groups: dict[tuple[int, int], list[float]] = {}
    for row, score in scores:
        groups.setdefault(group(row), []).append(score)
    fault = next((row["verdict"]["reason"] for row in episodes if row["verdict"]["status"] == "fault"), "")
    environment = sum(row["environment_seconds"] for row in episodes)
    other = sum(row.get("other_seconds", 0.0) for row in episodes)
    whole = environment + other + sum(row.get("generate_seconds", 0.0) for row in episodes)
    values = {name: report.get(key) for name, key in FROM_VERL.items()}
    if not report and scores:
        values["reward"] = sum(score for _, score in scores) / len(scores)
    return {
        "step": step,
        **values,
        "correct": sum(_is_correct(row["verdict"]) for row in scored) / len(scored) if scored else None,
        "zero_variance": sum(map(has_zero_variance, groups.values())) / len(groups) if groups else None,
        "truncated": sum(row["finish_reason"] == "length" for row in scored) / len(scored) if scored else None,
        "timeouts": sum(row["verdict"]["status"] == "timeout" for row in episodes),
        "without_score": len(episodes) - len(scored),
        "refused": sum(row["verdict"]["method"] == "refused" for row in episodes),
        "reused": sum(row["reused"] for row in episodes),
        "environment_seconds": environment,
        "other_seconds": other,
        "environment_share": environment / whole if whole else None,
        **({"fault": fault} if fault else {}),
        **({"parts": parts} if (parts := part_means(row["verdict"].get("parts", ()) for row in scored)) else {}),
    }


def _is_correct(verdict: VerdictRow) -> bool:
    """True if a scored sample is correct or, if samples are compared in pairs, is better more often than not."""
    score = verdict["score"] or 0.0
    return score > 0.5 if verdict["method"] == "pairwise" else score >= 1


def has_zero_variance(scores: Sequence[float]) -> bool:
    """True if all samples of a group have the same score, so that the group has no gradient."""
    return max(scores) == min(scores)


def reported(folder: Path) -> dict[int, Row]:
    """Returns verl's report of each step. If a step is repeated, its last report counts."""
    return {row["step"]: row["data"] for path in sorted((folder / "metrics").iterdir()) for row in _rows(path, check_report)}


def steps_done(folder: Path) -> int:
    """Returns the last step that verl has reported; 0 before the first."""
    return int(last_step(folder).get("step", 0))


def last_step(folder: Path) -> dict[str, float]:
    """Returns step, reward and seconds of the last step that verl has reported; empty before the first."""
    for path in sorted((folder / "metrics").iterdir(), reverse=True):
        if rows := list(_rows(path, check_report)):
            data = rows[-1]["data"]
            return {"step": rows[-1]["step"]} | {name: data[FROM_VERL[name]] for name in ("reward", "seconds")}
    return {}


def mean(steps: Sequence[Row], name: str) -> float | None:
    """Returns the mean of a metric over steps; None if there are no steps."""
    return sum(step[name] for step in steps) / len(steps) if steps else None


def check_episode(row: Row) -> None:
    """Checks the fields of an agent loop's row that all readers need.

    Raises:
        KeyError, TypeError: a field is missing or of another type.
    """
    disk.check_types(row, step=int, problem=int, sample=int, verdict=dict)
    disk.check_types(row["verdict"], score=(int, float, type(None)), reason=str)


def check_played(row: Row) -> None:
    """Checks all fields from which a step's metrics are computed.

    Raises:
        KeyError, TypeError: a field is missing or of another type.
    """
    check_episode(row)
    disk.check_types(row, finish_reason=str, reused=bool, environment_seconds=(int, float))
    disk.check_types(row["verdict"], status=str, method=str)


def check_report(row: Row) -> None:
    """Checks the fields of a report by verl.

    Raises:
        KeyError, TypeError: a field is missing or of another type.
    """
    disk.check_types(row, step=int, data=dict)
    disk.check_types(row["data"], **{FROM_VERL[name]: (int, float) for name in ("reward", "seconds")})


class NewRows:
    """Reads the files of a folder while other processes append to them."""

    def __init__(self, folder: Path, check: Callable[[Row], None]):
        """Starts at the beginning of each file.

        Args:
            folder: the folder.
            check: raises an error for an incomplete row.
        """
        self.folder, self.check = folder, check
        self.offsets: dict[Path, int] = {}

    def read(self) -> list[Row]:
        """Returns the valid rows of the lines that were completed since the last call."""
        found: list[Row] = []
        for path in sorted(self.folder.iterdir()):
            with path.open("rb") as file:
                file.seek(self.offsets.get(path, 0))
                text = file.read()
            complete = text.rfind(b"\n") + 1
            self.offsets[path] = self.offsets.get(path, 0) + complete
            found += _valid(text[:complete], self.check)
        return found


def _rows(path: Path, check: Callable[[Row], None]) -> Iterator[Row]:
    """Yields the valid rows of a file. Incomplete lines are skipped, because another process may be writing, or was killed."""
    return _valid(path.read_bytes(), check)


def _valid(text: bytes, check: Callable[[Row], None]) -> Iterator[Row]:
    """Yields the valid rows of the complete lines of a text."""
    rows = (disk.parse_row(line, check) for line in text.split(b"\n")[:-1])
    return (row for row in rows if row is not None)
