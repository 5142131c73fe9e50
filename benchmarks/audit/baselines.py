"""Other graders of answers, called as their documentation says.

If a grader raises or exceeds the time limit, the response counts as rejected.
"""

import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from .answer_pairs import AnswerPair

SECONDS = 10
"""Wall time limit of a grader. Limits that graders have themselves are lower."""


def math_verify(pair: AnswerPair) -> bool:
    """True if math-verify accepts the response. Both texts are parsed unchanged, as in its documentation."""
    from math_verify import parse, verify

    return bool(verify(parse(pair.gold), parse(pair.response)))


def math_verify_boxed(pair: AnswerPair) -> bool:
    """True if math-verify accepts the response. A text without \\boxed{} is put into one first."""
    from math_verify import parse, verify

    return bool(verify(parse(_boxed(pair.gold)), parse(_boxed(pair.response))))


def math_dapo(pair: AnswerPair) -> bool:
    """True if verl's scorer for DAPO accepts the response."""
    from verl.utils.reward_score import math_dapo

    return bool(math_dapo.compute_score(pair.response, pair.gold)["acc"])


def prime_math(pair: AnswerPair) -> bool:
    """True if verl's scorer for PRIME accepts the response."""
    from verl.utils.reward_score import prime_math

    return bool(prime_math.compute_score(pair.response, pair.gold)[0])


def _boxed(text: str) -> str:
    return text if "\\boxed" in text else f"\\boxed{{{text}}}"


BASELINES: dict[str, Callable[[AnswerPair], bool]] = {
    "math-verify": math_verify,
    "math-verify boxed": math_verify_boxed,
    "verl math_dapo": math_dapo,
    "verl prime_math": prime_math,
}


def accepts(baseline: Callable[[AnswerPair], bool], pair: AnswerPair) -> bool:
    """True if a grader accepts a pair within `SECONDS`. Works only in the main thread, because it uses alarm signals."""
    with warnings.catch_warnings(), _time_limit(SECONDS):
        warnings.simplefilter("ignore")
        try:
            return baseline(pair)
        except Exception:  # graders raise exceptions of many types
            return False


@contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    def end(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
