"""Style of responses: their length and Markdown, and the share of wins at equal style.

The features are those of Arena-Hard. It measures the length in tokens of GPT-4o. The package `tiktoken` has this tokenizer; it
loads the vocabulary from the network once, or from the folder $TIKTOKEN_CACHE_DIR. Without it, words and punctuation marks
count.
"""

import functools
import importlib.util
import logging
import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

Array = NDArray[np.float64]

ENCODING = "o200k_base"
"""The tokenizer of GPT-4o."""
STYLES = ("length", "headers", "lists", "bold")
RIDGE = 0.1
"""Precision of the normal prior on each style's weight, in units of the feature's root mean square; the intercept has no prior.
Our choice. The prior keeps the weights finite if a style separates wins from losses, and at 0 if a style is the same in all
verdicts."""

_BLOCK = re.compile(r"```([^`]*)```")
_WORD = re.compile(r"\w+|[^\w\s]")


@functools.cache
def tokenizer() -> Callable[[str], int] | None:
    """Returns the function that counts the tokens of a text as Arena-Hard does; None if its tokenizer is not available."""
    if importlib.util.find_spec("tiktoken") is None:
        return None
    import tiktoken

    try:
        encoding = tiktoken.get_encoding(ENCODING)
    except Exception as error:  # of any type: the network, a proxy, the cache
        logging.getLogger(__name__).warning("%s cannot be loaded (%s); lengths are counted in words", ENCODING, error)
        return None
    return lambda text: len(encoding.encode(text, disallowed_special=()))


def length(text: str) -> int:
    """Returns the length of a text in tokens, or in words and punctuation marks; see `tokenizer`."""
    count = tokenizer()
    return count(text) if count else len(_WORD.findall(text))


def style(text: str) -> tuple[int, float, float, float]:
    """Returns the length, and the rates of headers, list items and bold spans.

    A rate is the number divided by the length + 1. Code blocks count for the length only. As in Arena-Hard, what a code block
    contains is not counted anywhere in the text, and a block whose content contains a backtick is counted.
    """
    bare = text
    for block in dict.fromkeys(_BLOCK.findall(text)):
        bare = bare.replace(block, "") if block else bare
    size = length(text)
    headers = len(re.findall(r"^#{1,6}\s", bare, re.MULTILINE))
    items = len(re.findall(r"^[^\S\n]*(?:\d+\.|[-*+])\s", bare, re.MULTILINE))
    bold = len(re.findall(r"\*\*[^*\n]+\*\*", bare)) + len(re.findall(r"__[^_\n]+__", bare))
    return size, headers / (size + 1), items / (size + 1), bold / (size + 1)


def style_difference(response: str, baseline: str) -> list[float]:
    """Returns the difference of the two texts in each of `STYLES`, in -1..1."""
    styled, baseline_style = style(response), style(baseline)
    lengths = (styled[0] - baseline_style[0]) / max(1, styled[0] + baseline_style[0])
    return [lengths, *((a - b) / (a + b + 1) for a, b in zip(styled[1:], baseline_style[1:], strict=True))]


def controlled(outcomes: Array, features: Array) -> float:
    """Returns the share of wins at equal style.

    Fits a logistic regression of the outcomes on an intercept (the policy's strength) and the style differences, which is the
    benchmark's method: a Bradley-Terry model with covariates. Only this policy and the baseline are fitted, so the differences
    are not centred: 0 means equal style. If a style difference is the same in all verdicts, its effect cannot be estimated, and
    this style does not change the result.

    Args:
        outcomes: (verdicts,): 1 for a win, 0 for a loss, 0.5 for a tie.
        features: (verdicts, styles): style differences.
    """
    share = float(outcomes.mean())
    if share in (0, 1):
        return share  # the regression has no finite intercept
    features = features.astype(float)
    size = np.sqrt((features**2).mean(axis=0))
    scaled = np.divide(features, size, out=np.zeros_like(features), where=size > 0)
    design = np.column_stack([np.ones(len(outcomes)), scaled])
    ridge = np.r_[0, np.full(features.shape[1], RIDGE)]

    def loss(weights: Array) -> tuple[float, Array]:
        logits = design @ weights
        value = float((np.logaddexp(0, logits) - outcomes * logits).sum() + ridge @ weights**2 / 2)
        return value, design.T @ (special.expit(logits) - outcomes) + ridge * weights

    def hessian(weights: Array) -> Array:
        probabilities = special.expit(design @ weights)
        return design.T @ (design * (probabilities * (1 - probabilities))[:, None]) + np.diag(ridge)

    start = np.r_[special.logit(share), np.zeros(features.shape[1])]
    found = optimize.minimize(loss, start, jac=True, hess=hessian, method="trust-exact", options={"gtol": 1e-9})
    return float(special.expit(found.x[0]))
