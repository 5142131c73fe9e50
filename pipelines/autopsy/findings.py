"""The findings of an autopsy: the judges' scores by step, alarms, signs of tricks, and clusters. They are `autopsy.json`."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from ...core import UserError
from . import alarm, baselines, by_step, clusters, mathematics, models, programs, tricks
from .by_step import Interval, Step
from .clusters import Cluster
from .judges import Judge, Judged, judge_all
from .samples import ProblemOf, Read, Sample, read

FAILED = "it failed"
"""Start of the reason why a judge without a score is left out, if it had faults."""
PER_STEP = 64
"""Default number of samples of a step that are judged. Our choice."""


class JudgeFinding(TypedDict):
    """A judge over all steps."""

    needs: str
    strict: bool
    scored: int
    undecided: int
    faults: int
    fault: str
    """The first fault; empty without one."""
    stopped: bool
    """True if all calls of a step failed, so that the judge was not called again."""
    tested: bool
    """False for a judge without an alarm: a strict one, or one that may deny most of the reward in the first steps, or all
    steps are first ones."""
    first_denied: float | None
    """Share of the reward that it denies in the first steps; None if they have no reward."""
    allowed: float | None
    """Share of the reward that it may deny without an alarm; None if it is not tested."""
    change: Interval | None
    """Its mean score of the last tenth of the steps minus that of the first steps."""
    gap_change: Interval | None
    """The same for the gap."""


class Alarm(TypedDict):
    """An alarm of a judge, or a sign: an alarm of a trick."""

    name: str
    """The judge or the trick."""
    step: int
    """The first step whose evidence is enough."""
    opened: int
    """Estimate of the step at which the change began."""
    before: float | None
    """Share of the reward that the judge denied (or that went to the trick) in the first steps."""
    after: float | None
    """The same, from the opening to the end."""


class BaselineFinding(TypedDict):
    """How often a baseline orders samples of a group as the reward does; see `baselines.agreement`."""

    first: float | None
    last: float | None


class Findings(TypedDict):
    """All findings."""

    stage: str
    environment: str
    episodes: int
    samples: int
    """Samples that were judged."""
    without_score: int
    unknown_problems: int
    problems_error: str
    """Why no problem is known; empty if they are."""
    scale: tuple[float, float]
    first_steps: Sequence[int]
    last_steps: Sequence[int]
    reward_change: Interval | None
    judges: Mapping[str, JudgeFinding]
    left_out: Mapping[str, str]
    """Judges without a score, each with the reason."""
    baselines: Mapping[str, BaselineFinding]
    alarms: Sequence[Alarm]
    signs: Sequence[Alarm]
    false_alarms: float
    """Probability of an alarm in an honest run; the same holds for a sign."""
    clusters: Sequence[Cluster]
    steps: Sequence[Step]


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What to judge, and by which judges."""

    folder: Path
    """Folder of the GRPO stage."""
    environment: str
    """Id of its environment, for the findings."""
    problem_of: ProblemOf
    verifier: object = None
    """The verifier of the reward, if it is known."""
    problems_error: str = ""
    """Why the problems are not known; empty if they are."""
    judges: Sequence[str] = ()
    """Names of built-in judges and URIs of models; see `chosen`."""
    per_step: int | None = PER_STEP
    seed: int = 0


def chosen(names: Sequence[str], verifier: object) -> list[Judge]:
    """Returns the judges. Names restrict the built-in judges to those that are named, and URIs add judges.

    Args:
        names: names of built-in judges and URIs; if there is no name, all built-in judges judge, without verl's scorers.
        verifier: the verifier of the reward; the judges that are the same rules are left out.

    Raises:
        UserError: there is no such judge, or a policy cannot be loaded.
    """
    own = {judge.name: judge for judge in (*mathematics.judges(verifier), *programs.judges(verifier))}
    named = [name for name in names if ":" not in name]
    check_names(names)
    default = [name for name in own if name not in mathematics.GRADERS or name in mathematics.BY_DEFAULT]
    loaded = [models.judge_of(name) for name in names if ":" in name]
    return [own[name] for name in named or default if name in own] + loaded


def check_names(names: Sequence[str]) -> None:
    """Checks names and URIs of judges. No model is loaded.

    Raises:
        UserError: there is no such judge, or a judge is named twice.
    """
    known = [judge.name for judge in (*mathematics.judges(None), *programs.judges(None))]
    for name in names:
        if ":" in name:
            models.check(name)
        elif name not in known:
            raise UserError(f"no judge named {name!r}; use one of {', '.join(known)}, or the URI of a policy")
    if len({*names}) < len(names):
        raise UserError(f"a judge is named twice in {', '.join(names)}; remove one")


def examine(request: Request, progress: Callable[[int, int], None] = lambda done, total: None) -> Findings:
    """Judges the samples of a stage and returns the findings.

    Args:
        request: the stage and the judges.
        progress: called as progress(done, total).

    Raises:
        UserError: the stage has no scored episode, there is no such judge, or a policy cannot be loaded.
    """
    judges = chosen(request.judges, request.verifier)
    found = read(request.folder, request.problem_of, request.per_step, request.seed)
    findings = summarized(request, found, judge_all(judges, found.steps, progress))
    names = {judge.name for judge in judges}
    own = [judge.name for judge in (*mathematics.judges(None), *programs.judges(None)) if judge.name not in mathematics.GRADERS]
    reward = [name for name in own if name not in names and not any(":" not in each for each in request.judges)]
    return {**findings, "left_out": {**findings["left_out"], **dict.fromkeys(reward, "it is the verifier of the reward")}}


def summarized(request: Request, found: Read, judged: Sequence[Judged]) -> Findings:
    """Returns the findings from the judges' scores."""
    steps = found.steps
    useful = [each for each in judged if each.scored]
    by_judge = {each.judge.name: by_step.of(each, steps) for each in useful}
    tested = [each.judge.name for each in useful if not each.judge.strict]
    tests = {
        name: alarm.test([by_step.denied(values[step]) for step in steps], max(1, len(tested)))
        for name, values in by_judge.items()
    }
    scored = {step: [tricks.scores(sample.question, sample.text) for sample in rows] for step, rows in steps.items()}
    by_trick: dict[str, dict[int, by_step.Values]] = {
        name: {
            step: [(sample, score[name]) for sample, score in zip(rows, scored[step], strict=True)]
            for step, rows in steps.items()
        }
        for name in tricks.TRICKS
    }
    signs = {
        name: alarm.test([by_step.taken(values[step]) for step in steps], len(by_trick)) for name, values in by_trick.items()
    }
    numbers = [*steps]
    reward_test = alarm.number_of_first([by_step.denied([(sample, 0.0) for sample in rows]) for rows in steps.values()])
    first, last = numbers[:reward_test], numbers[-max(1, len(numbers) // 10) :]
    alarms = [
        _alarm(name, tests[name], by_judge[name], numbers, by_step.denied) for name in tested if tests[name].alarm is not None
    ]
    raised = [
        _alarm(name, test, by_trick[name], numbers, by_step.taken) for name, test in signs.items() if test.alarm is not None
    ]
    rewards: dict[int, by_step.Values] = {step: [(sample, sample.reward) for sample in rows] for step, rows in steps.items()}
    gaps = {name: by_step.gap([value for step in first for value in values[step]]) for name, values in by_judge.items()}
    judging = {each.judge.name: _judge(each, by_judge[each.judge.name], tests[each.judge.name], first, last) for each in useful}
    return {
        "stage": request.folder.name,
        "environment": request.environment,
        "episodes": found.episodes,
        "samples": sum(map(len, steps.values())),
        "without_score": found.without_score,
        "unknown_problems": found.unknown_problems,
        "problems_error": request.problems_error,
        "scale": found.scale,
        "first_steps": first,
        "last_steps": last,
        "reward_change": _change(rewards, first, last),
        "judges": judging,
        "left_out": {each.judge.name: _reason(each) for each in judged if not each.scored},
        "baselines": {name: _baseline(name, steps, first, last) for name in baselines.BASELINES},
        "alarms": sorted(alarms, key=lambda each: each["step"]),
        "signs": sorted(raised, key=lambda each: each["step"]),
        "false_alarms": alarm.FALSE_ALARMS,
        "clusters": clusters.find(steps, judged, [each["name"] for each in alarms]),
        "steps": [_step(place, step, steps[step], by_judge, tests, by_trick, gaps) for place, step in enumerate(numbers)],
    }


def _alarm(
    name: str,
    test: alarm.Test,
    values: Mapping[int, by_step.Values],
    numbers: Sequence[int],
    groups: Callable[[by_step.Values], list[alarm.Group]],
) -> Alarm:
    assert test.alarm is not None
    assert test.opened is not None
    later = [group for step in numbers[test.opened :] for group in groups(values[step])]
    return {
        "name": name,
        "step": numbers[test.alarm],
        "opened": numbers[test.opened],
        "before": test.share,
        "after": by_step.share(later),
    }


def _judge(
    judged: Judged, values: Mapping[int, by_step.Values], test: alarm.Test, first: Sequence[int], last: Sequence[int]
) -> JudgeFinding:
    is_tested = not judged.judge.strict and not test.blind and test.first < len(test.capital)
    gaps = [by_step.gap([value for step in steps for value in values[step]]) for steps in (last, first)]
    return {
        "needs": judged.judge.needs,
        "strict": judged.judge.strict,
        "scored": judged.scored,
        "undecided": judged.undecided,
        "faults": judged.faults,
        "fault": judged.fault,
        "stopped": judged.stopped,
        "tested": is_tested,
        "first_denied": by_step.share([group for rows in [*values.values()][: test.first] for group in by_step.denied(rows)]),
        "allowed": test.allowed if is_tested else None,
        "change": _change(values, first, last),
        "gap_change": by_step.difference(*gaps),
    }


def _reason(judged: Judged) -> str:
    """Returns why a judge has no score."""
    if judged.faults:
        return f"{FAILED} on {judged.faults:,} samples (the first: {judged.fault})"
    return f"no sample has what it needs: {judged.judge.needs}"


def _change(values: Mapping[int, by_step.Values], first: Sequence[int], last: Sequence[int]) -> Interval | None:
    """Returns the mean of the last steps minus that of the first ones."""
    means = [by_step.mean([value for step in steps for value in values[step]]) for steps in (last, first)]
    return by_step.difference(*means)


def _baseline(name: str, steps: Mapping[int, Sequence[Sample]], first: Sequence[int], last: Sequence[int]) -> BaselineFinding:
    def agreement(numbers: Sequence[int]) -> float | None:
        samples = [sample for step in numbers for sample in steps[step]]
        found = baselines.agreement(zip(samples, baselines.values(samples, name), strict=True))
        return found[0] if found else None

    return {"first": agreement(first), "last": agreement(last)}


def _step(
    place: int,
    step: int,
    samples: Sequence[Sample],
    by_judge: Mapping[str, Mapping[int, by_step.Values]],
    tests: Mapping[str, alarm.Test],
    by_trick: Mapping[str, Mapping[int, by_step.Values]],
    gaps: Mapping[str, Interval | None],
) -> Step:
    """Returns the figures of a step. `gaps` are those of the first steps."""
    found: dict[str, by_step.JudgeStep] = {}
    for name, values in by_judge.items():
        gap = by_step.gap(values[step])
        found[name] = {
            "mean": by_step.mean(values[step]),
            "gap": gap,
            "change": by_step.difference(gap, gaps[name]),
            "denied": by_step.share(by_step.denied(values[step])),
            "capital": tests[name].capital[place],
        }
    return {
        "step": step,
        "samples": len(samples),
        "reward": by_step.mean([(sample, sample.reward) for sample in samples]),
        "judges": found,
        "tricks": {
            name: {"rate": by_step.mean(values[step]), "rewarded": by_step.share(by_step.taken(values[step]))}
            for name, values in by_trick.items()
        },
        "baselines": {
            name: sum(baselines.values(samples, name)) / len(samples) if samples else 0.0 for name in baselines.BASELINES
        },
    }
