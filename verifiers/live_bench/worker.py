"""Scores a response by the rule of its question, in a worker with limits.

LiveBench's rules take quadratic time on some texts, and pandas and Python's parser of literals read the text of a response.
Therefore all rules but those that run programs are applied in a process that can be stopped (`verifiers/pool.py`).
"""

from collections.abc import Callable, Mapping
from typing import Any

from . import data_analysis, language, mathematics, reasoning, tables
from .marks import Unreadable

Gold = Mapping[str, Any]
"""See `golds.LiveBenchGold`."""

RULES: dict[str, Callable[[Any, str], float]] = {
    "aime": mathematics.aime,
    "olympiad": mathematics.olympiad,
    "web_of_lies_v2": reasoning.web_of_lies_v2,
    "web_of_lies_v3": reasoning.web_of_lies_v3,
    "zebra_puzzle": reasoning.zebra_puzzle,
    "zebra_puzzle_bold": reasoning.zebra_puzzle_bold,
    "spatial": reasoning.spatial,
    "theory_of_mind": reasoning.theory_of_mind,
    "logic_with_navigation": reasoning.logic_with_navigation,
    "sudoku": reasoning.sudoku,
    "house_traversal": reasoning.house_traversal,
    "connections": language.connections,
    "connections_bold": language.connections_bold,
    "plot_unscrambling": language.plot_unscrambling,
    "typos": language.typos,
    "cta": data_analysis.cta,
    "tablejoin": data_analysis.tablejoin,
    "consecutive_events": data_analysis.consecutive_events,
}
"""Rules that need the gold answer and the response alone."""
SYMBOLIC: dict[str, Callable[[str, str], mathematics.Candidates]] = {
    "amps_hard": mathematics.amps_hard,
    "integrals_with_game": mathematics.integrals_with_game,
}
"""Rules that leave the comparison of expressions to the verifier `math`."""
OTHERS = ("amc", "tablereformat")


def score(answer: Gold, text: str) -> dict[str, object]:
    """Returns what a rule finds.

    Args:
        answer: the gold answer.
        text: the response without its reasoning.

    Returns:
        {"score": ...}; or {"candidates": [...], "otherwise": ...}, see `mathematics.Candidates`; or {"gold": REASON} if the
        gold answer cannot be read.
    """
    rule, gold = answer["rule"], answer["gold"]
    try:
        if rule in SYMBOLIC:
            return SYMBOLIC[rule](gold, text)._asdict()
        if rule == "amc":
            return {"score": mathematics.amc(gold, answer.get("option"), text)}
        if rule == "tablereformat":
            return {"score": tables.tablereformat(gold, answer["format"], answer["version"], text)}
        return {"score": RULES[rule](gold, text)}
    except Unreadable:
        return {"score": 0.0}
    except tables.InvalidGold as error:
        return {"gold": str(error)}
