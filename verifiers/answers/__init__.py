"""Final answers: extracted from a response, parsed, and compared with the gold answer. Nothing is run as Python."""

from .answer_parser import readings_of
from .extraction.response import final_answer
from .grammar.notation import ParseError

__all__ = ["ParseError", "final_answer", "readings_of"]
