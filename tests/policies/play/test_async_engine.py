"""An engine that takes requests at any time: each request ends by itself, and errors reach all of them."""

import asyncio
import gc
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from tenfold.core import Completion, Conversation, Problem, Sampling, UserError
from tenfold.envs.text import TextEnv
from tenfold.policies import checkpoints
from tenfold.policies.completions import completion
from tenfold.policies.play.async_engine import AsyncRequests, EngineDied, results
from tenfold.policies.play.completions import in_parts
from tenfold.policies.rollout import rollout
from tenfold.policies.transcript import generate_from_tokens

TINY = "micro:?hidden=16&layers=1&heads=2"
WAIT = 60
"""Seconds after which a future that is never done fails its test."""


class Fake:
    """An engine whose prompts are futures of the outputs."""

    def __init__(self) -> None:
        self.errored, self.is_shut_down = False, False
        self.cancelled: list[str] = []
        self.death: Future[None] = Future()

    async def generate(self, prompt: "Future[Any]", sampling_params: Any, request_id: str) -> AsyncIterator[Any]:
        output, death = asyncio.wrap_future(prompt), asyncio.wrap_future(self.death)
        try:
            await asyncio.wait((output, death), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self.cancelled.append(request_id)
            raise
        if death.done():
            raise RuntimeError("a message of vLLM")
        yield output.result()

    def die(self, reports: bool = True) -> None:
        self.errored = True
        if reports:
            self.death.set_result(None)

    def shutdown(self) -> None:
        self.is_shut_down = True


def test_a_short_request_that_comes_later_ends_before_a_long_one() -> None:
    requests, long, short = AsyncRequests(Fake(), "died"), Future[str](), Future[str]()
    first, second = requests.submit(long, None, str.upper), requests.submit(short, None, str.upper)
    short.set_result("short")
    assert second.result(WAIT) == "SHORT"
    assert not first.done()
    long.set_result("long")
    assert first.result(WAIT) == "LONG"


@pytest.mark.parametrize("reports", [True, False])
def test_the_death_of_the_engine_reaches_all_requests_in_one_line(reports: bool) -> None:
    engine = Fake()
    requests = AsyncRequests(engine, "the engine has ended")
    waiting = [requests.submit(Future(), None, str) for _ in range(3)]
    engine.die(reports)
    for future in waiting:
        with pytest.raises(EngineDied, match=r"^the engine has ended$"):
            future.result(WAIT)


def test_an_error_of_one_request_is_its_own_and_cancels_those_that_are_waited_for_with_it() -> None:
    engine = Fake()
    requests, wrong, right = AsyncRequests(engine, "died"), Future[str](), Future[str]()
    other = requests.submit(right, None, str)
    wrong.set_exception(ValueError("too long"))
    with pytest.raises(ValueError, match="too long"):
        results([requests.submit(Future(), None, str), requests.submit(wrong, None, str)])
    right.set_result("right")
    assert other.result(WAIT) == "right"
    assert engine.cancelled == ["1"]


def test_the_engine_is_shut_down_when_nothing_refers_to_it() -> None:
    engine = Fake()
    requests, done = AsyncRequests(engine, "died"), Future[str]()
    done.set_result("done")
    assert requests.submit(done, None, str).result(WAIT) == "done"
    del requests
    gc.collect()
    assert engine.is_shut_down


def ready() -> "Future[None]":
    future: Future[None] = Future()
    future.set_result(None)
    return future


class Sampler:
    """A policy whose completions have one token. `output` returns what the request of a given number waits for."""

    def __init__(self, batch_size: int, output: "Callable[[int], Future[None]]" = lambda number: ready()):
        checkpoint = checkpoints.checkpoint(TINY)
        self.tokenizer = checkpoints.tokenizer_of(checkpoint)
        self.stop_ids, self.window = checkpoints.stop_ids(checkpoint, self.tokenizer), checkpoints.window(checkpoint)
        self.batch_size, self.output, self.engine, self.numbers = batch_size, output, Fake(), itertools.count(1)
        self.requests = AsyncRequests(self.engine, "the engine has ended")

    def submit(
        self, prompts: Sequence[list[int]], sampling: Sampling, seeds: Sequence[int], limits: Sequence[int]
    ) -> "list[Future[Completion]]":
        return [
            self.requests.submit(
                self.output(next(self.numbers)),
                None,
                lambda _, prompt=prompt, seed=seed: completion(self.tokenizer, prompt, [10 + seed % 50], self.stop_ids),
            )
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]

    def complete(
        self, prompts: Sequence[list[int]], sampling: Sampling, seeds: Sequence[int], limits: Sequence[int] | None = None
    ) -> list[Completion]:
        return results(self.submit(prompts, sampling, seeds, limits or []))

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        return generate_from_tokens(self, conversations, samples, sampling, keys)


def sums(verify: Any = "math", count: int = 12) -> Callable[[], TextEnv]:
    problems = [Problem(f"p{n}", ({"role": "user", "content": f"{n} + 1 ="},), str(n + 1), "here") for n in range(count)]
    return lambda: TextEnv(problems, verify)


def test_a_long_sample_does_not_hold_up_other_episodes() -> None:
    """The first request ends after the last one has come. If others waited for it, the last would never come."""
    first: Future[None] = Future()

    def output(number: int) -> "Future[None]":
        if number == 48:
            first.set_result(None)
        return first if number == 1 else ready()

    assert rollout(sums(), Sampler(2, output), 4) == rollout(sums(), Sampler(64), 4)


def test_the_engine_has_requests_while_verdicts_are_slow() -> None:
    """No verdict comes before the engine has received the requests of all problems, which are six batches."""
    all_came = threading.Event()

    def output(number: int) -> "Future[None]":
        if number == 12:
            all_came.set()
        return ready()

    def verify(problem: Problem, response: str) -> float:
        return float(all_came.wait(WAIT))

    assert [episode.verdict.score for episode in rollout(sums(verify), Sampler(2, output), 1)] == [1.0] * 12


def test_a_long_sample_does_not_hold_up_other_conversations() -> None:
    last, conversations = Future[None](), [({"role": "user", "content": f"{n} + 1 ="},) for n in range(8)]

    def output(number: int) -> "Future[None]":
        if number == 16:
            last.set_result(None)
        return last if number in (1, 3) else ready()

    keys = [str(n) for n in range(8)]
    parts = list(in_parts(Sampler(2, output), conversations, 2, Sampling(), keys))
    places = [place for part, _ in parts for place in part]
    assert sorted(places) == [*range(8)]
    assert {*places[:4]} <= {*range(2, 8)}
    rows = {place: row for part, found in parts for place, row in zip(part, found, strict=True)}
    assert [rows[place] for place in range(8)] == Sampler(2).generate(conversations, 2, Sampling(), keys)


def dying(after: int) -> Sampler:
    """Returns a policy whose engine dies after a number of requests."""

    def output(number: int) -> "Future[None]":
        if number == after + 1:
            policy.engine.die()
        return ready() if number <= after else Future()

    policy = Sampler(4, output)
    return policy


def test_complete_samples_are_stored_if_the_engine_dies(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the engine has ended"):
        rollout(sums(), dying(after=10), 2, store=tmp_path / "e.jsonl")
    kept = len((tmp_path / "e.jsonl").read_text().splitlines()) - 1
    assert 0 <= kept <= 10
    assert rollout(sums(), Sampler(4), 2, store=tmp_path / "e.jsonl") == rollout(sums(), Sampler(4), 2)


def test_complete_rows_come_before_the_error(tmp_path: Path) -> None:
    conversations, seen = [({"role": "user", "content": f"{n} + 1 ="},) for n in range(12)], list[int]()
    policy = Sampler(4, lambda number: ready() if number in (2, 4) else Future())

    def see() -> None:
        for places, _ in in_parts(policy, conversations, 1, Sampling(), [str(n) for n in range(12)]):
            seen.extend(places)
            if len(seen) == 2:
                policy.engine.die()

    with pytest.raises(UserError, match="the engine has ended"):
        see()
    assert sorted(seen) == [1, 3]


def test_an_interrupt_removes_open_requests_from_the_engine() -> None:
    policy = Sampler(2, lambda number: ready() if number == 1 else Future())

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rollout(sums(), policy, 1, progress=interrupt)
    policy.output = lambda number: ready()
    policy.complete([[5]], Sampling(), [0])
    assert policy.engine.cancelled
