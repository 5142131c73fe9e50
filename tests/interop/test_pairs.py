"""The pairs themselves: what every door is compared with is right, and is what tenfold's own rollouts give."""

import importlib
import sys
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import interop_environments as own
import pytest
from interop_pairs import pairs, verdict

from tenfold.core import Completion, Conversation, Sampling, Status, UserError
from tenfold.envs.rollout import rollout

PAIRS = pairs()


def test_there_are_enough_pairs_of_every_kind() -> None:
    assert len(PAIRS) >= 300
    assert {pair.id for pair in PAIRS} == {*own.IDS}
    assert {pair.status for pair in PAIRS} == {*Status}
    assert min(Counter(pair.score for pair in PAIRS)[score] for score in (0, 1, None)) >= 10
    assert sum(pair.is_truncated for pair in PAIRS) >= 50
    assert sum(len(pair.turns) > 1 for pair in PAIRS) >= 30


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("id", own.IDS)
def test_the_scores_are_those_of_verify_and_of_the_environment(id: str) -> None:
    for pair in (pair for pair in PAIRS if pair.id == id):
        found = verdict(pair)
        assert (found.score, found.status) == (pair.score, pair.status), (pair.name, found)


class Replays:
    """A policy that says the turns of pairs: sample number N of a problem is its pair number N."""

    batch_size = 64

    def __init__(self, id: str):
        self.pairs = [pair for pair in PAIRS if pair.id == id]

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        said = []
        for key in keys or ():
            name, sample, turn = key.rsplit("/", 2)
            of_problem = [pair for pair in self.pairs if f"p{pair.problem}" == name]
            turns = of_problem[int(sample) % len(of_problem)].turns
            said.append([turns[int(turn)] if int(turn) < len(turns) else Completion("", "stop")])
        return said


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("id", [id for id in own.IDS if "Code" not in id])
def test_a_rollout_gives_the_same_scores(id: str) -> None:
    policy = Replays(id)
    problems = sorted({pair.problem for pair in policy.pairs})
    most = max(Counter(pair.problem for pair in policy.pairs).values())
    for problem in problems:
        expected = [pair for pair in policy.pairs if pair.problem == problem]
        episodes = rollout(id, policy, most, problems=[problem])[: len(expected)]
        for pair, episode in zip(expected, episodes, strict=True):
            assert (episode.verdict.score, episode.verdict.status) == (pair.score, pair.status), (pair.name, episode.verdict)


def test_the_page_names_the_versions_that_the_suite_runs_with() -> None:
    table = tomllib.loads(Path(__file__).with_name("neighbours.toml").read_text())
    page = (Path(__file__).parents[2] / "docs" / "guides" / "other-trainers.md").read_text()
    for neighbour in table.values():
        assert neighbour["packages"][0].partition("==")[2] in page
        assert all(Path(__file__).with_name(name).is_file() for name in neighbour["tests"])
    assert f"{len(PAIRS)} responses" in page


@pytest.mark.parametrize(
    ("door", "module", "package"), [("skyrl", "skyrl_gym", "skyrl-gym"), ("atropos", "atroposlib", "atroposlib")]
)
def test_a_door_whose_package_is_missing_says_what_to_install(
    door: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"tenfold.envs.interop.{door}", raising=False)
    with pytest.raises(UserError, match=rf"interop\.{door} needs the package {package}: pip install '{package}=="):
        importlib.import_module(f"tenfold.envs.interop.{door}")
