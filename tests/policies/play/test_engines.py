"""Several engines as one policy: equal samples, dead and slow engines, episodes that are judged while others are sampled."""

import copy
import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch

from tenfold.core import Completion, Episode, Problem, Sampling, UserError
from tenfold.envs.text import TextEnv
from tenfold.policies import checkpoints
from tenfold.policies.play.async_engine import EngineDied
from tenfold.policies.play.engines import Job, LikelihoodPool, run
from tenfold.policies.rollout import play, rollout
from tenfold.policies.transformers import TransformersPolicy

TINY = "micro:?hidden=16&layers=1&heads=2"
PROBLEMS = [Problem(f"p{n}", ({"role": "user", "content": f"{n} + 1 ="},), str(n + 1), "here") for n in range(12)]


class Threads:
    """An engine that works in a thread of this process."""

    def __init__(self, policy: Any, complete: Callable[..., list[Completion]] | None = None):
        self.policy, self.batches = copy.copy(policy), list[int]()
        if complete:
            self.policy.complete = complete

    def start(self, job: Job, items: Sequence[Any]) -> "Future[list[Any]]":
        future: Future[list[Any]] = Future()
        self.batches.append(len(items))

        def work() -> None:
            try:
                future.set_result(run(self.policy, job, items))
            except Exception as error:
                future.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        return future


@pytest.fixture(scope="module")
def tiny() -> TransformersPolicy:
    return TransformersPolicy(checkpoints.checkpoint(TINY), batch_size=8)


def pool(
    tiny: TransformersPolicy, count: int, work: Callable[[int], Callable[..., Any]] | None = None, one_by_one: bool = False
) -> LikelihoodPool:
    """Returns a pool of engines with this checkpoint. `work` returns what the engine of a number does."""
    return LikelihoodPool(
        lambda number: Threads(tiny, work(number) if work else None),
        count,
        4,
        tiny.tokenizer,
        tiny.stop_ids,
        tiny.window,
        one_by_one,
    )


def sums(verify: Any = "math") -> Callable[[], TextEnv]:
    return lambda: TextEnv(PROBLEMS, verify)


SAMPLING = Sampling(max_tokens=8, seed=5)


def test_one_two_and_four_engines_give_the_samples_of_one_policy(tiny: TransformersPolicy) -> None:
    alone = rollout(sums(), tiny, samples=3, sampling=SAMPLING)
    for count in (1, 2, 4):
        engines = pool(tiny, count)
        assert rollout(sums(), engines, samples=3, sampling=SAMPLING) == alone
        found, expected = (
            [
                one
                for samples in each.generate([PROBLEMS[0].prompt] * 9, 2, SAMPLING, [str(n) for n in range(9)])
                for one in samples
            ]
            for each in (engines, tiny)
        )
        assert [one.token_ids for one in found] == [one.token_ids for one in expected]
        for one, other in zip(found, expected, strict=True):  # the last bits depend on the rows of a batch
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)
        assert engines.window == tiny.window


def test_likelihoods_and_choices_are_those_of_one_policy(tiny: TransformersPolicy) -> None:
    pairs = [(f"{n} + 1 =", f" {n + 1}") for n in range(10)]
    prompts = [problem.prompt for problem in PROBLEMS]
    likelihoods, choices = pool(tiny, 3).loglikelihoods(pairs), pool(tiny, 3).choice_probabilities(prompts, ["1", "2"])
    assert [is_best for _, is_best in likelihoods] == [is_best for _, is_best in tiny.loglikelihoods(pairs)]
    assert [value for value, _ in likelihoods] == pytest.approx([value for value, _ in tiny.loglikelihoods(pairs)], abs=1e-4)
    for row, expected in zip(choices, tiny.choice_probabilities(prompts, ["1", "2"]), strict=True):
        assert row == pytest.approx(expected, abs=1e-5)


def test_decisions_do_not_depend_on_the_number_of_engines(tiny: TransformersPolicy, tmp_path: Path) -> None:
    def odd(problem: Problem, response: str) -> float:
        return float(len(response) % 2)

    def enough(episodes: Sequence[Episode]) -> bool:
        return episodes[-1].verdict.score == 1

    found = [play(sums(odd), policy, 6, sampling=SAMPLING, is_decided=enough) for policy in (tiny, pool(tiny, 3))]
    assert found[0] == found[1]
    assert len({len(episodes) for episodes in found[0].values()}) > 1


def test_an_engine_that_dies_is_replaced_and_its_samples_are_sampled_again(tiny: TransformersPolicy) -> None:
    calls, started = iter(range(1000)), list[int]()

    def work(number: int) -> Callable[..., list[Completion]]:
        started.append(number)

        def complete(*arguments: Any) -> list[Completion]:
            if next(calls) in (1, 4, 5):
                raise EngineDied("the process ended with signal 9")
            return tiny.complete(*arguments)

        return complete

    assert rollout(sums(), pool(tiny, 2, work), samples=3, sampling=SAMPLING) == rollout(
        sums(), tiny, samples=3, sampling=SAMPLING
    )
    assert len(started) == 2 + 3


def test_engines_that_always_die_are_an_error_with_the_cause_and_nothing_is_lost(
    tiny: TransformersPolicy, tmp_path: Path
) -> None:
    calls = iter(range(1000))

    def complete(*arguments: Any) -> list[Completion]:
        if next(calls) > 3:
            raise EngineDied("out of memory")
        return tiny.complete(*arguments)

    store = tmp_path / "e.jsonl"
    with pytest.raises(UserError, match="3 engines died while sampling the same requests; the last cause: out of memory"):
        rollout(sums(), pool(tiny, 2, lambda number: complete), samples=3, sampling=SAMPLING, store=store)
    kept = len(store.read_text().splitlines()) - 1
    assert 0 < kept <= 16
    again = rollout(sums(), pool(tiny, 2), samples=3, sampling=SAMPLING, store=store)
    assert again == rollout(sums(), tiny, samples=3, sampling=SAMPLING)


def test_the_error_of_a_pool_whose_engines_keep_dying_counts_all_deaths(tiny: TransformersPolicy) -> None:
    def complete(*arguments: Any) -> list[Completion]:
        raise EngineDied("out of memory")

    engines = pool(tiny, 1, lambda number: complete)
    with pytest.raises(UserError, match="3 engines died while sampling the same requests"):
        engines.generate([PROBLEMS[0].prompt], 1, SAMPLING, ["first"])
    with pytest.raises(UserError, match="engines died 3 times without finishing a batch; the last cause: out of memory"):
        engines.generate([PROBLEMS[0].prompt], 1, SAMPLING, ["second"])


def test_an_error_of_an_engine_ends_the_rollout(tiny: TransformersPolicy) -> None:
    def complete(*arguments: Any) -> list[Completion]:
        raise UserError("the setting is wrong")

    with pytest.raises(UserError, match="the setting is wrong"):
        rollout(sums(), pool(tiny, 2, lambda number: complete), samples=2, sampling=SAMPLING)


def test_an_engine_that_hangs_does_not_hold_up_the_rest(tiny: TransformersPolicy) -> None:
    hangs = threading.Event()

    def work(number: int) -> Callable[..., list[Completion]]:
        def complete(*arguments: Any) -> list[Completion]:
            if number == 1:
                hangs.wait()
            return tiny.complete(*arguments)

        return complete

    try:
        assert rollout(sums(), pool(tiny, 2, work), samples=3, sampling=SAMPLING) == rollout(
            sums(), tiny, samples=3, sampling=SAMPLING
        )
    finally:
        hangs.set()


def test_episodes_are_judged_while_others_are_sampled(tiny: TransformersPolicy) -> None:
    """The verifier waits for the second batch. If that waited for the first verdicts, they would have no score."""
    for count in (0, 2):
        calls, second = iter(range(1000)), threading.Event()

        def complete(*arguments: Any, calls: Any = calls, second: threading.Event = second) -> list[Completion]:
            if next(calls) > max(0, count - 1):  # noqa: B023
                second.set()
            return tiny.complete(*arguments)

        def verify(problem: Problem, response: str, second: threading.Event = second) -> float:
            return float(second.wait(timeout=60))

        policy: Any = pool(tiny, count, lambda number, complete=complete: complete) if count else copy.copy(tiny)  # type: ignore[misc]
        if not count:
            policy.batch_size, policy.complete = 4, complete
        episodes = rollout(sums(verify), policy, samples=3, sampling=SAMPLING)
        assert {episode.verdict.score for episode in episodes} == {1.0}


def test_a_full_batch_is_given_to_each_engine(tiny: TransformersPolicy) -> None:
    engines = pool(tiny, 2)
    rollout(sums(), engines, samples=4, sampling=SAMPLING)
    sizes = [size for engine in engines.engines for size in engine.batches]  # type: ignore[attr-defined]
    assert sum(sizes) == 48
    assert sizes.count(4) >= 8
    assert torch.tensor(sizes).max() == 4


def slow_first(tiny: TransformersPolicy, held: int, until: int) -> Callable[[int], Callable[..., Any]]:
    """Returns `work` for `pool`: the first `held` calls, over all engines, end only after `until` other calls have ended."""
    calls, enough, ended = itertools.count(1), threading.Event(), itertools.count(1)
    lock = threading.Lock()

    def complete(*arguments: Any) -> list[Completion]:
        if is_held := next(calls) <= held:
            assert enough.wait(60)
        with lock:  # this policy does not support calls from several threads
            found = tiny.complete(*arguments)
        if not is_held and next(ended) == until:
            enough.set()
        return found

    return lambda number: complete


def test_requests_that_join_do_not_wait_for_a_long_one(tiny: TransformersPolicy) -> None:
    """Three of 36 samples end after all others. An engine of batches would wait for them with its other samples."""
    alone = rollout(sums(), tiny, samples=3, sampling=SAMPLING)
    for count in (1, 2):
        engines = pool(tiny, count, slow_first(tiny, held=3, until=33), one_by_one=True)
        assert rollout(sums(), engines, samples=3, sampling=SAMPLING) == alone


def test_an_engine_that_hangs_or_dies_does_not_lose_the_requests_that_joined_it(tiny: TransformersPolicy) -> None:
    alone, hangs, calls = rollout(sums(), tiny, samples=3, sampling=SAMPLING), threading.Event(), itertools.count()
    lock = threading.Lock()

    def work(number: int) -> Callable[..., list[Completion]]:
        def complete(*arguments: Any) -> list[Completion]:
            if number == 1:
                hangs.wait()
                raise EngineDied("the test has ended")
            if next(calls) in (3, 9):
                raise EngineDied("the process ended with signal 9")
            with lock:
                return tiny.complete(*arguments)

        return complete

    try:
        assert rollout(sums(), pool(tiny, 2, work, one_by_one=True), samples=3, sampling=SAMPLING) == alone
    finally:
        hangs.set()
