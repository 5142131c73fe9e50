"""Verdicts of bfcl-eval's own code on responses."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def official_verdicts(cases: list[dict[str, Any]]) -> list[bool | str]:
    """Returns a verdict for each case (`official_verdicts.py`), or the error that ends the leaderboard's program."""
    script = Path(__file__).with_name("official_verdicts.py")
    lines = "\n".join(map(json.dumps, cases))
    run = subprocess.run([sys.executable, script], input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in run.stdout.splitlines()]
