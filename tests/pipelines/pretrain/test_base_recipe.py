"""The recipe `nanbeige4-3b-base` has the report's learning rates and shares of tokens."""

from pathlib import Path

import pytest

from tenfold.pipelines.corpus import tokens
from tenfold.pipelines.pretrain import stream, supply
from tenfold.pipelines.pretrain.pretrain import Pretrain
from tenfold.pipelines.pretrain.schedule import learning_rate
from tenfold.pipelines.recipe import recipe
from tenfold.pipelines.recipe.content import references

REPORT = {"warmup": 0.1, "diverse_stable": 12.4, "high_quality_stable": 6.5, "decay": 4.0}
"""Tokens of each phase in the report, in T (10^12)."""


@pytest.fixture
def pretrain() -> Pretrain:
    (found,) = [stage for stage in recipe.load("nanbeige4-3b-base").stages if isinstance(stage, Pretrain)]
    return found


def test_every_phase_has_the_reports_share_of_the_steps(pretrain: Pretrain) -> None:
    assert [phase.name for phase in pretrain.phases] == [*REPORT]
    for segment, expected in zip(pretrain.segments, REPORT.values(), strict=True):
        assert segment.steps * pretrain.batch_tokens == pytest.approx(expected * 1e9, rel=0.005)


def test_the_learning_rate_equals_the_reports_at_every_boundary(pretrain: Pretrain) -> None:
    last = -1
    ends = []
    for segment in pretrain.segments:
        last += segment.steps
        ends.append(learning_rate(pretrain.segments, last))
    assert ends == [4.5e-4, 4.5e-4, 4.5e-4, 1.5e-6]
    assert learning_rate(pretrain.segments, 0) == pytest.approx(4.5e-4 / pretrain.segments[0].steps)


@pytest.fixture
def found(tmp_path: Path) -> supply.Supply:
    loaded = recipe.load("nanbeige4-3b-base")
    filled = recipe.Recipe.model_validate(references.with_folders(loaded.model_dump(), tmp_path))
    (found,) = supply.check(filled.stages, filled.policy, tmp_path)
    return found


def test_the_sources_have_the_reports_numbers_of_tokens(found: supply.Supply) -> None:
    """The report keeps 12.5 T tokens: 6.5 T of high quality, and 15% synthetic. The recipe has a thousandth of each."""

    def tokens_of(pattern: str) -> float:
        return sum(tokens for source, tokens in found.tokens.items() if pattern in source) / 1e9

    assert not found.unknown
    assert tokens_of("high/") == pytest.approx(6.5)
    assert tokens_of("medium/") == pytest.approx(6.0)
    assert tokens_of("/synthetic") - tokens_of("low/synthetic") == pytest.approx(0.15 * 12.5)


def test_medium_quality_is_used_once_and_high_quality_at_least_twice(found: supply.Supply) -> None:
    passes = {source: found.needed[source] / size for source, size in found.tokens.items() if found.needed[source]}
    assert {source for source in found.tokens if source.startswith(("high/", "medium/"))} == passes.keys()
    for source, number in passes.items():
        if source.startswith("medium/"):
            assert number == pytest.approx(1, abs=0.005)
        else:
            assert 2 <= number <= 4


def test_two_phases_use_all_sources_once_and_the_third_uses_high_quality_once(pretrain: Pretrain, found: supply.Supply) -> None:
    planned = pretrain.plan(tokens.Sources(Path(), found.tokens, {}, 0, 1, "", "uint32"))

    def share(phases: list[stream.Plan], source: str) -> float:
        used = sum(part.sequences * 4096 for parts in phases for part in parts if part.source == source)
        return used / found.tokens[source]

    for source in found.tokens:
        if not source.startswith("low/"):
            assert share(planned[:2], source) == pytest.approx(1, abs=0.005)
            assert share(planned[2:3], source) == pytest.approx(float(source.startswith("high/")), abs=0.005)
    decay = {part.source: part.sequences / sum(part.sequences for part in planned[3]) for part in planned[3]}
    expected = {"high/math": 0.35, "high/code": 0.3, "high/synthetic": 0.15, "high/web": 0.2}
    assert decay == pytest.approx(expected, rel=0.005)
