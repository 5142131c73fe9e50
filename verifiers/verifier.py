"""Makes a verifier from a function that judges a response.

@as_verifier(invalid_gold=no_number)
def verify(problem, response, tolerance=0.0):
    ...
    return abs(given - wanted) <= tolerance        # a Verdict, a float from 0 to 1, a bool, or {"score": ..., "reason": ...}

verify(problem, response)                          # Verdict(SCORED, 1.0, "verify", "")
verify.with_options(tolerance=0.1)                 # the same verifier, with another tolerance

`rewards/calling.py` lists the parameters that the function may have, and the values that it may return.
"""

import dataclasses
import operator
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import overload

from .. import extras, faults
from ..core import Problem, Status, SupportsInvalidGold, SupportsPrepare, UserError, Verdict, Verifier
from .budget import OutOfTime
from .rewards import calling
from .rewards.calling import MAX_REASON_CHARACTERS as MAX_REASON_CHARACTERS
from .rewards.calling import JudgingFunction, as_verdict

VerifierSpec = str | Mapping[str, object] | Sequence[object]
"""A verifier as it is written in a registration: its name; or {"name": NAME, OPTION: VALUE, ...}; or a list of these, each with
a weight (`rewards/weighted.py`)."""
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
    check_options: Callable[..., None] | None = None,
) -> Callable[[JudgingFunction], "FunctionVerifier"]: ...


def as_verifier(
    function: JudgingFunction | None = None,
    /,
    *,
    invalid_gold: Callable[[Problem], str | None] | None = None,
    prepare: Callable[[], None] | None = None,
    options: Mapping[str, object] | None = None,
    values: Mapping[str, tuple[object, ...]] | None = None,
    check_options: Callable[..., None] | None = None,
) -> "Verifier | Callable[[JudgingFunction], FunctionVerifier]":
    """Makes a verifier from a judging function: `as_verifier(function)`, or as a decorator with keyword arguments.

    Args:
        function: a judging function, see `rewards/calling.py`. A verifier is returned unchanged. An object may have the methods
            `invalid_gold` and `prepare`; see `core.Verifier`.
        invalid_gold: returns the reason why no response to a problem could be judged, or None.
        prepare: raises `UserError` if this machine lacks something that the verifier needs.
        options: the function's options with their defaults, which a registration may change. By default these are the keyword
            arguments of the function that have defaults.
        values: the allowed values of options, for options with few values.
        check_options: called with all options when they change; raises `UserError` if they do not fit together.

    Returns:
        The verifier; without a function, the decorator that makes one.

    Raises:
        UserError: the function cannot be called with a problem and a response.
    """
    if function is not None:
        return _wrapped(function)

    def decorate(function: JudgingFunction) -> FunctionVerifier:
        defaults = calling.signature(function).options if options is None else options
        return FunctionVerifier(function, invalid_gold, prepare, defaults, values or {}, check_options)

    return decorate


def _wrapped(function: JudgingFunction) -> Verifier:
    if isinstance(function, FunctionVerifier | Verifier):  # class first: its check is faster than a protocol's
        return function
    invalid_gold = function.invalid_gold if isinstance(function, SupportsInvalidGold) else None
    prepare = function.prepare if isinstance(function, SupportsPrepare) else None
    return FunctionVerifier(function, invalid_gold, prepare, calling.signature(function).options)


@dataclasses.dataclass(frozen=True)
class FunctionVerifier:
    """A verifier that calls a judging function.

    It returns a verdict whatever the function returns or raises, except in two cases. It passes on `UserError`, which tells the
    user what to do, and it raises `UserError` if a package of an extra is missing. `budget.OutOfTime` becomes TIMEOUT, any
    other exception FAULT. A verifier that is an attribute of a module is pickled by its name, so that another process imports
    it.
    """

    function: JudgingFunction
    """Called with the problem and the response, or with what its parameters name; see `rewards/calling.py`."""
    find_invalid_gold: Callable[[Problem], str | None] | None = None
    """Returns the reason why no response to a problem could be judged, or None. By default every problem can be judged."""
    prepare_here: Callable[[], None] | None = None
    """Raises `UserError` if this machine lacks something that the verifier needs."""
    options: Mapping[str, object] = dataclasses.field(default_factory=dict)
    """The function's keyword arguments."""
    values: Mapping[str, tuple[object, ...]] = dataclasses.field(default_factory=dict)
    """The allowed values of options, for options with few values."""
    check_options: Callable[..., None] | None = None
    """Raises `UserError` if options do not fit together."""
    inputs: tuple[str, ...] = dataclasses.field(init=False, default=())
    """The inputs that the function takes by name; see `calling.Signature`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", calling.signature(self.function, self.options.keys()).inputs)
        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            if (value := getattr(self.function, name, None)) is not None:
                object.__setattr__(self, name, value)

    def __call__(self, problem: Problem, response: str) -> Verdict:
        """Returns the verdict on `response` to `problem`."""
        name = getattr(self.function, "__name__", type(self.function).__name__)
        try:
            return as_verdict(calling.call(self.function, self.inputs, problem, response, self.options), name)
        except UserError:
            raise
        except ModuleNotFoundError as error:
            if missing := extras.explain(error, self._description()):
                raise UserError(missing) from error
            return _fault(name, error)
        except OutOfTime as late:  # caused by the response
            return Verdict(Status.TIMEOUT, 0.0, name, str(late))
        except (Exception, SystemExit) as error:  # caused by the function, not by the response
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
            return f"the gold answer cannot be checked: {faults.described(error)}"[:MAX_REASON_CHARACTERS]

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
        changed = {**self.options, **options}
        if self.check_options is not None:
            self.check_options(**changed)
        return dataclasses.replace(self, options=changed)

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
            self.check_options,
        )


def _with_options(verifier: FunctionVerifier, options: Mapping[str, object]) -> FunctionVerifier:
    return verifier.with_options(**options)


def _fault(name: str, error: BaseException) -> Verdict:
    """Returns the verdict if the function raised an error. Its reason names the error, its cause and the line of code."""
    cause = f", caused by {faults.message(error.__cause__)}" if error.__cause__ else ""
    place = faults.shown(faults.place(error, or_library=True))
    return Verdict(Status.FAULT, None, name, f"{faults.message(error)}{cause}"[: MAX_REASON_CHARACTERS - 80] + place)
