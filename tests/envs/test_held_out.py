from pathlib import Path

import pytest

import tenfold
from tenfold.core import UserError
from tenfold.envs import built_in, registry
from tenfold.envs.held_out import held_out_arguments

TRAIN = "reasoning_gym:chain_sum?part=train&size=5&min_terms=2"
TEST = "reasoning_gym:chain_sum?part=held_out&size=5&min_terms=2"


@pytest.mark.usefixtures("lab")
def test_held_out_problems_come_from_the_options_the_registration_or_the_generator() -> None:
    tenfold.register("lab/Files-v0", problems="jsonl:train.jsonl", held_out="jsonl:test.jsonl")
    tenfold.register("lab/Generated-v0", problems=TRAIN)
    tenfold.register("lab/Plain-v0", problems="reasoning_gym:chain_sum?size=5")
    assert held_out_arguments("lab/Files-v0") == ({"problems": "jsonl:test.jsonl"}, True)
    assert held_out_arguments("lab/Files-v0", {"problems": "champ:"}) == ({"problems": "champ:"}, True)
    assert held_out_arguments("lab/Generated-v0", {"template": "{prompt}?"}) == (
        {"template": "{prompt}?", "problems": TEST},
        True,
    )
    assert held_out_arguments("lab/Plain-v0") == ({}, False)
    assert not hasattr(tenfold.make("lab/Generated-v0").unwrapped, "held_out")


@pytest.mark.usefixtures("lab")
def test_wrappers_and_mixtures_use_the_held_out_problems_of_their_environments() -> None:
    tenfold.register("lab/Generated-v0", problems=TRAIN)
    tenfold.register("lab/Plain-v0", problems="reasoning_gym:chain_sum?size=5")
    for inner, found in (("lab/Generated-v0", ({"problems": TEST}, True)), ("lab/Plain-v0", ({}, False))):
        tenfold.register("lab/Python-v0", entry_point="tenfold.envs.tools:with_python", environment=inner)
        assert held_out_arguments("lab/Python-v0") == found
    parts = ["lab/Generated-v0", {"id": "lab/Generated-v0", "template": "{prompt}?"}]
    tenfold.register("lab/Both-v0", entry_point="tenfold.envs.mixture:Mixture", environments=parts)
    arguments, found_all = held_out_arguments("lab/Both-v0")
    assert found_all
    assert [part["problems"] for part in arguments["environments"]] == [TEST, TEST]
    environment = tenfold.make("lab/Both-v0", **arguments)
    assert len(environment.unwrapped.problems) == 10  # type: ignore[attr-defined]
    tenfold.register("lab/Both-v0", entry_point="tenfold.envs.mixture:Mixture", environments=[*parts, "lab/Plain-v0"])
    assert held_out_arguments("lab/Both-v0") == ({}, False)
    tenfold.register("lab/Forests-v0", entry_point="lab:Worlds", environments=[{"name": "forest"}, 5])
    assert held_out_arguments("lab/Forests-v0") == ({}, False), "an argument of this name need not be a list of environments"


@pytest.mark.usefixtures("lab")
def test_a_registration_replaces_its_held_out_problems_and_cannot_hold_out_its_training_problems() -> None:
    tenfold.register("lab/Files-v0", problems="jsonl:train.jsonl", held_out="jsonl:test.jsonl")
    tenfold.register("lab/Files-v0", problems="jsonl:train.jsonl")
    assert registry.held_out_of("lab/Files-v0") is None
    with pytest.raises(UserError, match="held_out= names the training problems"):
        tenfold.register("lab/Files-v0", problems="jsonl:train.jsonl", held_out="jsonl:train.jsonl")


def test_held_out_problems_may_be_objects(lab: Path) -> None:
    problems = [tenfold.Problem("0", ({"role": "user", "content": "1 + 1"},), 2, "lab")]
    tenfold.register("lab/Objects-v0", problems="champ:", held_out=problems)
    result = tenfold.evaluate("env:lab/Objects-v0", tenfold.load_policy("scripted:2"), samples=1, folder=lab / "b")
    assert (result.score.mean, result.settings["problems"]) == (1, None)


@pytest.mark.parametrize(
    "id", [*built_in.GAMES, "tenfold/Strings-v0", "tenfold/SQL-v0", "tenfold/BasicArithmetic-v0", "tenfold/RG-coin_flip-v0"]
)
def test_built_in_environments_can_be_made_with_their_held_out_problems(id: str) -> None:
    arguments, found = held_out_arguments(id)
    environment = tenfold.make(id, **arguments)
    assert found
    assert len(environment.unwrapped.problems) >= 20  # type: ignore[attr-defined]


def test_changes_of_a_part_s_problems_give_its_held_out_problems() -> None:
    part = {"id": "tenfold/ChainSum-v0", "problems": "?size=10"}
    tenfold.register("lab/Parts-v0", entry_point="tenfold.envs.mixture:Mixture", environments=[part])
    arguments, found = held_out_arguments("lab/Parts-v0")
    assert found
    assert "part=held_out" in arguments["environments"][0]["problems"]
