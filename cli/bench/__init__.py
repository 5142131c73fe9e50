"""`tenfold bench`: the command, and its reports over folders of results."""

from .command import add

__all__ = ["add"]
