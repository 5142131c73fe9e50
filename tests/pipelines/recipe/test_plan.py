"""Which stages a command runs: `--only`, `--from`, `--until`."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import tenfold
from tenfold import cli

SFT = {"kind": "sft", "problems": "jsonl:rows.jsonl", "steps": 1, "batch_size": 2}


@pytest.fixture
def recipe(lab: Path) -> dict[str, Any]:
    """Three SFT stages; the last one starts from the first."""
    (lab / "rows.jsonl").write_text("".join(json.dumps({"question": f"{n} + 1 =", "answer": n + 1}) + "\n" for n in range(4)))
    stages = [SFT | {"name": "one"}, SFT | {"name": "two"}, SFT | {"name": "three", "policy": "stage:one"}]
    return {"name": "r", "policy": "micro:?hidden=16&layers=1&heads=2", "stages": stages}


@pytest.fixture
def run(recipe: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("COLUMNS", "200")

    def call(*options: str) -> tuple[int, str]:
        Path("r.yaml").write_text(yaml.safe_dump(recipe))
        status = cli.main(["run", "r.yaml", "--out", "out", *options])
        printed = capsys.readouterr()
        return status, printed.err if status else printed.out

    return call


def done() -> list[str]:
    return sorted(path.parent.name for path in Path("out").glob("*/stage.json"))


def test_only_from_and_until_select_stages(recipe: dict[str, Any], run: Any) -> None:
    status, output = run("--until", "one")
    assert (status, done()) == (0, ["one"])
    assert "2. two (sft): not selected" in output
    status, output = run("--only", "three")
    assert (status, done()) == (0, ["one", "three"])
    assert "1. one (sft): done" in output
    assert run("--from", "two", "--until", "three")[0] == 0
    assert done() == ["one", "three", "two"]
    metrics = tenfold.run("r.yaml", "again", only=["one"], quiet=True)
    assert [*metrics] == ["one"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--only", "four"), "--only: there is no stage 'four'; use one of one, two, three"),
        (("--until", ""), "--until: there is no stage ''; use one of one, two, three"),
        (("--only", "one", "--from", "two"), "--only cannot be combined with --from and --until"),
        (("--from", "two", "--until", "one"), "--from two comes after --until one in the recipe; no stage is left"),
        (("--from", "two"), "--from two: the stage one before it is not finished; use --from one"),
        (("--only", "two,three"), "three reads from the stage one, which is not finished: run that stage too"),
    ],
)
def test_a_wrong_selection_is_one_line(run: Any, options: tuple[str, ...], words: str) -> None:
    for more in ((), ("--dry-run",)):
        status, error = run(*options, *more)
        assert status == 2
        assert words in error
        assert error.count("\n") == 1
        assert not Path("out").exists() or not [*Path("out").iterdir()]


def test_a_dry_run_shows_the_selected_stages(run: Any) -> None:
    status, output = run("--until", "two", "--dry-run")
    assert status == 0
    assert "3. three (sft): not selected" in output
    rows = [line.split("│")[1].strip() for line in output.splitlines() if line.startswith("│")]
    assert rows == ["one", "two", "total"] * 2


def test_a_dry_run_estimates_the_stages_that_a_run_would_start(recipe: dict[str, Any], run: Any) -> None:
    recipe["stages"][1]["schedule"] = "constant"
    run("--until", "two")
    recipe["stages"][1]["steps"] = 3
    status, output = run("--dry-run")
    assert status == 0
    assert "1. one (sft): done" in output
    assert "2. two (sft): continues after step 1" in output
    rows = [line.split("│")[1].strip() for line in output.splitlines() if line.startswith("│")]
    assert rows == ["two", "three", "total"] * 2, "tokens, then memory and disk space"


def test_stale_stages_are_named_and_kept(recipe: dict[str, Any], run: Any) -> None:
    run()
    before = Path("out/three/stage.json").read_bytes()
    for path in [*Path("out/one").rglob("*")]:
        if path.is_file():
            path.unlink()
    recipe["stages"][0]["learning_rate"] = 2e-5
    status, error = run()
    assert status == 2
    assert "out/three was started with other settings of the stage one" in error
    status, output = run("--only", "one")
    assert status == 0
    line = "three is stale, so its results are not shown: it was started with other settings of the stage one; to run it again,"
    assert output.count(line) == 2, "before and after the run"
    assert "3. three (sft): stale" in output
    assert "│ three" not in output
    assert Path("out/three/stage.json").read_bytes() == before
    status, error = run("--only", "three")
    assert status == 2
    assert "out/three was started with file policy/model.safetensors=" in error
    recipe["stages"][0]["learning_rate"] = 3e-5
    status, error = run("--only", "two")
    assert status == 2
    assert "out/one was started with learning_rate=2e-05, which is now 3e-05" in error
