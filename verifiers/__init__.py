"""Verifiers: functions of a problem and a response that return a verdict. `load` finds one by name."""

import functools
from collections.abc import Iterable, Mapping

from .. import named_code
from ..core import Problem, UserError, Verdict, Verifier
from .rewards.weighted import WeightedPart, WeightedVerifier
from .verifier import VerifierLike, VerifierSpec, as_verifier

__all__ = [
    "BUILT_IN_VERIFIERS",
    "VerifierLike",
    "VerifierSpec",
    "as_verifier",
    "find",
    "invalid_gold",
    "load",
    "verify",
    "weighted_part",
]

BUILT_IN_VERIFIERS = {
    "math": "tenfold.verifiers.math:verify",
    "choice": "tenfold.verifiers.choice:verify",
    "science": "tenfold.verifiers.choice:verify_any",
    "reasoning_gym": "tenfold.verifiers.reasoning_gym:verify",
    "code": "tenfold.verifiers.code:verify",
    "code_share": "tenfold.verifiers.code:verify_share",
    "fullstack": "tenfold.verifiers.fullstack:verify",
    "instructions": "tenfold.verifiers.instructions:verify",
    "livebench": "tenfold.verifiers.live_bench.verdict:verify",
    "livebench_coding": "tenfold.verifiers.live_bench.programs:verify",
    "function_calls": "tenfold.verifiers.function_calls:verify",
    "judge": "tenfold.policies.judge:verify",
    "format": "tenfold.verifiers.rewards.form:check_format",
    "length": "tenfold.verifiers.rewards.form:check_length",
    "language": "tenfold.verifiers.rewards.form:check_language",
    "last_numbers": "tenfold.verifiers.formats.last_numbers:verify",
    "text": "tenfold.verifiers.formats.text:verify",
    "json_schema": "tenfold.verifiers.formats.json_schema:verify",
    "regex": "tenfold.verifiers.formats.regex:verify",
    "sql": "tenfold.verifiers.formats.sql:verify",
}
"""The built-in verifiers by name."""

_NAMEABLE = frozenset(BUILT_IN_VERIFIERS.values()) | {"tenfold.envs.toy.short_notes:verify"}
"""What a recipe may name from this package."""


def load(verifier: VerifierLike) -> Verifier:
    """Returns a verifier that is ready to use.

    Args:
        verifier: one of `BUILT_IN_VERIFIERS`; or "package.module:name"; or {"name": NAME, OPTION: VALUE, ...}; or a list of
            these, each with a weight (`rewards/weighted.py`); or a verifier; or a function (`rewards/calling.py`).

    Returns:
        The verifier, after a check that it works on this machine.

    Raises:
        UserError: there is no such verifier, it does not take these options, or it cannot work here.
    """
    found = find(verifier)
    found.prepare()
    return found


def find(verifier: VerifierLike) -> Verifier:
    """Like `load`, but does not check that the verifier works on this machine.

    Raises:
        UserError: there is no such verifier, or it does not take these options.
    """
    if isinstance(verifier, Mapping):
        if not isinstance(name := verifier.get("name"), str):
            raise UserError(f"verifier: expected {{name: ..., option: ...}}, got {dict(verifier)!r:.100}")
        return find(name).with_options(**{str(key): value for key, value in verifier.items() if key != "name"})
    if isinstance(verifier, list | tuple):
        return WeightedVerifier(tuple(map(weighted_part, verifier)))
    if isinstance(verifier, str):
        return _built_in(verifier) if verifier in BUILT_IN_VERIFIERS else _as_verifier(_imported(verifier), verifier)
    return _as_verifier(verifier, verifier)


def weighted_part(declaration: object) -> WeightedPart:
    """Returns one part of a weighted verifier.

    Args:
        declaration: {"name": VERIFIER, "weight": NUMBER, "part": NAME, OPTION: VALUE, ...}, or the verifier alone. The verifier
            is a name or a function.

    Raises:
        UserError: the declaration is malformed, or there is no such verifier.
    """
    given = declaration if isinstance(declaration, Mapping) else {"name": declaration}
    name = given.get("name")
    if not isinstance(name, str) and not callable(name):
        raise UserError(f"verifier: expected a list of {{name: ..., weight: ...}}, got {declaration!r:.100} in it")
    weight = given.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise UserError(f"verifier: the weight of {name!r} must be a positive number, got {weight!r:.100}")
    options = {str(key): value for key, value in given.items() if key not in ("name", "weight", "part")}
    found = find(name).with_options(**options) if options else find(name)
    called = name.rpartition(":")[2] if isinstance(name, str) else getattr(name, "__name__", type(name).__name__)
    return WeightedPart(str(given.get("part", called)), float(weight), found)


@functools.cache
def _built_in(name: str) -> Verifier:
    """Returns one of `BUILT_IN_VERIFIERS`. Cached, because every verdict looks its verifier up by name."""
    return _as_verifier(_imported(name), name)


def _imported(name: str) -> object:
    target = BUILT_IN_VERIFIERS.get(name, name)
    if ":" not in target:
        raise UserError(f"no verifier named {name!r}; use one of {', '.join(BUILT_IN_VERIFIERS)}, or package.module:name")
    try:
        return named_code.resolve(target, _NAMEABLE)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"the verifier {target!r} cannot be imported: {named_code.import_failure(error)}") from None


def _as_verifier(found: object, name: object) -> Verifier:
    if not callable(found) or isinstance(found, type):
        raise UserError(f"{name!r} is not a verifier; name a function of a problem and a response")
    return as_verifier(found)


def invalid_gold(verifier: VerifierLike, problems: Iterable[Problem]) -> list[tuple[Problem, str]]:
    """Returns the problems for which no response could be judged, each with the reason."""
    reason_of = find(verifier).invalid_gold
    reasons = ((problem, reason_of(problem)) for problem in problems)
    return [(problem, reason) for problem, reason in reasons if reason is not None]


def verify(gold: object, response: str, verifier: VerifierLike = "math") -> Verdict:
    """Returns the verdict on a response.

    Args:
        gold: the gold answer, in the form that the verifier takes.
        response: the response's text.
        verifier: see `load`.

    Example:
        >>> verify("1/2", "so the answer is 0.5").score
        1.0
    """
    problem = Problem(id="", prompt=(), answer=gold, source="")
    return load(verifier)(problem, response)
