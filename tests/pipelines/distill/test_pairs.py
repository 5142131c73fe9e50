"""Pairs of a distill stage are read by number from shards in the run's folder."""

import json
from pathlib import Path
from typing import Any

import numpy
import pytest

from tenfold.core import UserError
from tenfold.pipelines.distill import pairs
from tenfold.pipelines.trainer import tokenized


def rows(count: int) -> list[dict[str, Any]]:
    """Returns pairs as a sample_pairs stage writes them. Every tenth has a long response."""

    def tokens(number: int, prompt: int) -> dict[str, list[int]]:
        length = 1 + number % 4 + 50 * (number % 10 == 9)
        return {"ids": [70_000 + number] * prompt + [number] * length, "mask": [0] * prompt + [1] * length}

    return [{"id": f"p{n // 2}", "chosen_tokens": tokens(n, 3), "rejected_tokens": tokens(n + 1, 2)} for n in range(count)]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of 40 pairs; a shard has 4."""
    monkeypatch.setattr(tokenized, "PART", 8)
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(40)))
    return tmp_path / "pairs.jsonl"


def test_the_pairs_are_those_of_the_file(tmp_path: Path, path: Path) -> None:
    train, held_out, left_out = pairs.opened(pairs.prepare(path, 20, 0.4, tmp_path))
    assert left_out == sum(max(len(side["ids"]) for side in pairs.sides(row)) > 20 for row in rows(40)) == 8  # type: ignore[arg-type]
    kept = [row for row in rows(40) if max(len(row[side]["ids"]) for side in ("chosen_tokens", "rejected_tokens")) <= 20]
    expected = [{side: row[side] for side in ("chosen_tokens", "rejected_tokens")} for row in kept]
    found = [*train, *held_out]
    assert len(train) > 4
    assert len(held_out) > 4
    assert sorted(map(json.dumps, found)) == sorted(map(json.dumps, expected))
    assert train.written().tolist() == [[sum(side["mask"]) for side in pairs.sides(pair)] for pair in train]
    assert max(train.largest(), held_out.largest()) == max(max(side["ids"]) for pair in found for side in pairs.sides(pair))
    order = numpy.random.default_rng(3).permutation(len(train))
    assert list(train.shuffled(3)) == [train[int(number)] for number in order]
    assert train.shuffled(3)[1:3] == [train[int(number)] for number in order[1:3]]


def test_all_pairs_of_a_problem_are_for_training_or_for_measurement(tmp_path: Path, path: Path) -> None:
    train, held_out, _ = pairs.opened(pairs.prepare(path, 100, 0.4, tmp_path))
    problems = [{pair["chosen_tokens"]["ids"][-1] // 2 for pair in part} for part in (train, held_out)]
    assert problems[0].isdisjoint(problems[1])


@pytest.mark.parametrize("damage", ["cut", "removed", "killed"])
def test_damaged_shards_are_written_again(tmp_path: Path, path: Path, damage: str) -> None:
    folder = pairs.prepare(path, 20, 0.4, tmp_path)
    whole = {file.name: file.read_bytes() for file in folder.iterdir()}
    shard = folder / "train-000001.safetensors"
    if damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-3])
    else:
        (shard if damage == "removed" else folder / pairs.INDEX).unlink()
    assert pairs.prepare(path, 20, 0.4, tmp_path) == folder
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == whole


def test_other_settings_have_other_shards(tmp_path: Path, path: Path) -> None:
    folders = {pairs.prepare(path, *settings, tmp_path) for settings in ((20, 0.4), (21, 0.4), (20, 0.3))}
    path.write_text(path.read_text()[: path.read_text().rindex("\n", 0, -1) + 1])
    assert len(folders | {pairs.prepare(path, 20, 0.4, tmp_path)}) == 4


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pairs.jsonl: No such file or directory; name the folder of a sample_pairs stage"):
        pairs.prepare(tmp_path / "pairs.jsonl", 20, 0.4, tmp_path)
    (tmp_path / "pairs.jsonl").write_text('{"chosen_tokens": {"ids": 3}}\n')
    with pytest.raises(UserError, match="run its sample_pairs stage again"):
        pairs.prepare(tmp_path / "pairs.jsonl", 20, 0.4, tmp_path)
