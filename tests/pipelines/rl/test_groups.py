"""Samples of a group that are scored together."""

import asyncio
from collections.abc import Sequence

from tenfold.core import Status, Verdict
from tenfold.pipelines.rl import groups


def longest_wins(responses: Sequence[str]) -> list[Verdict]:
    best = max(responses, key=len)
    return [Verdict(Status.SCORED, float(response == best), "longest", "") for response in responses]


def verdicts_of(responses: dict[int, str | None], score: groups.ScoreGroup) -> list[Verdict | None]:
    async def play() -> list[Verdict | None]:
        size = len(responses)
        calls = (groups.group_verdict("g", size, sample, text, score) for sample, text in responses.items())
        return await asyncio.gather(*calls)

    return asyncio.run(asyncio.wait_for(play(), 10))


def test_each_sample_waits_for_its_group_and_gets_its_own_verdict() -> None:
    verdicts = verdicts_of({2: "abc", 0: "a", 1: "ab"}, longest_wins)
    assert [verdict and verdict.score for verdict in verdicts] == [1, 0, 0]


def test_a_fault_is_not_scored_with_the_group() -> None:
    seen: list[Sequence[str]] = []

    def score(responses: Sequence[str]) -> list[Verdict]:
        seen.append(responses)
        return longest_wins(responses)

    verdicts = verdicts_of({0: "a", 1: None, 2: "ab"}, score)
    assert verdicts[1] is None
    assert seen == [["a", "ab"]]
    assert verdicts_of({0: None, 1: None}, score) == [None, None]


def test_an_error_in_scoring_is_a_fault_of_all_samples() -> None:
    def gone(responses: Sequence[str]) -> list[Verdict]:
        raise ConnectionError("gone")

    def incomplete(responses: Sequence[str]) -> list[Verdict]:
        return longest_wins(responses)[1:]

    for score in (gone, incomplete):
        verdicts = verdicts_of({0: "a", 1: "b"}, score)
        assert [verdict and verdict.status for verdict in verdicts] == [Status.FAULT] * 2
    assert verdicts[0]
    assert verdicts[0].reason.endswith("score_group returned 1 verdicts on 2 responses")


def test_samples_keep_their_verdicts_if_the_group_is_not_scored() -> None:
    assert verdicts_of({0: "a", 1: "b"}, lambda responses: None) == [None, None]
