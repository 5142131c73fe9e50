"""Checks of an environment, each with what to do about a finding; see `checks.py`."""

from .checks import check as check
from .finding import Finding as Finding
from .finding import Level as Level
from .finding import require as require
from .subject import ALLOWED as ALLOWED
from .subject import Settings as Settings
