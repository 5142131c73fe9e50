"""How other graders of answers judge a pair, each as its users call it. What raises or runs on has not accepted the answer."""

import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from .answer_pairs import Pair

SECONDS = 10
"""After which a rival that runs on is ended; their own limits, where they have some, are below."""


def math_verify(pair: Pair) -> bool:
    """math-verify as its documentation calls it: both texts parsed as they are."""
    from math_verify import parse, verify

    return bool(verify(parse(pair.gold), parse(pair.response)))


def math_verify_boxed(pair: Pair) -> bool:
    """math-verify with a box around whatever has none."""
    from math_verify import parse, verify

    return bool(verify(parse(_boxed(pair.gold)), parse(_boxed(pair.response))))


def math_dapo(pair: Pair) -> bool:
    """verl's scorer of DAPO."""
    from verl.utils.reward_score import math_dapo

    return bool(math_dapo.compute_score(pair.response, pair.gold)["acc"])


def prime_math(pair: Pair) -> bool:
    """verl's scorer of PRIME."""
    from verl.utils.reward_score import prime_math

    return bool(prime_math.compute_score(pair.response, pair.gold)[0])


def _boxed(text: str) -> str:
    return text if "\\boxed" in text else f"\\boxed{{{text}}}"


RIVALS: dict[str, Callable[[Pair], bool]] = {
    "math-verify": math_verify,
    "math-verify boxed": math_verify_boxed,
    "verl math_dapo": math_dapo,
    "verl prime_math": prime_math,
}


def accepts(rival: Callable[[Pair], bool], pair: Pair) -> bool:
    """Whether a rival accepts a pair, in bounded time. Only for the main thread: they keep time by alarm signals."""
    with warnings.catch_warnings(), _ended_after(SECONDS):
        warnings.simplefilter("ignore")
        try:
            return rival(pair)
        except Exception:  # each has its own
            return False


@contextmanager
def _ended_after(seconds: int) -> Iterator[None]:
    def end(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
