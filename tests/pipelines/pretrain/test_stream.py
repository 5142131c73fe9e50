"""The order of the training data: exact shares, complete passes, and independence from how rows are requested."""

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
    """Returns sources whose tokens show their source: 1000, 1001, ... in the first one, 2000, ... in the second."""
    (tmp_path / "tokens").mkdir()
    for number, (source, size) in enumerate(SIZES.items(), start=1):
        (1000 * number + numpy.arange(size)).astype("uint16").tofile(tokens.file_of(tmp_path, source))
    return tokens.Sources(tmp_path, SIZES, {}, 0, 5000, "", "uint16")


def streamed(sources: tokens.Sources, phases: list[Phase], seed: int = 0, caps: dict[str, float] | None = None) -> Stream:
    return Stream(phases, sources, stream.plan(phases, sources, caps or {}), seed)


@given(st.integers(1, 3000), st.integers(0, 2**70))
def test_a_permutation_maps_to_every_number_once(size: int, key: int) -> None:
    assert sorted(permute(numpy.arange(size), size, key)) == list(range(size))


def test_different_keys_give_different_permutations() -> None:
    first, second = (permute(numpy.arange(1000), 1000, key) for key in (1, 2))
    assert (first != second).mean() > 0.95
    assert abs(numpy.corrcoef(numpy.arange(1000), first)[0, 1]) < 0.1


def test_every_source_has_its_exact_share(sources: tokens.Sources) -> None:
    rows = streamed(sources, [Phase("only", 100, 10, {"high/math": 0.37, "*/code": 0.63})]).read(numpy.arange(100))
    used = (rows[:, 0] // 1000).tolist()
    # Two sources match "*/code", and divide its share as 400 to 1000.
    assert [used.count(number) for number in (1, 2, 3)] == [18, 37, 45]


def test_a_phase_continues_the_pass_over_a_source_of_the_previous_phase(sources: tokens.Sources) -> None:
    phases = [Phase("first", 30, 10, {"high/code": 1}), Phase("second", 10, 10, {"high/code": 1})]
    rows = streamed(sources, [*phases, Phase("third", 40, 10, {"high/code": 1})]).read(numpy.arange(80))
    starts = rows[:, 0].tolist()
    assert len(set(starts[:30])) == 30
    assert len(set(starts[:40])) == 40, "the second phase completes the first pass over the 40 sequences"
    assert len(set(starts[40:])) == 40
    assert starts[40:] != starts[:40], "the second pass has another order"


@pytest.mark.parametrize("lengths", [(10, 20), (20, 10), (5, 20), (20, 5), (10, 10)])
def test_passes_continue_when_the_sequence_length_changes(sources: tokens.Sources, lengths: tuple[int, int]) -> None:
    """Two phases use half of every source each, so every token is used once."""
    half = sum(SIZES.values()) // 2
    phases = [Phase(str(length), half // length, length, {"*": 1}) for length in lengths]
    used = streamed(sources, phases).read(numpy.arange(2 * half // max(lengths))).ravel().tolist()
    assert sorted(used) == [1000 * n + offset for n, size in enumerate(SIZES.values(), start=1) for offset in range(size)]


def test_no_token_is_repeated_before_the_pass_is_complete(sources: tokens.Sources) -> None:
    lengths = [20, 10, 5, 10, 20, 5, 10]
    phases = [Phase(str(n), 80 // length, length, {"high/code": 1}) for n, length in enumerate(lengths)]
    used = streamed(sources, phases).read(numpy.arange(28)).ravel().tolist()
    assert sorted(used[:400]) == list(range(1000, 1400)), "five phases are one pass"
    assert len(set(used[400:])) == 160
    assert set(used[400:]) != set(used[:160])


def test_a_source_used_with_one_length_has_its_exact_share(sources: tokens.Sources) -> None:
    phases = [Phase("short", 40, 10, {"high/math": 0.3, "high/code": 0.7}), Phase("long", 5, 20, {"high/code": 1})]
    planned = stream.plan(phases, sources, {})
    pieces = {part.source: (part.sequences, part.piece_tokens) for part in planned[0]}
    assert pieces == {"high/code": (28, 20), "high/math": (12, 10)}
    assert planned[1][0].first_piece == 14


def test_a_row_does_not_depend_on_the_other_requested_rows(sources: tokens.Sources) -> None:
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
    ("phase", "caps", "message"),
    [
        (Phase("p", 10, 10, {"high/*": 0.5}), {}, "p: the shares of its mixture sum to 0.5; expected 1"),
        (Phase("p", 10, 10, {"low/*": 1}), {}, r"p: no source matches 'low/\*'; use high/code, high/math, medium/code"),
        (Phase("p", 2, 500, {"high/code": 1}), {}, "high/code has 400 tokens, fewer than one sequence of 500"),
        (
            Phase("p", 100, 10, {"high/code": 1}),
            {"high/*": 2},
            "high/code: the phases need 1,000 tokens, but 400 tokens with at most 2 passes give 800",
        ),
        (
            Phase("p", 4, 250, {"high/code": 1}),
            {"*": 3},  # only the first 250 tokens are a whole sequence, so it would be used four times
            r"need 1,000 tokens, but 400 tokens \(250 in whole pieces of 250\) with at most 3 passes give 750",
        ),
    ],
)
def test_impossible_mixtures_are_refused(sources: tokens.Sources, phase: Phase, caps: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        stream.plan([phase], sources, caps)


def test_a_source_smaller_than_the_longest_context_is_refused_in_a_phase_with_a_shorter_one(sources: tokens.Sources) -> None:
    phases = [Phase("short", 10, 10, {"high/code": 1}), Phase("long", 1, 500, {"high/code, medium/code": 1})]
    message = r"short: high/code has 400 tokens, fewer than one piece of 500 tokens \(the longest context of all phases\)"
    with pytest.raises(UserError, match=message):
        stream.plan(phases, sources, {})
