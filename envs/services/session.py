"""`Session`: services with a state, and the results of calls."""

import copy
import json
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...core import UserError
from ...verifiers.calls.call import DeclaredFunctions, ParsedCall
from .functions import ServiceFunction, functions_of

MAX_RESULT = 4_000
"""Maximum length of a result, in characters. The rest is cut off. Our choice."""
MAX_DEPTH, MAX_NUMBER = 20, 10**15
"""Limits of the arguments of a call: nesting, and the size of a whole number. Our choice."""
_INVALID = "the arguments are not JSON data"
State = dict[str, dict[str, object]]
"""The attributes of each service."""


class Result(NamedTuple):
    """The result of a call."""

    text: str
    """What the policy sees: the value as JSON, or {"error": MESSAGE}."""
    is_error: bool


class Session:
    """Services of one episode."""

    def __init__(self, services: Mapping[str, type], states: Mapping[str, Mapping[str, object]]):
        """Creates the services.

        Args:
            services: the classes by name.
            states: the arguments of the constructor of each service of this session. They are copied.

        Raises:
            UserError: there is no such service, its arguments do not fit, or two services have functions of one name.
        """
        self.services: dict[str, object] = {}
        self.functions: dict[str, tuple[str, ServiceFunction]] = {}
        for name, state in states.items():
            if name not in services:
                raise UserError(f"there is no service {name!r}; the services are {', '.join(services)}")
            try:
                self.services[name] = services[name](**copy.deepcopy(dict(state)))
            except (TypeError, ValueError, LookupError) as error:
                raise UserError(f"the service {name} cannot be created from its state: {error}") from None
            for function, found in functions_of(services[name]).items():
                if function in self.functions:
                    raise UserError(f"the services {self.functions[function][0]} and {name} both have a function {function}")
                self.functions[function] = name, found

    def declared(self) -> DeclaredFunctions:
        """Returns the properties of the parameters of all functions, to read calls whose values are text."""
        return {name: function.properties for name, (_, function) in self.functions.items()}

    def call(self, call: ParsedCall, available: Sequence[str]) -> Result:
        """Executes a call.

        Args:
            call: the name and the arguments.
            available: names of the functions that may be called.
        """
        if call.name not in available:
            return failure(f"there is no function {call.name[:100]}")
        service, function = self.functions[call.name]
        if (defect := _defect(call.arguments)) is not None:
            return failure(defect)
        try:
            text = json.dumps(getattr(self.services[service], call.name)(**function.read(call.arguments)), ensure_ascii=False)
        except (ValueError, LookupError, ArithmeticError) as error:
            return failure(str(error.args[0]) if error.args else type(error).__name__)
        return Result(text if len(text) <= MAX_RESULT else f"{text[:MAX_RESULT]} ... (cut off)", False)

    def state(self) -> State:
        """Returns a copy of the state of all services."""
        return {
            name: copy.deepcopy({key: value for key, value in vars(service).items() if not key.startswith("_")})
            for name, service in self.services.items()
        }


def failure(message: str) -> Result:
    """Returns the result of a call that failed."""
    return Result(json.dumps({"error": " ".join(message.split())[:MAX_RESULT]}, ensure_ascii=False), True)


def _defect(value: object, depth: int = 0) -> str | None:
    """Returns why arguments are no plain JSON data of a usual size, or None if they are."""
    if depth > MAX_DEPTH:
        return f"the arguments are nested deeper than {MAX_DEPTH}"
    if isinstance(value, Mapping):
        return None if all(isinstance(key, str) for key in value) and not _of_items([*value.values()], depth) else _INVALID
    if isinstance(value, list):
        return _of_items(value, depth)
    if isinstance(value, int) and abs(value) > MAX_NUMBER:
        return f"a number of the arguments is larger than {MAX_NUMBER}"
    is_plain = value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    return None if is_plain else _INVALID


def _of_items(items: Sequence[object], depth: int) -> str | None:
    return next((defect for item in items if (defect := _defect(item, depth + 1))), None)


def difference(expected: object, actual: object, place: str = "") -> str | None:
    """Returns the first difference of two states, in one line, or None if they are equal."""
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for key in (*expected, *(key for key in actual if key not in expected)):
            path = f"{place}.{key}" if place else str(key)
            if key not in expected or key not in actual:
                return f"{path} is {'missing' if key in expected else 'new'}"
            if found := difference(expected[key], actual[key], path):
                return found
        return None
    if isinstance(expected, list | tuple) and isinstance(actual, list | tuple):
        for index, (first, second) in enumerate(zip(expected, actual, strict=False)):
            if found := difference(first, second, f"{place}[{index}]"):
                return found
        if len(expected) != len(actual):
            return f"{place} has {len(actual)} items instead of {len(expected)}"
        return None
    if type(expected) is not type(actual) and not (_is_number(expected) and _is_number(actual)):
        return f"{place} is {actual!r:.80} instead of {expected!r:.80}"
    return None if expected == actual else f"{place} is {actual!r:.80} instead of {expected!r:.80}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
