"""Processes on several machines that play episodes and compute verdicts: one host on each machine.

A host holds one object, which its process makes when it starts (`hosted.py`). The least busy host gets the next episode or
call. A host that dies is replaced. What it was working on is computed again, on another host if there is one.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ...core import UserError

ATTEMPTS = 3
"""An episode or a call fails after this number of hosts have died while working on it. A machine whose hosts have died this
many times without a finished call gets no further work. Our choice."""


class HostDied(Exception):
    """The process of a host has ended."""


class Host(Protocol):
    """The process on one machine."""

    def call(self, method: str, *arguments: Any) -> Any:
        """Calls a method of the host's object, and returns its result.

        Args:
            method: name of the method.
            arguments: its arguments.

        Raises:
            HostDied: the process has ended.
        """
        ...

    def close(self) -> None:
        """Ends the process."""
        ...


class Hosts:
    """The hosts of all machines. Can be used from any thread."""

    def __init__(self, start: Callable[[int], Host], limits: Sequence[int]):
        """Starts a host on each machine.

        Args:
            start: starts a host on the machine of a number.
            limits: number of calls that each machine computes at once.
        """
        self.start, self.limits = start, limits
        self.hosts: list[Host | None] = [start(number) for number in range(len(limits))]
        """None: the host has died, and the next call starts another."""
        self.busy = [0] * len(limits)
        """Number of episodes and calls on each machine."""
        self.deaths = [0] * len(limits)
        """Number of hosts that have died on each machine since its last finished call."""
        self.lock = threading.Lock()
        """Guards the attributes above."""

    @property
    def concurrency(self) -> int:
        """Number of calls that all machines together compute at once."""
        return sum(self.limits)

    def take(self, avoid: int | None = None) -> int:
        """Returns the number of the least busy machine, which counts as busier until `give_back`.

        Args:
            avoid: a machine that is chosen only if there is no other.

        Raises:
            UserError: the hosts of all machines have died `ATTEMPTS` times.
        """
        with self.lock:
            working = [number for number, deaths in enumerate(self.deaths) if deaths < ATTEMPTS]
            if not working:
                raise UserError(
                    f"the processes that play episodes and compute verdicts have died {ATTEMPTS} times on each node: look at "
                    "the memory of the nodes and at `tenfold doctor --cluster`, and run the same command again"
                )
            number = min(working, key=lambda number: (number == avoid, self.busy[number] / self.limits[number]))
            self.busy[number] += 1
        return number

    def give_back(self, number: int) -> None:
        """Ends what `take` has begun."""
        with self.lock:
            self.busy[number] -= 1

    def ask(self, number: int, method: str, *arguments: Any) -> Any:
        """Calls a method of one machine's host.

        Args:
            number: the machine.
            method: see `Host.call`.
            arguments: see `Host.call`.

        Raises:
            HostDied: the host has died. The next call starts another.
        """
        with self.lock:
            host = self.hosts[number] = self.hosts[number] or self.start(number)
        try:
            result = host.call(method, *arguments)
        except HostDied as error:
            with self.lock:
                if type(error) is HostDied and self.hosts[number] is host:  # else its death is already counted
                    self.hosts[number] = None
                    self.deaths[number] += 1
            raise
        self.deaths[number] = 0
        return result

    def call(self, method: str, *arguments: Any, avoid: int | None = None) -> tuple[Any, int]:
        """Calls a method of the least busy machine's host, again on another one if the host dies.

        Args:
            method: see `Host.call`.
            arguments: see `Host.call`.
            avoid: see `take`.

        Returns:
            The result, and the number of the machine.

        Raises:
            HostDied: `ATTEMPTS` hosts have died.
            UserError: see `take`.
        """
        for attempt in range(ATTEMPTS):
            number = self.take(avoid)
            try:
                return self.ask(number, method, *arguments), number
            except HostDied:
                if attempt == ATTEMPTS - 1:
                    raise
                avoid = number
            finally:
                self.give_back(number)
        raise AssertionError  # the last attempt returns or raises

    def close(self) -> None:
        """Ends all hosts."""
        for host in self.hosts:
            if host:
                host.close()


OnNodes = Callable[[Callable[[], object]], AbstractContextManager[Hosts | None]]
"""Starts a host on each node of a cluster, and ends the hosts after the block. The argument makes the object that each host
holds. If there is only one node, the context manager yields None, and this process does the work itself."""
