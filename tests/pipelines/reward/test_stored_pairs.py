"""Pairs of a reward model are read by number from shards in the run's folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from tenfold.envs.problems import pairs as pair_sources
from tenfold.pipelines.reward import stored_pairs
from tenfold.pipelines.trainer.data import parts, shards


@pytest.fixture(params=[10_000, 400], ids=["one part", "several parts"])
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A file of 60 pairs of 20 problems, which is prepared in one or several parts."""
    monkeypatch.setattr(parts, "BYTES", request.param)
    rows = [{"prompt": f"Note {n % 20} é\ud800.", "chosen": f"yes {n}", "rejected": "no"} for n in range(60)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"jsonl:{tmp_path}/pairs.jsonl"


def prepared(uri: str, held_out: float, run: Path) -> stored_pairs.Prepared:
    return stored_pairs.prepare(uri, held_out, run, lambda done: None)


def files(run: Path) -> dict[Path, tuple[int, bytes]]:
    """Returns the times and contents of all prepared files."""
    paths = sorted(path for path in (run / stored_pairs.FOLDER).rglob("*") if path.is_file())
    return {path.relative_to(run): (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


@pytest.mark.parametrize("options", ["", "?skip=3&limit=40&per_question=2"])
def test_the_pairs_are_those_of_the_source(tmp_path: Path, uri: str, options: str) -> None:
    uri += options
    found = prepared(uri, 0.3, tmp_path)
    expected: dict[bool, list[pair_sources.PreferencePair]] = {False: [], True: []}
    for pair in pair_sources.load(uri):
        expected[pair_sources.in_held_out(pair.prompt_text, 0.3)].append(pair)
    for paths, pairs in zip(found[:2], expected.values(), strict=True):
        stored = stored_pairs.StoredPairs(paths)
        assert list(stored) == pairs
        assert stored[-1] == pairs[-1]
        assert stored[2:5] == pairs[2:5]
    assert found.problems == len({pair.prompt_text for pair in expected[False]})


def test_the_files_are_written_once_for_a_source_and_a_share(tmp_path: Path, uri: str) -> None:
    found = prepared(uri, 0.3, tmp_path)
    before = files(tmp_path)
    assert prepared(uri, 0.3, tmp_path) == found
    assert files(tmp_path) == before
    assert prepared(uri, 0.2, tmp_path) != found
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "q", "chosen": "a", "rejected": "b"}\n')
    assert prepared(uri, 0.3, tmp_path) != found


@pytest.mark.parametrize("damage", ["changed", "removed", stored_pairs.INDEX])
def test_a_damaged_or_missing_file_is_written_again(tmp_path: Path, uri: str, damage: str) -> None:
    found = prepared(uri, 0.3, tmp_path)
    whole, shard = files(tmp_path), found.train[-1]
    if damage == "changed":
        content = shard.read_bytes()
        shard.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    else:
        (shard if damage == "removed" else shard.with_name(damage)).unlink()
    assert prepared(uri, 0.3, tmp_path) == found
    assert {path: content for path, (_, content) in files(tmp_path).items()} == {
        p: content for p, (_, content) in whole.items()
    }


def test_a_killed_preparation_keeps_its_shards(tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = prepared(uri, 0.3, tmp_path / "whole")
    true_write, written = shards.write, list[Path]()

    def killed(shard: Path, *content: Any) -> None:
        if len(written) == 3 * len(whole.train) // 2:
            raise KeyboardInterrupt
        true_write(shard, *content)
        written.append(shard)

    monkeypatch.setattr(shards, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        prepared(uri, 0.3, tmp_path / "killed")
    before = files(tmp_path / "killed")
    assert len(before) == len(written)
    monkeypatch.setattr(shards, "write", true_write)
    prepared(uri, 0.3, tmp_path / "killed")
    after = files(tmp_path / "killed")
    complete = [*before][: len(before) // 2 * 2]
    assert {path: after[path] for path in complete} == {path: before[path] for path in complete}
    assert {p: content for p, (_, content) in after.items()} == {
        p: content for p, (_, content) in files(tmp_path / "whole").items()
    }
