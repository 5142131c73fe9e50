"""Terminal output without control characters, so that text of a model, server, file or recipe cannot change the terminal."""

import contextlib
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import IO, Any, TextIO, cast

from rich.console import Console as RichConsole
from rich.text import Text

from .texts import without_surrogates

_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor, screen
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x80-\x9f]*(?:\x07|\x1b\\|\x9c)"  # titles, links, clipboard, devices
    r"|\x1b[ -/]*[0-Z\\^-~]?"  # all other escape sequences
)
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]"
    r"|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # marks that change the writing direction
)


def plain(text: str) -> str:
    """Returns a text without escape sequences, control characters (except newlines and tabs) and marks of writing direction."""
    return without_surrogates(_CONTROL.sub("", _SEQUENCE.sub("", text)))


class Console(RichConsole):
    """rich's console with markup, emoji and highlighting switched off."""

    def __init__(self, **options: Any):
        """Passes options to rich."""
        super().__init__(**{"markup": False, "emoji": False, "highlight": False} | options)

    @property
    def file(self) -> IO[str]:
        """The stream below `plain_output`, whose filter would remove rich's colours."""
        stream: IO[str] = super().file
        return stream.stream if isinstance(stream, _PlainStream) else stream

    @file.setter
    def file(self, file: IO[str]) -> None:
        self._file = file

    def print(self, *objects: Any, **options: Any) -> None:
        """See rich. While a progress bar is shown, other output arrives as rich's `Text`; its colours and links are removed."""
        plain_objects = (Text(plain(item.plain), item.style) if isinstance(item, Text) else item for item in objects)
        super().print(*plain_objects, **options)

    def on_broken_pipe(self) -> None:
        """Raises the current BrokenPipeError again, because rich would end the process with status 1."""
        raise

    def render_str(self, text: str, **options: Any) -> Text:
        """See rich. Control characters are removed."""
        return super().render_str(plain(text), **options)


class _PlainStream:
    """A text stream that removes control characters."""

    def __init__(self, stream: IO[str]):
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(plain(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)


@contextlib.contextmanager
def plain_output() -> Iterator[None]:
    """Removes control characters from all output of this process, warnings and tracebacks included."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = cast(TextIO, _PlainStream(sys.stdout)), cast(TextIO, _PlainStream(sys.stderr))
    try:
        yield
    except Exception:
        if sys.excepthook is sys.__excepthook__:  # it would write to the original stream
            sys.excepthook = _print_traceback
        raise
    finally:
        sys.stdout, sys.stderr = before


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Prints a traceback without control characters."""
    sys.stderr.write(plain("".join(traceback.format_exception(kind, error, trace))))
