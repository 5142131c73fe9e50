"""Mixtures of environments."""

from typing import Any

import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

import tenfold
from tenfold.core import Problem, UserError
from tenfold.envs.mixture import Mixture, interleaved
from tenfold.policies.rollout import rollout
from tenfold.policies.scripted import ScriptedPolicy


def problems(name: str, answers: str) -> list[Problem]:
    return [Problem(f"{name} {n}", ({"role": "user", "content": f"{name}?"},), answer, "") for n, answer in enumerate(answers)]


@pytest.fixture(scope="module")
def _parts() -> None:
    tenfold.register("mix/One-v0", problems=problems("one", "111"), verifier="math")
    tenfold.register("mix/Two-v0", problems=problems("two", "2"), verifier="math")


@pytest.fixture
def mixture(_parts: None) -> Mixture:
    return Mixture(["mix/One-v0", {"id": "mix/Two-v0", "template": "Say: {prompt}"}])


def test_a_mixture_alternates_between_its_environments(mixture: Mixture) -> None:
    episodes = rollout(lambda: mixture, ScriptedPolicy("The answer is 2."), samples=1)
    assert [episode.problem_id for episode in episodes] == [
        "mix/One-v0/one 0",
        "mix/Two-v0/two 0",
        "mix/One-v0/one 1",
        "mix/One-v0/one 2",
    ]
    assert [episode.verdict.score for episode in episodes] == [0, 1, 0, 0]
    assert episodes[1].messages[0]["content"] == "Say: two?"


@pytest.mark.usefixtures("_parts")
def test_the_problems_of_environments_with_equal_problem_ids_have_different_ids() -> None:
    for name in "AB":
        tenfold.register(f"mix/{name}-v0", problems=[{"question": f"{name}{n}?", "answer": n} for n in range(2)])
    mixture = Mixture(["mix/A-v0", "mix/B-v0", {"id": "mix/B-v0", "template": "Say: {prompt}"}])
    episodes = rollout(lambda: mixture, ScriptedPolicy("1"), samples=1)
    assert len({episode.problem_id for episode in episodes}) == len(episodes) == 6


@pytest.mark.filterwarnings("error")
def test_it_passes_the_environment_checks(mixture: Mixture) -> None:
    check_env(mixture, skip_render_check=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"environments": []}, "environments: expected a list of ids"),
        ({"environments": "mix/One-v0"}, "environments: expected a list of ids"),
        ({"environments": ["mix/One-v0", {"template": "{prompt}"}]}, "environments: expected a list of ids"),
        ({"environments": ["mix/One-v0"], "per_environment": -1}, "per_environment: expected an integer >= 1, got -1"),
        ({"environments": ["mix/One-v0"], "per_environment": "2"}, "per_environment: expected an integer >= 1, got '2'"),
    ],
)
@pytest.mark.usefixtures("_parts")
def test_an_invalid_argument_is_one_line(arguments: dict[str, Any], words: str) -> None:
    tenfold.register("mix/Invalid-v0", entry_point="tenfold.envs.mixture:Mixture", **arguments)
    with pytest.raises(UserError, match=words):
        tenfold.make("mix/Invalid-v0")


def test_each_limits_the_problems_of_each_environment(mixture: Mixture) -> None:
    assert len(Mixture(["mix/One-v0", "mix/Two-v0"], per_environment=2).problems) == 3
    with pytest.raises(UserError, match="there is no problem 4: use an index from 0 to 3"):
        mixture.reset(options={"problem": 4})


@given(sizes=st.lists(st.integers(0, 6), min_size=1, max_size=5))
def test_the_problems_take_turns(sizes: list[int]) -> None:
    expected = [(part, index) for index in range(max(sizes)) for part, size in enumerate(sizes) if index < size]
    places = interleaved(sizes)
    assert [*places] == expected
    assert [*places[1:3]] == expected[1:3]
