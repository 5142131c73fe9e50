"""What an answer is worth. One way of judging a file; `load` finds one by its name."""

import pkgutil
import sys
from collections.abc import Iterable
from typing import Any

from ..core import Problem, UserError, Verdict, Verifier

__all__ = ["NAMES", "load", "unreadable", "verify"]

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
}


def load(verifier: str | Verifier) -> Verifier:
    """The verifier of that name, of that "package.module:name", or the object itself.

    A module of verifiers may define `prepare()`, which raises `UserError` where this machine lacks what they need: it is called
    here, so that an environment says so when it is made.

    Raises:
        UserError: there is no such verifier, or it cannot work here.
    """
    if not isinstance(verifier, str):
        return verifier
    target = NAMES.get(verifier, verifier)
    if ":" not in target:
        raise UserError(f"no verifier named {verifier!r}; there are {', '.join(NAMES)}, or name one as package.module:name")
    try:
        found = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"the verifier {target!r} cannot be imported: {error}") from None
    if not callable(found):
        raise UserError(f"{target!r} is no verifier: a function of a problem and a response is expected")
    prepare = getattr(sys.modules.get(getattr(found, "__module__", "")), "prepare", None)
    if prepare is not None:
        prepare()
    return found


def unreadable(verifier: str | Verifier, problems: Iterable[Problem]) -> list[tuple[Problem, str]]:
    """The problems that the verifier could never judge, with the reason, as far as its module's `unreadable` knows."""
    known = getattr(sys.modules.get(getattr(load(verifier), "__module__", "")), "unreadable", None)
    if known is None:
        return []
    reasons = ((problem, known(problem)) for problem in problems)
    return [(problem, reason) for problem, reason in reasons if reason is not None]


def verify(gold: Any, response: str, verifier: str | Verifier = "math") -> Verdict:
    """What `response` is worth against the gold answer `gold`.

    Example:
        >>> verify("1/2", "so the answer is 0.5").score
        1.0
    """
    problem = Problem(id="", prompt=(), answer=gold, source="")
    return load(verifier)(problem, response)
