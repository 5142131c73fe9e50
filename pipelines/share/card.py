"""The parts of cards: metadata, tables of stages and of scores, cautions, the recipe, and how to repeat the run.

A card has no time and no random part: the same files have the same card, so that a push that was interrupted can be repeated.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ...benchmarks.result import sampling_text
from ...core import UserError
from ...disk import Row
from ...terminal import plain
from ...texts import without_secrets
from ..bench import scoreboard
from .origin import Run, measured

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

VERSIONS = ("tenfold", "torch", "transformers", "verl", "lm-eval")
"""Packages whose versions the card names."""


def checked(text: str, *, model: bool) -> str:
    """Returns the text of a card after a check of its metadata by the hub's own classes, without the hub.

    Raises:
        UserError: a value is not allowed.
    """
    from huggingface_hub import DatasetCard, ModelCard

    try:
        data = (ModelCard if model else DatasetCard)(text).data.to_dict()
        if model and "model-index" in data:
            results = data["model-index"][0]["results"]
            if not all(isinstance(metric["value"], float) for result in results for metric in result["metrics"]):
                raise ValueError("the value of a metric is no number")
    except (ValueError, TypeError, LookupError) as error:
        raise UserError(f"the card's metadata is invalid: {' '.join(str(error).split())[:200]}") from None
    return text


def licence_name(text: str) -> str:
    """Returns the name of a licence as the hub writes it: lower case.

    Raises:
        UserError: it is not a name of a licence.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,40}", name := text.lower()):
        raise UserError(f"--license {text}: expected an identifier, such as apache-2.0, mit or cc-by-4.0")
    return name


def cell(text: object) -> str:
    """Returns a text for a cell of a table or a line: one line, without secrets in addresses, with no markup of its own."""
    line = " ".join(plain(without_secrets(str(text))).split())
    return line.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table. The cells are used as they are."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def section(title: str, text: str) -> str:
    """Returns a section; empty if it has no text."""
    return f"## {title}\n\n{text.rstrip()}\n\n" if text else ""


def bullets(lines: Iterable[str]) -> str:
    """Returns a list."""
    return "".join(f"- {line}\n" for line in lines)


def block(language: str, text: str) -> str:
    """Returns a block of code, with a fence that the text does not contain."""
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"


def folded(title: str, text: str) -> str:
    """Returns a part that the reader opens."""
    return f"<details><summary>{title}</summary>\n\n{text}\n</details>\n"


def stages(run: Run, own: str = "") -> str:
    """Returns the table of a run's stages.

    Args:
        run: the run.
        own: name of the stage whose policy the card describes; empty for none.
    """
    rows = []
    for name, record in run.records.items():
        shown = f"**{cell(name)}**" if name == own else cell(name)
        start, settings = cell(record["policy"]) or "-", record["stage"]
        rows.append([shown, cell(settings["kind"]), start, f"{record['wall_seconds']:.0f}", cell(summary(record)) or "-"])
    text = table(["stage", "kind", "policy at its start", "seconds", "result"], rows)
    return text + (f"\nNot finished: {', '.join(map(cell, run.unfinished))}.\n" if run.unfinished else "")


def summary(record: Row) -> str:
    """Returns the result of a stage in a line; empty if its kind is not installed, or its record is of another version."""
    from ..stages import KINDS

    try:
        return KINDS[record["stage"]["kind"]].model_validate(record["stage"]).summary(record["metrics"])
    except Exception:  # stages of other packages, and records of other versions, may raise anything
        return ""


def scores_of(record: Row) -> Mapping[str, Row]:
    """Returns the scores of a bench stage by task; empty for other stages and for records of another form."""
    found = record["metrics"].get("scores") if record["stage"].get("kind") == "bench" else None
    return found if isinstance(found, dict) else {}


def is_of(record: Row, weights: Mapping[str, str]) -> bool:
    """True if a stage started from the weights with these digests."""
    return bool(weights) and measured(record) == weights


def scores(run: Run, weights: Mapping[str, str]) -> str:
    """Returns the table of the scores that the run has measured; empty for none.

    Args:
        run: the run.
        weights: digests of the weights that the card describes; the rows that measured them are bold. Empty for none.
    """
    rows = []
    for name, record in run.records.items():
        own = is_of(record, weights)
        for task, score in scores_of(record).items():
            value = scoreboard.interval(score)
            measured_policy = "**this checkpoint**" if own else cell(record["policy"])
            sampling = cell(sampling_text(score["sampling"])) if "sampling" in score else "-"
            counts = [f"avg@{score['samples']}", str(score["problems"]), sampling]
            rows.append([cell(name), cell(task), f"**{value}**" if own else value, *counts, measured_policy])
    if not rows:
        return ""
    text = "In percent, with the 95% interval over the choice of the problems and the samples.\n\n"
    return text + table(["stage", "task", "score", "figure", "problems", "sampling", "policy"], rows)


def results(run: Run, weights: Mapping[str, str]) -> "list[EvalResult]":
    """Returns the scores of the weights with these digests in the hub's form (model-index)."""
    from huggingface_hub import EvalResult

    found = []
    for record in run.records.values():
        for task, score in scores_of(record).items() if is_of(record, weights) else ():
            interval = f"[{100 * score['low']:.1f}, {100 * score['high']:.1f}]"
            found.append(
                EvalResult(
                    task_type="text-generation",
                    task_name="Text generation",
                    dataset_type=plain(task),
                    dataset_name=plain(task),
                    metric_type=f"avg@{score['samples']}",
                    metric_name=f"avg@{score['samples']} in percent, 95% interval {interval}, {score['problems']} problems",
                    metric_value=round(100 * float(score["mean"]), 2),
                )
            )
    return found


def cautions(run: Run) -> list[str]:
    """Returns what a reader of the run's figures should know."""
    found = []
    for name, record in run.records.items():
        for task, score in scores_of(record).items():
            found += [f"{cell(name)}, {cell(task)}: {cell(caution)}" for caution in score.get("cautions") or []]
            if lost := score.get("without_score"):
                found.append(f"{cell(name)}, {cell(task)}: {lost} samples have no score and are left out")
        if steps := [str(each["step"]) for each in record.get("extended", []) if not each["exact"]]:
            found.append(f"{cell(name)} was extended after step {', '.join(steps)}: a new run would differ")
        if str(record.get("commit", "")).endswith("-dirty"):
            found.append(f"{cell(name)} was run with uncommitted changes of tenfold's code")
    if run.recipe.get("modules"):
        found.append("the recipe imports modules that are not part of tenfold")
    return found


def provenance(run: Run, record: Row) -> str:
    """Returns the versions, the commit, the seed and the machine of a stage."""
    versions, machine = record.get("versions", {}), record.get("machine", {})
    named = ", ".join(f"{name} {versions[name]}" for name in VERSIONS if name in versions)
    gpus = ", ".join(machine.get("gpus") or []) or "no GPU"
    lines = [
        f"recipe `{cell(run.name)}`, seed {record['seed']}, commit `{cell(record.get('commit', 'not known'))}`",
        f"versions: {cell(named)}",
        f"machine: {cell(machine.get('processor', 'not known'))}, {machine.get('processors', '?')} processors, {cell(gpus)}",
    ]
    return bullets(lines)
