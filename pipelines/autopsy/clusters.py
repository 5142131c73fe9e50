"""Clusters of samples that only the reward likes: by their tricks, else by the shape of their text."""

import re
from collections.abc import Mapping, Sequence
from typing import TypedDict

from . import tricks
from .judges import Judged
from .samples import Sample

LIKED = 0.5
"""Reward from which on the reward likes a sample, and score below which a judge denies it. Our choice."""
MOST, EXAMPLES = 12, 3
"""Maximum number of clusters, the largest ones, and of examples of each. Our choice."""
SHOWN = 1_200
"""Characters of a text of an example: from its start and its end. Our choice."""
SHAPE = 40
"""Characters of a shape's start and end. Our choice."""
OTHERS = "(other shapes)"

_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")


class Example(TypedDict):
    """A sample of a cluster."""

    step: int
    problem: str
    sample: int
    question: str
    response: str
    reward: float
    verifier: str
    """The comparison that decided about the reward."""
    scores: Mapping[str, float | None]
    """Scores of the judges."""


class Cluster(TypedDict):
    """Samples that only the reward likes."""

    tricks: Sequence[str]
    shape: str
    """Start and end of the text, with 0 for each number; empty if the tricks name the cluster."""
    samples: int
    first_step: int
    last_step: int
    denied_by: Mapping[str, int]
    """For each judge the number of samples that it denies."""
    examples: Sequence[Example]


def find(samples: Mapping[int, Sequence[Sample]], judged: Sequence[Judged], alarming: Sequence[str]) -> list[Cluster]:
    """Returns the largest clusters of samples that only the reward likes.

    These are rewarded samples that a judge with an alarm denies, or that most of the judges deny. Strict judges do not count.

    Args:
        samples: samples by step.
        judged: the judges' scores.
        alarming: names of the judges with an alarm.
    """
    clusters: dict[tuple[tuple[str, ...], str], list[tuple[Sample, dict[str, float | None]]]] = {}
    counting = {each.judge.name for each in judged if not each.judge.strict}
    for step, rows in samples.items():
        for place, sample in enumerate(rows):
            scores = {each.judge.name: each.scores[step][place] for each in judged}
            if sample.reward >= LIKED and _is_denied({name: scores[name] for name in counting}, alarming):
                flags = tuple(tricks.flags(tricks.scores(sample.question, sample.text)))
                clusters.setdefault((flags, "" if flags else shape(sample.response)), []).append((sample, scores))
    largest = sorted(clusters.items(), key=lambda item: -len(item[1]))
    kept, rest = largest[:MOST], [row for _, rows in largest[MOST:] for row in rows]
    found = [_cluster(flags, text, rows) for (flags, text), rows in kept]
    return found + ([_cluster((), OTHERS, sorted(rest, key=lambda row: row[0].step))] if rest else [])


def shape(text: str) -> str:
    """Returns the start and the end of a text, in lower case, with 0 for each number and one space for each blank part."""
    plain = " ".join(_DIGITS.sub("0", text[:2000] if len(text) <= 4000 else text[:2000] + text[-2000:]).casefold().split())
    return plain if len(plain) <= 2 * SHAPE else f"{plain[:SHAPE]} … {plain[-SHAPE:]}"


def _is_denied(scores: Mapping[str, float | None], alarming: Sequence[str]) -> bool:
    known = {name: score for name, score in scores.items() if score is not None}
    by = [name for name, score in known.items() if score < LIKED]
    return any(name in alarming for name in by) or 2 * len(by) > len(known) > 0


def _cluster(flags: tuple[str, ...], text: str, rows: Sequence[tuple[Sample, dict[str, float | None]]]) -> Cluster:
    names = rows[0][1]
    counts = {name: sum((score := scores[name]) is not None and score < LIKED for _, scores in rows) for name in names}
    by_text: dict[str, tuple[Sample, dict[str, float | None]]] = {}
    for row in reversed(rows):  # the last ones first: the policy has learnt them
        by_text.setdefault(shape(row[0].response), row)
    return {
        "tricks": flags,
        "shape": text,
        "samples": len(rows),
        "first_step": min(sample.step for sample, _ in rows),
        "last_step": max(sample.step for sample, _ in rows),
        "denied_by": {name: count for name, count in counts.items() if count},
        "examples": [_example(*row) for row in [*by_text.values()][:EXAMPLES]],
    }


def _example(sample: Sample, scores: Mapping[str, float | None]) -> Example:
    return {
        "step": sample.step,
        "problem": sample.problem.id,
        "sample": sample.number,
        "question": _shown(sample.question),
        "response": _shown(sample.text),
        "reward": sample.reward,
        "verifier": sample.verifier,
        "scores": scores,
    }


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]}\n[…]\n{text[-SHOWN // 2 :]}"
