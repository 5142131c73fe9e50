"""The folder of the user's settings: trusted recipes, and servers that may receive keys. A recipe cannot change it."""

import os
from pathlib import Path

from .disk import expanded


def path(name: str) -> Path:
    """Returns the path of a file in that folder: $TENFOLD_CONFIG, else `tenfold` in $XDG_CONFIG_HOME or ~/.config."""
    own, shared = os.environ.get("TENFOLD_CONFIG"), os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return expanded(own or f"{shared}/tenfold") / name
