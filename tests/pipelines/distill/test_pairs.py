"""Pairs of a distill stage are read by number from shards in the run's folder."""

import json
from pathlib import Path
from typing import Any

import numpy
import pytest

from tenfold.core import UserError
from tenfold.pipelines.distill import pairs
from tenfold.pipelines.trainer.data import parts, shards


def rows(count: int) -> list[dict[str, Any]]:
    """Returns pairs as a sample_pairs stage writes them. Every tenth has a long response."""

    def tokens(number: int, prompt: int) -> dict[str, list[int]]:
        length = 1 + number % 4 + 50 * (number % 10 == 9)
        return {"ids": [70_000 + number] * prompt + [number] * length, "mask": [0] * prompt + [1] * length}

    return [{"id": f"p{n // 2}", "chosen_tokens": tokens(n, 3), "rejected_tokens": tokens(n + 1, 2)} for n in range(count)]


def prepared(path: Path, max_tokens: int, held_out: float) -> pairs.Prepared:
    """Prepares a file of pairs in its folder."""
    return pairs.prepare(path, max_tokens, held_out, path.parent, lambda done, total: None)


def contents(found: pairs.Prepared) -> dict[Path, bytes]:
    """Returns the contents of all shards."""
    return {path: path.read_bytes() for side in found for path in side}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of 40 pairs, which is prepared in parts of a few pairs, in this process."""
    monkeypatch.setattr(parts, "BYTES", 600)
    monkeypatch.setattr(parts, "PARALLEL", 1000)
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(40)))
    return tmp_path / "pairs.jsonl"


def test_the_pairs_are_those_of_the_file(path: Path) -> None:
    train, held_out = map(pairs.Pairs, prepared(path, 20, 0.4))
    assert train.left_out() == sum(max(len(side["ids"]) for side in pairs.sides(row)) > 20 for row in rows(40)) == 8  # type: ignore[arg-type]
    kept = [row for row in rows(40) if max(len(row[side]["ids"]) for side in ("chosen_tokens", "rejected_tokens")) <= 20]
    expected = [{side: row[side] for side in ("chosen_tokens", "rejected_tokens")} for row in kept]
    found = [*train, *held_out]
    assert [pair for pair in expected if pair in list(train)] == list(train), "in the order of the file"
    assert len(train) > 4
    assert len(held_out) > 4
    assert sorted(map(json.dumps, found)) == sorted(map(json.dumps, expected))
    assert train.written().tolist() == [[sum(side["mask"]) for side in pairs.sides(pair)] for pair in train]
    assert max(train.largest(), held_out.largest()) == max(max(side["ids"]) for pair in found for side in pairs.sides(pair))
    order = numpy.random.default_rng(3).permutation(len(train))
    assert list(train.shuffled(3)) == [train[int(number)] for number in order]
    assert train.shuffled(3)[1:3] == [train[int(number)] for number in order[1:3]]


def test_a_sample_is_the_same_for_equal_pairs(path: Path) -> None:
    held_out = pairs.Pairs(prepared(path, 20, 0.4).held_out)
    sample = list(held_out.sample(3))
    assert len(sample) == 3
    assert sample == [pair for pair in held_out if pair in sample], "in the order of the file"
    assert sample != list(held_out)[:3]
    assert list(pairs.Pairs(prepared(path, 20, 0.4).held_out).sample(3)) == sample
    assert list(held_out.sample(1000)) == list(held_out)


def test_all_pairs_of_a_problem_are_for_training_or_for_measurement(path: Path) -> None:
    train, held_out = map(pairs.Pairs, prepared(path, 100, 0.4))
    problems = [{pair["chosen_tokens"]["ids"][-1] // 2 for pair in part} for part in (train, held_out)]
    assert problems[0].isdisjoint(problems[1])


@pytest.mark.parametrize("damage", ["cut", "removed"])
def test_damaged_shards_are_written_again(path: Path, damage: str) -> None:
    found = prepared(path, 20, 0.4)
    whole, shard = contents(found), found.train[1]
    before = {path: path.stat().st_mtime_ns for path in whole}
    if damage == "cut":
        shard.write_bytes(whole[shard][:-3])
    else:
        shard.unlink()
    assert prepared(path, 20, 0.4) == found
    assert contents(found) == whole
    assert {path for path in whole if path.stat().st_mtime_ns != before[path]} == {shard, found.held_out[1]}


def test_a_killed_preparation_continues_with_the_missing_parts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true_write, written, reports = shards.write, list[Path](), list[tuple[int, int]]()

    def killed(shard: Path, *content: Any) -> None:
        if len(written) == 6:
            raise KeyboardInterrupt
        true_write(shard, *content)
        written.append(shard)

    monkeypatch.setattr(shards, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        prepared(path, 20, 0.4)
    monkeypatch.setattr(shards, "write", true_write)
    times = {shard: shard.stat().st_mtime_ns for shard in written}
    found = pairs.prepare(path, 20, 0.4, path.parent, lambda done, total: reports.append((done, total)))
    assert {shard: shard.stat().st_mtime_ns for shard in written} == times
    assert len(reports) == len(found.train) - 3
    assert reports[-1] == (path.stat().st_size,) * 2
    (path.parent / "whole").mkdir()
    whole = pairs.prepare(path, 20, 0.4, path.parent / "whole", lambda done, total: None)
    assert [*contents(found).values()] == [*contents(whole).values()]


def test_several_processes_write_the_shards_of_one(tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    for least in (1000, 2):
        monkeypatch.setattr(parts, "PARALLEL", least)
        (tmp_path / str(least)).mkdir()
        found = pairs.prepare(path, 20, 0.4, tmp_path / str(least), lambda done, total: None)
        written.append([*contents(found).values()])
    assert written[0] == written[1]


def test_other_settings_have_other_shards(path: Path) -> None:
    found = {prepared(path, *settings).train[0].parent for settings in ((20, 0.4), (21, 0.4), (20, 0.3))}
    path.write_text(path.read_text()[: path.read_text().rindex("\n", 0, -1) + 1])
    assert len(found | {prepared(path, 20, 0.4).train[0].parent}) == 4


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pairs.jsonl: No such file or directory; name the folder of a sample_pairs stage"):
        prepared(tmp_path / "pairs.jsonl", 20, 0.4)
    (tmp_path / "pairs.jsonl").write_text('{"chosen_tokens": {"ids": 3}}\n')
    with pytest.raises(UserError, match="run its sample_pairs stage again"):
        prepared(tmp_path / "pairs.jsonl", 20, 0.4)
