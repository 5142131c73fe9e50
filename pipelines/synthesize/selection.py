"""Selects the tests of a function: a small set that kills each mutant that any test kills, further ones, and public ones."""

import json
from collections.abc import Mapping, Sequence


def minimal_tests(kills: Sequence[set[int]], sizes: Sequence[int]) -> list[int]:
    """Returns a small set of tests that kills each mutant that any test kills.

    Greedy set cover: the test with most new kills is added, the shorter one in a tie. For m mutants the set has at most
    1 + ln(m) times as many tests as the smallest set (Chvatal, 1979). Tests that have become redundant are removed at the end.

    Args:
        kills: the mutants that each test kills.
        sizes: length of each test in characters.
    """
    left = set().union(*kills)
    kept: list[int] = []
    while left:
        best = max(range(len(kills)), key=lambda test: (len(kills[test] & left), -sizes[test]))
        kept.append(best)
        left -= kills[best]
    for test in list(kept):
        if kills[test] <= set().union(*(kills[other] for other in kept if other != test)):
            kept.remove(test)
    return kept


def with_further(kept: Sequence[int], tests: Sequence[Mapping[str, object]], minimum: int) -> list[int]:
    """Returns the kept tests and further ones up to `minimum`. First come tests with an output that no chosen test has."""
    chosen = list(kept)
    outputs = {json.dumps(tests[test]["output"]) for test in chosen}
    rest = [test for test in range(len(tests)) if test not in kept]
    for new_only in (True, False):
        for test in rest:
            output = json.dumps(tests[test]["output"])
            if len(chosen) < minimum and test not in chosen and (output not in outputs or not new_only):
                chosen.append(test)
                outputs.add(output)
    return chosen


def evenly_spaced(tests: Sequence[int], count: int) -> list[int]:
    """Takes tests in the order of their length; returns `count` evenly spaced ones from the first half.

    The shortest ones alone would be empty lists and zeros.
    """
    half = tests[: max(count, len(tests) // 2)]
    return [half[(2 * number + 1) * len(half) // (2 * count)] for number in range(min(count, len(half)))]
