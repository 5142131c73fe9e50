"""Fixtures of the tests of tau2-bench."""

from collections.abc import Iterator

import pytest

from .stage import Stage


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    made = Stage(monkeypatch)
    yield made
    for env in made.made:
        env.close()
