"""Environments of tau2-bench with scripted users."""

import importlib.util
from collections.abc import Sequence
from typing import Any

import pytest

from tenfold import Sampling, UserError
from tenfold.core import Completion, Conversation
from tenfold.envs.tau2 import simulation, user
from tenfold.envs.tau2.environment import Tau2
from tenfold.envs.tau2.problems import URI


def _missing() -> str:
    """Returns what must be installed for the tests; empty if all is."""
    try:
        simulation.folder()
    except UserError as missing:
        return str(missing)
    return "" if all(map(importlib.util.find_spec, simulation.IMPORTED)) else "needs the extra tau2"


NEEDS_PACKAGES = pytest.mark.skipif(bool(_missing()), reason=_missing() or "all is installed")


class Speaker:
    """A policy that says given texts in turn, then the last one again, and keeps what it is asked."""

    def __init__(self, *texts: str | Exception):
        self.texts, self.asked, self.keys = [*texts], list[Conversation](), list[str]()

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        self.asked.append(conversations[0])
        self.keys += keys or ()
        said = self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]
        if isinstance(said, Exception):
            raise said
        return [[Completion(said, "stop")]]


class Stage:
    """Environments whose users say given texts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.monkeypatch, self.made = monkeypatch, list[Tau2]()

    def __call__(self, problems: str, *said: str | Exception, **options: Any) -> tuple[Tau2, Speaker]:
        speaker = Speaker(*said)
        self.monkeypatch.setattr(user, "_policy", lambda uri: speaker)
        self.made.append(Tau2(f"{URI}?{problems}", user_policy="scripted:", **options))
        return self.made[-1], speaker


def start(env: Tau2, index: int = 0, sample: int = 0) -> dict[str, Any]:
    return env.reset(options={"problem": index, "sample": sample})[1]
