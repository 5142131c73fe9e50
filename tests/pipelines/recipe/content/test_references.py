"""References to the folders of a recipe's own stages."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import tenfold
from tenfold.benchmarks import environment_name
from tenfold.core import UserError
from tenfold.pipelines.recipe.content import references

ENVIRONMENTS = {
    "lab/All-v0": {"entry_point": "m:Mixture", "environments": ["lab/Code-v0", "lab/Other-v0"]},
    "lab/Code-v0": {"problems": "jsonl:{stage:tests}/problems.jsonl"},
    "lab/Other-v0": {"problems": "jsonl:rows.jsonl"},
}


def test_references_at_any_depth_are_replaced_by_the_stages_folder() -> None:
    settings = {"a": "{stage:one}/x", "b": ["stage:{stage:two}", 3, None], "c": {"d": "plain {prompt}"}}
    run = Path("/runs/r")
    assert references.with_folders(settings, run) == {
        "a": "/runs/r/one/x",
        "b": ["stage:/runs/r/two", 3, None],
        "c": {"d": "plain {prompt}"},
    }


def test_references_are_found_directly_and_through_environments() -> None:
    assert references.stages_named_in({"policy": "{stage:sft}"}, {}) == {"sft"}
    assert references.stages_named_in({"environment": "lab/All-v0", "steps": 3}, ENVIRONMENTS) == {"tests"}
    assert references.stages_named_in({"environment": "lab/Other-v0"}, ENVIRONMENTS) == set()


@pytest.mark.parametrize(
    "name", ["env:lab/Code-v0", "env:lab/Code-v0_avg8", "env:lab/Code-v0_avg@8?system=x", "env:lab/All-v0_avg_at_8"]
)
def test_an_environment_is_found_in_each_form_of_the_name_of_a_benchmark_task(name: str) -> None:
    assert references.stages_named_in([name], ENVIRONMENTS) == {"tests"}


def test_a_reference_in_an_option_of_a_benchmark_task_is_found_and_replaced() -> None:
    name = environment_name.with_options("env:lab/X-v0", {"reward_model": "stage:{stage:rm}", "level": 2})
    assert references.stages_named_in([name], {}) == {"rm"}
    replaced = references.with_folders(name, Path("/runs/a+b & c=1"))
    assert environment_name.parse(replaced) == ("lab/X-v0", {"reward_model": "stage:/runs/a+b & c=1/rm", "level": 2})


def test_a_later_stage_cannot_be_named(lab: Path) -> None:
    stages: list[dict[str, Any]] = [
        {"kind": "filter", "name": "filter", "environment": "lab/Code-v0"},
        {"kind": "synthesize", "name": "tests", "problems": "human_eval:"},
    ]
    recipe = {"name": "r", "policy": "micro:", "environments": ENVIRONMENTS, "stages": stages}
    (lab / "r.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(
        UserError, match=r"filter names \{stage:tests\}, but no earlier stage has that name; earlier stages: none"
    ):
        tenfold.run("r.yaml", "out", quiet=True)


@pytest.mark.usefixtures("sandboxed")
def test_a_filter_uses_the_tests_that_an_earlier_stage_wrote(lab: Path) -> None:
    recipe = {
        "name": "r",
        "policy": "micro:?hidden=16&layers=1&heads=2",
        "environments": {"lab/Code-v0": ENVIRONMENTS["lab/Code-v0"] | {"verifier": "code"}},
        "stages": [
            {
                "kind": "synthesize",
                "name": "tests",
                "problems": "human_eval:?skip=2",
                "limit": 2,
                "inputs_per_round": 10,
                "min_private_tests": 2,
            },
            {"kind": "filter", "name": "filter", "environment": "lab/Code-v0", "samples": 2, "max_tokens": 2},
        ],
    }
    (lab / "r.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(UserError, match=r"filter: none of 2 problems has a pass rate between"):  # this policy writes no program
        tenfold.run("r.yaml", "out", quiet=True)
    problems = tenfold.make("lab/Code-v0", problems=f"jsonl:{lab}/out/tests/problems.jsonl").unwrapped.problems
    assert [problem.id for problem in problems] == ["HumanEval/2", "HumanEval/3"]
    assert problems[0].answer["public"] == 2
    assert len(problems[0].answer["calls"]) > 2
