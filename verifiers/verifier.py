"""What a verifier is: a function that judges, with all that belongs to it.

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

REASON = 300
"""Characters of a verdict's reason."""

Judgement = Verdict | SupportsFloat
"""What a judging function may return: a verdict, a score from 0 to 1, or whether the response is right."""
JudgingFunction = Callable[..., Judgement]
"""Called as function(problem, response, **options)."""
Named = str | Mapping[str, object]
"""A verifier as a registration names it: its name, or {"name": its name, option: value, ...}."""
VerifierLike = Named | Verifier | JudgingFunction
"""What is accepted where a verifier is wanted: its name, the verifier, or a plain function, which `as_verifier` wraps."""


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
    """Makes a verifier of a judging function: `as_verifier(function)`, or as a decorator with what belongs to the function.

    Args:
        function: called as function(problem, response, **options). A verifier is returned as it is. An object of the user's
            may have the methods `invalid_gold` and `prepare`; see `core.Verifier`.
        invalid_gold: why no response to a problem could be judged, or None.
        prepare: raises `UserError` where this machine lacks what the verifier needs.
        options: the function's options with their defaults; a registration may change them. Defaults to the function's own
            keyword arguments that have defaults.
        values: the values that an option may have, for those that have few.

    Returns:
        The verifier; without a function, the decorator that makes one.
    """
    if function is not None:
        return _wrapped(function)

    def decorate(function: JudgingFunction) -> FunctionVerifier:
        given = _defaults(function) if options is None else options
        return FunctionVerifier(function, invalid_gold, prepare, given, values or {})

    return decorate


def _wrapped(function: JudgingFunction) -> Verifier:
    if isinstance(function, FunctionVerifier | Verifier):  # in this order: a class is looked up faster than a protocol
        return function
    invalid_gold = function.invalid_gold if isinstance(function, SupportsInvalidGold) else None
    prepare = function.prepare if isinstance(function, SupportsPrepare) else None
    return FunctionVerifier(function, invalid_gold, prepare, _defaults(function))


def _defaults(function: JudgingFunction) -> dict[str, object]:
    """A function's keyword arguments that have defaults, behind the problem and the response."""
    try:
        taken = [*inspect.signature(function).parameters.values()][2:]
    except (TypeError, ValueError):
        return {}
    return {one.name: one.default for one in taken if one.default is not one.empty and one.kind != one.POSITIONAL_ONLY}


def as_verdict(given: Judgement, method: str) -> Verdict:
    """A judgement as a verdict; what is no verdict and no number from 0 to 1 is a fault of whoever judged."""
    if isinstance(given, Verdict):
        return given
    try:
        if isinstance(given, str | bytes):
            raise TypeError
        score = float(given)
    except (TypeError, ValueError):
        reason = f"a verdict, a number or a bool is expected of the verifier, not {given!r:.100}"
        return Verdict(Status.FAULT, None, method, reason)
    if math.isnan(score) or not 0 <= score <= 1:
        return Verdict(Status.FAULT, None, method, f"a score lies between 0 and 1; the verifier returned {score:g}")
    return Verdict(Status.SCORED, score, method, "")


@dataclasses.dataclass(frozen=True)
class FunctionVerifier:
    """A judging function as a verifier.

    It returns a verdict whatever the function returns or raises. `UserError` alone is passed on: it tells the user what to do.
    `budget.OutOfTime` is TIMEOUT, any other exception FAULT.
    A verifier that is a module's attribute is pickled by its name, so that another process imports it.
    """

    function: JudgingFunction
    """Called as function(problem, response, **options)."""
    find_invalid_gold: Callable[[Problem], str | None] | None = None
    """Why no response to a problem could be judged, or None; without it every problem counts as readable."""
    prepare_here: Callable[[], None] | None = None
    """Raises `UserError` where this machine lacks what the verifier needs."""
    options: Mapping[str, object] = dataclasses.field(default_factory=dict)
    """The function's keyword arguments."""
    values: Mapping[str, tuple[object, ...]] = dataclasses.field(default_factory=dict)
    """The values that an option may have, where they are few."""

    def __post_init__(self) -> None:
        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            if (value := getattr(self.function, name, None)) is not None:
                object.__setattr__(self, name, value)

    def __call__(self, problem: Problem, response: str) -> Verdict:
        """What `response` is worth as an answer to `problem`."""
        name = getattr(self.function, "__name__", type(self.function).__name__)
        try:
            return as_verdict(self.function(problem, response, **self.options), name)
        except UserError:
            raise
        except ModuleNotFoundError as error:
            if lacking := extras.explain(error, self._named()):
                raise UserError(lacking) from error
            return _fault(name, error)
        except OutOfTime as late:  # the response's own doing
            return Verdict(Status.TIMEOUT, 0.0, name, str(late))
        except Exception as error:  # a mistake of the function is no mistake of the response
            return _fault(name, error)

    def invalid_gold(self, problem: Problem) -> str | None:
        """Why no response to the problem could be judged, or None."""
        if self.find_invalid_gold is None:
            return None
        with extras.required_by(self._named()):
            return self.find_invalid_gold(problem)

    def _named(self) -> str:
        function = self.function
        return f"the verifier {function.__module__}:{getattr(function, '__qualname__', type(function).__name__)}"

    def prepare(self) -> None:
        """Makes sure that the verifier can work here.

        Raises:
            UserError: it cannot; the text says what is missing.
        """
        if self.prepare_here is not None:
            self.prepare_here()

    def with_options(self, **options: object) -> "FunctionVerifier":
        """The same verifier with other options.

        Raises:
            UserError: the function does not take one of them, or not this value.
        """
        if unknown := options.keys() - self.options.keys():
            there = ", ".join(self.options) or "none"
            raise UserError(f"the verifier has no option {min(unknown)!r}; its options are: {there}")
        for name, value in options.items():
            if name in self.values and value not in self.values[name]:
                raise UserError(f"the option {name} is one of {', '.join(map(str, self.values[name]))}, not {value!r:.100}")
        return dataclasses.replace(self, options={**self.options, **options})

    def __reduce__(self) -> str | tuple[object, ...]:
        name = getattr(self.function, "__qualname__", "")
        try:
            known = operator.attrgetter(name)(sys.modules[self.function.__module__])
        except (KeyError, AttributeError):
            known = None
        if known is self:
            return name
        if isinstance(known, FunctionVerifier) and known.function is self.function:
            return _with_options, (known, dict(self.options))
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
    return Verdict(Status.FAULT, None, name, f"{type(error).__name__}: {error}"[:REASON])
