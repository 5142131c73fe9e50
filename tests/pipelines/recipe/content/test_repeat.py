"""Rounds: repeated parts of a recipe."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tenfold import UserError
from tenfold.pipelines.recipe import preparation
from tenfold.pipelines.recipe.recipe import Recipe, load

FILTER = {"kind": "filter", "name": "filter_{round}", "environment": "tenfold/ChainSum-v0"}
GRPO = {
    "kind": "grpo",
    "name": "grpo_{round}",
    "environment": "tenfold/ChainSum-v0",
    "keep": "filter_{round}",
    "steps": 4,
    "batch_size": 4,
    "samples": 4,
}
SFT = {"kind": "sft", "name": "sft", "problems": "reasoning_gym:chain_sum?size=9", "steps": 1}


def read(lab: Path, *stages: dict[Any, Any], **settings: Any) -> Recipe:
    (lab / "r.yaml").write_text(yaml.safe_dump({"name": "r", "policy": "micro:", "stages": [*stages]}))
    return load("r.yaml", settings)


def test_stages_are_repeated_with_the_number_of_the_round(lab: Path) -> None:
    recipe = read(lab, SFT, {"repeat": 2, "stages": [FILTER, GRPO]})
    assert [stage.name for stage in recipe.stages] == ["sft", "filter_1", "grpo_1", "filter_2", "grpo_2"]
    assert recipe.stages[4].model_dump()["keep"] == "filter_2"


def test_a_round_may_have_values_of_its_own(lab: Path) -> None:
    stage = FILTER | {"band": "{band}", "options": {"problems": "reasoning_gym:chain_sum?size=9&max_terms={terms}"}}
    recipe = read(lab, {"repeat": [{"band": [0.1, 0.9], "terms": 2}, {"band": [0.05, 0.7], "terms": 3}], "stages": [stage]})
    first, second = (stage.model_dump() for stage in recipe.stages)
    assert (first["band"], second["band"]) == ((0.1, 0.9), (0.05, 0.7))
    assert second["options"]["problems"].endswith("max_terms=3")


def test_other_braces_are_left_as_they_are(lab: Path) -> None:
    recipe = read(
        lab, SFT, {"repeat": 1, "stages": [SFT | {"name": "again", "target_template": "{answer}", "policy": "stage:sft"}]}
    )
    assert recipe.stages[1].model_dump()["target_template"] == "{answer}"


def test_settings_of_a_round_can_be_changed(lab: Path) -> None:
    recipe = read(lab, {"repeat": 2, "stages": [FILTER, GRPO]}, **{"grpo_2.steps": 9})
    assert [stage.model_dump()["steps"] for stage in recipe.stages if stage.kind == "grpo"] == [4, 9]


def test_many_rounds_are_compared_with_an_earlier_run(lab: Path) -> None:
    recipe = read(lab, {"repeat": 500, "stages": [FILTER, GRPO]})
    reader = preparation.reader_of(recipe, Path("out"))
    assert reader.needs(["grpo_500"]) == {stage.name for stage in recipe.stages}
    other = preparation.reader_of(read(lab, {"repeat": 500, "stages": [FILTER, GRPO]}, **{"grpo_1.steps": 5}), Path("out"))
    same, changed = ([each.settings_digest(name) for each in (reader, other)] for name in ("filter_1", "filter_500"))
    assert same[0] == same[1]
    assert changed[0] != changed[1], "a filter starts from the policy of the earlier rounds"


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"repeat": 0, "stages": [FILTER]}, "repeat: expected a number from 1 to 1,000, or a list of dictionaries, got 0"),
        ({"repeat": True, "stages": [FILTER]}, "repeat: expected a number"),
        ({"repeat": [1, 2], "stages": [FILTER]}, "repeat: expected a number"),
        ({"repeat": 2}, "repeat: give the stages of a round in `stages` beside it"),
        ({"repeat": 2, "stages": [FILTER], "kind": "filter"}, "repeat: unknown setting 'kind' beside it"),
        ({"repeat": 2, "stages": [FILTER], 1: 2, "kind": "filter"}, "repeat: unknown setting 1 beside it"),
        ({"repeat": 2, "stages": [SFT]}, "two stages are named 'sft'"),
    ],
)
def test_a_malformed_part_is_one_line(lab: Path, part: dict[Any, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(lab, part)
