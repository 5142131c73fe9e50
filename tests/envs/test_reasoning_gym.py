"""The environments of reasoning-gym's generators. `test_registry.py` checks a sample of them in the default tests."""

import json
import os
import subprocess
import sys
from typing import Any

import numpy
import pytest

import tenfold
from tenfold.benchmarks import evaluate
from tenfold.core import UserError
from tenfold.envs import built_in, check
from tenfold.envs.generators.reasoning_gym_names import NAMES, SIZES
from tenfold.envs.problems import reasoning_gym as source
from tenfold.envs.problems import sources
from tenfold.policies.scripted import ScriptedPolicy

IDS_OF = """
import json, sys
from tenfold.envs.problems import sources
names, size = json.loads(sys.argv[1])
print(json.dumps([[p.id for p in sources.load(f"reasoning_gym:{name}?part=train&size={size}&seed=1")] for name in names]))
"""


def ids_in_a_process(names: list[str], size: int, hash_seed: int) -> list[list[str]]:
    """Returns the ids of problems of each generator, from a process with the given hash seed."""
    environment = os.environ | {"PYTHONHASHSEED": str(hash_seed)}
    command = [sys.executable, "-c", IDS_OF, json.dumps([names, size])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_names_are_those_of_the_package() -> None:
    from reasoning_gym.factory import DATASETS

    assert list(NAMES) == sorted(DATASETS)
    assert len(NAMES) == len(built_in.REASONING_GYM) == 106
    assert SIZES.keys() | source.IN_WORKER | {*source.COMPOSED} <= {*NAMES}


def test_listing_does_not_import_the_package() -> None:
    program = (
        "import contextlib, io, sys, tenfold.cli\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n tenfold.cli.main(['env', 'list', '--all'])\n"
        "print('reasoning_gym' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_an_environment_asks_for_the_answer_in_a_tag() -> None:
    env = tenfold.make("tenfold/RG-caesar_cipher-v0")
    prompt, _ = env.reset(options={"problem": 0})
    problem = env.unwrapped.problems[0]  # type: ignore[attr-defined]
    assert prompt.endswith("put the final answer between <answer> and </answer>.")
    assert env.step(f"So it is <answer>{problem.answer}</answer>.")[1] == 1
    for response in (prompt, "", "<answer></answer>", "<answer>NOT THIS</answer>", f"<think>{problem.answer}"):
        env.reset(options={"problem": 0})
        assert env.step(response)[1] == 0


def test_a_level_sets_the_attributes_of_the_curriculum() -> None:
    def terms(options: str) -> set[int]:
        problems = sources.load(f"reasoning_gym:chain_sum?size=40{options}")
        return {problem.meta["metadata"]["difficulty"]["num_terms"][1] for problem in problems}  # type: ignore[index]

    assert terms("&level=0") == {2}
    assert terms("&level=3") == {5}
    assert terms("&level=3&max_terms=7") == {7}
    env = tenfold.make("tenfold/RG-chain_sum-v0", problems="?level=0&size=5").unwrapped
    assert len(env.problems) == 5  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("reasoning_gym:chain_sum?level=99", r"level=99: chain_sum has the levels 0 to \d+"),
        ("reasoning_gym:acre?level=0", "level=0: acre has no levels"),
        ("reasoning_gym:chain_sum?level=high", "level: expected an integer of at least 0, got 'high'"),
        ("reasoning_gym:chain_sum?part=test", "part: expected all, train or held_out"),
        ("reasoning_gym:tower_of_hanoi?size=90&part=held_out", r"only \d+ distinct problems; lower size=90"),
        ("reasoning_gym:list_functions?size=1&no_such=1", "reasoning-gym rejects these options"),
    ],
)
def test_wrong_options_are_one_line_errors(uri: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        list(sources.load(uri))
    assert "\n" not in str(error.value)


def test_a_mixture_may_have_one_generator() -> None:
    one, listed = (sources.load(f"reasoning_gym:composite?size=3&datasets={datasets}") for datasets in ("gcd", '["gcd"]'))
    assert [problem.id for problem in one] == [problem.id for problem in listed]


@pytest.mark.parametrize("name", ["chain_sum", "isomorphic_strings"])
def test_parts_share_no_problem(name: str) -> None:
    train, held_out = (
        {problem.id for problem in tenfold.make(f"tenfold/RG-{name}-v0", problems=f"?part={part}&size=50").unwrapped.problems}  # type: ignore[attr-defined]
        for part in ("train", "held_out")
    )
    assert len(train) == len(held_out) == 50
    assert not train & held_out


def test_a_problem_is_generated_when_it_is_first_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment poses one of the first problems without the later ones, also in a benchmark with a limit."""
    from reasoning_gym.arithmetic.gcd import GCDDataset

    drawn: list[int] = []
    draw = GCDDataset.__getitem__

    def counted(dataset: GCDDataset, index: int) -> Any:
        drawn.append(index)
        return draw(dataset, index)

    monkeypatch.setattr(GCDDataset, "__getitem__", counted)
    uri = "reasoning_gym:gcd?part=held_out&size=150&seed=5"
    env = tenfold.make("tenfold/RG-gcd-v0", problems=uri)
    env.reset(options={"problem": 2})
    result = evaluate.evaluate("env:tenfold/RG-gcd-v0", ScriptedPolicy("1"), problems=uri, limit=3, samples=1)
    assert result.score.problems == 3
    assert len(drawn) < 200  # of about 1,500: one problem in ten is held out
    problems = env.unwrapped.problems  # type: ignore[attr-defined]
    first = problems[2].id
    assert len(problems) == 150
    assert (problems[2].id, problems[-1].id) == (first, problems[149].id)
    with pytest.raises(UserError, match="there is no problem 150: use an index from 0 to 149"):
        env.reset(options={"problem": 150})


@pytest.mark.parametrize("part", [slice(8, 2, -1), slice(-3, 9), slice(2, -5), slice(None, 4), slice(3, 90, 2)], ids=str)
def test_a_part_of_the_problems_is_that_of_a_list(part: slice) -> None:
    def unread() -> source.GeneratedProblems:
        return source.problems("reasoning_gym:gcd", "gcd", 10, 4, "all", None, {})

    assert [problem.id for problem in unread()[part]] == [problem.id for problem in list(unread())[part]]
    assert unread()[numpy.int64(3)].id == unread()[3].id


@pytest.mark.parametrize("name", ["gcd", "isomorphic_strings"])
def test_the_first_problems_do_not_depend_on_the_size_or_on_the_order_of_reading(name: str) -> None:
    few, many = (sources.load(f"reasoning_gym:{name}?part=held_out&size={size}&seed=4") for size in (9, 30))
    last = many[-1].id
    assert [problem.id for problem in few] == [problem.id for problem in many[:9]]
    assert [problem.id for problem in many][-1] == last


def test_problems_of_a_worker_do_not_depend_on_what_was_read_before() -> None:
    problems = sources.load("reasoning_gym:list_functions?part=train&size=30&seed=0")
    assert problems[0].id == "list_functions/c08dc0f67ed2"
    assert problems[26].id == "list_functions/b5644e35d08b"


def test_problems_do_not_depend_on_the_process() -> None:
    names = ["isomorphic_strings", "list_functions"]
    here = [[problem.id for problem in sources.load(f"reasoning_gym:{name}?part=train&size=10&seed=1")] for name in names]
    assert ids_in_a_process(names, 10, hash_seed=7) == here


@pytest.mark.slow
def test_problems_of_no_generator_depend_on_the_process() -> None:
    first, second = (ids_in_a_process([*NAMES], 20, hash_seed) for hash_seed in (1, 2))
    assert [name for name, one, other in zip(NAMES, first, second, strict=True) if one != other] == []


@pytest.mark.slow
@pytest.mark.parametrize("id", built_in.REASONING_GYM)
def test_every_environment_passes_the_checks(id: str) -> None:
    check.check(id)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_first_two_levels_have_problems(name: str) -> None:
    from reasoning_gym.factory import CURRICULA

    if name not in CURRICULA:
        pytest.skip("the generator has no levels")
    for level in (0, 1):
        if (name, level) in (
            ("knight_swap", 0),
            ("knight_swap", 1),
            ("modulo_grid", 1),
        ):  # reasoning-gym's own validation fails
            with pytest.raises(UserError, match="reasoning-gym rejects these options"):
                sources.load(f"reasoning_gym:{name}?level={level}&size=3")
        else:
            assert len(sources.load(f"reasoning_gym:{name}?level={level}&size=3")) == 3
