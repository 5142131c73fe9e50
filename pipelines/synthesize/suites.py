"""Generates tests for a function: synthetic inputs, verified outputs, and mutants that the tests must kill.

    suite = synthesize("def gcd(a: int, b: int): ...", "gcd")
    suite.answer()          # gold answer for the verifier `code`: {"entry_point": "gcd", "calls": [...], "encoded": True}
    suite.report.score      # share of mutants that the private tests kill

1. Inputs: hypothesis generates them from the signature and from examples (`inputs.py`). A policy may write further examples
   (`examples.py`); they are used if the program returns a value for them.
2. Outputs: the reference runs on each input alone, then on all of them in both orders and in two processes. Inputs with
   different outputs are dropped. Without a reference, several candidates run, and an output is used if enough of them agree.
3. Mutants of the reference (`mutation.py`) run on the inputs. While some survive, more inputs are generated, in at most
   `ROUNDS` rounds in all, and only the surviving mutants run on them.
4. The private tests are a small set that kills all killed mutants. Because a policy makes larger mistakes than mutants do,
   further tests are added until there are `min_private_tests`. First come tests with an output that no private test has. Some
   of the remaining short tests are public.

Public tests may be shown in the prompt; private tests are not. If the private tests use all tests, the first private tests are
public as well.
"""

import contextlib
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypedDict

from ...core import Status, UserError
from ...golds import CodeTests, RunLimits
from ...verifiers import code
from ...verifiers.programs.equality import exactly, same, within
from ...verifiers.sandbox import Call, CallResult, Limits, LocalSandbox, Sandbox, SandboxFault
from ...verifiers.sandbox.inside.wire import decode, encode
from . import inputs, mutation, selection
from .examples import Value

SINGLE_LIMITS = Limits(cpu_seconds=1.0, wall_seconds=2.0)
"""Limits of the reference, on one input and on all of them. Inputs that take longer are dropped. Our choice."""
ALL_LIMITS = Limits(cpu_seconds=2.0, wall_seconds=4.0)
"""Limits of a mutant or candidate on all inputs, twice those of the reference. Our choice."""
MAX_OUTPUT = 2_000
"""Maximal characters of an expected output, as JSON. Our choice."""
THREADS = 4
"""Programs that run in parallel. Our choice."""
ROUNDS = 4
"""Maximal number of rounds that generate inputs. Another round runs only if mutants have survived. Our choice."""
TOLERANCE = 1e-6
"""Relative or absolute tolerance of floats, because another correct program may add in another order. Our choice."""


Equal = Callable[..., bool]
"""A function that is True if two encoded outputs are equal; see `equality.same`."""


class CallTest(TypedDict):
    """One test. The values are encoded by `wire.encode` and can be written as JSON."""

    arguments: list[object]
    output: object


@dataclass(frozen=True, slots=True)
class Report:
    """How the tests of a suite were made."""

    inputs: int
    """Number of distinct generated inputs."""
    failing: int
    """Inputs dropped because the program raised, exceeded a limit, or returned a value that cannot be compared."""
    unstable: int
    """Inputs dropped because runs differ, too few candidates agree, or the reference is not among those that agree."""
    mutants: int
    killed: int
    """Mutants that at least one usable input kills."""
    killed_private: int
    """Mutants killed by the private tests, run on their own."""
    minimal: int
    """Number of tests in the small set that `minimal_tests` returns."""
    private: int
    public: int
    written: int = 0
    """Number of argument lists of a policy for which the program returns a value."""

    @property
    def score(self) -> float | None:
        """Mutation score of the private tests, 0..1; None if the program has no mutants."""
        return self.killed_private / self.mutants if self.mutants else None


@dataclass(frozen=True, slots=True)
class Suite:
    """The tests of one function."""

    entry_point: str
    program: str
    """The program that the expected outputs come from."""
    private: tuple[CallTest, ...]
    public: tuple[CallTest, ...]
    report: Report
    options: Mapping[str, float | bool]
    """How outputs are compared: tolerance, unordered."""

    def answer(self) -> dict[str, Any]:
        """Returns the gold answer for the verifier `code`: the public tests, then the private ones."""
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
    examples: Sequence[Sequence[Value]] = (),
    written: Sequence[Sequence[Value]] = (),
    inputs_per_round: int = 60,
    public_tests: int = 2,
    min_private_tests: int = 8,
    agreement: float = 0.6,
    unordered: bool = False,
    tolerance: float = TOLERANCE,
    seed: int = 0,
    box: Sandbox | None = None,
) -> Suite:
    """Returns tests for a function.

    Args:
        programs: the reference solution, or several candidates without a reference.
        entry_point: name of the function.
        examples: argument lists that the function takes; needed if the parameters have no annotations.
        written: argument lists that a policy has written, and that the function may not take.
        inputs_per_round: inputs generated in each of up to `ROUNDS` rounds.
        public_tests: number of public tests, beside the private ones. If the private tests use all tests, the first private
            tests are public as well.
        min_private_tests: number of private tests to reach, even if fewer kill every mutant; fewer if too few inputs have a
            stable output.
        agreement: minimum share of the candidates that must agree on an output; at least two must agree.
        unordered: whether lists are compared as multisets.
        tolerance: relative or absolute tolerance of floats.
        seed: seed of the inputs.
        box: sandbox in which programs run; default: a new one with two workers, whose string hashes differ.

    Raises:
        SandboxFault: the sandbox failed.
        UserError: no program can be parsed and defines the function, the type of a parameter is unknown, no input has a stable
            output, or a package of the extra is missing.
    """
    candidates = [programs] if isinstance(programs, str) else list(programs)
    if not candidates:
        raise UserError("programs is empty; give at least one program")
    valid = [program for program in candidates if inputs.defines(program, entry_point)]
    signature = (valid or candidates)[0]
    with contextlib.nullcontext(box) if box is not None else two_worker_sandbox() as box:
        usable = _that_run(box, signature, entry_point, written)
        source = inputs.strategy(signature, entry_point, examples, usable)
        equal = functools.partial(same, close=within(tolerance), unordered=unordered)
        tests = _Tests(box, candidates, entry_point, agreement, equal)
        for number in range(ROUNDS):
            tests.extend(inputs.generate(source, inputs_per_round, seed * ROUNDS + number))
            if tests.tests and not tests.survivors():
                break
        if not tests.tests:
            counts = f"of {tests.generated} inputs, {tests.failing} fail and {tests.unstable} differ"
            raise UserError(f"no input of {entry_point} has a stable output: {counts}")
        sizes = [len(json.dumps(test)) for test in tests.tests]
        minimal = selection.minimal_tests(tests.kills, sizes)
        private = selection.with_further(minimal, tests.tests, min_private_tests)
        others = sorted(set(range(len(sizes))) - set(private), key=lambda test: sizes[test])
        visible = selection.evenly_spaced(others, public_tests) or private[:public_tests]
        private_tests = [tests.tests[test] for test in private]
        killed = sum(bool(killers) for killers in _killers(box, tests.mutants, entry_point, private_tests, equal))
    report = Report(
        inputs=tests.generated,
        failing=tests.failing,
        unstable=tests.unstable,
        mutants=len(tests.mutants),
        killed=len(set().union(*tests.kills)),
        killed_private=killed,
        minimal=len(minimal),
        private=len(private),
        public=len(visible),
        written=len(usable),
    )
    options: dict[str, float | bool] = {"tolerance": tolerance, **({"unordered": True} if unordered else {})}
    shown_tests = tuple(tests.tests[test] for test in visible)
    return Suite(entry_point, tests.reference, tuple(private_tests), shown_tests, report, options)


class _Tests:
    """The tests found so far, and the mutants that each of them kills."""

    def __init__(self, box: Sandbox, candidates: Sequence[str], entry_point: str, agreement: float, equal: Equal):
        self.box, self.candidates, self.entry_point, self.agreement = box, candidates, entry_point, agreement
        self.equal, self.reference = equal, candidates[0]
        self.mutants: list[str] = []
        self.tests: list[CallTest] = []
        self.kills: list[set[int]] = []
        self.seen: set[str] = set()
        self.generated = self.failing = self.unstable = 0

    def survivors(self) -> list[int]:
        """Returns the numbers of the mutants that no test kills."""
        killed = set().union(*self.kills)
        return [number for number in range(len(self.mutants)) if number not in killed]

    def extend(self, generated: Sequence[Sequence[Value]]) -> None:
        """Adds tests of new inputs with stable outputs, and runs the surviving mutants on them."""
        forms = [[encode(argument) for argument in arguments] for arguments in generated]
        fresh = [form for form in forms if json.dumps(form) not in self.seen]
        self.seen |= {json.dumps(form) for form in fresh}
        self.generated += len(fresh)
        new = self._stable(fresh) if len(self.candidates) == 1 else self._agreed(fresh)
        if new and not self.tests:
            self.mutants = mutation.mutants(self.reference)
        survivors = self.survivors()
        kills: list[set[int]] = [set() for _ in new]
        found = _killers(self.box, [self.mutants[mutant] for mutant in survivors], self.entry_point, new, self.equal)
        for mutant, killers in zip(survivors, found, strict=True):
            for test in killers:
                kills[test].add(mutant)
        self.tests += new
        self.kills += kills

    def _stable(self, fresh: Sequence[list[object]]) -> list[CallTest]:
        """Returns tests of the inputs for which the reference gives equal outputs in all runs."""
        run = functools.partial(_results, self.box, self.reference, self.entry_point, limits=SINGLE_LIMITS)
        with ThreadPoolExecutor(THREADS) as threads:
            alone = threads.map(lambda form: run([form]), fresh)
            once: list[CallTest] = [
                {"arguments": form, "output": results[0].value}
                for form, results in zip(fresh, alone, strict=True)
                if _usable(results)
            ]
        # The two runs are in different processes, so at least one of them is not in the process of the input's first run.
        # Inputs that a run does not reach within its limits are dropped, because they are not verified.
        equal = functools.partial(self.equal, close=exactly)
        forward, reached = _failed(self.box, self.reference, self.entry_point, once, equal, SINGLE_LIMITS)
        once = once[:reached]
        backward, reached = _failed(self.box, self.reference, self.entry_point, once[::-1], equal, SINGLE_LIMITS)
        begin = len(once) - reached
        unequal = {*forward, *(len(once) - 1 - number for number in backward)}
        stable = [test for number, test in enumerate(once) if number >= begin and number not in unequal]
        self.failing += len(fresh) - reached
        self.unstable += reached - len(stable)
        return stable

    def _agreed(self, fresh: Sequence[list[object]]) -> list[CallTest]:
        """Returns tests of the outputs that enough candidates give. The candidate that agrees most becomes the reference."""
        outputs = [_results(self.box, candidate, self.entry_point, fresh, ALL_LIMITS) for candidate in self.candidates]
        enough = max(2, self.agreement * len(self.candidates))
        agreed: list[tuple[CallTest, list[bool]]] = []
        for number, form in enumerate(fresh):
            values = [results[number].value if _usable(results[number : number + 1]) else _NOTHING for results in outputs]
            votes = [
                [other is not _NOTHING and value is not _NOTHING and self.equal(value, other) for other in values]
                for value in values
            ]
            majority = max(votes, key=sum)
            self.failing += all(value is _NOTHING for value in values)
            if sum(majority) < enough:
                self.unstable += any(value is not _NOTHING for value in values)
                continue
            agreed.append(({"arguments": form, "output": values[majority.index(True)]}, majority))
        if not self.tests:
            agreements = [sum(votes[number] for _, votes in agreed) for number in range(len(self.candidates))]
            self.reference = self.candidates[agreements.index(max(agreements))]
        # Tests that the reference fails are dropped, because all mutants would fail them too.
        kept = [test for test, votes in agreed if votes[self.candidates.index(self.reference)]]
        self.unstable += len(agreed) - len(kept)
        return kept


_NOTHING = object()
"""Marks a missing value."""


def _results(box: Sandbox, program: str, entry_point: str, forms: Sequence[list[object]], limits: Limits) -> list[CallResult]:
    """Returns the results of a function for each encoded argument list; fewer if the run was stopped."""
    calls = [Call(entry_point, [decode(form) for form in arguments]) for arguments in forms]
    return list(box.run(program, calls, limits=limits).results)


def _that_run(box: Sandbox, program: str, entry_point: str, written: Sequence[Sequence[Value]]) -> list[Sequence[Value]]:
    """Returns the argument lists for which a program returns a value that can be compared."""

    def runs(arguments: Sequence[Value]) -> bool:
        form = [encode(argument) for argument in arguments]
        return _usable(_results(box, program, entry_point, [form], SINGLE_LIMITS))

    with ThreadPoolExecutor(THREADS) as threads:
        return [arguments for arguments, run in zip(written, threads.map(runs, written), strict=True) if run]


def _usable(results: Sequence[CallResult]) -> bool:
    """True if the first result exists and its value can be compared and written as JSON."""
    if not results or results[0].error is not None:
        return False
    try:
        text = json.dumps(results[0].value, allow_nan=False)
    except ValueError:
        return False
    return len(text) <= MAX_OUTPUT and '{"object":' not in text


def _failed(
    box: Sandbox, program: str, entry_point: str, tests: Sequence[CallTest], equal: Equal, limits: Limits
) -> tuple[list[int], int]:
    """Returns the numbers of the tests that a program fails, and how many tests ran before it was stopped."""
    if not tests:
        return [], 0
    results = _results(box, program, entry_point, [test["arguments"] for test in tests], limits)
    pairs = enumerate(zip(tests, results, strict=False))
    failed = [n for n, (test, result) in pairs if result.error is not None or not equal(test["output"], result.value)]
    return failed, len(results)


def _killers(
    box: Sandbox, mutants: Sequence[str], entry_point: str, tests: Sequence[CallTest], equal: Equal
) -> list[list[int]]:
    """Returns for each mutant the tests that it fails. If a mutant stops in a test, this test counts, and later ones do not."""

    def killers(mutant: str) -> list[int]:
        failed, reached = _failed(box, mutant, entry_point, tests, equal, ALL_LIMITS)
        return failed + ([reached] if reached < len(tests) else [])

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(killers, mutants))


@contextlib.contextmanager
def two_worker_sandbox() -> Iterator[Sandbox]:
    """Yields a sandbox with two workers that run in turn. Outputs that depend on string hashes differ between them."""
    box = LocalSandbox(workers=2)
    try:
        yield box
    finally:
        box.close()


def mutation_score(answer: CodeTests, program: str) -> float | None:
    """Returns the mutation score, 0..1, of any gold answer of the verifier `code`, or None if the program has no mutants.

    The limits `ALL_LIMITS` replace those of the tests.

    Args:
        answer: the tests.
        program: a solution that passes them.

    Raises:
        SandboxFault: the sandbox failed.
        UserError: the tests cannot be used, or the program does not pass them within the limits.
    """
    limits: RunLimits = {"cpu_seconds": ALL_LIMITS.cpu_seconds, "wall_seconds": ALL_LIMITS.wall_seconds}

    def passes(source: str) -> bool:
        verdict = code.verify_program(source, {**answer, "limits": limits})
        if verdict.status == Status.UNDECIDED:
            raise UserError(f"the problem's own tests cannot be used: {verdict.reason}")
        if verdict.score is None:
            raise SandboxFault(verdict.reason)
        return verdict.score == 1

    if not passes(program):
        raise UserError("the solution does not pass the problem's own tests")
    mutants = mutation.mutants(program)
    with ThreadPoolExecutor(THREADS) as threads:
        killed = sum(not passed for passed in threads.map(passes, mutants))
    return killed / len(mutants) if mutants else None
