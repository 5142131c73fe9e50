"""`tenfold env`: lists, checks, shows and plays environments, and writes packages of new ones."""

from .command import add

__all__ = ["add"]
