"""A recipe that is started again, without any change, finds its stages equal."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import tenfold

SFT = {"kind": "sft", "problems": "jsonl:rows.jsonl", "steps": 1, "batch_size": 2}


@pytest.fixture(autouse=True)
def rows(lab: Path) -> None:
    (lab / "rows.jsonl").write_text("".join(json.dumps({"question": f"{n} + 1 =", "answer": n + 1}) + "\n" for n in range(4)))


def run(*stages: dict[str, Any]) -> dict[str, Any]:
    recipe = {"name": "r", "policy": "micro:?hidden=16&layers=1&heads=2", "stages": [*stages]}
    Path("r.yaml").write_text(yaml.safe_dump(recipe))
    return tenfold.run("r.yaml", "out", quiet=True)


def test_a_later_stage_may_have_the_name_of_a_verifier() -> None:
    stages = [SFT | {"name": "sft", "verifier": "math"}, SFT | {"name": "math"}]
    first = run(*stages)
    assert "verifier form" in json.loads(Path("out/sft/stage.json").read_text())["identity"]
    assert run(*stages) == first


def test_a_record_without_versions_is_resumed() -> None:
    first = run(SFT | {"name": "sft"})
    Path("out/sft/stage.json").unlink()
    settings = Path("out/sft/settings.json")
    stored = json.loads(settings.read_text())
    settings.write_text(json.dumps({name: value for name, value in stored.items() if name != "versions"}))
    assert run(SFT | {"name": "sft"}) == first
    assert json.loads(Path("out/sft/stage.json").read_text())["begun_with"]
