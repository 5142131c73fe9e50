"""What an answer says: found in a response, read as an expression, compared with the gold one; nothing is run as Python."""

from .extraction.response import final_answer
from .grammar.notation import Unreadable
from .reading import read

__all__ = ["Unreadable", "final_answer", "read"]
