"""Checks the trackers of a recipe before the first stage: that they are installed, and that they have keys."""

from collections.abc import Sequence

from ....core import UserError
from ...rl import verl_checks
from .tracker import NAMES


def check(trackers: Sequence[str], setting: str) -> None:
    """Checks trackers.

    Args:
        trackers: names.
        setting: the setting or option that names them, for errors.

    Raises:
        UserError: a tracker is unknown, named twice, not installed, or has no key.
    """
    for number, name in enumerate(trackers):
        if name not in NAMES:
            raise UserError(f"{setting}: unknown tracker {name!r}; use {', '.join(NAMES)}")
        if name in trackers[:number]:
            raise UserError(f"{setting}: {name} is named twice; remove one of them")
        verl_checks.check_tracker(name, setting)
