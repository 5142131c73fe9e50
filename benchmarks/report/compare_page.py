"""The page `compare.html`: all differences of a comparison, and all problems that flipped."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...core import message_text
from ..result import ScoredProblem
from . import bfcl, static_page, table
from .comparable import Measured
from .paired import Pair, TaskComparison
from .static_page import text

_TITLE = "Comparison of"


def write(path: Path, compared: Sequence[TaskComparison], overall: Sequence[bfcl.Comparison] = ()) -> Path:
    """Writes the page and returns its path.

    Args:
        path: file to write.
        compared: the comparison, one entry per task.
        overall: the comparisons of the overall score of BFCL-V4.

    Raises:
        UserError: the path exists and is not the page of a comparison.
    """
    labels = list(dict.fromkeys(measured.label for task in compared for measured in task.measured))
    return static_page.write(path, f"{_TITLE} {', '.join(labels)}", _parts(path, compared, overall), replaces=_TITLE)


def _parts(path: Path, compared: Sequence[TaskComparison], overall: Sequence[bfcl.Comparison]) -> Iterator[str]:
    for comparison in overall:
        yield from _overall(comparison)
    for task in compared:
        yield f"<h2>{text(task.name)}</h2>"
        rows = [
            [
                static_page.link(path, measured.folder, measured.label),
                text(measured.result.settings.get("policy", "")),
                text(measured.result.score),
                text(measured.result.score.problems),
            ]
            for measured in task.measured
        ]
        yield static_page.table(["folder", "policy", "avg@k, 95% interval over new problems", "problems"], rows)
        for pair in task.pairs:
            yield from _pair(path, pair)


def _overall(comparison: bfcl.Comparison) -> Iterator[str]:
    yield f"<h2>{text(f'BFCL-V4: {comparison.name}')}</h2>"
    yield f"<p>{comparison.problems} shared problems, paired</p>"
    rows = [
        [text(name), f"{bfcl.WEIGHTS[name]:.0%}" if name in bfcl.WEIGHTS else "", text(table.percent(found, signed=True))]
        for name, found in comparison.differences.items()
    ]
    yield static_page.table(["section", "weight", "difference, 95% interval over new problems"], rows)
    for reason in comparison.not_compared:
        yield f"<p><b>not compared, so 0 in both</b> {text(reason)}</p>"


def _pair(path: Path, pair: Pair) -> Iterator[str]:
    difference = pair.difference
    yield f"<h3>{text(pair.name)}</h3>"
    shown = f"{difference} on {difference.problems} shared problems" if difference else "fewer than two shared problems"
    yield f"<p>{text(f'{shown}; {pair.method}' if difference else shown)}</p>"
    if str(pair.settings):
        yield f"<p><b>caution</b> {text(pair.settings)}</p>"
    for solver, other, ids in ((pair.second, pair.first, pair.gained), (pair.first, pair.second, pair.lost)):
        yield f"<p>Solved in most samples of {text(solver.label)} and not of {text(other.label)}: {len(ids)}</p>"
        for id in ids:
            yield _problem(path, pair, id)


def _problem(path: Path, pair: Pair, id: str) -> str:
    """Returns a problem with its prompt, its gold answer and both sets of verdicts."""
    row = pair.second.problems[id]
    prompt = "\n\n".join(f"{turn['role']}: {message_text(turn)}" for turn in row["prompt"])
    gold = row["gold"] if isinstance(row["gold"], str) else json.dumps(row["gold"], ensure_ascii=False)
    verdicts = "".join(_verdicts(path, measured, id) for measured in (pair.first, pair.second))
    return (
        f"<details><summary>{text(id)}</summary><pre>{text(prompt)}</pre>"
        f"<p>gold answer</p><pre>{text(gold)}</pre>{verdicts}</details>"
    )


def _verdicts(path: Path, measured: Measured, id: str) -> str:
    number = list(measured.problems).index(id)
    row: ScoredProblem = measured.problems[id]
    link = static_page.link(path, measured.folder, measured.label, f"{measured.result.task}/{number}/0")
    rows = [
        [
            text(sample_number),
            text("none" if sample["score"] is None else f"{sample['score']:g}"),
            *(text(sample[name]) for name in ("status", "method", "reason")),
        ]
        for sample_number, sample in enumerate(row["samples"], start=1)
    ]
    return f"<p>{link}</p>{static_page.table(['sample', 'score', 'status', 'method', 'reason'], rows)}"
