"""The findings of an autopsy stage as tables of text.

The stage's page, `autopsy.html`, is not served: a page of a run's folder may be anybody's, and would have this server's
address.
"""

from pathlib import Path

from ... import disk
from ...core import UserError
from . import steps
from .folders import small_file
from .steps import Table

KIND = "autopsy"


def tables(root: Path, folder: Path, shown: str) -> list[Table]:
    """Returns the findings, the alarms and signs, and where the page is.

    Args:
        root: folder of the run; files outside of it are not read.
        folder: folder of the stage.
        shown: the same folder as the user named it.

    Raises:
        UserError: `autopsy.json` is missing or of another form.
    """
    from ..autopsy import page
    from ..autopsy.autopsy import PAGE, RECORD

    path = small_file(root, folder / RECORD)
    if path is None:
        raise UserError(f"{RECORD} is missing, is a link out of the run, or is too large")
    with disk.reading(path, f"open {PAGE} in its folder"):
        findings = disk.read_object(path, f"open {PAGE} in its folder")
        first, *lines = [line.strip() for line in page.lines(findings)]  # type: ignore[arg-type]
        alarms = steps.parsed(page.alarm_table(findings))
    found = [Table(title=first, head=["finding"], rows=[[line] for line in lines])]
    found += [{**table, "title": "Alarms and signs"} for table in alarms]
    where = f"Plots, judges and samples are in {shown}/{PAGE}"
    return [*found, Table(title=where, head=[], rows=[])] if small_file(root, folder / PAGE) else found
