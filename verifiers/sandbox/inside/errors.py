"""Which exceptions of a program reach the tests that call it. All ways of calling a program follow this rule.

An **error** reaches the tests as an instance of a builtin class (`ValueError`, `KeyError`, ...). An error of a class that the
program defines becomes one of the nearest builtin base class. Tests may expect errors. `except Exception: pass` in tests
accepts any error, which is what its author wrote.

**Anything else** is a failure that no handler in the tests can turn into a success: the end of a loop (`StopIteration`, which
`for`, `zip` and `all` would take for their own), `GeneratorExit`, `KeyboardInterrupt`, `SystemExit`, every other exception that
is not an `Exception`, a call of a function that the program does not define, and a program that has ended. The tests get
`Failed`, which `except Exception` does not catch. If a bare `except:` catches it, the run has failed all the same, because the
supervisor has recorded the failure.

What a program reports about its exceptions is its own claim. It may claim any error, just as it may raise any error.
"""

import builtins
import json
from typing import Any

from .wire import MAX_DEPTH, decode, encode

MAX_ENCODED = 10_000
"""Characters of an error's encoded arguments. If they are longer, only the beginning of the error's text is sent."""
_ENDS_OF_LOOPS = (StopIteration, StopAsyncIteration)
ERRORS = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, (*_ENDS_OF_LOOPS, BaseExceptionGroup))
}
"""The classes that reach the tests unchanged, by name."""


class Failed(BaseException):
    """Raised in the tests if the program that they call neither returned nor raised an error."""


def encode_error(error: BaseException, text: str) -> list[Any] | None:
    """Returns the name of the error's class and its encoded arguments; None if the exception is not an error.

    Args:
        error: an exception that the program raised.
        text: the exception's text.
    """
    kinds = type(error).__mro__
    if any(kind in _ENDS_OF_LOOPS for kind in kinds):
        return None
    kind = next((kind for kind in kinds if kind in ERRORS.values()), None)
    if kind is None:
        return None
    try:
        arguments = [encode(argument) for argument in error.args] if type(error) is kind else [text]
        written = json.dumps(arguments)
        if len(written) <= MAX_ENCODED and written.count("[") + written.count("{") < MAX_DEPTH - 2:
            return [kind.__name__, arguments]
    except Exception:  # arguments that cannot be encoded
        pass
    return [kind.__name__, [text[:MAX_ENCODED]]]


def is_encoded_error(encoded: object) -> bool:
    """True if this is the encoding of an error."""
    return (
        isinstance(encoded, list)
        and len(encoded) == 2
        and isinstance(encoded[0], str)
        and encoded[0] in ERRORS
        and isinstance(encoded[1], list)
    )


def decode_error(encoded: Any, text: str) -> BaseException:
    """Returns the exception that the tests get.

    Args:
        encoded: the encoded error, or anything else for a failure.
        text: the exception's text.
    """
    if not is_encoded_error(encoded):
        return Failed(text)
    for kind in ERRORS[encoded[0]].__mro__:
        try:
            error = kind(*map(decode, encoded[1]))
        except Exception:  # the class does not take these arguments; its base class may
            continue
        if isinstance(error, Exception):
            return error
    return Failed(text)
