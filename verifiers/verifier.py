"""Makes a verifier from a function that judges a response.

@as_verifier(invalid_gold=no_number)
def verify(problem, response, tolerance=0.0):
    ...
    return abs(given - wanted) <= tolerance        # a Verdict, a float from 0 to 1, or a bool

verify(problem, response)                          # Verdict(SCORED, 1.0, "verify", "")
verify.with_options(tolerance=0.1)                 # the same verifier, with another tolerance
"""

import dataclasses
import inspect
import math
import operator
import sys
from collections.abc import Callable, Mapping
from typing import SupportsFloat, overload

from .. import extras
from ..core import Problem, Status, SupportsInvalidGold, SupportsPrepare, UserError, Verdict, Verifier
from .budget import OutOfTime

MAX_REASON_CHARACTERS = 400
"""Maximum number of characters of a verdict's reason. Our choice."""

VerdictLike = Verdict | SupportsFloat
"""What a judging function may return: a verdict, a score from 0 to 1, or True if the response is correct."""
JudgingFunction = Callable[..., VerdictLike]
"""Called as function(problem, response, **options)."""
VerifierSpec = str | Mapping[str, object]
"""A verifier as it is written in a registration: its name, or {"name": name, option: value, ...}."""
VerifierLike = VerifierSpec | Verifier | JudgingFunction
"""Accepted for a verifier: its name, the verifier itself, or a plain function, which `as_verifier` wraps."""


@overload
def as_verifier(function: JudgingFunction, /) -> Verifier: ...


@overload
def as_verifier(
    *,
    invalid_gold: Callable[[Problem], str | None] | None = None,
    prepare: Callable[[], None] | None = None,
    options: Mapping[str, object] | None = None,
    values: Mapping[str, tuple[object, ...]] | None = None,
) -> Callable[[JudgingFunction], "FunctionVerifier"]: ...


def as_verifier(
    function: JudgingFunction | None = None,
    /,
    *,
    invalid_gold: Callable[[Problem], str | None] | None = None,
    prepare: Callable[[], None] | None = None,
    options: Mapping[str, object] | None = None,
    values: Mapping[str, tuple[object, ...]] | None = None,
) -> "Verifier | Callable[[JudgingFunction], FunctionVerifier]":
    """Makes a verifier from a judging function: `as_verifier(function)`, or as a decorator with keyword arguments.

    Args:
        function: called as function(problem, response, **options). A verifier is returned unchanged. An object may have the
            methods `invalid_gold` and `prepare`; see `core.Verifier`.
        invalid_gold: returns the reason why no response to a problem could be judged, or None.
        prepare: raises `UserError` if this machine lacks something that the verifier needs.
        options: the function's options with their defaults, which a registration may change. By default these are the keyword
            arguments of the function that have defaults.
        values: the allowed values of options, for options with few values.

    Returns:
        The verifier; without a function, the decorator that makes one.
    """
    if function is not None:
        return _wrapped(function)

    def decorate(function: JudgingFunction) -> FunctionVerifier:
        defaults = _defaults(function) if options is None else options
        return FunctionVerifier(function, invalid_gold, prepare, defaults, values or {})

    return decorate


def _wrapped(function: JudgingFunction) -> Verifier:
    if isinstance(function, FunctionVerifier | Verifier):  # this order, because checking a class is faster than a protocol
        return function
    invalid_gold = function.invalid_gold if isinstance(function, SupportsInvalidGold) else None
    prepare = function.prepare if isinstance(function, SupportsPrepare) else None
    return FunctionVerifier(function, invalid_gold, prepare, _defaults(function))


def _defaults(function: JudgingFunction) -> dict[str, object]:
    """Returns the keyword arguments that have defaults, without the first two arguments (problem and response)."""
    try:
        parameters = [*inspect.signature(function).parameters.values()][2:]
    except (TypeError, ValueError):
        return {}
    optional = [each for each in parameters if each.default is not each.empty and each.kind != each.POSITIONAL_ONLY]
    return {parameter.name: parameter.default for parameter in optional}


def as_verdict(value: VerdictLike, method: str) -> Verdict:
    """Converts the return value of a judging function to a verdict; anything but a verdict or a number in 0..1 is a fault."""
    if isinstance(value, Verdict):
        return value
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        score = float(value)
    except (TypeError, ValueError):
        reason = f"the verifier must return a verdict, a number or a bool, but returned {value!r:.100}"
        return Verdict(Status.FAULT, None, method, reason)
    if math.isnan(score) or not 0 <= score <= 1:
        return Verdict(Status.FAULT, None, method, f"a score must be from 0 to 1, but the verifier returned {score:g}")
    return Verdict(Status.SCORED, score, method, "")


@dataclasses.dataclass(frozen=True)
class FunctionVerifier:
    """A verifier that calls a judging function.

    It returns a verdict whatever the function returns or raises, except that it passes on `UserError`, which tells the user
    what to do. `budget.OutOfTime` becomes TIMEOUT, any other exception FAULT. A verifier that is an attribute of a module is
    pickled by its name, so that another process imports it.
    """

    function: JudgingFunction
    """Called as function(problem, response, **options)."""
    find_invalid_gold: Callable[[Problem], str | None] | None = None
    """Returns the reason why no response to a problem could be judged, or None. By default every problem can be judged."""
    prepare_here: Callable[[], None] | None = None
    """Raises `UserError` if this machine lacks something that the verifier needs."""
    options: Mapping[str, object] = dataclasses.field(default_factory=dict)
    """The function's keyword arguments."""
    values: Mapping[str, tuple[object, ...]] = dataclasses.field(default_factory=dict)
    """The allowed values of options, for options with few values."""

    def __post_init__(self) -> None:
        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            if (value := getattr(self.function, name, None)) is not None:
                object.__setattr__(self, name, value)

    def __call__(self, problem: Problem, response: str) -> Verdict:
        """Returns the verdict on `response` to `problem`."""
        name = getattr(self.function, "__name__", type(self.function).__name__)
        try:
            return as_verdict(self.function(problem, response, **self.options), name)
        except UserError:
            raise
        except ModuleNotFoundError as error:
            if missing := extras.explain(error, self._description()):
                raise UserError(missing) from error
            return _fault(name, error)
        except OutOfTime as late:  # caused by the response
            return Verdict(Status.TIMEOUT, 0.0, name, str(late))
        except Exception as error:  # caused by the function, not by the response
            return _fault(name, error)

    def invalid_gold(self, problem: Problem) -> str | None:
        """Returns the reason why no response to the problem could be judged, or None.

        An exception of the check is a reason, so that one problem does not stop the check of the others.

        Raises:
            UserError: the check raises it, or a package is missing.
        """
        if self.find_invalid_gold is None:
            return None
        try:
            with extras.required_by(self._description()):
                return self.find_invalid_gold(problem)
        except UserError:
            raise
        except Exception as error:
            return f"the gold answer cannot be checked: {type(error).__name__}: {error}"[:MAX_REASON_CHARACTERS]

    def _description(self) -> str:
        function = self.function
        return f"the verifier {function.__module__}:{getattr(function, '__qualname__', type(function).__name__)}"

    def prepare(self) -> None:
        """Checks that the verifier works on this machine.

        Raises:
            UserError: it does not; the message says what is missing.
        """
        if self.prepare_here is not None:
            self.prepare_here()

    def with_options(self, **options: object) -> "FunctionVerifier":
        """Returns the same verifier with other options.

        Raises:
            UserError: the function does not have one of these options, or does not allow the value.
        """
        if unknown := options.keys() - self.options.keys():
            known = ", ".join(self.options) or "none"
            raise UserError(f"the verifier has no option {min(unknown)!r}; its options are: {known}")
        for name, value in options.items():
            if name in self.values and value not in self.values[name]:
                allowed = ", ".join(map(str, self.values[name]))
                raise UserError(f"option {name}: expected one of {allowed}, got {value!r:.100}")
        return dataclasses.replace(self, options={**self.options, **options})

    def __reduce__(self) -> str | tuple[object, ...]:
        name = getattr(self.function, "__qualname__", "")
        try:
            attribute = operator.attrgetter(name)(sys.modules[self.function.__module__])
        except (KeyError, AttributeError):
            attribute = None
        if attribute is self:
            return name
        if isinstance(attribute, FunctionVerifier) and attribute.function is self.function:
            return _with_options, (attribute, dict(self.options))
        return FunctionVerifier, (
            self.function,
            self.find_invalid_gold,
            self.prepare_here,
            dict(self.options),
            dict(self.values),
        )


def _with_options(verifier: FunctionVerifier, options: Mapping[str, object]) -> FunctionVerifier:
    return verifier.with_options(**options)


def _fault(name: str, error: Exception) -> Verdict:
    return Verdict(Status.FAULT, None, name, f"{type(error).__name__}: {error}"[:MAX_REASON_CHARACTERS])
