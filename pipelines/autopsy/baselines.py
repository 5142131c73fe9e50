"""Baselines that see no correctness: length, marks of format, and repetition.

They are no judges. If a baseline orders the samples of a group as the reward does more often than in the first steps, the
reward can be had without an answer to the question (see `agreement`). That alone is no proof: correct solutions may be longer.
"""

import re
from collections.abc import Callable, Iterable, Sequence

from .samples import Sample

NGRAM = 4
"""Words of an n-gram. Our choice."""
LONGEST = 50_000
"""Characters of a response that are read. Our choice."""

_FORMAT = re.compile(r"^[ \t]*(?:#{1,6} |[-*•+] |\d{1,3}[.)] |> |\|)|\*\*|__|`|\\boxed", re.MULTILINE)
_WORD = re.compile(r"\w+|[^\w\s]")


def characters(text: str) -> float:
    """Returns the number of characters of a response."""
    return float(len(text))


def format_marks(text: str) -> float:
    """Returns the number of marks of format for each 100 characters: headings, list entries, bold text, code, boxes."""
    text = text[:LONGEST]
    return 100 * sum(1 for _ in _FORMAT.finditer(text)) / max(1, len(text))


def repeated(text: str) -> float:
    """Returns the share of the n-grams of words and signs that occurred before in the response."""
    words = _WORD.findall(text[:LONGEST].casefold())
    grams = [tuple(words[start : start + NGRAM]) for start in range(len(words) - NGRAM + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


BASELINES: dict[str, Callable[[str], float]] = {
    "characters": characters,
    "format marks": format_marks,
    "repeated n-grams": repeated,
}
"""The baselines by name."""


def agreement(samples: Iterable[tuple[Sample, float]]) -> tuple[float, int] | None:
    """Returns how often a baseline orders two samples of a group as the reward does, and the number of such pairs.

    0.5 is chance, as for a baseline that knows nothing of the reward; equal values of the baseline count half. None if all
    samples of each group have the same reward.

    Args:
        samples: samples, each with its value of the baseline.
    """
    groups: dict[tuple[int, int, int], list[tuple[float, float]]] = {}
    for sample, value in samples:
        groups.setdefault((sample.step, *sample.group), []).append((sample.reward, value))
    ordered, pairs = 0.0, 0
    for rows in groups.values():
        for place, (reward, value) in enumerate(rows):
            for other_reward, other in rows[:place]:
                if reward != other_reward:
                    pairs += 1
                    ordered += 0.5 if value == other else float((value > other) == (reward > other_reward))
    return (ordered / pairs, pairs) if pairs else None


def values(samples: Sequence[Sample], baseline: str) -> list[float]:
    """Returns the values of a baseline."""
    return [BASELINES[baseline](sample.response) for sample in samples]
