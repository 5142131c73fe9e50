"""What each tracker has received, `trackers.json` in a run's folder. Therefore a resumed run continues and repeats nothing.

{"wandb": {"id": "5e01c2aa", "sent": 120, "marks": {"log": 1764500000.1, "sft/steps.jsonl": 100}}}
"""

import contextlib
import dataclasses
import json
import threading
from pathlib import Path

from .... import disk
from ....core import UserError

NAME = "trackers.json"
Mark = float | str
_WRITING = threading.Lock()
"""The trackers' threads write the same file."""


@dataclasses.dataclass
class State:
    """What one tracker has received."""

    id: str = ""
    """The tracker's id of the run; empty before the first start."""
    sent: int = 0
    """Number of figures, pictures and tables."""
    marks: dict[str, Mark] = dataclasses.field(default_factory=dict)
    """How far each file was read: the last step, the time of the last row, or a digest. See `follow.py`."""


def load(folder: Path, tracker: str) -> State:
    """Returns the state of a tracker; a new one if there is none or the file is damaged."""
    found = _read(folder).get(tracker)
    try:
        disk.check_types(found or {}, id=str, sent=int, marks=dict)
    except (KeyError, TypeError):
        return State()
    return State(found["id"], found["sent"], dict(found["marks"])) if found else State()


def save(folder: Path, tracker: str, state: State) -> None:
    """Writes the state of a tracker.

    Raises:
        OSError: for example, the disk is full.
    """
    with _WRITING:
        disk.write(folder / NAME, json.dumps(_read(folder) | {tracker: dataclasses.asdict(state)}, indent=1) + "\n")


def _read(folder: Path) -> disk.Row:
    with contextlib.suppress(UserError, OSError):
        return disk.read_object(folder / NAME, "")
    return {}
