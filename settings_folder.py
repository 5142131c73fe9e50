"""The folder of a user's own settings: what he trusts, and where his keys may go. No recipe names it."""

import os
from pathlib import Path


def path(name: str) -> Path:
    """A file of that folder: $TENFOLD_CONFIG, else `tenfold` in $XDG_CONFIG_HOME or ~/.config."""
    own, shared = os.environ.get("TENFOLD_CONFIG"), os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(own or f"{shared}/tenfold").expanduser() / name
