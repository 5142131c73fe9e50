"""Measures a judge of two responses on pairs with votes, and prints its agreement, bias and cost."""

import contextlib
import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TextIO

from ... import digests, disk
from ...core import UserError
from ...policies import check_uri, load_policy
from ...policies import preference as preference_question
from ...policies.identity import policy_identity
from ...policies.store import Store
from ...terminal import Console
from ...version import __version__
from .. import catalogue, judged
from ..judged import JudgeSettings, arena_hard
from . import asking, figures, tables, votes
from .asking import LetterRow, PairVerdict
from .figures import Agreement
from .votes import VotedPair

JUDGE, REPEATED, VOTERS = "judge", "judge, on pairs with several votes", "voters with each other"
"""Rows of the table of agreement. The second one has the pairs of the third one."""
OWN_PROMPT = "the judge's prompt has our words; with {} of {} in --data it is the published one"
StageProgress = Callable[[str], AbstractContextManager[Callable[..., None]]]
"""Shows the progress of work with this name; yields progress(done, total)."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is measured, and on which pairs."""

    votes: str
    """URI of the votes; see `votes.py`."""
    policy: str | None = None
    """URI of the judge; None: none."""
    verdicts: str | None = None
    """URI of published verdicts of another judge, in a form of votes; None: none."""
    question: str = asking.QUESTIONS[0]
    """What the judge is asked; see `asking.QUESTIONS`."""
    data: str | None = None
    """Folder with the files of Arena-Hard's published prompts; None: the prompts are ours."""
    limit: int | None = None
    """Number of pairs, the first ones; None: all."""
    out: str | None = None
    """JSONL file for the judge's answers, to read and to extend; None: they are not stored."""


def measure(settings: Settings, progress: StageProgress, json_line: TextIO | None = None) -> None:
    """Prints tables of the agreement, the bias and the cost of a judge.

    Args:
        settings: what is measured.
        progress: shows the progress of the judge.
        json_line: receives all figures as a line of JSON.

    Raises:
        UserError: the votes, the verdicts or the policy cannot be loaded, the stored answers have other settings, the judge's
            policy stopped, or a server did not answer some questions. This is reported after the tables.
    """
    if settings.policy is None and (settings.out or settings.data):
        raise UserError("--out and --data are for a judge that is asked: add --policy URI")
    if settings.data and settings.question != asking.QUESTIONS[0]:
        raise UserError("--data has the prompts of --question arena_hard; omit one of the two")
    if settings.policy is not None:
        check_uri(settings.policy)
    every = votes.load(settings.votes)
    pairs = every[: settings.limit]
    console = Console(width=None if sys.stdout.isatty() else 140)  # wide, so that cells in a file are not wrapped
    found: dict[str, object] = {"votes": settings.votes, "pairs": len(pairs), "questions": len({p.question for p in pairs})}
    agreements: dict[str, Agreement] = {}
    verdicts: list[PairVerdict] = []
    if settings.policy is not None:
        verdicts, found["settings"] = _asked(settings, settings.policy, every, progress, console)
        agreements[JUDGE] = figures.agreement(pairs, verdicts)
    if settings.verdicts is not None:
        agreements[f"published: {settings.verdicts}"] = _published(settings.verdicts, pairs)
    several = [place for place, pair in enumerate(pairs) if len(pair.votes) > 1]
    if several:
        if verdicts:
            agreements[REPEATED] = figures.agreement([pairs[i] for i in several], [verdicts[i] for i in several])
        agreements[VOTERS] = figures.between_voters(pairs)
    if not agreements:
        raise UserError("no pair has several votes, whose agreement could be measured; add --policy URI or --verdicts URI")
    count = sum(len(pair.votes) for pair in pairs)
    console.print(f"{count:,} votes on {len(pairs):,} pairs of {found['questions']:,} questions", soft_wrap=True)
    console.print(tables.agreement(agreements))
    found["agreement"] = {name: _shares(agreement) for name, agreement in agreements.items()}
    if verdicts:
        found |= _print_judge(console, pairs, verdicts)
    if json_line:
        print(json.dumps(found, ensure_ascii=False), file=json_line, flush=True)
    if faults := sum(row.faults for row in verdicts):
        raise UserError(
            f"{faults} questions to the judge have no answer, because its server failed; run the same command again"
            + ", which asks only these questions" * bool(settings.out)
        )


def _asked(
    settings: Settings, uri: str, every: Sequence[VotedPair], progress: StageProgress, console: Console
) -> tuple[list[PairVerdict], dict[str, object]]:
    """Returns the verdicts of the judge, and the settings that its answers are stored with. Those do not have `limit`."""
    pairs = every[: settings.limit]
    by_arena_hard = settings.question == asking.QUESTIONS[0]
    metadata = catalogue.settings("arena_hard_v2")["metadata"] if by_arena_hard else {}
    how: JudgeSettings | None = None
    stored: dict[str, object] = {**policy_identity(uri), "question": settings.question}
    if by_arena_hard:
        how = judged.settings.of_task(arena_hard, metadata, uri, settings.data)
        stored["judging"] = judged.settings.row_of(how)
    else:
        stored["prompt"] = preference_question.TEMPLATE
    stored |= {"pairs": digests.of_all(pair.content for pair in every), "version": __version__}
    with disk.locked_file(settings.out) if settings.out else contextlib.nullcontext():
        # The store is read before the policy is loaded, because that takes long.
        letters: Store[LetterRow] | None = None
        if how is not None:
            console.print(str(asking.arena_hard_cost(pairs, how, settings.out, stored)), soft_wrap=True)
            if not how.published:
                console.print(OWN_PROMPT.format(" and ".join(metadata["prompt_files"]), metadata["repository"]), soft_wrap=True)
        elif settings.out:
            letters = Store(settings.out, stored, asking.check_letter)
        policy = load_policy(uri)
        with progress("judge") as update:
            if how is not None:
                return asking.by_arena_hard(pairs, policy, how, settings.out, stored, update), stored
            return asking.by_preference(pairs, policy, letters, update), stored


def _published(uri: str, pairs: Sequence[VotedPair]) -> Agreement:
    """Returns the agreement of published verdicts with the votes on the pairs that have one."""
    found = asking.published(pairs, votes.load(uri))
    both = [(pair, row) for pair, row in zip(pairs, found, strict=True) if row is not None]
    if not both:
        raise UserError(f"{uri}: none of its verdicts is on a pair with votes; give verdicts on the same pairs")
    return figures.agreement([pair for pair, _ in both], [row for _, row in both])


def _print_judge(console: Console, pairs: Sequence[VotedPair], verdicts: Sequence[PairVerdict]) -> dict[str, object]:
    """Prints the judge's agreement on each part of the data, its bias and its cost; returns them as JSON data."""
    parts = list(dict.fromkeys(pair.part for pair in pairs))
    by_part: dict[str, Agreement] = {}
    if len(parts) > 1:
        for part in parts:
            chosen = [place for place, pair in enumerate(pairs) if pair.part == part]
            by_part[part or "other"] = figures.agreement([pairs[i] for i in chosen], [verdicts[i] for i in chosen])
        console.print(tables.agreement(by_part, "agreement of the judge with votes in percent, by part of the data"))
    bias, cost = figures.bias(pairs, verdicts), figures.cost(verdicts)
    console.print(tables.bias(bias, cost))
    console.print(tables.cost_line(cost, len(pairs) - sum(row.asked for row in verdicts)), soft_wrap=True)
    return {
        "parts": {name: _shares(found) for name, found in by_part.items()},
        "bias": _shares(bias),
        "cost": cost._asdict(),
    }


def _shares(found: Agreement | figures.Bias) -> Mapping[str, object]:
    """Returns figures as JSON data."""
    return {name: value and value._asdict() for name, value in found._asdict().items()}
