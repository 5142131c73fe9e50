"""`tenfold env`: lists, checks, shows and plays environments."""

from .command import add

__all__ = ["add"]
