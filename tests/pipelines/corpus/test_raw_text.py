"""From raw text to a policy: the stages of `ablations/fgwsd` in order, on a small corpus."""

import json
from pathlib import Path
from typing import Any

import yaml

import tenfold
from tenfold.pipelines.recipe import recipe

SOURCES = [
    "problems:generate:tenfold.envs.toy.chain_sums:chain_sums_with_solutions?size=300&seed=1&worked=0.5&min_terms=2&max_terms=4",
    "python:documentation?of=stdlib&characters=80000",
    "python:code?of=stdlib&characters=80000",
    "generate:tenfold.pipelines.corpus.planted.documents:bad?size=60&seed=1",
]


def shorter(stage: dict[str, Any]) -> dict[str, Any]:
    """Returns a stage with smaller sizes."""
    if stage["kind"] == "pretrain":
        phases = [phase | {"tokens": 8192} for phase in stage["phases"]]
        return stage | {"policy": stage["policy"].replace("hidden=96&layers=3", "hidden=16&layers=1&heads=2"), "phases": phases}
    sizes = {
        "documents": {"sources": SOURCES},
        "clean": {"workers": 1},
        "tag": {"sample": 200, "workers": 1},
        "retrieve": {"workers": 1},
        "mix": {"workers": 1},
        "bench": {"limit": 3},
    }
    return stage | sizes.get(stage["kind"], {})


def test_the_stages_turn_raw_text_into_a_policy(lab: Path) -> None:
    content = recipe.load("ablations/fgwsd").model_dump(mode="json", exclude_defaults=True)
    names = ["documents", "clean", "tag", "retrieve", "select", "tokenizer", "mix", "fgwsd_1", "after_fgwsd_1"]
    content["stages"] = [shorter(stage) for stage in content["stages"] if stage["name"] in names]
    Path("recipe.yaml").write_text(yaml.safe_dump(content))
    metrics = tenfold.run("recipe.yaml", "out", quiet=True)
    assert list(metrics) == names
    assert metrics["clean"]["kept"]["documents"] < metrics["clean"]["input"]["documents"] == metrics["documents"]["documents"]
    assert metrics["fgwsd_1"]["steps"] == 8
    assert metrics["fgwsd_1"]["losses"][-1][1] < metrics["fgwsd_1"]["losses"][0][1]
    assert tenfold.load_policy("stage:out/fgwsd_1")
    record = json.loads(Path("out/clean/stage.json").read_text())
    assert record["policy"] == "", "the stage has no policy: the recipe's policy needs a tokenizer of a later stage"
