"""Samples that are judged together."""

import asyncio
from collections.abc import Sequence

from tenfold.core import Status, Verdict
from tenfold.pipelines.rl import groups


def longest_wins(responses: Sequence[str]) -> list[Verdict]:
    best = max(responses, key=len)
    return [Verdict(Status.SCORED, float(response == best), "longest", "") for response in responses]


def judged(responses: dict[int, str | None], judge: groups.Judge) -> list[Verdict | None]:
    async def play() -> list[Verdict | None]:
        size = len(responses)
        return await asyncio.gather(*(groups.verdict("g", size, sample, said, judge) for sample, said in responses.items()))

    return asyncio.run(asyncio.wait_for(play(), 10))


def test_each_waits_for_the_others_and_gets_its_own_verdict() -> None:
    told = judged({2: "abc", 0: "a", 1: "ab"}, longest_wins)
    assert [verdict and verdict.score for verdict in told] == [1, 0, 0]


def test_a_sample_that_ended_in_a_fault_is_not_among_those_judged() -> None:
    seen: list[Sequence[str]] = []

    def judge(responses: Sequence[str]) -> list[Verdict]:
        seen.append(responses)
        return longest_wins(responses)

    told = judged({0: "a", 1: None, 2: "ab"}, judge)
    assert told[1] is None
    assert seen == [["a", "ab"]]
    assert judged({0: None, 1: None}, judge) == [None, None]


def test_a_judge_that_raises_is_a_fault_of_all() -> None:
    def judge(responses: Sequence[str]) -> list[Verdict]:
        raise ConnectionError("gone")

    told = judged({0: "a", 1: "b"}, judge)
    assert [verdict and verdict.status for verdict in told] == [Status.FAULT] * 2


def test_where_no_group_is_judged_each_keeps_its_own_verdict() -> None:
    assert judged({0: "a", 1: "b"}, lambda responses: None) == [None, None]
