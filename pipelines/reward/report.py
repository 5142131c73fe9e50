"""The report of a `reward_model` stage: accuracy and calibration on held-out pairs, and preference for perturbed responses."""

import dataclasses
import hashlib
import heapq
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from ... import disk
from ...benchmarks.stats.scores import Score
from ...core import UserError
from ...envs.problems.pairs import PreferencePair
from ...policies import load_policy
from ...policies.preference import PairwiseJudge
from ...policies.store import Store
from ...verifiers.pairwise import Prefer, ResponsePair
from ..stage import Context, Metrics
from . import accuracy, perturbations

BATCHES_PER_WRITE = 4
"""Forward passes between two writes to the store. Our choice."""


class Measurement(NamedTuple):
    """Settings of the measurement of a reward model."""

    pairs: int
    """Largest number of held-out pairs."""
    responses: int
    """Largest number of held-out responses to perturb."""
    judge: str | None
    """URI of an untrained judge to measure for comparison."""
    batch_size: int
    """Questions per forward pass."""
    max_tokens: int
    """Longest question, in tokens."""
    precision: str
    """Precision of the forward pass: float32 or bfloat16."""
    steps: int
    """Steps of the trained model. An extended stage trains another model at the same path, and asks that model anew."""


def measure(
    settings: Measurement, context: Context, train: Sequence[PreferencePair], held_out: Sequence[PreferencePair]
) -> Metrics:
    """Measures the stage's model, and the untrained judge if one is named, on held-out pairs and on perturbed responses.

    The answers of a judge are stored after every `BATCHES_PER_WRITE` forward passes, so that a killed stage resumes.

    Args:
        settings: settings of the measurement.
        context: the stage's context.
        train: training pairs, on which the baselines are fitted.
        held_out: held-out pairs.

    Raises:
        UserError: a judge answers neither A nor B, or gives no answer.
    """
    pairs = heapq.nsmallest(settings.pairs, held_out, key=lambda pair: _name((pair.prompt, pair.prompt_text, "")))
    responses = list({pair.prompt_text: (pair.prompt, pair.chosen) for pair in pairs}.values())[: settings.responses]
    judges = {"trained": f"path:{context.folder / 'policy'}"} | ({"untrained": settings.judge} if settings.judge else {})
    metrics: Metrics = {"held_out": {}, "perturbed": {}, "baselines": _baselines(train, pairs)}
    for name, uri in judges.items():
        judge = PairwiseJudge(load_policy(uri, batch_size=settings.batch_size), settings.max_tokens)
        store_settings: dict[str, object] = {"judge": uri, "max_tokens": settings.max_tokens}
        if settings.precision != "float32":  # stores of earlier versions lack this setting
            store_settings["precision"] = settings.precision
        store: Store[JudgedRow] = Store(
            context.folder / (f"judged-{name}-{settings.steps}.jsonl" if name == "trained" else f"judged-{name}.jsonl"),
            store_settings,
            lambda row: disk.check_types(row, question=str, first=float),
        )
        prefer = stored(judge, store, BATCHES_PER_WRITE * settings.batch_size, context.progress)
        try:
            judged = accuracy.compare(prefer, pairs)
            rates = perturbations.win_rates(prefer, responses)
        except ValueError as error:
            raise UserError(f"{uri}: {error}; use another judge") from None
        if not judged:
            raise UserError(f"{uri}: the judge answered none of {len(pairs)} pairs; run again, or use another judge")
        metrics["held_out"][name] = _measures(judged)
        if rates:
            metrics["perturbed"][name] = [dataclasses.asdict(row) for row in rates]
    _write(context.folder, metrics)
    return metrics


class JudgedRow(TypedDict):
    """A row of the store of a judge's answers."""

    question: str
    """Digest of the question."""
    first: float
    """Probability that the first response is better."""


def stored(prefer: Prefer, store: Store[JudgedRow], at_once: int, progress: Callable[..., None]) -> Prefer:
    """Returns a judge that stores its answers and is asked only for pairs without a stored answer. NaN is no answer.

    Args:
        prefer: the judge.
        store: store of its answers.
        at_once: prompts between two writes to the store.
        progress: called as progress(new prompts answered, all new prompts).
    """
    answers: dict[str, float] = {row["question"]: row["first"] for row in store.rows}

    def ask(questions: Sequence[ResponsePair]) -> list[float]:
        names = [_name(question) for question in questions]
        left = list({name: question for name, question in zip(names, questions, strict=True) if name not in answers}.items())
        for start in range(0, len(left), at_once):
            batch = left[start : start + at_once]
            probabilities = prefer([question for _, question in batch])
            new = [(name, probability) for (name, _), probability in zip(batch, probabilities, strict=True)]
            store.append([{"question": name, "first": chance} for name, chance in new if not math.isnan(chance)])
            answers.update(new)
            progress(start + len(batch), len(left))
        return [answers[name] for name in names]

    return ask


Record = dict[str, Any]
"""A dataclass as JSON data."""


def _baselines(train: Sequence[PreferencePair], pairs: Sequence[PreferencePair]) -> dict[str, Record]:
    words = accuracy.bag_of_words(train)
    return {
        "always longer": dataclasses.asdict(accuracy.accuracy(pairs, accuracy.always_longer(pairs))),
        "bag of words": dataclasses.asdict(accuracy.accuracy(pairs, words(pairs))),
    }


def _measures(judged: Sequence[accuracy.JudgedPair]) -> Record:
    pairs = [row.pair for row in judged]
    error, bins = accuracy.calibration(judged)
    return {
        "accuracy": dataclasses.asdict(accuracy.accuracy(pairs, accuracy.margins(judged))),
        "pairs": len(pairs),
        "orders_agree": accuracy.agreement(judged),
        "first_shown": accuracy.first_shown(judged),
        "calibration_error": error,
        "bins": [dataclasses.asdict(row) for row in bins],
        "length": dataclasses.asdict(accuracy.length_bias(judged)),
    }


def _write(folder: Path, metrics: Metrics) -> None:
    disk.write(folder / "report.json", json.dumps(metrics, indent=1))
    disk.write(folder / "report.md", table(metrics))
    _reliability_diagram(metrics["held_out"], folder / "calibration.svg")


def table(metrics: Metrics) -> str:
    """Returns two Markdown tables: each judge's accuracy, and how often it prefers the perturbed response."""
    heads = ["judge", "accuracy", "orders agree", "preference for the first", "calibration error"]
    heads += ["accuracy, chosen longer", "accuracy, chosen shorter", "correlation with length"]
    lines = ["Accuracies in percent, with 95% intervals over new problems:", ""]
    lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, found in metrics["held_out"].items():
        length = found["length"]
        lines.append(
            f"| {name} | {_percent(found['accuracy'])} | {found['orders_agree']:.2f} | {found['first_shown']:.2f} "
            f"| {found['calibration_error']:.3f} | {_percent(length['longer'])} | {_percent(length['shorter'])} "
            f"| {length['correlation']:+.2f} |"
        )
    lines += [f"| {name} | {_percent(score)} | | | | | | |" for name, score in metrics["baselines"].items()]
    if metrics["perturbed"]:
        heads = ["perturbation", *(f"{name} prefers it" for name in metrics["perturbed"])]
        lines += [
            "",
            "Perturbed responses that are preferred to the original, in percent, with 95% intervals over new problems:",
        ]
        lines += ["", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        for rows in zip(*metrics["perturbed"].values(), strict=True):
            lines.append(f"| {rows[0]['kind']} | " + " | ".join(_percent(row["wins"]) for row in rows) + " |")
    return "\n".join(lines) + "\n"


def _percent(score: Record | None) -> str:
    return str(Score(**score)) if score else "-"


def _reliability_diagram(held_out: dict[str, Record], path: Path) -> None:
    """Draws the observed share of chosen responses by their predicted probability. A calibrated judge is on the diagonal."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for name, found in held_out.items():
        label = f"{name}, error {found['calibration_error']:.3f}"
        axes.plot(*zip(*((row["probability"], row["correct"]) for row in found["bins"]), strict=True), marker="o", label=label)
    axes.set(xlabel="predicted probability", ylabel="observed share", xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=8)
    figure.savefig(path)


def _name(question: ResponsePair) -> str:
    return hashlib.sha256(json.dumps([list(question[0]), *question[1:]]).encode()).hexdigest()[:24]
