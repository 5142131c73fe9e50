"""Tests that are written by running programs: synthetic inputs, outputs that are agreed on, mutants that have to be noticed.

    suite = synthesize("def gcd(a: int, b: int): ...", "gcd")
    suite.answer()          # what the verifier `code` takes: {"entry_point": "gcd", "calls": [...], "encoded": True}
    suite.report.score      # share of mutants that the private tests kill

1. Inputs: hypothesis draws them from the signature and from examples (`inputs.py`); a model may give examples.
2. Outputs: the reference runs on each input alone, then on all of them in either order and in two processes; what differs is
   out. Without a reference, several candidates run, and an output counts where enough of them agree.
3. Mutants of the reference (`mutation.py`) run on every input; while some survive, more inputs are drawn.
4. The smallest set of tests that kills what all of them kill is kept, private, with a few of other outputs beside it: mutants
   stand for small mistakes, and a policy makes larger ones. Some short ones more are public.

"""

import contextlib
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ...core import UserError
from ...golds import CodeTests, RunLimits
from ...verifiers import code
from ...verifiers.programs.equality import exactly, same, within
from ...verifiers.sandbox import Call, Limits, LocalSandbox, Result, Sandbox, SandboxFault
from ...verifiers.sandbox.inside.wire import decode, encode
from . import inputs, mutation

QUICK = Limits(cpu_seconds=1.0, wall_seconds=2.0)
"""Of the reference, on one input and on all of them: what takes longer is nothing to test with."""
TOGETHER = Limits(cpu_seconds=2.0, wall_seconds=4.0)
"""Of a mutant on all inputs: one that takes longer than this takes longer than the reference."""
MAX_OUTPUT = 2_000
"""Longest expected output, as JSON."""
THREADS = 4
"""Runs at once."""
ROUNDS = 4
"""Times that inputs are drawn: again while mutants survive."""
TOLERANCE = 1e-6
"""How far floats may lie apart: another right program adds in another order."""


Equal = Callable[..., bool]
"""Whether two forms say the same output; see `equality.same`."""


@dataclass(frozen=True, slots=True)
class Report:
    """How a suite came about."""

    inputs: int
    """Drawn, distinct."""
    failing: int
    """Left out: the program raised, ran out of time, or returned what cannot be compared."""
    unstable: int
    """Left out: runs differ, or too few candidates agree."""
    mutants: int
    killed: int
    """By all inputs that were usable."""
    killed_private: int
    """By the private tests, run on their own."""
    minimal: int
    """Tests that it takes to kill as many as all of them do."""
    private: int
    public: int

    @property
    def score(self) -> float | None:
        """Mutation score of the private tests, 0..1; None where the program has no mutants."""
        return self.killed_private / self.mutants if self.mutants else None


@dataclass(frozen=True, slots=True)
class Suite:
    """Tests of one function. A test is {"arguments": [forms], "output": form}; forms are `wire.encode`'s, and JSON."""

    entry_point: str
    program: str
    """What the expected outputs came from."""
    private: tuple[Mapping[str, Any], ...]
    public: tuple[Mapping[str, Any], ...]
    report: Report
    options: Mapping[str, Any]
    """How outputs compare: tolerance, unordered."""

    def answer(self) -> dict[str, Any]:
        """A problem's answer for the verifier `code`: the public tests, then the private ones."""
        calls = [*self.public, *self.private]
        return {
            "entry_point": self.entry_point,
            "calls": calls,
            "encoded": True,
            "public": len(self.public),
            **self.options,
        }


def synthesize(
    programs: str | Sequence[str],
    entry_point: str,
    examples: Sequence[Sequence[Any]] = (),
    model: inputs.Model | None = None,
    count: int = 60,
    public: int = 2,
    least: int = 8,
    agreement: float = 0.6,
    unordered: bool = False,
    tolerance: float = TOLERANCE,
    seed: int = 0,
    box: Sandbox | None = None,
) -> Suite:
    """Writes tests for a function.

    Args:
        programs: the reference solution, or several candidates where there is none.
        entry_point: the function's name.
        examples: argument lists that it takes, where annotations do not say.
        model: asked for more examples.
        count: inputs drawn in each of up to `ROUNDS` rounds.
        public: tests beside the private ones, to be shown.
        least: private tests there are to be, even where fewer kill every mutant.
        agreement: least share of the candidates that have to agree on an output.
        unordered: whether outputs that are lists compare as multisets.
        tolerance: how far floats may lie apart, relatively or absolutely.
        seed: of the inputs.
        box: where programs run; by default a sandbox of its own with two warm processes, whose hashes differ.

    Raises:
        UserError: the program cannot be read, nothing says what it takes, or no input gives a stable output.
    """
    candidates = [programs] if isinstance(programs, str) else list(programs)
    if not candidates:
        raise UserError("there is no program to write tests from")
    known = [list(example) for example in examples]
    if model is not None:
        known += inputs.asked(model, candidates[0], entry_point)
    source = inputs.strategy(candidates[0], entry_point, known)
    with contextlib.nullcontext(box) if box is not None else sandbox_of_two() as box:
        equal = functools.partial(same, close=within(tolerance), unordered=unordered)
        tests = _Tests(box, candidates, entry_point, agreement, equal)
        for number in range(ROUNDS):
            tests.extend(inputs.draw(source, count, seed * ROUNDS + number))
            if tests.tests and not tests.survivors():
                break
        if not tests.tests:
            counts = f"of {tests.drawn}, {tests.failing} fail and {tests.unstable} differ"
            raise UserError(f"no input gives {entry_point} a stable output: {counts}")
        sizes = [len(json.dumps(test)) for test in tests.tests]
        minimal = smallest(tests.kills, sizes)
        private = _filled(minimal, tests.tests, least)
        others = sorted(set(range(len(sizes))) - set(private), key=lambda test: sizes[test])
        visible = _spread(others, public) or private[:public]
        alone = [tests.tests[test] for test in private]
        killed = sum(bool(killers) for killers in _each(box, tests.mutants, entry_point, alone, equal))
    report = Report(
        inputs=tests.drawn,
        failing=tests.failing,
        unstable=tests.unstable,
        mutants=len(tests.mutants),
        killed=len(set().union(*tests.kills)),
        killed_private=killed,
        minimal=len(minimal),
        private=len(private),
        public=len(visible),
    )
    options = {"tolerance": tolerance, **({"unordered": True} if unordered else {})}
    public_tests = tuple(tests.tests[test] for test in visible)
    return Suite(entry_point, tests.reference, tuple(alone), public_tests, report, options)


class _Tests:
    """Tests gathered so far, and which mutants each of them kills."""

    def __init__(self, box: Sandbox, candidates: Sequence[str], entry_point: str, agreement: float, equal: Equal):
        self.box, self.candidates, self.entry_point, self.agreement = box, candidates, entry_point, agreement
        self.equal, self.reference = equal, candidates[0]
        self.mutants: list[str] = []
        self.tests: list[dict[str, Any]] = []
        self.kills: list[set[int]] = []
        self.seen: set[str] = set()
        self.drawn = self.failing = self.unstable = 0

    def survivors(self) -> list[int]:
        killed = set().union(*self.kills)
        return [number for number in range(len(self.mutants)) if number not in killed]

    def extend(self, drawn: Sequence[Sequence[Any]]) -> None:
        """Runs new inputs, keeps those with an output to rely on, and tries the mutants that still live on them."""
        forms = [[encode(argument) for argument in arguments] for arguments in drawn]
        fresh = [form for form in forms if json.dumps(form) not in self.seen]
        self.seen |= {json.dumps(form) for form in fresh}
        self.drawn += len(fresh)
        new = self._stable(fresh) if len(self.candidates) == 1 else self._agreed(fresh)
        if new and not self.tests:
            self.mutants = mutation.mutants(self.reference)
        living = self.survivors()
        kills: list[set[int]] = [set() for _ in new]
        found = _each(self.box, [self.mutants[mutant] for mutant in living], self.entry_point, new, self.equal)
        for mutant, killers in zip(living, found, strict=True):
            for test in killers:
                kills[test].add(mutant)
        self.tests += new
        self.kills += kills

    def _stable(self, fresh: Sequence[list[Any]]) -> list[dict[str, Any]]:
        """Tests of what the reference gives whenever it is asked."""
        with ThreadPoolExecutor(THREADS) as threads:
            alone = threads.map(lambda form: _results(self.box, self.reference, self.entry_point, [form], QUICK), fresh)
            once = [{"arguments": form, "output": got[0].value} for form, got in zip(fresh, alone, strict=True) if _usable(got)]
        # One of these two is in another process than an input's first run was. What they do not reach is not known.
        equal = functools.partial(self.equal, close=exactly)
        there, reached = _failed(self.box, self.reference, self.entry_point, once, equal, QUICK)
        once = once[:reached]
        back, reached = _failed(self.box, self.reference, self.entry_point, once[::-1], equal, QUICK)
        begin = len(once) - reached
        unequal = {*there, *(len(once) - 1 - number for number in back)}
        stable = [test for number, test in enumerate(once) if number >= begin and number not in unequal]
        self.failing += len(fresh) - reached
        self.unstable += reached - len(stable)
        return stable

    def _agreed(self, fresh: Sequence[list[Any]]) -> list[dict[str, Any]]:
        """Tests of what enough candidates give; the one that most often gives it becomes the reference."""
        said = [_results(self.box, candidate, self.entry_point, fresh, TOGETHER) for candidate in self.candidates]
        enough = max(2, self.agreement * len(self.candidates))
        agreed: list[tuple[dict[str, Any], list[bool]]] = []
        for number, form in enumerate(fresh):
            values = [results[number].value if _usable(results[number : number + 1]) else _NOTHING for results in said]
            votes = [
                [other is not _NOTHING and value is not _NOTHING and self.equal(value, other) for other in values]
                for value in values
            ]
            most = max(votes, key=sum)
            self.failing += all(value is _NOTHING for value in values)
            if sum(most) < enough:
                self.unstable += any(value is not _NOTHING for value in values)
                continue
            agreed.append(({"arguments": form, "output": values[most.index(True)]}, most))
        if not self.tests:
            right = [sum(votes[number] for _, votes in agreed) for number in range(len(self.candidates))]
            self.reference = self.candidates[right.index(max(right))]
        # A test that the reference fails would reject every mutant. Such tests are dropped.
        kept = [test for test, votes in agreed if votes[self.candidates.index(self.reference)]]
        self.unstable += len(agreed) - len(kept)
        return kept


_NOTHING = object()
"""In place of a value that there is not."""


def _results(box: Sandbox, program: str, entry_point: str, forms: Sequence[list[Any]], limits: Limits) -> list[Result]:
    """What a function gives for each argument list, given as forms; fewer where it was ended on the way."""
    calls = [Call(entry_point, [decode(form) for form in arguments]) for arguments in forms]
    return list(box.run(program, calls, limits=limits).results)


def _usable(got: Sequence[Result]) -> bool:
    """Whether a call came back with a value that can be compared and written down."""
    if not got or got[0].error is not None:
        return False
    try:
        text = json.dumps(got[0].value, allow_nan=False)
    except ValueError:
        return False
    return len(text) <= MAX_OUTPUT and '{"object":' not in text


def _failed(
    box: Sandbox, program: str, entry_point: str, tests: Sequence[Mapping[str, Any]], equal: Equal, limits: Limits
) -> tuple[list[int], int]:
    """The tests that a program fails, and how many it reached before it was ended."""
    if not tests:
        return [], 0
    results = _results(box, program, entry_point, [test["arguments"] for test in tests], limits)
    pairs = enumerate(zip(tests, results, strict=False))
    failed = [n for n, (test, got) in pairs if got.error is not None or not equal(test["output"], got.value)]
    return failed, len(results)


def _each(
    box: Sandbox, mutants: Sequence[str], entry_point: str, tests: Sequence[Mapping[str, Any]], equal: Equal
) -> list[list[int]]:
    """For each mutant the tests that it fails. The one that ends it is among them, those behind are not known to be."""

    def killers(mutant: str) -> list[int]:
        failed, reached = _failed(box, mutant, entry_point, tests, equal, TOGETHER)
        return failed + ([reached] if reached < len(tests) else [])

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(killers, mutants))


def smallest(kills: Sequence[set[int]], sizes: Sequence[int]) -> list[int]:
    """Tests that together kill what all of them kill: the one that kills most goes first, the shorter of equals.

    Greedy covering, within a factor of ln(n) of the fewest (Chvatal, 1979); then what the others have made needless goes.
    """
    left = set().union(*kills)
    kept: list[int] = []
    while left:
        best = max(range(len(kills)), key=lambda test: (len(kills[test] & left), -sizes[test]))
        kept.append(best)
        left -= kills[best]
    for test in list(kept):
        if kills[test] <= set().union(*(kills[other] for other in kept if other != test)):
            kept.remove(test)
    return kept


def _filled(kept: Sequence[int], tests: Sequence[Mapping[str, Any]], least: int) -> list[int]:
    """These tests and more of them up to a number, such with outputs that are not there yet first."""
    chosen = list(kept)
    outputs = {json.dumps(tests[test]["output"]) for test in chosen}
    rest = [test for test in range(len(tests)) if test not in kept]
    for new_only in (True, False):
        for test in rest:
            output = json.dumps(tests[test]["output"])
            if len(chosen) < least and test not in chosen and (output not in outputs or not new_only):
                chosen.append(test)
                outputs.add(output)
    return chosen


def _spread(tests: Sequence[int], count: int) -> list[int]:
    """A few of the shorter half, evenly: the very shortest are empty lists and zeros."""
    half = tests[: max(count, len(tests) // 2)]
    return [half[(2 * number + 1) * len(half) // (2 * count)] for number in range(min(count, len(half)))]


@contextlib.contextmanager
def sandbox_of_two() -> Iterator[Sandbox]:
    """A sandbox whose runs take turns between two processes: what depends on the hashes of one differs in the other."""
    box = LocalSandbox(workers=2)
    try:
        yield box
    finally:
        box.close()


def score_of(answer: CodeTests, program: str) -> float | None:
    """The mutation score, 0..1, of any tests that the verifier `code` takes; None where the program has no mutants.

    Raises:
        SandboxFault: a mutant could not be judged.
        UserError: the program itself does not pass these tests.
    """
    limits: RunLimits = {"cpu_seconds": TOGETHER.cpu_seconds, "wall_seconds": TOGETHER.wall_seconds}

    def passes(source: str) -> bool:
        verdict = code.judge(source, {**answer, "limits": limits})
        if verdict.score is None:
            raise SandboxFault(verdict.reason)
        return verdict.score == 1

    if not passes(program):
        raise UserError("the solution does not pass the tests that it came with")
    wrong = mutation.mutants(program)
    with ThreadPoolExecutor(THREADS) as threads:
        killed = sum(not passed for passed in threads.map(passes, wrong))
    return killed / len(wrong) if wrong else None
