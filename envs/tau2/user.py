"""The simulated user: a policy that receives tau2-bench's own instructions and the scenario of a task."""

import contextlib
import functools
import threading
from collections.abc import Sequence

from ...core import Completion, Message, Policy, Sampling, SamplingIncomplete, UserError
from ...policies import load_policy
from ...policies.chat import tools
from ...policies.transcript import TokenPolicy
from ...verifiers.calls.call import DeclaredFunctions, Malformed
from . import said
from .said import Said

ATTEMPTS = 4
"""Number of samples until a message is neither empty nor unreadable. tau2-bench tries as often."""


class NoMessage(Exception):
    """The user's policy gave no message. This is a fault, and not the agent's."""


class SimulatedUser:
    """The user of one simulation after another."""

    def __init__(self, policy: str, sampling: Sampling):
        """Stores the settings. The policy is loaded when the user first speaks.

        Args:
            policy: URI of the policy.
            sampling: how it samples, with the base seed.
        """
        self.policy, self.sampling = policy, sampling
        self._said: dict[str, tuple[list[Message], Said]] = {}
        """The conversation and the message that it got, by the key of the message."""
        self.begin("")

    def begin(self, key: str) -> None:
        """Begins a simulation.

        A simulation with the key of the one before is a replay of it, for example after a fault. The policy is not asked again
        for messages whose conversation is the same, because a server may give others.

        Args:
            key: part of the seeds of all messages.
        """
        if not key or not all(known.startswith(f"{key}/") for known in self._said):
            self._said.clear()
        self._key, self._count = key, 0
        self.messages: list[Message] = []

    def hear(self, messages: Sequence[Message], declared: Sequence[dict[str, object]]) -> Said:
        """Returns the user's next message.

        Args:
            messages: what is new in the conversation, from the user's side.
            declared: declarations of the functions that the user may call.

        Raises:
            UserError: the policy cannot be loaded, or its server rejects the key or a setting.
            NoMessage: see the class.
        """
        self.messages += messages
        self._count += 1
        key, conversation = f"{self._key}/user{self._count}", tools.joined(declared, self.messages)
        before, message = self._said.get(key, ([], None))
        if message is None or before != conversation:
            message = self._sampled(key, conversation, properties(declared))
            self._said[key] = conversation, message
        return message

    def _sampled(self, key: str, conversation: list[Message], declared: DeclaredFunctions) -> Said:
        """Returns a message that the policy gives. Raises as `hear` does."""
        reason = ""
        for attempt in range(ATTEMPTS):
            found = self._completion(f"{key}/{attempt}" if attempt else key, conversation)
            if found.finish_reason in ("refused", "fault"):
                raise NoMessage(f"the user's policy gave no response: {found.error or found.finish_reason}")
            try:
                if not (message := said.read(found.text, declared)).is_empty:
                    return message
                reason = "it is empty"
            except Malformed as error:
                reason = f"its call cannot be read: {error}"
        raise NoMessage(f"the user's policy gave {ATTEMPTS} times no message: {reason}")

    def _completion(self, key: str, conversation: list[Message]) -> Completion:
        policy = _policy(self.policy)
        try:
            with _ONE_AT_A_TIME if isinstance(policy, TokenPolicy) else contextlib.nullcontext():
                return policy.generate([conversation], 1, self.sampling, [key])[0][0]
        except UserError as error:
            cause = error.__cause__ if isinstance(error, SamplingIncomplete) else error
            if isinstance(cause, UserError | KeyboardInterrupt):  # otherwise the server may answer later
                raise cause from None
            raise NoMessage(f"the user's policy gave no response: {error}") from error
        except Exception as error:  # of any type, as for a judge: it must not count against the agent
            raise NoMessage(f"the user's policy gave no response: {error}") from error


def properties(declared: Sequence[dict[str, object]]) -> DeclaredFunctions:
    """Returns the properties of the parameters of declared functions, by name."""
    functions = [each["function"] for each in declared]
    return {each["name"]: each["parameters"]["properties"] for each in functions}  # type: ignore[index]


_LOADING = threading.Lock()
_ONE_AT_A_TIME = threading.Lock()
"""For checkpoints, which answer one request after another."""


def _policy(uri: str) -> Policy:
    with _LOADING:  # otherwise two threads would load it twice
        return _loaded(uri)


@functools.lru_cache(maxsize=1)
def _loaded(uri: str) -> Policy:
    return load_policy(uri)
