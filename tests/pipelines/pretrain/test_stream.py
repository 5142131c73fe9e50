"""Which tokens come when: every share to the sequence, every pass without a repetition, whoever asks and in whatever order."""

from pathlib import Path

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core import UserError
from tenfold.pipelines.corpus import tokens
from tenfold.pipelines.pretrain import stream
from tenfold.pipelines.pretrain.stream import Phase, Stream, permute

SIZES = {"high/code": 400, "high/math": 240, "medium/code": 1000}


@pytest.fixture
def sources(tmp_path: Path) -> tokens.Sources:
    """Sources whose tokens tell where they are from: 1000, 1001, ... for the first, 2000, ... for the second."""
    (tmp_path / "tokens").mkdir()
    for number, (source, size) in enumerate(SIZES.items(), start=1):
        (1000 * number + numpy.arange(size)).astype("uint16").tofile(tokens.file_of(tmp_path, source))
    return tokens.Sources(tmp_path, SIZES, {}, 0, 5000, "", "uint16")


def streamed(sources: tokens.Sources, phases: list[Phase], seed: int = 0, caps: dict[str, float] | None = None) -> Stream:
    return Stream(phases, sources, stream.plan(phases, sources, caps or {}), seed)


@given(st.integers(1, 3000), st.integers(0, 2**70))
def test_a_permutation_takes_every_number_once(size: int, key: int) -> None:
    assert sorted(permute(numpy.arange(size), size, key)) == list(range(size))


def test_another_key_is_another_permutation() -> None:
    first, second = (permute(numpy.arange(1000), 1000, key) for key in (1, 2))
    assert (first != second).mean() > 0.95
    assert abs(numpy.corrcoef(numpy.arange(1000), first)[0, 1]) < 0.1


def test_every_source_has_its_share_to_the_sequence(sources: tokens.Sources) -> None:
    rows = streamed(sources, [Phase("only", 100, 10, {"high/math": 0.37, "*/code": 0.63})]).read(numpy.arange(100))
    drawn = (rows[:, 0] // 1000).tolist()
    # the codes divide theirs as 400 to 1000
    assert [drawn.count(number) for number in (1, 2, 3)] == [18, 37, 45]


def test_a_phase_goes_on_where_the_one_before_was_and_nothing_comes_twice_before_all_came_once(sources: tokens.Sources) -> None:
    phases = [Phase("first", 30, 10, {"high/code": 1}), Phase("second", 10, 10, {"high/code": 1})]
    rows = streamed(sources, [*phases, Phase("third", 40, 10, {"high/code": 1})]).read(numpy.arange(80))
    starts = rows[:, 0].tolist()
    assert len(set(starts[:30])) == 30
    assert len(set(starts[:40])) == 40, "the first pass over the 40 sequences ends with the second phase"
    assert len(set(starts[40:])) == 40
    assert starts[40:] != starts[:40], "the second pass has an order of its own"


@pytest.mark.parametrize("lengths", [(10, 20), (20, 10), (5, 20), (20, 5), (10, 10)])
def test_passes_go_on_where_the_length_of_the_sequences_changes(sources: tokens.Sources, lengths: tuple[int, int]) -> None:
    """Two phases, each of half of every source: every token comes once."""
    half = sum(SIZES.values()) // 2
    phases = [Phase(str(length), half // length, length, {"*": 1}) for length in lengths]
    seen = streamed(sources, phases).read(numpy.arange(2 * half // max(lengths))).ravel().tolist()
    assert sorted(seen) == [1000 * n + place for n, size in enumerate(SIZES.values(), start=1) for place in range(size)]


def test_no_token_comes_again_before_all_have_come_whatever_the_lengths(sources: tokens.Sources) -> None:
    lengths = [20, 10, 5, 10, 20, 5, 10]
    phases = [Phase(str(n), 80 // length, length, {"high/code": 1}) for n, length in enumerate(lengths)]
    seen = streamed(sources, phases).read(numpy.arange(28)).ravel().tolist()
    assert sorted(seen[:400]) == list(range(1000, 1400)), "five phases are a pass"
    assert len(set(seen[400:])) == 160
    assert set(seen[400:]) != set(seen[:160])


def test_a_source_of_one_length_has_its_share_to_the_sequence_beside_one_of_two(sources: tokens.Sources) -> None:
    phases = [Phase("short", 40, 10, {"high/math": 0.3, "high/code": 0.7}), Phase("long", 5, 20, {"high/code": 1})]
    planned = stream.plan(phases, sources, {})
    assert {part.source: (part.sequences, part.piece) for part in planned[0]} == {"high/code": (28, 20), "high/math": (12, 10)}
    assert planned[1][0].before == 14


def test_a_row_is_the_same_whoever_asks_for_it(sources: tokens.Sources) -> None:
    phases = [Phase("short", 40, 10, {"*": 1}), Phase("long", 20, 20, {"high/*": 1})]
    rows = streamed(sources, phases, seed=5)
    assert len(rows) == 40
    together = rows.read(numpy.arange(40))
    for number in (0, 7, 19, 20, 39):
        alone, length = rows[number]
        assert (alone == together[number]).all()
        assert length == (10 if number < 20 else 20)
    assert (rows.read(numpy.array([39, 3, 21])) == together[[39, 3, 21]]).all()
    assert (streamed(sources, phases, seed=6).read(numpy.arange(40)) != together).any()


@pytest.mark.parametrize(
    ("phase", "caps", "said"),
    [
        (Phase("p", 10, 10, {"high/*": 0.5}), {}, "p: the shares of its mixture sum to 0.5, not to 1"),
        (Phase("p", 10, 10, {"low/*": 1}), {}, r"p: no source is like 'low/\*'; there are high/code, high/math, medium/code"),
        (Phase("p", 2, 500, {"high/code": 1}), {}, "high/code has 400 tokens, less than one sequence of 500"),
        (
            Phase("p", 100, 10, {"high/code": 1}),
            {"high/*": 2},
            "high/code: 1,000 tokens are asked for; it has 400, and with at most 2 repetitions gives 800",
        ),
    ],
)
def test_what_cannot_be_mixed_is_said(sources: tokens.Sources, phase: Phase, caps: dict[str, float], said: str) -> None:
    with pytest.raises(UserError, match=said):
        stream.plan([phase], sources, caps)
