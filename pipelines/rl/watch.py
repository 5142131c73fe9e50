"""What a GRPO run is ended for before its last step: nothing to learn from, nothing left of the policy, nobody to judge it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ... import disk
from . import metrics
from .settings import GRPOSettings

WINDOW = 20
"""Steps that are averaged before a reward is said to have collapsed."""


class Watch:
    """Looks at a stage's folder while verl runs; each look reads only what was written since the last one."""

    def __init__(self, folder: Path, settings: GRPOSettings):
        """What earlier processes left in the folder is passed over."""
        self.folder, self.settings = folder, settings
        self.places = {path: path.stat().st_size for path in (folder / "episodes").iterdir()}
        self.done = metrics.steps_done(folder)
        self.zero_variance_steps = 0
        self.scores: dict[int, dict[tuple[int, int], dict[int, float | None]]] = {}
        """Of each step that is not done: by group (`figures.group`), by sample; None for a fault."""

    def trouble(self, done: int) -> str | None:
        """Why the run should end, in one line; None where it may go on.

        Args:
            done: the last step that verl reported.
        """
        fault = None
        for row in self._new():
            groups = self.scores.setdefault(row["step"], {})
            groups.setdefault(metrics.group(row), {})[row["sample"]] = row["verdict"]["score"]
            fault = row if row["verdict"]["score"] is None else fault
        if fault and (said := self._faults(fault)):
            return said
        if done == self.done:
            return None
        self.done = done
        for step in sorted(step for step in self.scores if step <= done):
            flat = all(metrics.is_flat(group) for group in _scored(self.scores.pop(step)))
            self.zero_variance_steps = self.zero_variance_steps + 1 if flat else 0
        if self.settings.max_zero_variance_steps and self.zero_variance_steps >= self.settings.max_zero_variance_steps:
            return (
                f"in each of the last {self.zero_variance_steps} steps all samples of every problem scored the same, and GRPO "
                "learns nothing from that: choose problems that the policy solves at times (a filter stage), or another reward"
            )
        return collapsed(self.folder, self.settings.min_reward_ratio, self.settings.min_entropy)

    def _faults(self, last: dict[str, Any]) -> str | None:
        samples = self.settings.batch_size * self.settings.samples
        faults = sum(score is None for group in self.scores[last["step"]].values() for score in group.values())
        if faults <= self.settings.max_faults * samples:
            return None
        return (
            f"{faults} of the {samples} samples of step {last['step']} ended in a fault, more than max_faults="
            f"{self.settings.max_faults:g} of them; the last: {last['verdict']['reason'][:200]}"
        )

    def _new(self) -> Iterator[dict[str, Any]]:
        """Whole lines of the episodes since the last look."""
        for path in sorted((self.folder / "episodes").iterdir()):
            with path.open("rb") as file:
                file.seek(self.places.get(path, 0))
                text = file.read()
            whole = text.rfind(b"\n") + 1
            self.places[path] = self.places.get(path, 0) + whole
            rows = (disk.parse_row(line, metrics.check_episode) for line in text[:whole].split(b"\n"))
            yield from (row for row in rows if row is not None)


def _scored(groups: dict[tuple[int, int], dict[int, float | None]]) -> list[list[float]]:
    """The scores of each group that has any."""
    scored = ([score for score in group.values() if score is not None] for group in groups.values())
    return [group for group in scored if group]


def collapsed(folder: Path, share: float, entropy: float) -> str | None:
    """What of the policy has collapsed, in one line; None where nothing has.

    Args:
        folder: of the stage.
        share: of the best mean reward over 20 steps, below which that of the last 20 steps is a collapse.
        entropy: below which that of the last step is one, in nats a token.
    """
    steps = metrics.reported(folder)
    if not steps:
        return None
    last = max(steps)
    if (now := steps[last].get(metrics.FROM_VERL["entropy"])) is not None and now < entropy:
        return f"entropy fell to {now:.3g} nats a token in step {last}, below min_entropy={entropy:g}"
    rewards = [steps[step][metrics.FROM_VERL["reward"]] for step in sorted(steps)]
    if len(rewards) < 2 * WINDOW:
        return None
    means = [sum(rewards[end - WINDOW : end]) / WINDOW for end in range(WINDOW, len(rewards) + 1)]
    best = max(means)
    if best <= 0 or means[-1] >= share * best:
        return None
    until = sorted(steps)[means.index(best) + WINDOW - 1]
    return (
        f"reward fell to {means[-1]:.3g} over the last {WINDOW} steps, from {best:.3g} over those until step {until}, "
        f"which is less than min_reward_ratio={share:g} of it"
    )
