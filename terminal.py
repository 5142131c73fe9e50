"""What is printed on a terminal: text that a model, a server, a file or a recipe says moves no cursor and hides nothing."""

import contextlib
import re
import sys
import traceback
from collections.abc import Iterator
from typing import Any, TextIO

from rich.console import Console as RichConsole
from rich.text import Text

from .core import without_surrogates

_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor, screen
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x80-\x9f]*(?:\x07|\x1b\\|\x9c)"  # titles, links, clipboard, devices
    r"|\x1b[ -/]*[0-Z\\^-~]?"  # whatever else an escape begins
)
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]"
    r"|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # which turn the order of what stands around them
)


def plain(text: str) -> str:
    """A text without escape sequences, control characters (but ends of lines and tabs) and marks of writing direction."""
    return without_surrogates(_CONTROL.sub("", _SEQUENCE.sub("", text)))


class Console(RichConsole):
    """rich's console, for texts that are no markup of rich's: it alone colours what it shows."""

    def __init__(self, **options: Any):
        """Takes rich's own options."""
        super().__init__(**{"markup": False, "emoji": False, "highlight": False} | options)

    @property
    def file(self) -> Any:
        """Where it writes: past `cleaned`, whose streams would take rich's colours for a stranger's."""
        found = super().file
        return found.stream if isinstance(found, _Cleaned) else found

    @file.setter
    def file(self, file: Any) -> None:
        self._file = file

    def print(self, *objects: Any, **options: Any) -> None:
        """As rich's; what others print while a bar moves, which rich hands on as its `Text`, loses its colours and links."""
        super().print(*(Text(plain(one.plain), one.style) if isinstance(one, Text) else one for one in objects), **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """As rich's, of the text without control characters."""
        return super().render_str(plain(text), **options)


class _Cleaned:
    """A stream of text that lets no control character through."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(plain(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def cleaned() -> Iterator[None]:
    """Has whatever this process prints to its output and to its errors be plain, warnings and tracebacks among them."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Cleaned(sys.stdout), _Cleaned(sys.stderr)
    try:
        yield
    except Exception:
        if sys.excepthook is sys.__excepthook__:  # which writes to the stream that stands when the program ends
            sys.excepthook = _told
        raise
    finally:
        sys.stdout, sys.stderr = before


def _told(kind: Any, error: BaseException, trace: Any) -> None:
    """Prints a traceback; as Python's own hook, but plain."""
    sys.stderr.write(plain("".join(traceback.format_exception(kind, error, trace))))
