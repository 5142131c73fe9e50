"""The report's pretraining: its learning rates and its shares of the tokens, as the recipe would train them."""

from pathlib import Path

import pytest

from tenfold.pipelines import recipe
from tenfold.pipelines.corpus import stream, tokens
from tenfold.pipelines.pretrain import Pretrain
from tenfold.pipelines.schedule import learning_rate

REPORT = {"warmup": 0.1, "diverse_stable": 12.4, "high_quality_stable": 6.5, "decay": 4.0}
"""Tokens of each phase, in T."""
SOURCES = {
    "high/web": 3.2e9,
    "high/math": 1.5e9,
    "high/code": 1.4e9,
    "high/synthetic": 0.5e9,
    "medium/web": 6e9,
    "low/web": 5e9,
}


@pytest.fixture
def pretrain() -> Pretrain:
    (found,) = [stage for stage in recipe.load("nanbeige4-3b-base").stages if isinstance(stage, Pretrain)]
    return found


def test_every_phase_has_the_reports_share_of_the_steps(pretrain: Pretrain) -> None:
    assert [phase.name for phase in pretrain.phases] == [*REPORT]
    for leg, tokens_wanted in zip(pretrain.legs, REPORT.values(), strict=True):
        assert leg.steps * pretrain.batch_tokens == pytest.approx(tokens_wanted * 1e9, rel=0.005)


def test_the_learning_rate_is_the_reports_at_every_boundary(pretrain: Pretrain) -> None:
    last = -1
    ends = []
    for leg in pretrain.legs:
        last += leg.steps
        ends.append(learning_rate(pretrain.legs, last))
    assert ends == [4.5e-4, 4.5e-4, 4.5e-4, 1.5e-6]
    assert learning_rate(pretrain.legs, 0) == pytest.approx(4.5e-4 / pretrain.legs[0].steps)


def test_every_source_has_the_share_that_the_mixture_gives_it(pretrain: Pretrain) -> None:
    sizes = {source: int(size) for source, size in SOURCES.items()}
    planned = stream.plan(pretrain.wanted(), tokens.Sources(Path(), sizes, {}, 0, 1, "", "uint32"), {})
    for phase, parts in zip(pretrain.wanted(), planned, strict=True):
        count = sum(part.sequences for part in parts)
        assert count == phase.sequences
        shares = {part.source: part.sequences / count for part in parts}
        assert "low/web" not in shares
        if phase.name == "decay":
            expected = {"high/math": 0.35, "high/code": 0.3, "high/synthetic": 0.15, "high/web": 0.2}
            assert shares == pytest.approx(expected, rel=0.005)
        if phase.name == "high_quality_stable":
            assert shares["high/web"] == pytest.approx(3.2 / 6.6, rel=0.005)
            assert "medium/web" not in shares
