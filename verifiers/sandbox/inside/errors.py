"""Which exceptions of a program reach the tests that call it: the rule, which every way from the one to the other keeps.

An **error** arrives as itself: an instance of a builtin class (`ValueError`, `KeyError`, ...), for an error of the program's
own class of the nearest builtin one. Tests may expect it. `except Exception: pass` accepts any, as whoever wrote that wanted.

**Anything else** is a failure that no handler of the tests makes good: the end of a loop (`StopIteration`, which `for`, `zip`
and `all` would take for their own), `GeneratorExit`, `KeyboardInterrupt`, `SystemExit`, whatever else is no `Exception`, and
a program that is gone. Tests see `Failed`, which `except Exception` does not catch. Where a bare `except:` does, the run has
failed all the same: whoever carries the call has noted it.

What a program says of its exceptions is its own claim: it may claim any error, as it may raise any.
"""

import builtins
import json
from typing import Any

from .wire import MAX_DEPTH, decode, encode

MAX_SAID = 10_000
"""Characters of an error's arguments that travel; of longer ones only the beginning of its text does."""
_ENDS_OF_LOOPS = (StopIteration, StopAsyncIteration)
ERRORS = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, (*_ENDS_OF_LOOPS, BaseExceptionGroup))
}
"""The classes that arrive as themselves, by name."""


class Failed(BaseException):
    """What tests see where the program that they call has done something else than return or raise an error."""


def form_of(error: BaseException, text: str) -> list[Any] | None:
    """An error as it travels, its class and the forms of its arguments; None where it is no error.

    Args:
        error: of the program.
        text: what it says.
    """
    kinds = type(error).__mro__
    if any(kind in _ENDS_OF_LOOPS for kind in kinds):
        return None
    kind = next((kind for kind in kinds if kind in ERRORS.values()), None)
    if kind is None:
        return None
    try:
        form = [encode(argument) for argument in error.args] if type(error) is kind else [text]
        written = json.dumps(form)
        if len(written) <= MAX_SAID and written.count("[") + written.count("{") < MAX_DEPTH - 2:
            return [kind.__name__, form]
    except Exception:  # arguments that cannot be said
        pass
    return [kind.__name__, [text[:MAX_SAID]]]


def arrives(form: Any) -> bool:
    """Whether what a program says of its exception is an error's form."""
    return (
        isinstance(form, list)
        and len(form) == 2
        and isinstance(form[0], str)
        and form[0] in ERRORS
        and isinstance(form[1], list)
    )


def raised(form: Any, text: str) -> BaseException:
    """The exception that tests see.

    Args:
        form: the error's; None where it is none.
        text: what is said of it.
    """
    if not arrives(form):
        return Failed(text)
    for kind in ERRORS[form[0]].__mro__:
        try:
            found = kind(*map(decode, form[1]))
        except Exception:  # arguments that the class does not take: the next one takes them
            continue
        if isinstance(found, Exception):
            return found
    return Failed(text)
