"""Reasons to stop a GRPO run early: groups without variance, collapse of reward or entropy, too many missing scores."""

from pathlib import Path
from typing import cast

from . import metrics
from .settings import GRPOSettings

WINDOW = 20
"""Steps over which rewards are averaged. Our choice."""


class Watch:
    """Checks a stage's folder while verl runs. Each check reads only new lines."""

    def __init__(self, folder: Path, settings: GRPOSettings, checkpoint: int = 0):
        """Reads the rows of earlier processes.

        Steps before the checkpoint, and its own step, are counted. Later steps are not, because they are repeated. With
        asynchronous rollouts, the scores of the next `max_staleness` steps are counted, too, because the checkpoint may have
        their samples.

        Args:
            folder: the stage's folder.
            settings: the stage's settings.
            checkpoint: step of the checkpoint from which the stage resumes; 0 if it starts.
        """
        self.folder, self.settings = folder, settings
        self.episodes = metrics.NewRows(folder / "episodes", metrics.check_episode)
        self.done = metrics.steps_done(folder)
        self.zero_variance_steps = 0
        self.scores: dict[int, dict[tuple[int, int], dict[int, float | None]]] = {}
        """Scores of the steps that are not done, by step, group (`metrics.group`) and sample; None for one without a score."""

        for row in self._new():
            self._add(row)
        self._count_zero_variance(checkpoint)
        ahead = checkpoint + settings.max_staleness
        self.scores = {step: scores for step, scores in self.scores.items() if step <= ahead}

    def reason_to_stop(self, done: int) -> str | None:
        """Returns why the run should be stopped, in one line; None if it may continue.

        Args:
            done: the last step that verl has reported.
        """
        faults: dict[int, metrics.StepEpisode] = {}
        for row in self._new():
            self._add(row)
            if row["verdict"]["score"] is None:
                faults[row["step"]] = row
        if reason := next(filter(None, map(self._too_few_scores, faults.values())), None):
            return reason
        if done == self.done:
            return None
        self.done = done
        self._count_zero_variance(done)
        if self.settings.max_zero_variance_steps and self.zero_variance_steps >= self.settings.max_zero_variance_steps:
            return (
                f"in each of the last {self.zero_variance_steps} steps, all samples of each problem had the same score, so "
                "GRPO had no gradient: choose problems that the policy sometimes solves (with a filter), or another reward"
            )
        return collapsed(self.folder, done, self.settings.min_reward_ratio, self.settings.min_entropy)

    def _add(self, row: metrics.StepEpisode) -> None:
        """Stores the score of an episode."""
        groups = self.scores.setdefault(row["step"], {})
        groups.setdefault(metrics.group(row), {})[row["sample"]] = row["verdict"]["score"]

    def _count_zero_variance(self, done: int) -> None:
        """Counts the consecutive steps without variance up to step `done`."""
        for step in sorted(step for step in self.scores if step <= done):
            useless = all(map(metrics.has_zero_variance, _scored(self.scores.pop(step))))
            self.zero_variance_steps = self.zero_variance_steps + 1 if useless else 0

    def _too_few_scores(self, last: metrics.StepEpisode) -> str | None:
        scores = [score for group in self.scores[last["step"]].values() for score in group.values()]
        samples = max(self.settings.batch_size * self.settings.samples, len(scores))  # replaced problems have samples too
        missing = scores.count(None)
        if missing <= self.settings.max_without_score * samples:
            return None
        return (
            f"{missing} of the {samples} samples of step {last['step']} have no score, more than the share max_without_score="
            f"{self.settings.max_without_score:g}; the last: {last['verdict']['reason'][:400]}"
        )

    def _new(self) -> list[metrics.StepEpisode]:
        """Returns the episodes since the last check."""
        return cast(list[metrics.StepEpisode], self.episodes.read())


def _scored(groups: dict[tuple[int, int], dict[int, float | None]]) -> list[list[float]]:
    """Returns the scores of each group that has any."""
    scored = ([score for score in group.values() if score is not None] for group in groups.values())
    return [group for group in scored if group]


def collapsed(folder: Path, done: int, share: float, entropy: float) -> str | None:
    """Returns which metric has collapsed, in one line; None if none has.

    Args:
        folder: the stage's folder.
        done: the last step to use; reports of later steps are of an earlier process, and these steps are repeated.
        share: smallest ratio of the mean reward over the last WINDOW steps to the best such mean; 0: any.
        entropy: smallest entropy of the last step, in nats per token.
    """
    steps = {step: report for step, report in metrics.reported(folder).items() if step <= done}
    if not steps:
        return None
    last = max(steps)
    if (now := steps[last].get(metrics.FROM_VERL["entropy"])) is not None and now < entropy:
        return f"entropy fell to {now:.3g} nats per token in step {last}, below min_entropy={entropy:g}"
    rewards = [steps[step][metrics.FROM_VERL["reward"]] for step in sorted(steps)]
    if not share or len(rewards) < 2 * WINDOW:
        return None
    means = [sum(rewards[end - WINDOW : end]) / WINDOW for end in range(WINDOW, len(rewards) + 1)]
    best = max(means)
    if best <= 0 or means[-1] >= share * best:
        return None
    until = sorted(steps)[means.index(best) + WINDOW - 1]
    return (
        f"mean reward over {WINDOW} steps fell to {means[-1]:.3g}, from {best:.3g} at step {until}, which is a ratio below "
        f"min_reward_ratio={share:g}"
    )
