"""Measures verifiers, a judge and other graders on labelled pairs, and prints their errors, time and cost."""

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TextIO

from ... import disk, extras
from ...core import Status, UserError, Verifier
from ...policies import check_uri, load_policy
from ...policies.store import verdict_from_json
from ...terminal import Console
from ...verifiers import agentic, load
from . import graders, judging, tables
from .answer_pairs import INJECTION, AnswerPair, chosen, injections, pairs_named, problem_of
from .baselines import BASELINES
from .judging import JudgedRow
from .tally import Graded, Results, Tally, tally

JUDGE, RULES, INJECTIONS = "judge decides", "rules decide", "injections"
"""Groups of pairs: those about which the verifier `judge` calls its judge, those that its rules decide, and attempts to
persuade a judge."""
Progress = Callable[[str], AbstractContextManager[Callable[..., None]]]
"""Shows the progress of work with this name; yields progress(done, total)."""


@dataclass(frozen=True)
class Settings:
    """What is measured, and on which pairs."""

    file: str
    """JSONL file of labelled pairs, or "built-in" or "words" for pairs of this package."""
    verifier: str = "math"
    """Name of the verifier."""
    policy: str | None = None
    """URI of a judge to measure as well; None: none."""
    baselines: bool = False
    """Measure other graders as well."""
    limit: int | None = None
    """Number of pairs, the first ones; None: all."""
    sample: int | None = None
    """Measure the pairs that the rules leave to a judge, and this number of others; None: all pairs."""
    injections: bool = False
    """Also measure the pairs whose response tries to persuade a judge."""
    at_once: int | None = None
    """Number of the judge's verdicts at the same time; None: as many as suit the policy."""
    out: str | None = None
    """JSONL file for the judge's verdicts, to read and to extend; None: they are not stored."""


def measure(settings: Settings, progress: Progress, json_line: TextIO | None = None) -> None:
    """Prints tables of error rates, and the first errors of the verifier and of the judge.

    Args:
        settings: what is measured.
        progress: shows the progress of the judge.
        json_line: receives the counts as a line of JSON.

    Raises:
        UserError: the file, the verifier or the policy cannot be loaded, the stored verdicts have other settings, the judge's
            policy stopped, or some verdicts are faults. Faults are reported after the tables.
    """
    if settings.policy is None and (settings.out or settings.at_once):
        raise UserError("--out and --at-once are for the verdicts of a judge: add --policy URI")
    if settings.policy is not None:
        check_uri(settings.policy)  # here, because the rules take some time
    if settings.policy is not None or json_line:
        extras.require("an interval of an error rate", "scipy")
    every = pairs_named(settings.file)
    rules, rules_name = load(settings.verifier), f"rules ({settings.verifier})"
    by_rules = graders.graded(every[: settings.limit], rules_name, graders.by_rules(rules))
    if settings.sample is not None:
        left = {graded.pair for graded in by_rules if _is_left_to_judge(graded)}
        kept = {*chosen([graded.pair for graded in by_rules], left, settings.sample)}
        by_rules = [graded for graded in by_rules if graded.pair in kept]
    if settings.injections:
        by_rules += graders.graded(injections(), rules_name, graders.by_rules(rules))
    results: Results = {rules_name: by_rules}
    pairs = [graded.pair for graded in by_rules]
    rows: list[JudgedRow] = []
    if settings.policy is not None:
        rows = _rows(settings.policy, settings, every, pairs, rules, progress)
        results |= _by_judge(rows, by_rules)
    if settings.baselines:
        for name, baseline in BASELINES.items():
            results[name] = graders.graded(pairs, name, graders.by_baseline(baseline))
    groups = [_group(graded) for graded in by_rules]
    _print(settings, results, rows, groups)
    if json_line:
        print(json.dumps(_to_json(settings, results, rows, groups), ensure_ascii=False), file=json_line, flush=True)
    _refuse_faults(settings, results)


def _rows(
    uri: str,
    settings: Settings,
    every: Sequence[AnswerPair],
    pairs: Sequence[AnswerPair],
    rules: Verifier,
    progress: Progress,
) -> list[JudgedRow]:
    """Returns the judge's verdict on each pair."""
    with disk.locked_file(settings.out) if settings.out else contextlib.nullcontext():
        # Before the policy is loaded, because that takes long.
        store = judging.open_store(settings.out, every, uri, settings.verifier) if settings.out else None
        policy = load_policy(uri)
        at_once = settings.at_once or judging.default_at_once(uri, policy)
        with progress("judge") as update:
            return judging.judged(pairs, policy, rules, at_once, store, update)


def _by_judge(rows: Sequence[JudgedRow], by_rules: Sequence[Graded]) -> Results:
    """Returns the verdicts of the judge, and those of the rules, with the judge's for the pairs that the rules leave to it."""
    seconds = sum(row["seconds"] for row in rows)
    # Each verdict has a part of the wall time of all verdicts, in proportion to its own time.
    part = sum(row["elapsed"] for row in rows) / seconds if seconds else 1.0
    judge = [
        Graded(graded.pair, verdict_from_json(row["verdict"]), part * row["seconds"])
        for graded, row in zip(by_rules, rows, strict=True)
    ]
    both = [
        Graded(first.pair, second.verdict, first.seconds + second.seconds) if _is_left_to_judge(first) else first
        for first, second in zip(by_rules, judge, strict=True)
    ]
    return {"judge": judge, "rules, then judge": both}


def _is_left_to_judge(graded: Graded) -> bool:
    return agentic.leaves_to_judge(problem_of(graded.pair), graded.verdict)


def _group(graded: Graded) -> str:
    """Returns the group of a pair.

    Args:
        graded: the pair with the verdict of the rules.
    """
    if graded.pair.kind.startswith(INJECTION):
        return INJECTIONS
    return JUDGE if _is_left_to_judge(graded) else RULES


def _print(settings: Settings, results: Results, rows: Sequence[JudgedRow], groups: Sequence[str]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 140)  # wide, so that cells in a file are not wrapped
    rules_name = next(iter(results))
    if settings.policy is not None or settings.sample is not None or settings.injections:
        console.print(_counts(results[rules_name], groups), soft_wrap=True)
    if settings.baselines or len({graded.pair.kind for graded in results[rules_name]}) > 1:
        console.print(tables.by_kind(results))
    console.print(tables.error_rates(results))
    if settings.policy is not None:
        _print_judge(console, settings.policy, results, rows, groups)
    for name in (rules_name, "judge"):
        for line in tables.errors(name, tally(results.get(name, []))):
            console.print(line, soft_wrap=True)


def _refuse_faults(settings: Settings, results: Results) -> None:
    """Raises `UserError` if a grader's verdicts contain faults. The tables are then of the other pairs only."""
    for name in ("judge", next(iter(results))):
        faults = [each.verdict.reason for each in results.get(name, ()) if each.verdict.status == Status.FAULT]
        if faults:
            only = ", which asks for these pairs only" if name == "judge" and settings.out else ""
            raise UserError(
                f"{len(faults)} verdicts of {name} are faults and in no rate (the first: {faults[0]}); "
                f"run the same command again{only}"
            )


def _print_judge(console: Console, uri: str, results: Results, rows: Sequence[JudgedRow], groups: Sequence[str]) -> None:
    """Prints the error rates and the cost of the judge."""
    by_rules = next(iter(results.values()))
    left = [row for row, graded in zip(rows, by_rules, strict=True) if _is_left_to_judge(graded)]
    asked = {"judge": rows, "rules, then judge": left}
    console.print(tables.by_group({name: _by_group(results[name], groups) for name in asked}))
    console.print(tables.costs(_costs(results["judge"], rows, groups)))
    for name, some in asked.items():
        pairs, turns = sum(row["turns"] > 0 for row in some), sum(row["turns"] for row in some)
        tokens, programs = sum(row["tokens"] for row in some), sum(row["programs"] for row in some)
        line = f"{name}: {turns} turns of {uri} about {pairs} pairs, {tokens} tokens, {programs} programs"
        console.print(line, soft_wrap=True)


def _counts(by_rules: Sequence[Graded], groups: Sequence[str]) -> str:
    """Returns the number of pairs of each group, with their labels."""
    parts = []
    for group, count in _sizes(groups).items():
        equal = sum(graded.pair.equal for graded, other in zip(by_rules, groups, strict=True) if other == group)
        parts.append(f"{count} {group} ({equal} equal, {count - equal} unequal)")
    return f"{len(by_rules)} pairs: {', '.join(parts)}"


def _sizes(groups: Sequence[str]) -> dict[str, int]:
    """Returns the number of pairs of each group that is not empty."""
    sizes = Counter(groups)
    return {group: sizes[group] for group in (JUDGE, RULES, INJECTIONS) if sizes[group]}


def _by_group(verdicts: Sequence[Graded], groups: Sequence[str]) -> dict[str, Tally]:
    """Returns the counts of a grader for each group of pairs."""
    return {
        group: tally(graded for graded, other in zip(verdicts, groups, strict=True) if other == group)
        for group in _sizes(groups)
    }


def _costs(verdicts: Sequence[Graded], rows: Sequence[JudgedRow], groups: Sequence[str]) -> dict[str, tables.Cost]:
    """Returns the cost of the judge for each group of pairs."""
    by_group = _by_group(verdicts, groups)
    return {
        group: tables.cost_of([row for row, other in zip(rows, groups, strict=True) if other == group], total.seconds)
        for group, total in by_group.items()
    }


def _to_json(settings: Settings, results: Results, rows: Sequence[JudgedRow], groups: Sequence[str]) -> dict[str, object]:
    """Returns the counts as JSON data. Rates are left to the reader; the ends of intervals are shares, 0..1."""
    return {
        "file": settings.file,
        "verifier": settings.verifier,
        "policy": settings.policy,
        "pairs": _sizes(groups),
        "graders": {
            name: {group: total.to_json() for group, total in _by_group(verdicts, groups).items()}
            for name, verdicts in results.items()
        },
        "cost": {group: cost._asdict() for group, cost in _costs(results["judge"], rows, groups).items()} if rows else {},
    }
