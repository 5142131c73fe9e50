"""Pairs of a reward model are read by number from files in the run's folder."""

import json
from pathlib import Path

import pytest

from tenfold.envs.problems import pairs as pair_sources
from tenfold.pipelines.reward import stored_pairs


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """A file of 60 pairs of 20 problems."""
    rows = [{"prompt": f"Note {n % 20} é\ud800.", "chosen": f"yes {n}", "rejected": "no"} for n in range(60)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"jsonl:{tmp_path}/pairs.jsonl"


def test_the_pairs_are_those_of_the_source(tmp_path: Path, uri: str) -> None:
    folder = stored_pairs.prepare(uri, 0.3, tmp_path)
    expected = pair_sources.split_held_out(pair_sources.load(uri), 0.3)
    for found, pairs in zip(stored_pairs.opened(folder), expected, strict=True):
        assert list(found) == pairs
        assert found[-1] == pairs[-1]
        assert found[2:5] == pairs[2:5]
    assert stored_pairs.problems(folder) == len({pair.prompt_text for pair in expected[0]})


def test_the_files_are_written_once_for_a_source_and_a_share(tmp_path: Path, uri: str) -> None:
    folder = stored_pairs.prepare(uri, 0.3, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert stored_pairs.prepare(uri, 0.3, tmp_path) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert stored_pairs.prepare(uri, 0.2, tmp_path) != folder
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "q", "chosen": "a", "rejected": "b"}\n')
    assert stored_pairs.prepare(uri, 0.3, tmp_path) != folder


@pytest.mark.parametrize("damage", ["train.jsonl", "train.npy", "pairs.json"])
def test_a_damaged_or_missing_file_is_written_again(tmp_path: Path, uri: str, damage: str) -> None:
    folder = stored_pairs.prepare(uri, 0.3, tmp_path)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    if damage == "pairs.json":  # as after a kill before the end
        (folder / damage).unlink()
        (folder / "train.jsonl").write_bytes(whole["train.jsonl"][:100])
    else:
        (folder / damage).write_bytes(whole[damage][:-9] + b"#" + whole[damage][-8:])
    assert stored_pairs.prepare(uri, 0.3, tmp_path) == folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
