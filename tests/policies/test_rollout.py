import contextlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import tenfold
from tenfold.core import Completion, Episode, Policy, Problem, Sampling, Status, UserError
from tenfold.envs.text import Text, TextEnv
from tenfold.policies import load_policy
from tenfold.policies.rollout import pass_rate, play, rollout
from tenfold.policies.scripted import ScriptedPolicy

PROBLEMS = [Problem(f"p{n}", ({"role": "user", "content": f"{n} + 1 ="},), str(n + 1), "here") for n in range(5)]


def sums() -> TextEnv:
    return TextEnv(PROBLEMS, "math")


class Guess(gymnasium.Env[str, str]):
    """The policy guesses a number in five turns."""

    def __init__(self, crash_on: str = "never", crashes: int = 0):
        self.observation_space = self.action_space = Text()
        self.crash_on, self.crashes = crash_on, crashes

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self.number, self.tries = 3 + (options or {}).get("problem", 0), 0
        return "Guess.", {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        if action == self.crash_on and self.crashes:
            self.crashes -= 1
            raise ConnectionError("the game server is gone")
        self.tries += 1
        right = action == str(self.number)
        return "lower" if int(action) > self.number else "higher", float(right), right or self.tries == 5, False, {}


def count_up(conversation: Any, seed: int) -> str:
    return str(1 + sum(turn["role"] == "assistant" for turn in conversation))


def scores(episodes: list[Episode]) -> list[float | None]:
    return [episode.verdict.score for episode in episodes]


def test_every_problem_gets_the_requested_number_of_episodes() -> None:
    episodes = rollout(sums, ScriptedPolicy("3"), samples=2)
    assert [(e.problem_id, e.sample) for e in episodes] == [(f"p{n}", s) for n in range(5) for s in range(2)]
    assert scores(episodes) == [0, 0, 0, 0, 1, 1, 0, 0, 0, 0]
    assert pass_rate(episodes) == 0.2


def test_all_turns_of_an_episode_are_stored() -> None:
    won, lost = rollout(Guess, ScriptedPolicy(count_up), samples=1, problems=[0, 4])
    assert [turn["content"] for turn in won.messages] == ["Guess.", "1", "higher", "2", "higher", "3"]
    assert (won.verdict.score, won.verdict.method, won.tokens) == (1, "environment", 3)
    assert (lost.verdict.score, len(lost.messages)) == (0, 10)


def test_an_episodes_score_is_the_sum_of_its_rewards() -> None:
    class Pays(Guess):
        def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
            self.tries += 1
            return "more", 0.25, self.tries == 3, False, {}

    assert scores(rollout(Pays, ScriptedPolicy("1"), samples=1, problems=1)) == [0.75]


def test_an_episode_is_replayed_after_one_error() -> None:
    (episode,) = rollout(lambda: Guess("2", crashes=1), ScriptedPolicy(count_up), samples=1, problems=1)
    assert (episode.verdict.score, len(episode.messages)) == (1, 6)


def test_repeated_errors_of_the_environment_are_a_fault(tmp_path: Path) -> None:
    store = tmp_path / "e.jsonl"
    (episode,) = rollout(lambda: Guess("2", crashes=9), ScriptedPolicy(count_up), samples=1, problems=1, store=store)
    assert (episode.verdict.status, episode.verdict.score) == (Status.FAULT, None)
    assert "game server" in episode.verdict.reason
    assert pass_rate([episode]) is None
    (again,) = rollout(Guess, ScriptedPolicy(count_up), samples=1, problems=1, store=None)
    assert again.verdict.score == 1


def test_a_fault_has_no_score() -> None:
    environment = TextEnv(PROBLEMS, lambda problem, response: tenfold.Verdict(Status.FAULT, None, "x", "a worker died"))
    environment.reset(seed=0)
    assert math.isnan(environment.step("1")[1])


def test_a_stopped_rollout_continues_with_the_same_result(tmp_path: Path) -> None:
    def coin(conversation: Any, seed: int) -> str:
        return str(seed % 3)

    class Stops(ScriptedPolicy):
        calls = 0

        def generate(self, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls > 3:
                raise KeyboardInterrupt
            return super().generate(*args, **kwargs)

    stopping, policy = Stops(coin), ScriptedPolicy(coin)
    stopping.batch_size = policy.batch_size = 4
    whole = rollout(sums, policy, samples=4, store=tmp_path / "whole.jsonl")
    with pytest.raises(KeyboardInterrupt):
        rollout(sums, stopping, samples=4, store=tmp_path / "e.jsonl")
    with (tmp_path / "e.jsonl").open("a") as file:
        file.write('{"problem": 3, "sample": 0, "mess')  # as if killed during a write
    done_counts = []
    store = tmp_path / "e.jsonl"
    episodes = rollout(sums, policy, samples=4, store=store, progress=lambda done, total: done_counts.append(done))
    assert episodes == whole
    assert done_counts == sorted(done_counts)
    assert (min(done_counts) > 12, max(done_counts)) == (True, 20), "the twelve episodes before the stop are in the store"
    assert {*store.read_text().splitlines()} == {*(tmp_path / "whole.jsonl").read_text().splitlines()}


def test_a_store_contains_its_settings(tmp_path: Path) -> None:
    rollout(sums, ScriptedPolicy("3"), samples=1, store=tmp_path / "e.jsonl", sampling=Sampling(temperature=0.6, seed=4))
    assert json.loads((tmp_path / "e.jsonl").open().readline())["settings"]["temperature"] == 0.6
    with pytest.raises(UserError, match="temperature"):
        rollout(sums, ScriptedPolicy("3"), samples=1, store=tmp_path / "e.jsonl", sampling=Sampling(seed=4))


def test_stored_messages_keep_their_tool_calls(tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    prompt: Any = (
        {"role": "user", "content": "1 + 1 ="},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "2", "name": "add"},
    )

    def played() -> list[Episode]:
        environment = TextEnv([Problem("p", prompt, "2", "here")], "math")
        return rollout(lambda: environment, ScriptedPolicy("2"), samples=1, store=tmp_path / "e.jsonl")

    assert played() == played()


def test_samples_do_not_depend_on_the_batch_size() -> None:
    def coin(conversation: Any, seed: int) -> str:
        return str(seed)

    one, many = ScriptedPolicy(coin), ScriptedPolicy(coin)
    one.batch_size, many.batch_size = 1, 100
    assert rollout(sums, one, samples=3) == rollout(sums, many, samples=3)


def test_a_decided_problem_is_not_played_further(tmp_path: Path) -> None:
    def coin(conversation: Any, seed: int) -> str:
        return str(seed % 3)

    whole = play(sums, ScriptedPolicy(coin), samples=6)
    results = []
    some = play(
        sums,
        ScriptedPolicy(coin, batch_size=5),
        samples=6,
        store=tmp_path / "e.jsonl",
        store_settings={"policy": "coin"},
        is_decided=lambda episodes: len(episodes) >= 2 and 0 in scores(episodes),
        progress=lambda done, total: results.append((done, total)),
    )
    for index, episodes in some.items():
        assert episodes == whole[index][: len(episodes)]
        assert len(episodes) == 6 or (len(episodes) >= 2 and 0 in scores(episodes))
    assert min(map(len, some.values())) == 2
    assert results == sorted(results)
    assert results[-1] == (30, 30)
    again = play(
        sums,
        ScriptedPolicy("nobody"),
        samples=6,
        store=tmp_path / "e.jsonl",
        store_settings={"policy": "coin"},
        is_decided=lambda episodes: len(episodes) >= 2,
    )
    assert again == {index: episodes[:2] for index, episodes in some.items()}


class Fixed:
    """A policy of the user's own class."""

    def generate(
        self, conversations: Sequence[Any], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        return [[Completion("5", "stop")] * samples for _ in conversations]


@pytest.mark.parametrize(
    "create",
    [
        lambda: ScriptedPolicy("6"),
        lambda: ScriptedPolicy(count_up),
        lambda: load_policy("micro:?hidden=16&layers=1&heads=1"),
        Fixed,
    ],
)
def test_a_store_of_another_policy_is_not_continued(create: Callable[[], Policy], tmp_path: Path) -> None:
    other = create()
    store = tmp_path / "e.jsonl"
    first = rollout(sums, load_policy("scripted:5"), samples=1, problems=2, store=store)
    assert rollout(sums, ScriptedPolicy("5"), samples=1, problems=2, store=store) == first
    content = store.read_bytes()
    with pytest.raises(UserError, match=r"e\.jsonl was made with policy='scripted:5', not "):
        rollout(sums, other, samples=1, problems=2, store=store)
    assert store.read_bytes() == content


def test_an_unplayable_environment_gives_a_one_line_error() -> None:
    with pytest.raises(UserError, match="give the number of problems"):
        rollout(Guess, ScriptedPolicy("1"), samples=1)
    with pytest.raises(UserError, match="no environment 'lab/Missing-v0'"):
        rollout("lab/Missing-v0", ScriptedPolicy("1"), samples=1)
    with pytest.raises(UserError, match="no environment 'lab_nothing:Sums-v0': No module named 'lab_nothing'"):
        rollout("lab_nothing:Sums-v0", ScriptedPolicy("1"), samples=1)
    with pytest.raises(UserError, match="no problem"):
        rollout(sums, ScriptedPolicy("1"), samples=1, problems=[])
    for index in (-1, 5):
        with pytest.raises(UserError, match=f"there is no problem {index}: use an index from 0 to 4"):
            rollout(sums, ScriptedPolicy("1"), samples=1, problems=[0, index])


def test_an_environment_is_closed_after_an_error() -> None:
    closed = []

    class Closes(Guess):
        def close(self) -> None:
            closed.append(self)

    for problems, count in ((None, 1), (3, 4)):
        with contextlib.suppress(UserError):
            rollout(Closes, ScriptedPolicy("1"), samples=1, problems=problems)
        assert len(closed) == count


def test_a_repeated_problem_is_played_once() -> None:
    counts: list[tuple[int, int]] = []
    episodes = rollout(
        sums, ScriptedPolicy("3"), samples=2, problems=[2, 0, 2], progress=lambda done, total: counts.append((done, total))
    )
    assert [(episode.problem_id, episode.sample) for episode in episodes] == [("p2", 0), ("p2", 1), ("p0", 0), ("p0", 1)]
    assert counts[-1] == (4, 4)


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (("", None, True, False, {}), "TypeError: float"),
        (("", 1.0, True, False, None), "TypeError"),
        (("", 1.0, True, False, {"verdict": "right"}), "AttributeError"),
        (("", 1.0, True, {}), "ValueError: not enough values"),
    ],
)
def test_a_step_of_a_wrong_form_is_a_fault(step: Any, reason: str) -> None:
    class Odd(Guess):
        def step(self, action: str) -> Any:
            return step

    (episode,) = rollout(Odd, ScriptedPolicy("1"), samples=1, problems=1)
    assert (episode.verdict.status, episode.verdict.score) == (Status.FAULT, None)
    assert episode.verdict.reason.startswith(reason)
