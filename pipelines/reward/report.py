"""The report of a `reward_model` stage: accuracy and calibration on held-out pairs, perturbed answers, a table, a picture."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from ... import disk
from ...benchmarks.stats.scores import Score
from ...envs.problems.pairs import PreferencePair
from ...policies import load_policy
from ...policies.preference import PairwiseJudge
from ...policies.store import Store
from ...verifiers.pairwise import Prefer, ResponsePair
from ..stage import Context, Metrics
from . import accuracy, perturbations

AT_ONCE = 4
"""Forward passes between two writes of what was judged."""


class Measured(NamedTuple):
    """How a reward model is measured."""

    pairs: int
    """Most held-out pairs."""
    answers: int
    """Most held-out answers that are perturbed."""
    judge: str | None
    """A policy that is measured beside it."""
    batch_size: int
    """Questions a forward pass."""
    max_tokens: int
    """Of a question."""


def measure(
    settings: Measured, context: Context, train: Sequence[PreferencePair], held_out: Sequence[PreferencePair]
) -> Metrics:
    """Measures the stage's model, and the plain judge if one is named, on held-out pairs and on probes made of their answers.

    What is judged is stored as it comes, so that a stage that was killed goes on.
    """
    pairs = sorted(held_out, key=lambda pair: _name((pair.prompt, pair.group, "")))[: settings.pairs]
    answers = list({pair.group: (pair.prompt, pair.chosen) for pair in pairs}.values())[: settings.answers]
    judges = {"trained": f"path:{context.folder / 'policy'}"} | ({"plain": settings.judge} if settings.judge else {})
    metrics: Metrics = {"held_out": {}, "probes": {}, "baselines": _baselines(train, pairs)}
    for name, uri in judges.items():
        judge = PairwiseJudge(load_policy(uri, batch_size=settings.batch_size), settings.max_tokens)
        made_with = {"judge": uri, "max_tokens": settings.max_tokens}
        store: Store[JudgedRow] = Store(
            context.folder / f"judged-{name}.jsonl", made_with, lambda row: disk.check_types(row, question=str, first=float)
        )
        prefer = stored(judge, store, AT_ONCE * settings.batch_size, context.progress)
        compared = accuracy.compare(prefer, pairs)
        metrics["held_out"][name] = _measures(compared)
        if answers:
            metrics["probes"][name] = [dataclasses.asdict(row) for row in perturbations.probe(prefer, answers)]
    _write(context.folder, metrics)
    return metrics


class JudgedRow(TypedDict):
    """A question that was judged, as a store has it."""

    question: str
    first: float
    """The probability that the first response is the better one."""


def stored(prefer: Prefer, store: Store[JudgedRow], at_once: int, progress: Callable[..., None]) -> Prefer:
    """A judge that is asked only what is not in the store, so many questions at a time, and whose answers go there."""
    known: dict[str, float] = {row["question"]: row["first"] for row in store.rows}

    def ask(questions: Sequence[ResponsePair]) -> list[float]:
        names = [_name(question) for question in questions]
        left = list({name: question for name, question in zip(names, questions, strict=True) if name not in known}.items())
        for start in range(0, len(left), at_once):
            some = left[start : start + at_once]
            told = prefer([question for _, question in some])
            store.append([{"question": name, "first": chance} for (name, _), chance in zip(some, told, strict=True)])
            known.update((name, chance) for (name, _), chance in zip(some, told, strict=True))
            progress(start + len(some), len(left))
        return [known[name] for name in names]

    return ask


def _baselines(train: Sequence[PreferencePair], pairs: Sequence[PreferencePair]) -> dict[str, dict[str, Any]]:
    words = accuracy.bag_of_words(train)
    return {
        "always longer": dataclasses.asdict(accuracy.accuracy(pairs, accuracy.always_longer(pairs))),
        "bag of words": dataclasses.asdict(accuracy.accuracy(pairs, words(pairs))),
    }


def _measures(compared: Sequence[accuracy.Compared]) -> dict[str, Any]:
    pairs = [one.pair for one in compared]
    error, bins = accuracy.calibration(compared)
    return {
        "accuracy": dataclasses.asdict(accuracy.accuracy(pairs, accuracy.margins(compared))),
        "pairs": len(pairs),
        "orders_agree": accuracy.agreement(compared),
        "first_shown": accuracy.first_shown(compared),
        "calibration_error": error,
        "bins": [dataclasses.asdict(one) for one in bins],
        "length": dataclasses.asdict(accuracy.length_bias(compared)),
    }


def _write(folder: Path, metrics: Metrics) -> None:
    disk.write(folder / "report.json", json.dumps(metrics, indent=1))
    disk.write(folder / "report.md", table(metrics))
    _picture(metrics["held_out"], folder / "calibration.svg")


def table(metrics: Metrics) -> str:
    """Two tables in Markdown: who finds the better response how often, and how often a doctored one beats the plain one."""
    heads = ["judge", "accuracy", "orders agree", "first shown", "calibration error"]
    heads += ["chosen longer", "chosen shorter", "length correlation"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, found in metrics["held_out"].items():
        length = found["length"]
        lines.append(
            f"| {name} | {_percent(found['accuracy'])} | {found['orders_agree']:.2f} | {found['first_shown']:.2f} "
            f"| {found['calibration_error']:.3f} | {_percent(length['longer'])} | {_percent(length['shorter'])} "
            f"| {length['correlation']:+.2f} |"
        )
    lines += [f"| {name} | {_percent(score)} | | | | | | |" for name, score in metrics["baselines"].items()]
    if metrics["probes"]:
        heads = ["doctored", *(f"{name} falls for it" for name in metrics["probes"])]
        lines += ["", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        for rows in zip(*metrics["probes"].values(), strict=True):
            lines.append(f"| {rows[0]['kind']} | " + " | ".join(_percent(row["wins"]) for row in rows) + " |")
    return "\n".join(lines) + "\n"


def _percent(score: dict[str, Any] | None) -> str:
    return str(Score(**score)) if score else "-"


def _picture(held_out: dict[str, Any], path: Path) -> None:
    """How often what a judge says comes true, by how sure it is; the diagonal is perfect."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for name, found in held_out.items():
        label = f"{name}, error {found['calibration_error']:.3f}"
        axes.plot(*zip(*((one["chance"], one["right"]) for one in found["bins"]), strict=True), marker="o", label=label)
    axes.set(xlabel="probability given", ylabel="share that came true", xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=8)
    figure.savefig(path)


def _name(question: ResponsePair) -> str:
    return hashlib.sha256(json.dumps([list(question[0]), *question[1:]]).encode()).hexdigest()[:24]
