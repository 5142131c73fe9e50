"""Episodes and verdicts on several hosts: equal results, hosts that die, machines on which an environment fails."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from tenfold.core import Episode, Problem, Status, UserError, Verdict
from tenfold.envs.text import Text, TextEnv
from tenfold.policies.play.hosted import Episodes, HostedEnvironment, HostedVerifier, Verdicts
from tenfold.policies.play.hosts import ATTEMPTS, HostDied, Hosts
from tenfold.policies.rollout import play
from tenfold.policies.scripted import ScriptedPolicy
from tenfold.verifiers.verifier import as_verifier

PROBLEMS = [Problem(f"p{n}", ({"role": "user", "content": f"{n} + 1 ="},), str(n + 1), "here") for n in range(12)]
BROKEN: set[int] = set()
"""Machines on which `Fragile` raises; -1 is this process."""


class Local:
    """A host in this process. `deaths` has the methods in whose next calls it dies."""

    def __init__(self, machine: int, made: Any, deaths: list[str]):
        self.machine, self.made, self.deaths, self.calls, self.dead = machine, made, deaths, list[str](), False

    def call(self, method: str, *arguments: Any) -> Any:
        if self.deaths and self.deaths[0] == method:
            self.deaths.pop(0)
            self.dead = True
        if self.dead:
            raise HostDied(f"machine {self.machine} is gone")
        self.calls.append(method)
        for environment in getattr(self.made, "environments", {}).values():
            environment.unwrapped.machine = self.machine
        return getattr(self.made, method)(*arguments)

    def close(self) -> None:
        self.calls.append("close host")


class Machines:
    """Starts hosts on machines that have the given limits."""

    def __init__(self, *limits: int, deaths: dict[int, list[str]] | None = None):
        self.limits, self.deaths, self.started = limits, deaths or {}, list[Local]()

    def __call__(self, make: Callable[[], object]) -> AbstractContextManager[Hosts]:
        def start(number: int) -> Local:
            self.started.append(Local(number, make(), self.deaths.get(number, [])))
            return self.started[-1]

        @contextmanager
        def opened() -> Iterator[Hosts]:
            hosts = Hosts(start, self.limits)
            yield hosts
            hosts.close()

        return opened()

    def calls(self, method: str) -> list[int]:
        """Returns how often the method was called on each machine."""
        return [
            sum(host.calls.count(method) for host in self.started if host.machine == machine)
            for machine in range(len(self.limits))
        ]


class Guess(gymnasium.Env[str, str]):
    """The policy guesses a number in five turns."""

    def __init__(self) -> None:
        self.observation_space = self.action_space = Text()
        self.machine = -1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self.number, self.tries = 3 + (options or {}).get("problem", 0), 0
        return "Guess.", {"not sent": lambda: None}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.tries += 1
        right = action == str(self.number)
        return "lower" if int(action) > self.number else "higher", float(right), right or self.tries == 5, False, {}


class Fragile(Guess):
    """The same, but it does not work on all machines."""

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        if self.machine in BROKEN:
            raise OSError("no sandbox")
        return super().step(action)


def sums() -> TextEnv:
    return TextEnv(PROBLEMS, "math")


def count_up(conversation: Any, seed: int) -> str:
    return str(1 + sum(turn["role"] == "assistant" for turn in conversation))


def guesses(environment: Callable[[], Any] = Guess, on_nodes: Any = None) -> dict[int, list[Episode]]:
    return play(environment, ScriptedPolicy(count_up), samples=4, problems=[0, 1, 4], on_nodes=on_nodes)


def test_hosts_give_the_episodes_of_one_process(tmp_path: Path) -> None:
    machines = Machines(2, 2)
    found = play(sums, ScriptedPolicy("3"), samples=2, store=tmp_path / "hosts.jsonl", on_nodes=machines)
    assert found == play(sums, ScriptedPolicy("3"), samples=2, store=tmp_path / "here.jsonl")
    stored = [sorted((tmp_path / name).read_text().splitlines()) for name in ("hosts.jsonl", "here.jsonl")]
    assert stored[0] == stored[1], "the store does not depend on where episodes are played"
    assert machines.calls("step") == [12, 12]
    assert machines.calls("close host") == [1, 1]
    started = len(machines.started)
    assert found == play(sums, ScriptedPolicy("3"), samples=2, store=tmp_path / "hosts.jsonl", on_nodes=machines)
    assert len(machines.started) == started, "no host is started if all episodes are stored"


def test_a_machine_gets_episodes_in_proportion_to_its_limit() -> None:
    machines = Machines(1, 3)
    play(sums, ScriptedPolicy("3"), samples=1, on_nodes=machines)
    assert machines.calls("step") == [3, 9]


@pytest.mark.parametrize("method", ["reset", "step"])
def test_episodes_of_a_dead_host_are_replayed(method: str) -> None:
    machines = Machines(4, 4, deaths={0: [method]})
    assert guesses(on_nodes=machines) == guesses()
    assert [host.machine for host in machines.started][:2] == [0, 1]


def test_a_machine_whose_hosts_do_not_start_is_left_out() -> None:
    machines = Machines(4, 4, deaths={0: ["reset"] * ATTEMPTS})
    assert guesses(on_nodes=machines) == guesses()
    assert machines.calls("step")[0] == 0


def test_an_episode_whose_hosts_die_again_and_again_is_a_fault() -> None:
    machines = Machines(1, 1, deaths={number: ["step"] * 4 for number in range(2)})
    ((episode,),) = play(Guess, ScriptedPolicy(count_up), samples=1, problems=1, on_nodes=machines).values()
    assert (episode.verdict.status, episode.verdict.score) == (Status.FAULT, None)
    assert "is gone" in episode.verdict.reason


def test_without_a_working_machine_the_error_says_what_to_do() -> None:
    machines = Machines(1, 1, deaths={number: ["reset"] * ATTEMPTS for number in range(2)})
    with pytest.raises(UserError, match=r"died 3 times on each node: .*tenfold doctor --cluster"):
        play(Guess, ScriptedPolicy(count_up), samples=4, problems=3, on_nodes=machines)


def test_an_episode_that_fails_on_one_machine_is_played_on_another() -> None:
    BROKEN.add(0)
    try:
        machines = Machines(4, 4)
        assert guesses(Fragile, machines) == guesses(Guess)
        BROKEN.update({1, -1})
        assert guesses(Fragile, Machines(4, 4)) == guesses(Fragile), "the fault has the same reason as in this process"
    finally:
        BROKEN.clear()


def test_an_error_of_the_user_ends_the_rollout() -> None:
    class Rejects(Guess):
        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
            raise UserError("no such level")

    with pytest.raises(UserError, match="no such level"):
        guesses(Rejects, Machines(1, 1))


def test_a_verdict_with_a_fault_is_computed_on_another_host() -> None:
    started: list[int] = []

    def broken_once() -> Verdicts:
        started.append(len(started))
        number = started[-1]

        def verify(problem: Problem, response: str) -> Verdict:
            fault = Verdict(Status.FAULT, None, "mine", "no sandbox")
            return Verdict(Status.SCORED, 1.0, "mine", "") if number else fault

        return Verdicts(as_verifier(verify))

    with Machines(1, 1)(broken_once) as hosts:
        assert [HostedVerifier(hosts)(PROBLEMS[0], "1").score for _ in range(4)] == [1.0] * 4


def test_a_verdict_whose_hosts_die_again_and_again_is_a_fault() -> None:
    with Machines(1, 1, deaths={0: ["verdict"] * 2, 1: ["verdict"]})(lambda: Verdicts("math")) as hosts:
        verify = HostedVerifier(hosts)
        first, second = verify(PROBLEMS[0], "1"), verify(PROBLEMS[0], "1")
    assert (first.status, first.score) == (Status.FAULT, None)
    assert second.score == 1.0


def test_an_episode_whose_process_was_replaced_is_replayed_without_a_fault() -> None:
    """Another episode has started a new process at the place of the one that died."""
    machines = Machines(2)
    with machines(partial(Episodes, Guess)) as hosts:
        environment = HostedEnvironment(hosts)
        environment.reset(options={"problem": 1})
        assert environment.step("1")[0] == "higher"
        machines.started[0].made.environments.clear()
        assert environment.step("4")[1:3] == (1.0, True)
    assert len(machines.started) == 1, "the new process has not died"


def test_episodes_that_begin_at_once_make_their_environments_one_after_the_other() -> None:
    """The first environment reads the problems for all; two at once would read them twice."""
    making, together = threading.Lock(), []

    def create() -> Guess:
        together.append(making.acquire(blocking=False))
        time.sleep(0)  # lets other threads run
        making.release()
        return Guess()

    episodes = Episodes(create)
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda key: episodes.reset(key, None, None), map(str, range(16))))
    assert together == [True] * 16
