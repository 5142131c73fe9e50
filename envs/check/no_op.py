"""Plays responses that must not win (`tricks.py`), and says which of them wins on what share of the problems.

A response wins a problem if its score is 1; in a preference environment, if the reward model prefers it to the reference. Three
rules decide how serious a finding is:

    passes   the response wins no problem, or not significantly more than by chance (one-sided binomial test, `SIGNIFICANT`)
    warning  it wins more than by chance; a constant or another problem's gold answer shows a defect of the set at most
    fails    it wins significantly more than `Settings.allow` of the problems beyond chance; if strict, wherever it would warn
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ...core import Status, Verdict, Verifier
from ...policies.play.games import problem_at
from ...verifiers.rewards.weighted import WeightedVerifier
from ..gold import is_right
from ..preference import PreferenceEnv
from ..text import TextEnv
from . import play
from .finding import Finding, Level
from .subject import WRONG_CHECKED, Subject
from .tricks import TRICKS, Posed, Trick, chance, near_misses, posed

SIGNIFICANT = 0.01
"""A response wins more than by chance if chance alone would let it win as often with a probability below this. Our choice."""
OF_PREFERENCES = ("empty", "echo", "constant", "swapped")
"""Tricks that are played where a reward model compares two responses."""
OF_JUDGES = ("empty", "echo", "swapped")
"""Tricks that are played where each verdict asks a model."""


@dataclass(frozen=True, slots=True)
class Played:
    """The verdicts on one response to each problem that has one."""

    what: str
    problems: Sequence[Posed]
    won: Sequence[bool]
    """For each problem whether the response wins."""
    undecided: int
    """Number of verdicts without a score, which are not counted."""

    @property
    def share(self) -> float:
        """The share of problems that the response wins; 0 if there is none."""
        return sum(self.won) / len(self.won) if self.won else 0.0


def no_op(subject: Subject) -> Iterator[Finding]:
    """Plays the responses and yields a finding for each trick."""
    problems = []
    for index in subject.indices(WRONG_CHECKED):
        prompt, _ = play.reset(subject.environment, index)
        problems.append(posed(index, prompt, problem_at(subject.environment, index)))
    if not problems:
        return
    yield from _near_misses(subject, problems)
    left_out: dict[str, list[str]] = {}
    for trick in TRICKS:
        if reason := _reason_to_leave_out(subject, trick):
            left_out.setdefault(reason, []).append(trick.name)
            continue
        played = [
            result
            for what, responses in trick.respond(problems).items()
            if (result := _play(subject, what, problems, responses))
        ]
        if played:
            yield _finding(subject, trick, played)
        else:
            left_out.setdefault(trick.absent, []).append(trick.name)
    if left_out:
        text = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in left_out.items())
        yield Finding(Level.NOTE, "left out", text, figures={"left_out": left_out})


def _reason_to_leave_out(subject: Subject, trick: Trick) -> str:
    """Returns why a trick is not played; empty if it is played."""
    inner = subject.environment.unwrapped
    if isinstance(inner, PreferenceEnv):
        return "" if trick.name in OF_PREFERENCES else "the reward compares two responses"
    if isinstance(inner, TextEnv) and _asks_a_model(inner.verifier):
        return "" if trick.name in OF_JUDGES else "each verdict asks a model, which costs time and may cost money"
    return ""


def _asks_a_model(verifier: Verifier) -> bool:
    """True if a verifier, or a part of it, has the URI of a policy as its option `policy`."""
    if isinstance(verifier, WeightedVerifier):
        return any(_asks_a_model(part.verifier) for part in verifier.parts)
    return bool(getattr(verifier, "options", {}).get("policy"))


def wins(subject: Subject) -> Callable[[Verdict], bool]:
    """Returns the function that says whether a verdict lets a response win."""
    inner = subject.environment.unwrapped
    if isinstance(inner, PreferenceEnv):
        return lambda verdict: verdict.score is not None and verdict.score > 0.5
    if isinstance(inner, TextEnv):
        return lambda verdict: verdict.status == Status.SCORED and is_right(verdict, inner.verifier)
    return lambda verdict: verdict.score == 1


def _play(subject: Subject, what: str, problems: Sequence[Posed], responses: Sequence[str | None]) -> Played | None:
    """Plays one response to each problem; None if no problem has one."""
    is_win, won, judged, undecided = wins(subject), list[bool](), list[Posed](), 0
    pairs = [(each, response) for each, response in zip(problems, responses, strict=True) if response is not None]
    for each, response in pairs:
        verdict = play.verdict(subject, each.index, response)
        if verdict.score is None:
            undecided += 1
        else:
            judged.append(each)
            won.append(is_win(verdict))
    return Played(what, judged, won, undecided) if pairs else None


def _finding(subject: Subject, trick: Trick, played: Sequence[Played]) -> Finding:
    """Returns the finding on a trick: on that of its responses which wins most."""
    best = max(played, key=lambda each: each.share)
    figures: dict[str, object] = {
        "responses": [
            {"response": each.what, "problems": len(each.won), "wins": sum(each.won), "undecided": each.undecided}
            for each in played
        ]
    }
    if not best.won:
        return Finding(Level.NOTE, trick.name, "no verdict on this response has a score", figures=figures)
    expected = chance(trick, best.problems)
    count, number = sum(best.won), len(best.won)
    figures |= {"share": best.share, "by_chance": expected}
    level = _level(subject, trick, count, number, expected)
    shares = f" ({best.share:.0%}; by chance {expected:.0%})" if count or expected else ""
    if level == Level.PASSES:
        return Finding(level, trick.name, f"{best.what} wins {count} of {number} problems{shares}", figures=figures)
    first = best.problems[best.won.index(True)]
    name = first.index if first.problem is None else first.problem.id
    text = f"{best.what} wins {count} of {number} problems{shares}, first problem {name}"
    return Finding(level, trick.name, text, trick.remedy, figures)


def _level(subject: Subject, trick: Trick, count: int, number: int, expected: float) -> Level:
    settings = subject.settings
    if not count or tail(count, number, expected) >= SIGNIFICANT:
        return Level.PASSES
    allowed = min(expected + settings.allow, 1.0)
    if count / number <= allowed and trick.name == "constant":  # gold answers are never spread evenly
        return Level.PASSES
    if settings.strict:
        return Level.FAILS
    is_of_preference = isinstance(subject.environment.unwrapped, PreferenceEnv)
    is_beaten = count / number > allowed and tail(count, number, allowed) < SIGNIFICANT
    return trick.most if is_beaten and not is_of_preference else Level.WARNING


def tail(count: int, number: int, share: float) -> float:
    """Returns the probability that at least `count` of `number` problems are won, if each is won with probability `share`."""
    return sum(math.comb(number, won) * share**won * (1 - share) ** (number - won) for won in range(count, number + 1))


def _near_misses(subject: Subject, problems: Sequence[Posed]) -> Iterator[Finding]:
    """Plays the incorrect responses that problems name."""
    pairs = [(each, text) for each in problems for text in near_misses(each.problem)]
    if not pairs:
        return
    is_win = wins(subject)
    won = [(each, text) for each, text in pairs if is_win(play.verdict(subject, each.index, text))]
    figures = {"near_misses": len(pairs), "wins": len(won)}
    if won:
        each, text = won[0]
        words = f"{len(won)} of {len(pairs)} near misses win, first {text!r:.60} on problem {each.problem and each.problem.id}"
        remedy = "correct the verifier, or the near miss: it must be an incorrect response"
        yield Finding(Level.FAILS, "near", words, remedy, figures)
    else:
        yield Finding(Level.PASSES, "near", f"{len(pairs)} near misses do not win", figures=figures)
