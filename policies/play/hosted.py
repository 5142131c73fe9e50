"""Environments and verifiers on hosts: the objects that hosts hold, and the classes with which this process calls them."""

import contextlib
import itertools
import os
import threading
from collections.abc import Callable
from typing import Any, cast

import gymnasium

from ... import faults, verifiers
from ...core import Info, Problem, Status, UserError, Verdict
from .games import Environment, Raised
from .hosts import ATTEMPTS, HostDied, Hosts

Step = tuple[str, float, bool, bool, dict[str, Any]]
Verify = Callable[[Problem, str], Verdict]
"""A verifier of this process, or a `HostedVerifier`."""
_KEYS = itertools.count()


class EpisodeLost(HostDied):
    """The process with the environment has ended, and another one is at its place."""


class Episodes:
    """The environments of a host."""

    def __init__(self, create: Callable[[], Environment]):
        """Takes the function that creates an environment."""
        self.create = create
        self.making = threading.Lock()
        """Environments are made one after the other, because the first one reads the problems for all."""
        self.environments: dict[str, Environment] = {}

    def reset(self, key: str, seed: int | None, options: dict[str, Any] | None) -> tuple[str, dict[str, Any]]:
        """Resets the environment of a key, which is created at its first reset.

        Args:
            key: the environment.
            seed: see `gymnasium.Env.reset`.
            options: see `gymnasium.Env.reset`.

        Raises:
            UserError: the environment rejects the problem.
            Raised: the environment raised another exception.
        """
        try:
            if key not in self.environments:
                with self.making:
                    self.environments[key] = self.create()
            text, info = self.environments[key].reset(seed=seed, options=options)
        except UserError:
            raise
        except Exception as error:
            raise Raised(faults.described(error)) from None
        return text, _sent(info)

    def step(self, key: str, action: str) -> Step:
        """Passes a turn of the policy to the environment of a key.

        Args:
            key: the environment.
            action: the turn.

        Raises:
            EpisodeLost: the environment was in an earlier process of this host, which has died.
            Raised: the environment raised an exception.
        """
        if key not in self.environments:
            raise EpisodeLost("the process of the episode has ended")
        try:
            text, reward, terminated, truncated, info = self.environments[key].step(action)
            return text, float(reward), terminated, truncated, _sent(info)
        except Exception as error:
            raise Raised(faults.described(error)) from None

    def close(self, key: str) -> None:
        """Closes the environment of a key."""
        if environment := self.environments.pop(key, None):
            environment.close()


def _sent(info: dict[str, Any]) -> dict[str, Any]:
    """Returns the entries of `info` that are read. Others may be objects that cannot be sent."""
    return {name: info[name] for name in Info.__annotations__ if name in info}


class HostedEnvironment(gymnasium.Env[str, str]):
    """An environment on the least busy host. If the host dies, the episode is replayed on another one.

    After a fault, the environment moves to another host, because the first machine may be the cause.
    """

    def __init__(self, hosts: Hosts):
        """Takes the hosts, which hold `Episodes`."""
        self.hosts, self.key = hosts, f"{os.getpid()}-{next(_KEYS)}"
        self.number: int | None = None
        """The machine; None until the next call."""
        self.left: int | None = None
        """The machine that the environment has left."""
        self.begin: tuple[int | None, dict[str, Any] | None] = (None, None)
        """Arguments of the last reset."""
        self.actions: list[str] = []
        """Turns since the last reset."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """See `gymnasium.Env.reset`."""
        self.begin, self.actions = (seed, options), []
        return cast(tuple[str, dict[str, Any]], self._ask("reset", seed, options))

    def step(self, action: str) -> Step:
        """See `gymnasium.Env.step`."""
        reply = cast(Step, self._ask("step", action))
        self.actions.append(action)
        verdict = reply[4].get("verdict")
        if isinstance(verdict, Verdict) and verdict.status == Status.FAULT:
            self.close()
        return reply

    def _ask(self, method: str, *arguments: Any) -> Any:
        """Calls a method of `Episodes`, on another host if the first one dies."""
        for attempt in range(ATTEMPTS):
            try:
                if self.number is None:
                    self.number = self.hosts.take(self.left)
                    if method == "step":
                        self._replay(self.number)
                return self.hosts.ask(self.number, method, self.key, *arguments)
            except HostDied:
                self._leave()
                if attempt == ATTEMPTS - 1:
                    raise
            except Raised:
                self.close()
                raise
        raise AssertionError  # the last attempt returns or raises

    def _replay(self, number: int) -> None:
        """Plays the earlier turns again, on a new host."""
        self.hosts.ask(number, "reset", self.key, *self.begin)
        for action in self.actions:
            self.hosts.ask(number, "step", self.key, action)

    def _leave(self) -> None:
        """Makes the next call choose another machine, if there is one."""
        if self.number is not None:
            self.hosts.give_back(self.number)
            self.left, self.number = self.number, None

    def close(self) -> None:
        """Closes the environment on its host."""
        if self.number is not None:
            with contextlib.suppress(Exception):  # its host has died, or an environment that has failed fails here again
                self.hosts.ask(self.number, "close", self.key)
            self._leave()


class Verdicts:
    """The verifier of a host."""

    def __init__(self, verifier: verifiers.VerifierLike):
        """Loads the verifier; see `verifiers.load`."""
        self.verifier = verifiers.load(verifier)

    def verdict(self, problem: Problem, response: str) -> Verdict:
        """Returns the verdict on a response to a problem."""
        return self.verifier(problem, response)


class HostedVerifier:
    """A verifier on all hosts. A verdict with a fault is computed again on another one."""

    def __init__(self, hosts: Hosts):
        """Takes the hosts, which hold `Verdicts`."""
        self.hosts = hosts

    def __call__(self, problem: Problem, response: str) -> Verdict:
        """Returns the verdict on a response to a problem."""
        try:
            verdict, number = self.hosts.call("verdict", problem, response)
            if verdict.status == Status.FAULT:
                verdict, _ = self.hosts.call("verdict", problem, response, avoid=number)
        except HostDied as died:
            return Verdict(Status.FAULT, None, "verifier", f"{ATTEMPTS} processes died; the last cause: {died}")
        return cast(Verdict, verdict)
