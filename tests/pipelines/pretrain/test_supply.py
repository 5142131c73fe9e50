"""The check, before a run, that sources have the tokens that a pretraining needs."""

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import yaml

import tenfold
from tenfold import cli
from tenfold.core import UserError

PHASES = [
    {"name": "stable", "tokens": 8192, "learning_rate": 1e-3, "mixture": {"*": 1}, "context": 64},
    {"name": "decay", "tokens": 4096, "learning_rate": 1e-3, "mixture": {"web": 0.5, "synthetic": 0.5}, "context": 128},
]


def write(lab: Path, sources: list[str], select: bool = False, phases: list[dict[str, Any]] | None = None, **mix: Any) -> Path:
    stages: list[dict[str, Any]] = [{"kind": "documents", "name": "documents", "sources": sources}]
    stages.append({"kind": "clean", "name": "clean", "documents": "{stage:documents}"})
    if select:
        stages.append({"kind": "tag", "name": "tag", "documents": "{stage:clean}"})
        stages.append({"kind": "select", "name": "select", "documents": "{stage:clean}", "tags": "{stage:tag}"})
    stages.append({"kind": "mix", "name": "mix", "documents": "{stage:select}" if select else "{stage:clean}"} | mix)
    pretrain = {"kind": "pretrain", "name": "pretrain", "data": "{stage:mix}", "batch_tokens": 256, "phases": phases or PHASES}
    recipe = {"name": "supply", "policy": "micro:?hidden=16&layers=1&heads=2", "stages": [*stages, pretrain]}
    path = lab / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def rows(lab: Path, name: str, characters: int) -> str:
    (lab / name).write_text("".join(json.dumps({"text": "many words " * 20}) + "\n" for _ in range(characters // 220)))
    return f"jsonl:{lab}/{name}"


def dry_run(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = cli.main(["run", str(path), "--dry-run", "--out", "out"])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_dry_run_shows_the_tokens_and_passes_of_each_source(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = [f"{rows(lab, 'web.jsonl', 22_000)}?domain=web", f"{rows(lab, 'made.jsonl', 6_600)}?domain=synthetic"]
    status, out, _ = dry_run(write(lab, sources), capsys)
    assert status == 0
    assert (
        "pretrain: upper bound of its sources' tokens (and lower bound of the passes over them): "
        "synthetic 6,920 (0.57), web 23,067 (0.36)" in out
    )


def test_a_source_that_is_too_small_is_refused_before_the_run(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = [f"{rows(lab, 'web.jsonl', 220_000)}?domain=web", f"{rows(lab, 'made.jsonl', 440)}?domain=synthetic"]
    path = write(lab, sources)
    status, out, err = dry_run(path, capsys)
    assert (status, out) == (2, "")
    assert err.startswith(("error: pretrain: synthetic: the phases need 2,", "error: pretrain: synthetic: the phases need 1,"))
    assert " tokens, but 4" in err
    assert "with at most 4 passes give" in err
    assert err.count("\n") == 1
    with pytest.raises(UserError, match=r"synthetic: the phases need .* tokens"):
        tenfold.run(path, "out", quiet=True)
    assert not list(Path("out").glob("*/settings.json"))


def test_a_synthetic_source_of_50_million_tokens_is_too_small(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Uses a recipe with a source of 670 million declared characters and grades. The hub is not contacted."""
    recipe = yaml.safe_load((Path(tenfold.__file__).parent / "pipelines/recipes/nanbeige4-3b-base.yaml").read_text())
    recipe["stages"][0]["sources"][3] = "hf:HuggingFaceTB/cosmopedia?name=openstax&domain=synthetic&holds=670000000"
    (lab / "large.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    status, out, err = dry_run(lab / "large.yaml", capsys)
    assert (status, out) == (2, "")
    assert err.startswith("error: pretrain: high/synthetic: ")


def test_unknown_sizes_are_reported_and_not_refused(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = dry_run(write(lab, [f"{rows(lab, 'web.jsonl', 440)}?domain=web", rows(lab, "any.jsonl", 440)]), capsys)
    assert status == 0
    assert f"these sources have an unknown size before the run: jsonl:{lab}/any.jsonl (a URI can declare it" in out


def test_a_source_of_known_size_is_checked_beside_one_of_unknown_size(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = ["generate:tenfold.pipelines.corpus.planted.documents:bad?size=40&seed=1&domain=web"]
    status, _, err = dry_run(write(lab, [*sources, f"{rows(lab, 'made.jsonl', 440)}?domain=synthetic"]), capsys)
    assert status == 2
    assert "synthetic: the phases need 2,048 tokens, but 4" in err


@pytest.mark.parametrize("way", ["holds", "characters", "max_tokens"])
def test_declared_and_limited_sizes_are_used(lab: Path, capsys: pytest.CaptureFixture[str], way: str) -> None:
    web, made = (f"{rows(lab, f'{name}.jsonl', 220_000)}?domain={name}" for name in ("web", "synthetic"))
    path = (
        write(lab, [web, made], max_tokens={"synth*": 400}) if way == "max_tokens" else write(lab, [web, f"{made}&{way}=400"])
    )
    status, _, err = dry_run(path, capsys)
    assert status == 2
    assert "synthetic: the phases need 2,1" in err or "synthetic: the phases need 2,0" in err


def test_a_pattern_without_matching_source_is_refused(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pyarrow.table({"text": ["many words " * 2000] * 20})
    pyarrow.parquet.write_table(table, lab / "web.parquet")
    path = write(lab, [f"parquet:{lab}/web.parquet?domain=web"], select=True)
    status, _, err = dry_run(path, capsys)
    assert status == 2
    assert "pretrain: decay: no source matches 'synthetic'; use high/web, low/web, medium/web" in err


def test_a_grade_without_documents_is_no_source(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(lab, [f"{rows(lab, 'web.jsonl', 220_000)}?domain=web"], select=True, phases=PHASES[:1])
    for high, medium in ((0.7, 0.3), (0.9, 0.1)):  # in floats, 1 - high - medium is not 0
        recipe = yaml.safe_load(path.read_text())
        recipe["stages"][3] |= {"high": high, "medium": medium}
        path.write_text(yaml.safe_dump(recipe))
        status, out, _ = dry_run(path, capsys)
        assert status == 0
        assert "high/web " in out
        assert "low/web" not in out


def test_a_source_that_max_tokens_leaves_out(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = [f"{rows(lab, f'{name}.jsonl', 220_000)}?domain={name}" for name in ("web", "other")]
    status, out, _ = dry_run(write(lab, sources, phases=PHASES[:1], max_tokens={"other": 0}), capsys)
    assert status == 0
    assert "other 0 (0.00), web " in out


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("jsonl:none.jsonl?domain=web", "documents: there is no file none.jsonl"),
        ("jsonl:web.jsonl?domain=web&holds=nan", "holds: expected an integer of at least 0, got 'nan'"),
        ("jsonl:web.jsonl?domain=web&characters=-1", "characters: expected an integer of at least 0, got '-1'"),
    ],
)
def test_a_wrong_source_is_reported_as_such(lab: Path, capsys: pytest.CaptureFixture[str], source: str, words: str) -> None:
    rows(lab, "web.jsonl", 220_000)
    status, _, err = dry_run(write(lab, [source], phases=PHASES[:1]), capsys)
    assert status == 2
    assert words in err


def test_an_empty_file_has_an_unknown_size(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "empty.txt").touch()
    sources = [f"{rows(lab, 'web.jsonl', 220_000)}?domain=web", "text:empty.txt?domain=other"]
    status, out, _ = dry_run(write(lab, sources, phases=PHASES[:1]), capsys)
    assert status == 0
    assert "these sources have an unknown size before the run: text:empty.txt?domain=other" in out
