"""Plays gold answers, which must score 1, and responses that should not score 1."""

import collections
import time
from collections.abc import Iterator, Sequence

from ...core import Status
from ...policies.play.games import count_problems
from ..gold import SupportsGoldMove, gold_response, is_right
from ..preference import PreferenceEnv
from ..text import TextEnv
from . import play
from .finding import Finding, Level
from .play import Environment, Make

GOLD_CHECKED = 100
"""Number of problems, from the first, whose gold answer is played. Our choice."""
WRONG_CHECKED = 20
"""Number of problems, from the first, on which wrong responses are played. Our choice."""
MANY = 0.5
"""If a constant response solves at least this share of the problems, the finding is a warning. Our choice."""
CHANCE = 0.1
"""If the empty response or the prompt solves more than this share of the problems, the check fails. Our choice."""
CONSTANTS = ("0", "1", "A", "yes", "I do not know.")
"""Constant responses, beside the most frequent gold answer. Our choice."""


def answers(make: Make, environment: Environment) -> Iterator[Finding]:
    """Plays gold answers, and responses that should not score 1."""
    inner = environment.unwrapped
    if isinstance(inner, PreferenceEnv):
        yield Finding(Level.NOTE, "answers", "the reward compares two responses; there are no gold answers to play")
        return
    problems = inner.problems if isinstance(inner, TextEnv) else []
    golds = [gold_response(problem) if "invalid_gold" not in problem.meta else None for problem in problems[:GOLD_CHECKED]]
    if isinstance(inner, TextEnv):
        yield from _golds(environment, inner, golds)
    elif isinstance(inner, SupportsGoldMove):
        yield from _gold_moves(environment, inner)
    else:
        remedy = "give the class a method gold_move(), which returns a right move, and the moves are played here"
        yield Finding(Level.NOTE, "gold", "an environment that is no TextEnv has no gold answers that could be played", remedy)
    count = min(WRONG_CHECKED, count_problems(environment) or WRONG_CHECKED)
    prompts = [play.reset(environment, index)[0] for index in range(count)]
    for name, responses, remedy in (
        ("empty", [""] * count, "give an empty response the score 0"),
        (
            "echo",
            prompts,
            "give a repetition of the prompt the score 0: the prompt must not contain what the verifier looks for",
        ),
    ):
        solved = [index for index in range(count) if play.score(environment, index, responses[index]) == 1]
        if solved:
            level = Level.FAILS if len(solved) > CHANCE * count else Level.WARNING
            yield Finding(
                level, name, f"this response scores 1 on {len(solved)} of {count} problems, first on {solved[0]}", remedy
            )
        else:
            yield Finding(Level.PASSES, name, f"this response does not score 1 on any of {count} problems")
    yield from _constants(environment, count, golds)
    yield from _swapped(environment, golds[:count])


def _golds(environment: Environment, inner: TextEnv, golds: Sequence[str | None]) -> Iterator[Finding]:
    failures, played = [], 0
    for index, gold in enumerate(golds):
        problem = inner.problems[index]
        if reason := problem.meta.get("invalid_gold") or inner.verifier.invalid_gold(problem):
            failures.append(f"problem {problem.id} cannot be used: {reason}")
        elif gold is not None:
            played += 1
            verdict = play.verdict(environment, index, gold)
            if verdict.status != Status.SCORED or not is_right(verdict, inner.verifier):
                failures.append(
                    f"the gold answer of problem {problem.id} scores {verdict.score} ({verdict.status}, by "
                    f"{verdict.method}: {verdict.reason[:150]})"
                )
    if failures:
        remedy = "correct the gold answer or the verifier; invalid_gold=drop drops problems that cannot be used"
        yield Finding(
            Level.FAILS, "gold", f"{len(failures)} of {len(golds)} gold answers do not score 1; {failures[0]}", remedy
        )
    elif played:
        yield Finding(Level.PASSES, "gold", f"{played} gold answers score 1")
    else:
        remedy = "add a column `solution` with a correct response, and it is played here"
        yield Finding(Level.NOTE, "gold", "no problem has a correct response that could be played", remedy)


def _gold_moves(environment: Environment, game: SupportsGoldMove) -> Iterator[Finding]:
    count = min(GOLD_CHECKED, count_problems(environment) or WRONG_CHECKED)
    failures = [index for index in range(count) if play.episode(environment, index, game.gold_move).score != 1]
    if failures:
        remedy = "correct gold_move() or the rules of the game"
        text = f"the gold moves do not score 1 on {len(failures)} of {count} problems, first on {failures[0]}"
        yield Finding(Level.FAILS, "gold", text, remedy)
    else:
        yield Finding(Level.PASSES, "gold", f"the gold moves of {count} problems score 1")


def _constants(environment: Environment, count: int, golds: Sequence[str | None]) -> Iterator[Finding]:
    given = collections.Counter(gold for gold in golds if gold is not None)
    constants = dict.fromkeys([*[gold for gold, _ in given.most_common(1)], *CONSTANTS])
    shares = {text: sum(play.score(environment, index, text) == 1 for index in range(count)) / count for text in constants}
    best = max(shares, key=lambda text: shares[text])
    text = f"always answering {best[:40]!r} scores 1 on {shares[best]:.0%} of {count} problems"
    if shares[best] >= MANY and count > 1:
        remedy = "a policy can learn this constant instead of the task: balance the gold answers"
        yield Finding(Level.WARNING, "constant", text, remedy)
    else:
        yield Finding(Level.PASSES, "constant", text)


def _swapped(environment: Environment, golds: Sequence[str | None]) -> Iterator[Finding]:
    pairs = [
        (index, other, gold)
        for index in range(len(golds))
        if (gold := golds[other := (index + 1) % len(golds)]) is not None and golds[index] not in (None, gold)
    ]
    if not pairs:
        return
    accepted = [(index, other) for index, other, gold in pairs if play.score(environment, index, gold) == 1]
    if accepted:
        index, other = accepted[0]
        text = f"another problem's gold answer scores 1 on {len(accepted)} of {len(pairs)} problems: that of {other} on {index}"
        remedy = "see whether the verifier is too lenient; several correct answers to one problem are no defect"
        yield Finding(Level.WARNING, "swapped", text, remedy)
    else:
        yield Finding(
            Level.PASSES, "swapped", f"another problem's gold answer does not score 1 on any of {len(pairs)} problems"
        )


def hostile(make: Make, environment: Environment) -> Iterator[Finding]:
    """Plays texts that break careless code."""
    texts = ("\0", "\ud800", "9" * 5_000, "((((" * 5_000, "🦜 ١٢٣ ²", "<think>", "%s {0} {prompt} \\", "a" * 100_000)
    for text in texts:
        environment.reset(seed=0)
        started = time.perf_counter()
        info = environment.step(text)[4]
        if "verdict" in info:
            play.without_fault(info["verdict"])
        if (seconds := time.perf_counter() - started) > 10:
            remedy = "bound the time of a verdict: a policy may write any text"
            yield Finding(Level.WARNING, "hostile", f"a text of {len(text):,} characters takes {seconds:.0f} s", remedy)
    yield Finding(Level.PASSES, "hostile", f"{len(texts)} unusual texts are judged without an error")
