"""Settings that the user gives instead of those in the recipe's file: `--set NAME=VALUE`."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

import tenfold
from tenfold import cli
from tenfold.core import UserError
from tenfold.pipelines.recipe import identity, trust
from tenfold.pipelines.recipe import recipe as recipes
from tenfold.pipelines.recipe.content import changes

TEXT = """
name: two
policy: "micro:?hidden=16&layers=1&heads=2"
cluster: one_gpu
environments:
  lab/Rows-v0: {problems: "jsonl:rows.jsonl", verifier: math}
stages:
  - &sft {kind: sft, name: sft, problems: "jsonl:rows.jsonl", steps: 1, batch_size: 2}
  - {<<: *sft, name: again.v2}
  - &grpo
    kind: grpo
    name: grpo
    environment: lab/Rows-v0
    steps: 3
    options: &options {system: A}
    verl: {actor_rollout_ref.actor.optim.betas: [0.9, 0.95]}
  - {<<: *grpo, name: other}
"""


@pytest.fixture
def recipe(lab: Path) -> Path:
    (lab / "rows.jsonl").write_text('{"question": "1 + 1 =", "answer": 2}\n{"question": "1 + 2 =", "answer": 3}\n')
    (lab / "two.yaml").write_text(TEXT)
    return lab / "two.yaml"


def test_a_value_replaces_that_of_one_stage_or_of_the_recipe(recipe: Path) -> None:
    given = {
        "grpo.learning_rate": "1e-5",
        "grpo.options.system": "B",
        "again.v2.steps": "7",
        "sft.problems": "[jsonl:rows.jsonl, jsonl:rows.jsonl]",
        "grpo.keep": "null",
        "grpo.verl.actor_rollout_ref.actor.optim.betas": "[0.8, 0.9]",
        "grpo.verl.actor_rollout_ref.actor.grad_clip": "0.5",
        "cluster.device": "cpu",
        "environments.lab/Rows-v0.verifier": "choice",
        "policy": "micro:",
        "seed": "3",
    }
    read = recipes.load(recipe, changes.parse([f"{name}={value}" for name, value in given.items()]))
    sft, again, grpo, other = (stage.model_dump() for stage in read.stages)
    assert (grpo["learning_rate"], other["learning_rate"]) == (1e-5, 1e-6)
    assert (grpo["options"], other["options"]) == ({"system": "B"}, {"system": "A"}), "the other stage shares this by an alias"
    assert grpo["verl"] == {
        "actor_rollout_ref.actor.optim.betas": [0.8, 0.9],
        "actor_rollout_ref.actor.grad_clip": 0.5,
    }
    assert (sft["steps"], again["steps"]) == (1, 7)
    assert sft["problems"] == ["jsonl:rows.jsonl"] * 2
    assert (read.policy, read.seed, read.cluster.device) == ("micro:", 3, "cpu")
    assert read.environments["lab/Rows-v0"] == {"problems": "jsonl:rows.jsonl", "verifier": "choice"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "grpa.steps=1",
            "there is no stage or setting 'grpa'; use STAGE.SETTING with one of the stages sft, again.v2, grpo, ot",
        ),
        ("grpo.step=1", "grpo.step: unknown setting 'step'; use one of kind, name, seed, policy, environment"),
        ("sedd=1", "or one of the recipe's settings name, description, seed, policy"),
        ("stages=[]", "there is no stage or setting 'stages'"),
        ("grpo=1", "grpo: this is a stage; use grpo.SETTING"),
        ("cluster.devic=cpu", "cluster.devic: unknown setting 'devic'; use one of"),
        ("policy.size=1", "policy.size: there is no setting 'size' within 'micro:"),
        ("grpo.steps=0", "steps: Input should be greater than or equal to 1, got 0"),
        ("grpo.steps", "--set: expected NAME=VALUE, got 'grpo.steps'"),
        ("grpo.steps=2024-13-45", "--set grpo.steps: '2024-13-45' is not a YAML scalar or list"),
        ("grpo.steps=[1", "--set grpo.steps: '[1' is not a YAML scalar or list; put a text in quotes"),
        ("sft.template=2020-13-45", "--set sft.template: '2020-13-45' is not a YAML scalar or list; put a text in quotes"),
        ("sft.template=" + "[" * 5000, "is not a YAML scalar or list"),
        ("again.v2.problems.²=x", "again.v2.problems.²: there is no setting '²' within"),
    ],
)
def test_a_wrong_change_is_one_line_with_the_valid_names(
    recipe: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    assert cli.main(["run", "two.yaml", "--dry-run", "--set", text]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_an_entry_that_is_no_stage_is_refused_also_beside_a_change(recipe: Path) -> None:
    recipe.write_text(TEXT + "  -\n")
    with pytest.raises(UserError, match=r"stages\.4: Input should be a valid dictionary .*, got None"):
        recipes.load(recipe, {"sft.steps": 2})


def test_a_copy_of_a_recipe_keeps_its_values_when_it_is_changed(recipe: Path) -> None:
    copy = recipes.load(recipe).model_copy(update={"seed": 5}).with_cluster(device="cpu")
    read = recipes.load(copy, {"sft.steps": 2})
    assert (read.seed, read.cluster, read.cluster.device) == (5, copy.cluster, "cpu")
    assert recipes.load(recipe).seed == 0


def test_a_change_is_recorded_and_compared_like_a_value_in_the_file(recipe: Path) -> None:
    content = yaml.safe_load(TEXT)
    recipe.write_text(yaml.safe_dump(content | {"cluster": {"device": "cpu"}, "stages": content["stages"][:1]}))
    settings: dict[str, Any] = {"sft.learning_rate": 1e-3, "sft.name": "first"}
    assert (
        cli.main(["run", "two.yaml", "--out", "out", "--quiet", "--set", "sft.learning_rate=1e-3", "--set", "sft.name=first"])
        == 0
    )
    recorded = yaml.safe_load(Path("out/recipe.yaml").read_text())
    assert recorded["stages"][0]["learning_rate"] == 1e-3
    assert tenfold.run("out/recipe.yaml", "out", quiet=True) == tenfold.run("two.yaml", "out", settings=settings, quiet=True)
    with pytest.raises(UserError, match=r"out/first was started with learning_rate=0\.001, which is now 0\.002"):
        tenfold.run("two.yaml", "out", settings=settings | {"sft.learning_rate": 2e-3}, quiet=True)


def test_a_change_by_the_user_needs_no_trust_and_the_rest_of_the_recipe_does(recipe: Path) -> None:
    needs = {"verl": {"trainer.default_hdfs_dir": "hdfs://a/b"}}
    content = yaml.safe_load(TEXT)
    content["stages"][2] |= needs
    remote = "ray://10.0.0.1:10001"
    recipe.write_text(yaml.safe_dump(content | {"cluster": {"ray_address": remote}}))
    read = recipes.load(recipe, {"other.verl.trainer.default_hdfs_dir": "hdfs://a/c", "cluster.device": "cpu"})
    assert [reason.partition("=")[0] for reason in trust.trust_reasons(read)] == [
        "grpo.verl: trainer.default_hdfs_dir",
        f"cluster.ray_address: {remote}",
    ]
    mine = recipes.load(read, {"grpo.verl.trainer.default_hdfs_dir": "hdfs://a/b", "cluster.ray_address": remote})
    assert not trust.trust_reasons(mine)


def test_a_refused_resume_names_the_options_that_were_forgotten(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["run", "two.yaml", "--out", "out", "--quiet", "--until", "again.v2", "--set", "cluster.device=cpu"]
    sft = ["--set", "sft.learning_rate=3e-3", "--set", 'sft.target_template="{answer}."']
    assert cli.main([*command, *sft, "--set", "again.v2.schedule=constant"]) == 0
    assert cli.main(command) == 2
    error = capsys.readouterr().err
    assert "out/sft was started with learning_rate=0.003, which is now 1e-05; out/again.v2 was started with schedule=" in error
    words = "--set sft.learning_rate=0.003 --set 'sft.target_template=\"{answer}.\"' --set again.v2.schedule=constant"
    assert f": add {words}, choose another --out, or remove those folders" in error
    assert cli.main([*command, *shlex.split(words)]) == 0, "the stages are resumed with these options"


@pytest.mark.parametrize("out", ["out", "../{lab}/out"])
def test_no_option_is_suggested_in_the_place_of_a_reference(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    monkeypatch.setattr(identity, "MAX_CHARACTERS", 1000)
    (recipe.parent / "out/sft").mkdir(parents=True)
    (recipe.parent / "out/sft/copied.jsonl").write_bytes((recipe.parent / "rows.jsonl").read_bytes())
    command = ["run", "two.yaml", "--quiet", "--until", "again.v2", "--set", "cluster.device=cpu"]
    reference = ["--set", "again.v2.problems=jsonl:{stage:sft}/copied.jsonl"]
    assert cli.main([*command, "--out", "out", *reference]) == 0
    assert cli.main([*command, "--out", out.format(lab=recipe.parent.name)]) == 2
    assert "which is now 'jsonl:rows.jsonl': choose another --out" in capsys.readouterr().err


@pytest.mark.parametrize("changed", [["--seed", "2"], ["--set", "sft.problems=[jsonl:rows.jsonl]"]])
def test_no_option_is_suggested_if_options_do_not_restore_the_settings(
    recipe: Path, capsys: pytest.CaptureFixture[str], changed: list[str]
) -> None:
    command = ["run", "two.yaml", "--out", "out", "--quiet", "--until", "sft", "--set", "cluster.device=cpu"]
    assert cli.main([*command, *changed]) == 0
    assert cli.main([*command, "--set", "sft.learning_rate=3e-3"]) == 2
    assert ": choose another --out, or remove" in capsys.readouterr().err
