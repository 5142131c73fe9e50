"""What an answer is worth. One way of judging a file; `load` finds one by its name."""

import functools
from collections.abc import Iterable, Mapping

from .. import named_code
from ..core import Problem, UserError, Verdict, Verifier
from .verifier import Named, VerifierLike, as_verifier

__all__ = ["NAMES", "Named", "VerifierLike", "as_verifier", "find", "invalid_gold", "load", "verify"]

NAMES = {
    "math": "tenfold.verifiers.math:verify",
    "choice": "tenfold.verifiers.choice:verify",
    "science": "tenfold.verifiers.choice:verify_any",
    "reasoning_gym": "tenfold.verifiers.reasoning_gym:verify",
    "code": "tenfold.verifiers.code:verify",
    "code_share": "tenfold.verifiers.code:verify_share",
    "fullstack": "tenfold.verifiers.fullstack:verify",
    "instructions": "tenfold.verifiers.instructions:verify",
    "function_calls": "tenfold.verifiers.function_calls:verify",
    "judge": "tenfold.policies.judge:verify",
}

_NAMEABLE = frozenset(NAMES.values()) | {"tenfold.envs.toy.short_notes:verify"}
"""What a recipe may name of this package."""


def load(verifier: VerifierLike) -> Verifier:
    """The verifier of that name, or the object itself, ready to work.

    Args:
        verifier: one of `NAMES`; or "package.module:name"; or {"name": either, option: value, ...}; or a verifier, or any
            function of a problem and a response that returns a verdict, a score from 0 to 1 or a bool.

    Returns:
        The verifier, prepared: an environment says when it is made what this machine lacks.

    Raises:
        UserError: there is no such verifier, it does not take these options, or it cannot work here.
    """
    found = find(verifier)
    found.prepare()
    return found


def find(verifier: VerifierLike) -> Verifier:
    """As `load`, without preparing the verifier.

    Raises:
        UserError: there is no such verifier, or it does not take these options.
    """
    if isinstance(verifier, Mapping):
        if not isinstance(name := verifier.get("name"), str):
            raise UserError(f"a verifier with options is {{name: ..., option: ...}}, not {dict(verifier)!r:.100}")
        return find(name).with_options(**{key: value for key, value in verifier.items() if key != "name"})
    if isinstance(verifier, str):
        return _of_the_package(verifier) if verifier in NAMES else _full(_imported(verifier), verifier)
    return _full(verifier, verifier)


@functools.cache
def _of_the_package(name: str) -> Verifier:
    """One of `NAMES`, looked up once: every verdict asks for it by its name."""
    return _full(_imported(name), name)


def _imported(name: str) -> object:
    target = NAMES.get(name, name)
    if ":" not in target:
        raise UserError(f"no verifier named {name!r}; there are {', '.join(NAMES)}, or name one as package.module:name")
    try:
        return named_code.resolve(target, _NAMEABLE)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"the verifier {target!r} cannot be imported: {error}") from None


def _full(found: object, named: object) -> Verifier:
    """What was found as a verifier."""
    if not callable(found) or isinstance(found, type):
        raise UserError(f"{named!r} is no verifier: a function of a problem and a response is expected")
    return as_verifier(found)


def invalid_gold(verifier: VerifierLike, problems: Iterable[Problem]) -> list[tuple[Problem, str]]:
    """The problems that the verifier could never judge, each with the reason."""
    known = find(verifier).invalid_gold
    reasons = ((problem, known(problem)) for problem in problems)
    return [(problem, reason) for problem, reason in reasons if reason is not None]


def verify(gold: object, response: str, verifier: VerifierLike = "math") -> Verdict:
    """What `response` is worth against the gold answer `gold`.

    Example:
        >>> verify("1/2", "so the answer is 0.5").score
        1.0
    """
    problem = Problem(id="", prompt=(), answer=gold, source="")
    return load(verifier)(problem, response)
