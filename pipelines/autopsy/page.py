"""The findings as a page, `autopsy.html`, and as lines of text. Texts of the model are escaped; the page loads nothing."""

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ...benchmarks.report import static_page
from .. import figures
from .alarm import BLIND
from .by_step import Interval, Step
from .clusters import Cluster, Example
from .findings import FAILED, Alarm, Findings, JudgeFinding

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN_STEPS = 60
"""Rows of the table of steps; of more steps, evenly spaced ones are shown. Our choice."""
SHOWN_TRICK = 0.01
"""A trick is drawn if in some step more than this share of the reward goes to it. Our choice."""


def lines(findings: Findings) -> list[str]:
    """Returns the findings as lines of text."""
    found = [
        f"{findings['stage']}: {findings['samples']:,} of {findings['episodes']:,} episodes of {len(findings['steps'])} steps "
        f"judged; reward {change_text(findings['reward_change'])} from {_range(findings['first_steps'])} to "
        f"{_range(findings['last_steps'])}"
    ]
    if findings["problems_error"]:
        found.append(f"the problems of {findings['environment']} are not known: {findings['problems_error']}")
    if findings["unknown_problems"] and not findings["problems_error"]:
        found.append(
            f"  {findings['unknown_problems']:,} samples have no score: their problems are not in {findings['environment']} now"
        )
    found += [f"  {name}: {judge_text(judge)}" for name, judge in findings["judges"].items()]
    found += [f"  {name}: left out, {reason}" for name, reason in findings["left_out"].items() if FAILED in reason]
    found += [alarm_text(each) for each in findings["alarms"]] or [_no_alarm(findings)]
    found += [sign_text(each) for each in findings["signs"]]
    for cluster in findings["clusters"][:5]:
        named = ", ".join(cluster["tricks"]) or cluster["shape"]
        found.append(f"  {_samples(cluster['samples'])} that only the reward likes: {' '.join(named.split())[:90]}")
    return found


def judge_text(judge: JudgeFinding) -> str:
    """Returns a judge's change, and what is to be known about it."""
    notes = [
        "depends on the form of answers, so that it raises no alarm" if judge["strict"] else "",
        "" if judge["strict"] or judge["tested"] else f"{_why_not_tested(judge)}, so that it raises no alarm",
        f"{judge['faults']:,} faults" if judge["faults"] else "",
        "stopped after a step with faults only" if judge["stopped"] else "",
    ]
    return "; ".join([f"{change_text(judge['change'])}, gap {change_text(judge['gap_change'])}", *filter(None, notes)])


def _why_not_tested(judge: JudgeFinding) -> str:
    if judge["first_denied"] is None:
        return "no rewarded samples in the first steps"
    if judge["first_denied"] > BLIND:
        return "denies most of the reward from the start"
    return "too few steps, or rewarded samples in the first ones"


def alarm_text(alarm: Alarm) -> str:
    """Returns an alarm as a sentence."""
    return (
        f"ALARM at step {alarm['step']}: {alarm['name']} denies {_percent(alarm['after'])} of the reward since about step "
        f"{alarm['opened']}, before {_percent(alarm['before'])}"
    )


def sign_text(alarm: Alarm) -> str:
    """Returns an alarm of a trick as a sentence."""
    return (
        f"sign at step {alarm['step']}: {_percent(alarm['after'])} of the reward goes to responses with the trick "
        f"{alarm['name']} since about step {alarm['opened']}, before {_percent(alarm['before'])}"
    )


def change_text(change: Interval | None) -> str:
    """Returns a difference with its interval."""
    return "unknown" if change is None else f"{change[0]:+.3f} [{change[1]:+.3f}, {change[2]:+.3f}]"


def page(findings: Findings) -> str:
    """Returns the page."""
    alarms = [f"<li class=alarm>{html.escape(alarm_text(each))}" for each in findings["alarms"]]
    signs = [f"<li>{html.escape(sign_text(each))}" for each in findings["signs"]]
    unknown = f"<p>{html.escape(' '.join(lines(findings)[1:2]))}</p>" if findings["unknown_problems"] else ""
    parts = [
        f"<p>{html.escape(lines(findings)[0])}. Environment: {html.escape(findings['environment'])}.</p>{unknown}",
        f"<ul>{''.join(alarms) or f'<li>{html.escape(_no_alarm(findings))}'}{''.join(signs)}</ul>",
        figures.image(figure(findings), "reward, judges, gaps and tricks by step"),
        f"<h2>Judges</h2>{_judges(findings)}",
        "<h2>Baselines</h2><p>Share of pairs of samples of one group that the baseline orders as the reward does. 0.5 is "
        f"chance. Baselines see no correctness.</p>{_baselines(findings)}",
        f"<h2>Samples that only the reward likes</h2>{''.join(map(_cluster, findings['clusters'])) or '<p>None.</p>'}",
        f"<h2>Steps</h2><p>Means with 95% intervals over new problems.</p>{_steps(findings)}",
    ]
    return static_page.page(f"Autopsy of the reward of {findings['stage']}", parts)


def figure(findings: Findings) -> "Figure":
    """Returns plots by step: the reward and the judges, the gaps, and the tricks among the reward."""
    from matplotlib.figure import Figure

    steps = findings["steps"]
    numbers = [step["step"] for step in steps]
    drawn = Figure(figsize=(11, 8), layout="constrained")
    scores, gaps, used = drawn.subplots(3, 1, sharex=True)
    _line(scores, numbers, [step["reward"] for step in steps], "reward", color="black")
    for name in findings["judges"]:
        _line(scores, numbers, [step["judges"][name]["mean"] for step in steps], name)
        _line(gaps, numbers, [step["judges"][name]["gap"] for step in steps], name)
    for name in _used_tricks(steps):
        shares = [step["tricks"][name]["rewarded"] for step in steps]
        _line(used, numbers, [None if share is None else (share, share, share) for share in shares], name)
    for axes, label in ((scores, "mean"), (gaps, "reward minus judge"), (used, "share of the reward")):
        axes.set_ylabel(label)
        for each in findings["alarms"]:
            axes.axvline(each["step"], color="#b00020", linewidth=0.8)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    used.set_xlabel("step (red: an alarm)")
    return drawn


def alarm_table(findings: Mapping[str, Sequence[Alarm]]) -> str:
    """Returns a table of alarms and signs for the run's report."""
    rows = [
        (kind, each["name"], each["step"], each["opened"], _percent(each["before"]), _percent(each["after"]))
        for kind, each in ((kind[:-1], each) for kind in ("alarms", "signs") for each in findings[kind])
    ]
    head = ("", "judge or trick", "seen at step", "began about step", "share of the reward before", "since then")
    return figures.table(head, rows) if rows else ""


def _line(axes: "Axes", numbers: Sequence[int], values: Sequence[Interval | None], name: str, color: str | None = None) -> None:
    """Draws means with their intervals, without the steps that have none."""
    known = [(number, value) for number, value in zip(numbers, values, strict=True) if value is not None]
    if not known:
        return
    at = [number for number, _ in known]
    label = name.replace("$", "\\$")  # matplotlib reads mathematics between two dollar signs
    (line,) = axes.plot(
        at, [value[0] for _, value in known], marker=".", label=label if label[:1] != "_" else f" {label}", color=color
    )
    axes.fill_between(
        at, [value[1] for _, value in known], [value[2] for _, value in known], alpha=0.12, color=line.get_color()
    )


def _used_tricks(steps: Sequence[Step]) -> list[str]:
    names = steps[0]["tricks"] if steps else {}
    return [name for name in names if max(step["tricks"][name]["rewarded"] or 0.0 for step in steps) > SHOWN_TRICK]


def _judges(findings: Findings) -> str:
    rows = [
        (
            *(name, change_text(judge["change"]), change_text(judge["gap_change"]), judge["scored"], judge["undecided"]),
            *(
                judge["faults"],
                "-" if judge["allowed"] is None else _percent(judge["allowed"]),
                judge_text(judge).partition("; ")[2],
            ),
        )
        for name, judge in findings["judges"].items()
    ]
    rows += [(name, "-", "-", 0, 0, 0, "-", f"left out: {reason}") for name, reason in findings["left_out"].items()]
    head = ("judge", "change", "change of the gap", "scored", "undecided", "faults", "may deny", "")
    reward = ("reward", change_text(findings["reward_change"]), "", findings["samples"], findings["without_score"], "", "", "")
    return figures.table(head, [reward, *rows])


def _baselines(findings: Findings) -> str:
    rows = [(name, *(_number(each[part]) for part in ("first", "last"))) for name, each in findings["baselines"].items()]
    return figures.table(("baseline", _range(findings["first_steps"]), _range(findings["last_steps"])), rows)


def _cluster(cluster: Cluster) -> str:
    named = ", ".join(cluster["tricks"]) or f"“{cluster['shape']}”"
    denied = figures.counts_text(cluster["denied_by"])
    head = (
        f"{_samples(cluster['samples'])}, steps {cluster['first_step']} to {cluster['last_step']}: {named} (denied by {denied})"
    )
    return f"<details><summary>{html.escape(head)}</summary>{''.join(map(_example, cluster['examples']))}</details>"


def _example(example: Example) -> str:
    scores = ", ".join(f"{name} {_number(score)}" for name, score in example["scores"].items())
    head = (
        f"step {example['step']}, {example['problem']}, sample {example['sample']}: reward {example['reward']:g} by "
        f"{example['verifier']}; {scores}"
    )
    texts = "".join(f"<pre>{html.escape(example[part])}</pre>" for part in ("question", "response"))
    return f"<p>{html.escape(head)}</p>{texts}"


def _steps(findings: Findings) -> str:
    steps = findings["steps"]
    every = max(1, -(-len(steps) // SHOWN_STEPS))
    alarms = {each["step"] for each in findings["alarms"]}
    shown = [step for place, step in enumerate(steps) if place % every == 0 or step["step"] in alarms]
    names, used = [*findings["judges"]], _used_tricks(steps)
    head = (
        "step",
        "reward",
        *names,
        *(f"gap to {name}, and its change" for name in names),
        *(f"{name} (of the reward)" for name in used),
    )
    return figures.table(head, [_row(step, names, used) for step in shown])


def _row(step: Step, names: Sequence[str], used: Sequence[str]) -> list[object]:
    def cells() -> Iterator[object]:
        yield step["step"]
        yield _interval(step["reward"])
        yield from (_interval(step["judges"][name]["mean"]) for name in names)
        for name in names:
            yield f"{_interval(step['judges'][name]['gap'])}; {change_text(step['judges'][name]['change'])}"
        yield from (_percent(step["tricks"][name]["rewarded"]) for name in used)

    return [*cells()]


def _no_alarm(findings: Findings) -> str:
    tested = [name for name, judge in findings["judges"].items() if judge["tested"]]
    if not tested:
        return (
            "no judge can raise an alarm: each one has no score, depends on the form of answers, or lacks rewarded samples in "
            "the first steps"
        )
    return f"no alarm by {', '.join(tested)}"


def _samples(count: int) -> str:
    return "1 sample" if count == 1 else f"{count:,} samples"


def _interval(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval[0]:.3f} [{interval[1]:.3f}, {interval[2]:.3f}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _range(steps: Sequence[int]) -> str:
    return f"step {steps[0]}" if len(steps) == 1 else f"steps {steps[0]}-{steps[-1]}"
