"""The command line, `tenfold`. Each command has its own file."""

from .main import main, parser

__all__ = ["main", "parser"]
