"""Checks of an environment, each with what to do about a finding.

    for finding in check("lab/Units-v0"):
        print(finding)

An exception of the user's code is reported once. The checks that it stops are named in one line.

The checks play the environment as a policy would: with gold answers, which must score 1 (`answers.py`), and with responses
that must not win, such as the empty text, the prompt, or a list of all options (`no_op.py` and `tricks.py`). They also run
Gymnasium's own checker, repeat seeds, make the environment in another process, and measure times.
"""

import json
import math
import statistics
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

from ... import faults
from ...core import UserError, Verdict
from ...policies.play.games import count_problems
from .. import registry
from . import answers, no_op, play
from .finding import Finding, Level
from .subject import GOLD_CHECKED, WRONG_CHECKED, Make, Settings, Subject

PROCESS_SECONDS = 300
"""Time limit of the other process. Our choice."""
_GYMNASIUM = Path(gymnasium.__file__).parent
_OTHER_PROCESS = """
import json, os, sys, warnings
result = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # the environment may print, also when the process ends
warnings.simplefilter("ignore")
import gymnasium, tenfold
from tenfold import named_code
named_code.import_from_here(sys.argv[1:])
from tenfold.envs.check import play
environment = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(sys.stdin.read()))
print(json.dumps(play.first_step(environment)), file=result, flush=True)
"""


def check(id: str, options: Mapping[str, object] | None = None, settings: Settings | None = None) -> Iterator[Finding]:
    """Checks the environment with the given id, and yields the findings one by one.

    Args:
        id: see `registry.make`.
        options: keyword arguments of the environment.
        settings: the problems to play, and when a response that must not win lets the check fail.

    Raises:
        UserError: the environment cannot be made, because of a wrong argument, a missing file, and so on.
    """
    make = Make(id, options or {})
    try:
        with warnings.catch_warnings(record=True) as notices:
            warnings.simplefilter("always")
            environment = registry.make(id, **make.options)
    except UserError:
        raise
    except Exception as error:
        yield _raised("make", error)
        yield _not_run(CHECKS, "they need the environment")
        return
    for notice in notices:
        yield Finding(Level.NOTE, "make", str(notice.message))
    subject = Subject(make, environment, settings or Settings())
    causes: set[str] = set()
    stopped: list[str] = []
    for name, one in CHECKS.items():
        try:
            yield from one(subject)
        except Exception as error:
            finding = _raised(name, error)
            if finding.text in causes:
                stopped.append(name)
            else:
                yield finding
            causes.add(finding.text)
    if stopped:
        yield _not_run(stopped, "the same exception stops them")


def _raised(name: str, error: Exception) -> Finding:
    """Returns the finding about an exception of the user's code, or about a verdict that is a fault.

    Args:
        name: name of the check, or "make".
        error: the exception.
    """
    if isinstance(error, play.Fault):
        remedy = "correct the verifier: it must return a verdict or a score, whatever the policy writes"
        return Finding(Level.FAILS, "verifier", str(error), remedy)
    text = faults.described(error, or_library=True)
    if name == "make":
        return Finding(Level.FAILS, name, text, "correct this line: without it there is no environment")
    if "step" not in _methods(error):
        remedy = "correct this line: every problem must be posed, whatever the seed"
        return Finding(Level.FAILS, "reset", text, remedy)
    remedy = "an environment must not raise: reply, or end the episode, whatever the policy writes"
    return Finding(Level.FAILS, "hostile" if name == "hostile" else "step", text, remedy)


def _methods(error: Exception) -> list[str]:
    """Returns the names of the functions that were called when an exception was raised, outermost first."""
    return [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)]


def _not_run(names: Iterable[str], reason: str) -> Finding:
    return Finding(Level.NOTE, "not run", f"{', '.join(names)}: {reason}")


def _gymnasium(subject: Subject) -> Iterator[Finding]:
    played = subject.make().unwrapped
    step = played.step
    played.step = lambda action: _without_nan(step(action))  # type: ignore[method-assign]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the environment and of libraries
        warnings.filterwarnings("error", message=".*WARN: ")  # Gymnasium's
        try:
            check_env(played)
        except (Exception, Warning) as error:
            if not _is_of_gymnasium(error):
                raise
            remedy = "Gymnasium's documentation of Env.reset and Env.step says what they must return"
            yield Finding(Level.FAILS, "gymnasium", f"Gymnasium's checker: {str(error).strip()}"[:300], remedy)
        else:
            yield Finding(Level.PASSES, "gymnasium", "Gymnasium's checker finds nothing")


def _is_of_gymnasium(error: BaseException) -> bool:
    """True if Gymnasium's checker raised an exception, not the environment that it called."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return Path(frame.f_code.co_filename).is_relative_to(_GYMNASIUM)


def _without_nan(result: Any) -> Any:
    """Returns what `step` returned, with the reward 0 instead of NaN (no score), because NaN does not equal itself."""
    match result:
        case (observation, reward, ended, truncated, {"verdict": Verdict(score=None)} as info) if reward != reward:
            return observation, 0.0, ended, truncated, info
    return result


def _problems(subject: Subject) -> Iterator[Finding]:
    """Checks the number and the ids of the problems."""
    environment = subject.environment
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
    ids = [play.reset(environment, index)[1] for index in range(min(count, GOLD_CHECKED))]
    if repeated := [id for id, times in Counter(ids).items() if times > 1]:
        remedy = "give each problem its own id: seeds and stores distinguish problems by id"
        yield Finding(Level.FAILS, "problems", f"{len(repeated)} ids occur several times, such as {repeated[0]!r}", remedy)
    else:
        yield Finding(Level.PASSES, "problems", f"{count:,} problems; the ids of the first {len(ids)} are distinct")


def _seeds(subject: Subject) -> Iterator[Finding]:
    """Checks that equal seeds and actions give equal observations and rewards."""
    environment, other = subject.environment, subject.make()
    first, again = play.first_step(environment), play.first_step(other)
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


def _process(subject: Subject) -> Iterator[Finding]:
    """Makes the environment in another process, as GRPO does."""
    make, environment = subject.make, subject.environment
    remedy = "the other process has only the registration and the modules that it names; they must be enough"
    try:
        declaration = registry.declaration(environment, make.id, make.options)
    except UserError as error:
        yield Finding(Level.WARNING, "process", str(error), "only GRPO needs this; rollouts, filters and benchmarks do not")
        return
    expected = play.first_step(environment)
    # Only modules that the registration names may come from the working folder.
    spec = EnvSpec.from_json(declaration)
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
    elif json.loads(ended.stdout) != json.loads(json.dumps(expected)):
        remedy = "let nothing but the seed, the options and the action decide: no order of a set, hash(), time or changing file"
        yield Finding(Level.FAILS, "process", "it behaves differently in another process", remedy)
    else:
        yield Finding(Level.PASSES, "process", "another process makes the same environment from its registration")


def _times(subject: Subject) -> Iterator[Finding]:
    """Measures the times of `reset`, of a `step`, and of all verdicts of the checks before."""
    environment, figures = subject.environment, dict[str, object]()
    resets, steps = [], []
    for index in range(WRONG_CHECKED):
        started = time.perf_counter()
        play.reset(environment, index % (count_problems(environment) or WRONG_CHECKED))
        begun = time.perf_counter()
        environment.step("The answer is 7.")
        resets.append(begun - started)
        steps.append(time.perf_counter() - begun)
    parts = []
    for name, seconds in (("reset", resets), ("step", steps), ("verdict", subject.seconds)):
        if seconds:
            figures[name] = times = _summary(seconds)
            text = f"{name} {times['median']:.1f} ms (p99 {times['p99']:.1f}, at most {times['most']:.1f})"
            parts.append(f"{text}, {len(seconds)} verdicts" if name == "verdict" else text)
    yield Finding(Level.NOTE, "times", "; ".join(parts), figures=figures)


def _summary(seconds: Sequence[float]) -> dict[str, float]:
    """Returns the median, the 99th percentile (the smallest value that 99% do not exceed) and the largest value, in ms."""
    ordered = sorted(seconds)
    rank = math.ceil(0.99 * len(ordered)) - 1
    figures = {"median": statistics.median(ordered), "p99": ordered[rank], "most": ordered[-1]}
    return {name: round(1000 * value, 3) for name, value in figures.items()}


CHECKS: Mapping[str, Callable[[Subject], Iterator[Finding]]] = {
    "gymnasium": _gymnasium,
    "problems": _problems,
    "seeds": _seeds,
    "gold": answers.gold,
    "no-op": no_op.no_op,
    "hostile": answers.hostile,
    "process": _process,
    "times": _times,
}
"""The checks by name, in order."""
