"""Scores of LiveBench's category language."""

import difflib
import re
from collections.abc import Sequence

from .marks import Unreadable, between_closing_tags, last_box, solutions, without
from .mathematics import edit_distance

GROUP = 4
"""Words of a group of the task connections."""
_ENDS = ("</PLOT_SUMMARY>", "**End of Plot Summary**")
_DASHES = " --- "


def connections(gold: str, text: str) -> float:
    """Scores words between tags, else in a box: the share of the gold groups that are among the groups of four words.

    A group that the response repeats counts once. LiveBench's code counts it each time.
    """
    wanted = groups(gold.split(","))
    joined = text.replace("\n", "")
    found = solutions(text) or solutions(joined) or between_closing_tags(text) or between_closing_tags(joined)
    if not found and "\\boxed" in text:
        if (box := last_box(text)) is None:
            raise Unreadable("the box has no end")
        found = [without(box, ("\\text{", "}", "\\"))]
    words = [word for part in found for word in part.replace("\n", "").split(",")]
    if len(found) > 1:
        words = words[-len(gold.split(",")) :]
    given = groups(words)
    return sum(group in given for group in wanted) / len(wanted)


def connections_bold(gold: str, text: str) -> float:
    """Scores the text in bold with the most gold groups: the rule of questions before 2024-11-25."""
    wanted = groups(gold.split(","))
    shares = [0.0]
    for part in re.findall(r"\*\*(.*?)\*\*", text.replace("\n", "")):
        given = groups(part.split(","))
        shares.append(sum(any(group <= other for other in given) for group in wanted) / len(wanted))
    return max(shares)


def groups(words: Sequence[str]) -> list[set[str]]:
    """Returns words in groups of four distinct ones."""
    found: list[set[str]] = [set()]
    for word in words:
        if len(found[-1]) == GROUP:
            found.append(set())
        found[-1].add(word.strip().lower())
    return found


def typos(gold: str, text: str) -> float:
    """Scores whether the text between tags, else the text between dashes, else the whole text contains the gold text."""
    found = solutions(text)
    answer = found[-1] if found else _in_dashes(without(text, ("<solution>", "</solution>")))
    return float(gold in " ".join(filter(None, answer.strip().split("\n"))))


def _in_dashes(text: str) -> str:
    """Returns what stands between the last dashes of the first line that has them twice; the text if there is none."""
    for line in text.split("\n"):
        places = [match.start() for match in re.finditer(f"(?={_DASHES})", line)]
        pairs = [place for place in places if place + len(_DASHES) <= places[-1]]
        if pairs:
            start = pairs[-1] + len(_DASHES)
            return line[start : line.index(_DASHES, start)]
    return text


def plot_unscrambling(gold: str, text: str) -> float:
    """Scores the order of sentences: 1 minus the edit distance as a share of the gold sentences.

    Each gold sentence is matched with the most similar sentence of the response.
    """
    wanted = _sentences(gold)
    given = [sentence for sentence in _sentences(_summary(text)) if sentence not in _ENDS]
    order: list[int] = []
    for sentence in wanted:
        order += [given.index(match) for match in difflib.get_close_matches(sentence, given, n=1, cutoff=0.0)]
    return 1 - edit_distance(order, range(len(wanted))) / len(wanted)


def _summary(text: str) -> str:
    _, tag, rest = text.partition("<PLOT_SUMMARY>")
    return (rest.rpartition("</PLOT_SUMMARY>")[0] if "</PLOT_SUMMARY>" in rest else rest) if tag else text


def _sentences(text: str) -> list[str]:
    return [stripped for sentence in text.split(".") if (stripped := sentence.strip())]
