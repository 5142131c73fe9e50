"""Plays gold answers, which must score 1, and texts that break careless code."""

import time
from collections.abc import Iterator

from ...core import Status
from ...policies.play.games import count_problems
from ..gold import SupportsGoldMove, is_right
from ..preference import PreferenceEnv
from ..text import TextEnv
from . import play
from .finding import Finding, Level
from .subject import GOLD_CHECKED, WRONG_CHECKED, Subject
from .tricks import posed


def gold(subject: Subject) -> Iterator[Finding]:
    """Plays gold answers, or the right moves of a game."""
    inner = subject.environment.unwrapped
    if isinstance(inner, PreferenceEnv):
        yield Finding(Level.NOTE, "gold", "the reward compares two responses; there are no gold answers to play")
    elif isinstance(inner, TextEnv):
        yield from _golds(subject, inner)
    elif isinstance(inner, SupportsGoldMove):
        yield from _gold_moves(subject, inner)
    else:
        remedy = "give the class a method gold_move(), which returns a right move, and the moves are played here"
        yield Finding(Level.NOTE, "gold", "an environment that is no TextEnv has no gold answers that could be played", remedy)


def _golds(subject: Subject, inner: TextEnv) -> Iterator[Finding]:
    failures, played = [], 0
    indices = subject.indices(GOLD_CHECKED)
    for index in indices:
        problem = inner.problems[index]
        if reason := problem.meta.get("invalid_gold") or inner.verifier.invalid_gold(problem):
            failures.append(f"problem {problem.id} cannot be used: {reason}")
        elif (gold := posed(index, "", problem).gold) is not None:
            played += 1
            verdict = play.verdict(subject, index, gold)
            if verdict.status != Status.SCORED or not is_right(verdict, inner.verifier):
                failures.append(
                    f"the gold answer of problem {problem.id} scores {verdict.score} ({verdict.status}, by "
                    f"{verdict.method}: {verdict.reason[:150]})"
                )
    if failures:
        remedy = "correct the gold answer or the verifier; invalid_gold=drop drops problems that cannot be used"
        yield Finding(
            Level.FAILS, "gold", f"{len(failures)} of {len(indices)} gold answers do not score 1; {failures[0]}", remedy
        )
    elif played:
        yield Finding(Level.PASSES, "gold", f"{played} gold answers score 1")
    else:
        remedy = "add a column `solution` with a correct response, and it is played here"
        yield Finding(Level.NOTE, "gold", "no problem has a correct response that could be played", remedy)


def _gold_moves(subject: Subject, game: SupportsGoldMove) -> Iterator[Finding]:
    indices = subject.indices(GOLD_CHECKED if count_problems(subject.environment) else WRONG_CHECKED)
    failures = [index for index in indices if play.episode(subject, index, game.gold_move).score != 1]
    if failures:
        remedy = "correct gold_move() or the rules of the game"
        text = f"the gold moves do not score 1 on {len(failures)} of {len(indices)} problems, first on {failures[0]}"
        yield Finding(Level.FAILS, "gold", text, remedy)
    else:
        yield Finding(Level.PASSES, "gold", f"the gold moves of {len(indices)} problems score 1")


def hostile(subject: Subject) -> Iterator[Finding]:
    """Plays texts that break careless code."""
    texts = ("\0", "\ud800", "9" * 5_000, "((((" * 5_000, "🦜 ١٢٣ ²", "<think>", "%s {0} {prompt} \\", "a" * 100_000)
    for text in texts:
        subject.environment.reset(seed=0)
        started = time.perf_counter()
        info = subject.environment.step(text)[4]
        if "verdict" in info:
            play.without_fault(info["verdict"])
        if (seconds := time.perf_counter() - started) > 10:
            remedy = "bound the time of a verdict: a policy may write any text"
            yield Finding(Level.WARNING, "hostile", f"a text of {len(text):,} characters takes {seconds:.0f} s", remedy)
    yield Finding(Level.PASSES, "hostile", f"{len(texts)} unusual texts are judged without an error")
