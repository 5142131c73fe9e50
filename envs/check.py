"""Checks of an environment, each with what to do about a finding.

    for finding in check("lab/Units-v0"):
        print(finding)

The checks play the environment as a policy would: with gold answers, which must score 1, and with responses that must not score
1 (the empty text, the prompt, another problem's gold answer, a constant). They also run Gymnasium's own checker, repeat seeds,
make the environment in another process, and measure times.
"""

import collections
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import gymnasium
from gymnasium.utils.env_checker import check_env

from ..core import Status, UserError, Verdict
from ..policies.play.games import count_problems, verdict_of
from . import registry
from .gold import SupportsGoldMove, gold_response, is_right
from .preference import PreferenceEnv
from .text import TextEnv

GOLD_CHECKED = 100
"""Number of problems, from the first, whose gold answer is played. Our choice."""
WRONG_CHECKED = 20
"""Number of problems, from the first, on which wrong responses are played. Our choice."""
MANY = 0.5
"""If a constant response solves at least this share of the problems, the finding is a warning. Our choice."""
CHANCE = 0.1
"""If the empty response or the prompt solves more than this share of the problems, the check fails. Our choice."""
MOST_TURNS = 1_000
"""Number of turns after which an episode is not played further. Our choice."""
CONSTANTS = ("0", "1", "A", "yes", "I do not know.")
"""Constant responses, beside the most frequent gold answer. Our choice."""
PROCESS_SECONDS = 300
"""Time limit of the other process. Our choice."""
_OTHER_PROCESS = """
import json, os, sys, warnings
result = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # the environment may print, also when the process ends
warnings.simplefilter("ignore")
import gymnasium, tenfold
from tenfold import named_code
named_code.import_from_here(sys.argv[1:])
from tenfold.envs import check
environment = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(sys.stdin.read()))
print(json.dumps(check.first_step(environment)), file=result, flush=True)
"""


class Level(StrEnum):
    """How serious a finding is."""

    PASSES = "passes"
    NOTE = "note"
    WARNING = "warning"
    FAILS = "fails"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    level: Level
    name: str
    text: str
    remedy: str = ""
    """What to do; empty if there is nothing to do."""

    def __str__(self) -> str:
        """Returns the finding as a line, with the remedy in a second one."""
        return f"{self.level:8} {self.name:10} {self.text}" + (f"\n{'':20}-> {self.remedy}" if self.remedy else "")


Environment = gymnasium.Env[str, str]
Make = Callable[[], Environment]


def check(id: str, options: Mapping[str, object] | None = None) -> Iterator[Finding]:
    """Checks the environment with the given id, and yields the findings one by one.

    Args:
        id: see `registry.make`.
        options: keyword arguments of the environment.

    Raises:
        UserError: the environment cannot be made.
    """

    def make() -> Environment:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return registry.make(id, **(options or {}))

    with warnings.catch_warnings(record=True) as notices:
        warnings.simplefilter("always")
        environment = registry.make(id, **(options or {}))
    for notice in notices:
        yield Finding(Level.NOTE, "make", str(notice.message))
    checks: tuple[Callable[[Make, Environment], Iterator[Finding]], ...]
    checks = (_gymnasium, _problems, _seeds, _answers, _hostile, _process, _times)
    for one in checks:
        try:
            yield from one(make, environment)
        except Exception as error:
            remedy = "an environment must not raise: reply, or end the episode, whatever the policy writes"
            yield Finding(Level.FAILS, one.__name__.strip("_"), f"{type(error).__name__}: {error}"[:300], remedy)


def _gymnasium(make: Make, environment: Environment) -> Iterator[Finding]:
    played = make().unwrapped
    step = played.step
    played.step = lambda action: _without_nan(step(action))  # type: ignore[method-assign]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the environment and of libraries
        warnings.filterwarnings("error", message=".*WARN: ")  # Gymnasium's
        try:
            check_env(played)
        except (Exception, Warning) as error:
            remedy = "Gymnasium's documentation of Env.reset and Env.step says what they must return"
            yield Finding(Level.FAILS, "gymnasium", f"Gymnasium's checker: {str(error).strip()}"[:300], remedy)
        else:
            yield Finding(Level.PASSES, "gymnasium", "Gymnasium's checker finds nothing")


def _without_nan(result: Any) -> Any:
    """Returns what `step` returned, with the reward 0 instead of NaN (no score), because NaN does not equal itself."""
    match result:
        case (observation, reward, ended, truncated, {"verdict": Verdict(score=None)} as info) if reward != reward:
            return observation, 0.0, ended, truncated, info
    return result


def _problems(make: Make, environment: Environment) -> Iterator[Finding]:
    """Checks the number and the ids of the problems."""
    count = count_problems(environment)
    if count is None:
        remedy = (
            "filter, grpo and rollouts need problems=N, the number of seeds to play; or give the class an attribute problems"
        )
        yield Finding(Level.NOTE, "problems", "an endless environment: each seed is a problem", remedy)
        return
    if not count:
        yield Finding(Level.FAILS, "problems", "there are no problems", "give at least one problem")
        return
    ids = [_reset(environment, index)[1] for index in range(min(count, GOLD_CHECKED))]
    if repeated := [id for id, times in collections.Counter(ids).items() if times > 1]:
        remedy = "give each problem its own id: seeds and stores distinguish problems by id"
        yield Finding(Level.FAILS, "problems", f"{len(repeated)} ids occur several times, such as {repeated[0]!r}", remedy)
    else:
        yield Finding(Level.PASSES, "problems", f"{count:,} problems; the ids of the first {len(ids)} are distinct")


def _seeds(make: Make, environment: Environment) -> Iterator[Finding]:
    """Checks that equal seeds and actions give equal observations and rewards."""
    other = make()
    first, again = first_step(environment), first_step(other)
    if first != again:
        part = next(name for name in first if first[name] != again[name])
        remedy = "take randomness from self.np_random after super().reset(seed=seed), and nowhere else"
        yield Finding(Level.FAILS, "seeds", f"two instances with the same seed and action differ in {part}", remedy)
        return
    if count_problems(environment, 1):
        texts = {str(environment.reset(seed=seed, options={"problem": 0})[0]) for seed in (1, 2)}
        if len(texts) > 1:
            remedy = 'let options["problem"] alone decide the problem; a filter and GRPO must pose the same problem'
            yield Finding(Level.FAILS, "seeds", 'reset(options={"problem": 0}) depends on the seed', remedy)
            return
    yield Finding(Level.PASSES, "seeds", "equal seeds and actions give equal observations and rewards")


def _answers(make: Make, environment: Environment) -> Iterator[Finding]:
    """Plays gold answers, and responses that must not score 1."""
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
    prompts = [_reset(environment, index)[0] for index in range(count)]
    for name, responses, remedy in (
        ("empty", [""] * count, "give an empty response the score 0"),
        (
            "echo",
            prompts,
            "give a repetition of the prompt the score 0: the prompt must not contain what the verifier looks for",
        ),
    ):
        solved = [index for index in range(count) if _score(environment, index, responses[index]) == 1]
        if solved:
            level = Level.FAILS if len(solved) > CHANCE * count else Level.WARNING
            yield Finding(level, name, f"it scores 1 on {len(solved)} of {count} problems, first on {solved[0]}", remedy)
        else:
            yield Finding(Level.PASSES, name, f"it does not score 1 on any of {count} problems")
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
            verdict = _verdict(environment, index, gold)
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
    failures = []
    for index in range(count):
        _reset(environment, index)
        total, info = 0.0, dict[str, Any]()
        for _ in range(MOST_TURNS):
            _, reward, terminated, truncated, info = environment.step(game.gold_move())
            total += float(reward)
            if terminated or truncated:
                break
        if verdict_of(info, total).score != 1:  # type: ignore[arg-type]
            failures.append(index)
    if failures:
        remedy = "correct gold_move() or the rules of the game"
        text = f"the gold moves do not score 1 on {len(failures)} of {count} problems, first on {failures[0]}"
        yield Finding(Level.FAILS, "gold", text, remedy)
    else:
        yield Finding(Level.PASSES, "gold", f"the gold moves of {count} problems score 1")


def _constants(environment: Environment, count: int, golds: Sequence[str | None]) -> Iterator[Finding]:
    given = collections.Counter(gold for gold in golds if gold is not None)
    constants = dict.fromkeys([*[gold for gold, _ in given.most_common(1)], *CONSTANTS])
    shares = {text: sum(_score(environment, index, text) == 1 for index in range(count)) / count for text in constants}
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
    accepted = [(index, other) for index, other, gold in pairs if _score(environment, index, gold) == 1]
    if accepted:
        index, other = accepted[0]
        text = f"another problem's gold answer scores 1 on {len(accepted)} of {len(pairs)} problems: that of {other} on {index}"
        remedy = "see whether the verifier is too lenient; several correct answers to one problem are no defect"
        yield Finding(Level.WARNING, "swapped", text, remedy)
    else:
        yield Finding(
            Level.PASSES, "swapped", f"another problem's gold answer does not score 1 on any of {len(pairs)} problems"
        )


def _hostile(make: Make, environment: Environment) -> Iterator[Finding]:
    """Plays texts that break careless code."""
    texts = ("\0", "\ud800", "9" * 5_000, "((((" * 5_000, "🦜 ١٢٣ ²", "<think>", "%s {0} {prompt} \\", "a" * 100_000)
    for text in texts:
        environment.reset(seed=0)
        started = time.perf_counter()
        environment.step(text)
        if (seconds := time.perf_counter() - started) > 10:
            remedy = "bound the time of a verdict: a policy may write any text"
            yield Finding(Level.WARNING, "hostile", f"a text of {len(text):,} characters takes {seconds:.0f} s", remedy)
    yield Finding(Level.PASSES, "hostile", f"{len(texts)} unusual texts are judged without an error")


def _process(make: Make, environment: Environment) -> Iterator[Finding]:
    """Makes the environment in another process, as GRPO does."""
    remedy = (
        'register names ("module:Class", "module:verifier", URIs, rows) instead of objects; GRPO needs this, rollouts do not'
    )
    spec = environment.unwrapped.spec
    try:
        assert spec is not None
        declaration = spec.to_json()
    except (ValueError, TypeError) as error:
        yield Finding(Level.WARNING, "process", f"it cannot be made in another process: {error}"[:300], remedy)
        return
    # Only modules that the registration names may come from the working folder.
    named = json.dumps([spec.entry_point, registry.arguments_without_rows(spec)], default=str)
    command = [sys.executable, "-P", "-c", _OTHER_PROCESS, named]
    try:
        ended = subprocess.run(command, input=declaration, capture_output=True, text=True, timeout=PROCESS_SECONDS)
    except subprocess.TimeoutExpired:
        yield Finding(Level.FAILS, "process", f"the other process takes more than {PROCESS_SECONDS} s", remedy)
        return
    if ended.returncode:
        reason = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        yield Finding(Level.FAILS, "process", f"it cannot be made in another process: {reason}"[:300], remedy)
    elif json.loads(ended.stdout) != json.loads(json.dumps(first_step(environment))):
        remedy = "let nothing but the seed, the options and the action decide: no order of a set, hash(), time or changing file"
        yield Finding(Level.FAILS, "process", "it behaves differently in another process", remedy)
    else:
        yield Finding(Level.PASSES, "process", "another process makes the same environment from its registration")


def _times(make: Make, environment: Environment) -> Iterator[Finding]:
    """Measures the times of `reset` and `step`."""
    resets, steps = [], []
    for index in range(WRONG_CHECKED):
        started = time.perf_counter()
        _reset(environment, index % (count_problems(environment) or WRONG_CHECKED))
        begun = time.perf_counter()
        environment.step("The answer is 7.")
        resets.append(begun - started)
        steps.append(time.perf_counter() - begun)
    figures = [f"{1000 * statistics.median(each):.1f} (at most {1000 * max(each):.1f})" for each in (resets, steps)]
    yield Finding(Level.NOTE, "times", f"reset takes {figures[0]} ms, step with its verdict {figures[1]} ms")


def first_step(environment: Environment) -> dict[str, Any]:
    """Returns what one step of the environment gives for a fixed seed and action, as JSON values."""
    options = {"problem": 0} if count_problems(environment, 1) else None
    text, info = environment.reset(seed=3, options=options)
    reply, reward, terminated, truncated, last = environment.step("The answer is 7.")
    # A NaN would not equal itself; the score is None then.
    score = verdict_of(last, float(reward)).score  # type: ignore[arg-type]
    return {
        "observation": text,
        "problem_id": str(info.get("problem_id", "")),
        "reply": reply,
        "score": score,
        "terminated": bool(terminated),
        "truncated": bool(truncated),
    }


def _reset(environment: Environment, index: int) -> tuple[str, str]:
    """Poses a problem; returns the observation and the problem's id."""
    text, info = environment.reset(seed=index, options={"problem": index})
    return text, str(info.get("problem_id", index))


def _verdict(environment: Environment, index: int, response: str) -> Verdict:
    """Returns the verdict on an episode in which each turn is `response`."""
    _reset(environment, index)
    total = 0.0
    for _ in range(MOST_TURNS):
        _, reward, terminated, truncated, info = environment.step(response)
        total += float(reward)
        if terminated or truncated:
            break
    return verdict_of(info, total)  # type: ignore[arg-type]


def _score(environment: Environment, index: int, response: str) -> float | None:
    return _verdict(environment, index, response).score


def require(findings: Sequence[Finding]) -> None:
    """Raises an error if a check fails.

    Raises:
        UserError: a check fails.
    """
    if failed := [finding for finding in findings if finding.level == Level.FAILS]:
        raise UserError(f"{len(failed)} of {len(findings)} checks fail: {', '.join(finding.name for finding in failed)}")
