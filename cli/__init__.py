"""The command line."""

from .main import main, parser

__all__ = ["main", "parser"]
