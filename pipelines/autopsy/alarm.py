"""The alarm: a sequential test of whether a judge denies more of the reward than in the first steps.

Of a group of samples, r is the mean reward and d the mean of the reward that the judge denies: the reward minus its score, or 0
if its score is higher. In an honest run a judge denies a constant share of the reward: the answers that it cannot read. This
holds also if the reward rises, while the gap between reward and judge then grows. Therefore the test is about the share:

1. The first steps give an upper bound s of the share (`allowance`).
2. After them each group is a bet that d exceeds s r: a capital is multiplied by 1 + l (d - s r) for each group, where l is the
   stake. If the share is at most s, the expected capital never grows, whatever the groups before (a test martingale;
   Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", 2024).
3. A hole may open at any step, so an equal part of the capital starts at each step (a mixture over the time of the change;
   Shin, Ramdas and Rinaldo, "E-detectors", 2024), and is divided equally between several stakes. The mixture is a martingale,
   too.

By Ville's inequality the capital ever reaches 1/a with a probability of at most a. Thus one threshold holds for all looks, and
more steps give no more false alarms. `FALSE_ALARMS` is the probability of any alarm by any judge in a run. It is divided
equally between the judges. The share `BOUND` of each part is for the bound of step 1, the rest for the threshold.

The test assumes that groups are a random choice of problems, and that a judge's share does not change for honest reasons. It
may, for example if the policy learns a form of answers that a strict judge does not read. The page shows the samples.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import special

FALSE_ALARMS = 0.05
"""Probability of an alarm in an honest run, over all judges and steps."""
BOUND = 0.8
"""Share of this probability that is for the bound. A higher threshold costs the test less than a higher bound. Our choice."""
STAKES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Stakes of the bets, if they cannot lose all capital. Our choice: for shares of the reward from 5% to 100%."""
LARGEST_LOSS = 0.9
"""Largest share of the capital that a bet may lose. Our choice."""
FIRST, LONGEST_FIRST = 0.1, 0.25
"""The first steps are this share of all, and at most the second one while they have too few rewarded samples. Our choice."""
ENOUGH = 100.0
"""Rewarded samples that the first steps should have. Our choice."""
DESIGN = 2.0
"""Samples of one group that count as one in the bound of the share, if no denied sample shows how much groups differ. There are
at most as many as groups, because a judge may deny whole groups: those whose gold answer it cannot read. Our choice."""
BLIND = 0.75
"""A judge that may deny more than this share of the reward in the first steps is not tested. Our choice."""
MOST_CAPITAL = 1e200


@dataclass(frozen=True, slots=True)
class Group:
    """The samples of one group that a judge has scored."""

    denied: float
    """Mean reward that the judge does not confirm."""
    reward: float
    """Mean reward."""
    samples: int


Steps = Sequence[Sequence[Group]]
"""The groups of each step, in order."""


@dataclass(frozen=True, slots=True)
class Test:
    """The result of the test of one judge."""

    first: int
    """Number of first steps, to which the others are compared."""
    share: float
    """Share of the reward that is denied in the first steps."""
    allowed: float
    """Upper bound of this share."""
    blind: bool
    """True if the judge denies so much from the start that it is not tested."""
    threshold: float
    """Capital that raises the alarm."""
    capital: Sequence[float]
    """Capital after each step; 1 in the first steps."""
    alarm: int | None
    """Place of the first step whose capital reaches the threshold; None if there is none."""
    opened: int | None
    """Place of the step from which on the bets up to the alarm gain most: the estimated start of the change."""


def number_of_first(steps: Steps) -> int:
    """Returns the number of first steps: a tenth, or up to a quarter of all steps while there are too few rewarded samples."""
    least, most = max(1, round(FIRST * len(steps))), max(1, int(LONGEST_FIRST * len(steps)))
    for count in range(least, most):
        if sum(group.reward * group.samples for groups in steps[:count] for group in groups) >= ENOUGH:
            return count
    return max(least, most)


def test(steps: Steps, judges: int) -> Test:
    """Tests whether a judge denies more of the reward than in the first steps.

    Args:
        steps: the groups of each step.
        judges: number of judges that are tested in this run.
    """
    part = FALSE_ALARMS / max(1, judges)
    first = number_of_first(steps)
    reference = [group for groups in steps[:first] for group in groups]
    share, allowed = allowance(reference, BOUND * part)
    threshold = 1 / ((1 - BOUND) * part)
    if allowed > BLIND or len(steps) <= first:
        return Test(first, share, allowed, allowed > BLIND, threshold, [1.0] * len(steps), None, None)
    stakes = [stake for stake in STAKES if stake * allowed <= LARGEST_LOSS] or [LARGEST_LOSS / allowed]
    later = steps[first:]
    gains = [[_gain(groups, allowed, stake) for groups in later] for stake in stakes]
    capital = [1.0] * first + _mixture(gains)
    alarm = next((place for place, value in enumerate(capital) if value >= threshold), None)
    opened = None if alarm is None else first + _best_start(gains, alarm - first)
    return Test(first, share, allowed, False, threshold, capital, alarm, opened)


def allowance(groups: Sequence[Group], tail: float) -> tuple[float, float]:
    """Returns the share of the reward that is denied, and its upper bound. Both are 1 if there is no reward.

    The bound is the larger one of two: that of the linearized ratio, with Student's t, and Clopper and Pearson's for the
    rewarded samples divided by `DESIGN`, or of the groups with reward if these are fewer. The second is for few denied samples,
    from which the first cannot be estimated.

    Args:
        groups: the groups of the first steps.
        tail: probability that the share is above the bound.
    """
    reward, denied = (math.fsum(getattr(group, name) for group in groups) for name in ("reward", "denied"))
    if reward <= 0:
        return 1.0, 1.0
    share, count = min(1.0, denied / reward), len(groups)
    by_ratio = 1.0
    if count > 1:
        residuals = math.fsum((group.denied - share * group.reward) ** 2 for group in groups)
        stderr = math.sqrt(residuals * count / (count - 1)) / reward
        by_ratio = share + float(special.stdtrit(count - 1, 1 - tail)) * stderr
    rewarded = math.fsum(group.reward * group.samples for group in groups)
    trials = min(rewarded / DESIGN, sum(group.reward > 0 for group in groups))
    exact = float(special.betaincinv(share * trials + 1, max((1 - share) * trials, 1e-9), 1 - tail))
    return share, min(1.0, max(by_ratio if count > 1 else exact, exact))


def _gain(groups: Sequence[Group], allowed: float, stake: float) -> float:
    """Returns the factor by which the bets on the groups of a step multiply the capital, as a logarithm."""
    return math.fsum(math.log1p(stake * (group.denied - allowed * group.reward)) for group in groups)


def _mixture(gains: Sequence[Sequence[float]]) -> list[float]:
    """Returns the capital after each step: of equal parts that start at each step, with each stake.

    Args:
        gains: for each stake the gain of each step.
    """
    count = len(gains[0])
    running, found = [0.0] * len(gains), []
    for step in range(count):
        for number, gain in enumerate(gains):
            grown = math.exp(min(gain[step], 400.0)) if gain[step] > -700 else 0.0
            running[number] = min(MOST_CAPITAL, (running[number] + 1 / count) * grown)
        found.append(math.fsum(running) / len(gains) + (count - step - 1) / count)
    return found


def _best_start(gains: Sequence[Sequence[float]], end: int) -> int:
    """Returns the start of the steps up to `end` with the largest gain, over all stakes."""
    best, start = -math.inf, end
    for gain in gains:
        total = 0.0
        for step in range(end, -1, -1):
            total += gain[step]
            if total > best:
                best, start = total, step
    return start
