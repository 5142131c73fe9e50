"""`tenfold autopsy`: the command, and the environments of a run's recipe."""

from .command import add

__all__ = ["add"]
