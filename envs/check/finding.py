"""A finding of a check, with what to do about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ...core import UserError


class Level(StrEnum):
    """How serious a finding is."""

    PASSES = "passes"
    NOTE = "note"
    WARNING = "warning"
    FAILS = "fails"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    level: Level
    name: str
    text: str
    remedy: str = ""
    """What to do; empty if there is nothing to do."""
    figures: Mapping[str, object] = field(default_factory=dict, hash=False)
    """What was measured, as JSON values: shares of problems, or times."""

    def __str__(self) -> str:
        """Returns the finding as a line, with the remedy in a second one."""
        return f"{self.level:8} {self.name:10} {self.text}" + (f"\n{'':20}-> {self.remedy}" if self.remedy else "")


def require(findings: Sequence[Finding]) -> None:
    """Raises an error if a check fails.

    Raises:
        UserError: a check fails.
    """
    if failed := [finding for finding in findings if finding.level == Level.FAILS]:
        raise UserError(f"{len(failed)} of {len(findings)} checks fail: {', '.join(finding.name for finding in failed)}")
