"""Who judges how well? Verifiers, a model and rivals on pairs whose equality is known: both kinds of error, and the cost."""

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
from .answer_pairs import Pair, own_pairs, pairs_of
from .baselines import RIVALS, accepts

Judge = Callable[[Pair], Verdict]


@dataclass
class Tally:
    """What a judge said of the pairs of one kind."""

    equal: int = 0
    refused: int = 0
    """Equal, and not accepted: false negatives, the undecided among them."""
    unequal: int = 0
    accepted: int = 0
    """Unequal, and accepted: false positives."""
    undecided: int = 0
    """Of both, neither accepted nor refused."""
    faults: int = 0
    seconds: float = 0.0
    errors: list[tuple[Pair, Verdict]] = field(default_factory=list)

    def add(self, pair: Pair, verdict: Verdict, seconds: float) -> None:
        """Counts one verdict."""
        accepted = verdict.score == 1
        self.equal += pair.equal
        self.unequal += not pair.equal
        self.refused += pair.equal and not accepted
        self.accepted += accepted and not pair.equal
        self.undecided += verdict.status == Status.UNDECIDED
        self.faults += verdict.status == Status.FAULT
        self.seconds += seconds
        if accepted != pair.equal:
            self.errors.append((pair, verdict))


class Counted:
    """A policy's `ask` that counts what it is asked and what it says."""

    def __init__(self, policy: Policy):
        self.policy, self.turns, self.tokens = policy, 0, 0

    def __call__(self, conversation: Conversation) -> str:
        """The policy's next turn, the likeliest."""
        completion = self.policy.generate([conversation], 1, Sampling(temperature=0.0, max_tokens=2_048))[0][0]
        self.turns += 1
        self.tokens += len(completion.token_ids)
        return completion.text


def audit(pairs: Sequence[Pair], judges: dict[str, Judge], quiet: bool = True) -> dict[str, dict[str, Tally]]:
    """Tallies by judge and kind."""
    found: dict[str, dict[str, Tally]] = {name: {} for name in judges}
    for name, judge in judges.items():
        for pair in track(pairs, name, console=Console(stderr=True), disable=quiet):
            started = time.perf_counter()
            verdict = judge(pair)
            found[name].setdefault(pair.kind, Tally()).add(pair, verdict, time.perf_counter() - started)
    return found


def by_rules(verifier: Verifier) -> Judge:
    """A verifier as a judge of pairs."""

    def judge(pair: Pair) -> Verdict:
        return verifier(Problem("", (Message(role="user", content=pair.question),), pair.gold, ""), pair.response)

    return judge


def by_rival(rival: Callable[[Pair], bool]) -> Judge:
    """A rival as a judge of pairs."""
    return lambda pair: Verdict(Status.SCORED, float(accepts(rival, pair)), "rival", "")


def summed(tallies: dict[str, Tally]) -> Tally:
    """All kinds together."""
    total = Tally()
    for tally in tallies.values():
        for name in ("equal", "refused", "unequal", "accepted", "undecided", "faults", "seconds"):
            setattr(total, name, getattr(total, name) + getattr(tally, name))
        total.errors += tally.errors
    return total


def calibration(found: dict[str, dict[str, Tally]]) -> Table:
    """One row a judge: both kinds of error, what is left undecided, and the time."""
    table = Table(title="against the labels")
    for column in ("judge", "equal, refused", "unequal, accepted", "undecided", "faults", "ms a verdict"):
        table.add_column(column, justify="left" if column == "judge" else "right", no_wrap=True)
    for name, tallies in found.items():
        total = summed(tallies)
        count = max(1, total.equal + total.unequal)
        table.add_row(
            name,
            _share(total.refused, total.equal),
            _share(total.accepted, total.unequal),
            str(total.undecided),
            str(total.faults),
            f"{1000 * total.seconds / count:.2f}",
        )
    return table


def by_kind(found: dict[str, dict[str, Tally]]) -> Table:
    """One row a kind of pair, for each judge the equal that it refused and the unequal that it accepted."""
    table = Table(title="equal refused / unequal accepted, by kind")
    table.add_column("kind")
    table.add_column("equal / unequal", justify="right")
    for name in found:
        table.add_column(name, justify="right")
    first = next(iter(found.values()))
    for kind, tally in sorted(first.items()):
        cells = [f"{tallies[kind].refused} / {tallies[kind].accepted}" for tallies in found.values()]
        table.add_row(kind, f"{tally.equal} / {tally.unequal}", *cells)
    return table


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.1f}%)" if whole else "-"


def main(file: str, verifier: str, policy: str | None, rivals: bool, limit: int | None) -> None:
    """Prints the tables, and each error of the rules.

    Raises:
        UserError: the file, the verifier or the policy is not there.
    """
    pairs = (own_pairs() if file == "own" else pairs_of(file))[:limit]
    rules = load(verifier)
    judges: dict[str, Judge] = {f"rules ({verifier})": by_rules(rules)}
    asked: dict[str, Counted] = {}
    if policy is not None:
        model = load_policy(policy)
        for name, always in (("agent", True), ("rules, then agent", False)):
            asked[name] = Counted(model)
            judges[name] = by_rules(agentic.verifier(asked[name], rules, always=always))
    if rivals:
        judges |= {name: by_rival(rival) for name, rival in RIVALS.items()}
    found = audit(pairs, judges, quiet=not sys.stderr.isatty())
    console = Console(width=None if sys.stdout.isatty() else 120)  # in a file no cell is wrapped
    if rivals or len({pair.kind for pair in pairs}) > 1:
        console.print(by_kind(found))
    console.print(calibration(found))
    for name, counted in asked.items():
        console.print(f"{name}: {counted.turns} turns of {policy}, {counted.tokens} tokens")
    for pair, verdict in summed(found[f"rules ({verifier})"]).errors[:40]:
        said = "refused" if pair.equal else "accepted"
        console.print(f"{said}: {pair.gold!r} against {pair.response[-100:]!r} ({verdict.method}: {verdict.reason[:80]})")
