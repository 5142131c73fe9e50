"""Error rates and time of verifiers, a model and other graders on labelled pairs."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.progress import track
from rich.table import Table

from ...core import Conversation, Message, Policy, Problem, Sampling, Status, Verdict, Verifier
from ...policies import load_policy
from ...terminal import Console
from ...verifiers import agentic, load
from .answer_pairs import AnswerPair, own_pairs, pairs_of
from .baselines import BASELINES, accepts

Grader = Callable[[AnswerPair], Verdict]


@dataclass
class Tally:
    """Counts of a grader's verdicts on the pairs of one kind."""

    equal: int = 0
    """Pairs labelled as equal."""
    rejected: int = 0
    """Equal pairs that are not accepted: false negatives, including undecided ones and faults."""
    unequal: int = 0
    """Pairs labelled as unequal."""
    accepted: int = 0
    """Unequal pairs that are accepted: false positives."""
    undecided: int = 0
    """Pairs of both labels with the status undecided."""
    faults: int = 0
    seconds: float = 0.0
    """Wall time of all verdicts."""
    errors: list[tuple[AnswerPair, Verdict]] = field(default_factory=list)

    def add(self, pair: AnswerPair, verdict: Verdict, seconds: float) -> None:
        """Counts one verdict.

        Args:
            pair: the labelled pair.
            verdict: the grader's verdict.
            seconds: wall time of the verdict.
        """
        accepted = verdict.score == 1
        self.equal += pair.equal
        self.unequal += not pair.equal
        self.rejected += pair.equal and not accepted
        self.accepted += accepted and not pair.equal
        self.undecided += verdict.status == Status.UNDECIDED
        self.faults += verdict.status == Status.FAULT
        self.seconds += seconds
        if accepted != pair.equal:
            self.errors.append((pair, verdict))


class CountingPolicy:
    """The policy of a judge. It counts its turns and tokens."""

    def __init__(self, policy: Policy):
        self.policy, self.turns, self.tokens = policy, 0, 0

    def __call__(self, conversation: Conversation) -> str:
        """Returns the policy's next turn, by greedy decoding."""
        completion = self.policy.generate([conversation], 1, Sampling(temperature=0.0, max_tokens=2_048))[0][0]
        self.turns += 1
        self.tokens += len(completion.token_ids)
        return completion.text


def audit(pairs: Sequence[AnswerPair], graders: dict[str, Grader], quiet: bool = True) -> dict[str, dict[str, Tally]]:
    """Returns tallies by grader and by kind of pair.

    Args:
        pairs: labelled pairs.
        graders: graders by name.
        quiet: show no progress bar.
    """
    found: dict[str, dict[str, Tally]] = {name: {} for name in graders}
    for name, grade in graders.items():
        for pair in track(pairs, name, console=Console(stderr=True), disable=quiet):
            started = time.perf_counter()
            verdict = grade(pair)
            found[name].setdefault(pair.kind, Tally()).add(pair, verdict, time.perf_counter() - started)
    return found


def by_rules(verifier: Verifier) -> Grader:
    """Returns a verifier as a grader of pairs."""

    def grade(pair: AnswerPair) -> Verdict:
        return verifier(Problem("", (Message(role="user", content=pair.question),), pair.gold, ""), pair.response)

    return grade


def by_baseline(baseline: Callable[[AnswerPair], bool]) -> Grader:
    """Returns a baseline as a grader: its verdicts are scored 0 or 1."""
    return lambda pair: Verdict(Status.SCORED, float(accepts(baseline, pair)), "baseline", "")


def summed(tallies: dict[str, Tally]) -> Tally:
    """Returns the sum over all kinds."""
    total = Tally()
    for tally in tallies.values():
        for name in ("equal", "rejected", "unequal", "accepted", "undecided", "faults", "seconds"):
            setattr(total, name, getattr(total, name) + getattr(tally, name))
        total.errors += tally.errors
    return total


def error_rates(found: dict[str, dict[str, Tally]]) -> Table:
    """Returns a table with one row per grader: both error rates, undecided pairs, faults and time."""
    table = Table(title="verdicts compared with the labels")
    for column in ("grader", "equal, rejected", "unequal, accepted", "undecided", "faults", "ms per verdict"):
        table.add_column(column, justify="left" if column == "grader" else "right", no_wrap=True)
    for name, tallies in found.items():
        total = summed(tallies)
        count = max(1, total.equal + total.unequal)
        table.add_row(
            name,
            _share(total.rejected, total.equal),
            _share(total.accepted, total.unequal),
            str(total.undecided),
            str(total.faults),
            f"{1000 * total.seconds / count:.2f}",
        )
    return table


def by_kind(found: dict[str, dict[str, Tally]]) -> Table:
    """Returns a table with one row per kind of pair: equal pairs rejected and unequal pairs accepted, for each grader."""
    table = Table(title="equal pairs rejected / unequal pairs accepted, by kind")
    table.add_column("kind")
    table.add_column("equal / unequal", justify="right")
    for name in found:
        table.add_column(name, justify="right")
    first = next(iter(found.values()))
    for kind, tally in sorted(first.items()):
        cells = [f"{tallies[kind].rejected} / {tallies[kind].accepted}" for tallies in found.values()]
        table.add_row(kind, f"{tally.equal} / {tally.unequal}", *cells)
    return table


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.1f}%)" if whole else "-"


def main(file: str, verifier: str, policy: str | None, baselines: bool, limit: int | None) -> None:
    """Prints the tables and the first 40 errors of the verifier.

    Args:
        file: JSONL file of labelled pairs, or "built-in" for the pairs of this package.
        verifier: name of the verifier.
        policy: URI of a judge to measure as well; None: none.
        baselines: measure other graders as well.
        limit: number of pairs, the first ones; None: all.

    Raises:
        UserError: the file, the verifier or the policy cannot be loaded.
    """
    pairs = (own_pairs() if file == "built-in" else pairs_of(file))[:limit]
    rules = load(verifier)
    graders: dict[str, Grader] = {f"rules ({verifier})": by_rules(rules)}
    counting: dict[str, CountingPolicy] = {}
    if policy is not None:
        model = load_policy(policy)
        for name, always in (("judge", True), ("rules, then judge", False)):
            counting[name] = CountingPolicy(model)
            graders[name] = by_rules(agentic.verifier(counting[name], rules, always=always))
    if baselines:
        graders |= {name: by_baseline(baseline) for name, baseline in BASELINES.items()}
    found = audit(pairs, graders, quiet=not sys.stderr.isatty())
    console = Console(width=None if sys.stdout.isatty() else 120)  # wide, so that cells in a file are not wrapped
    if baselines or len({pair.kind for pair in pairs}) > 1:
        console.print(by_kind(found))
    console.print(error_rates(found))
    for name, counts in counting.items():
        console.print(f"{name}: {counts.turns} turns of {policy}, {counts.tokens} tokens")
    for pair, verdict in summed(found[f"rules ({verifier})"]).errors[:40]:
        error = "rejected" if pair.equal else "accepted"
        console.print(
            f"{error}: gold {pair.gold!r}, response {pair.response[-100:]!r} ({verdict.method}: {verdict.reason[:80]})"
        )
