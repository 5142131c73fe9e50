"""A `gymnasium.Env` that knows nothing of this package: its text spaces, its problems, vectors of it, and plug-ins."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import gymnasium
import pytest

import tenfold
from tenfold import Problem, UserError, cli
from tenfold.envs.text import Text, TextEnv

PLAIN = '''
import gymnasium
from gymnasium import spaces


class Guess(gymnasium.Env):
    """A number to guess in three turns. There is a new number for each seed, and no list of problems."""

    def __init__(self, charset=None):
        self.observation_space = spaces.Text(40) if charset is None else spaces.Text(40, charset=charset)
        self.action_space = spaces.Text(2, charset="0123456789")

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.number, self.left = int(self.np_random.integers(1, 10)), 3
        return "Raten Sie größer als 0! 猜", {}

    def step(self, action):
        self.left -= 1
        is_right = action.strip() == str(self.number)
        return "right" if is_right else "wrong ❌", float(is_right), is_right or not self.left, False, {}


class Spoken(gymnasium.ObservationWrapper):
    """Puts numbers into words."""

    def __init__(self, env):
        super().__init__(env)
        self.observation_space = spaces.Text(40)

    def observation(self, number):
        return f"größer als {number}"


class Numbers(Guess):
    def __init__(self):
        super().__init__()
        self.observation_space = spaces.Discrete(10)

    def reset(self, *, seed=None, options=None):
        return 0, super().reset(seed=seed)[1]

    def step(self, action):
        return self.left, *super().step(action)[1:]


def spoken():
    return Spoken(Numbers())


class Moves(Guess):
    def __init__(self):
        super().__init__()
        self.action_space = spaces.Discrete(4)


class Pixels(Guess):
    def __init__(self):
        super().__init__()
        self.observation_space = spaces.Box(0, 1, (2, 2))


def register():
    gymnasium.register("plugin/Guess-v0", entry_point="lab_plain:Guess")
'''
GREETING = "Raten Sie größer als 0! 猜"


@pytest.fixture
def plain(lab: Path) -> Path:
    (lab / "lab_plain.py").write_text(PLAIN)
    return lab


@pytest.mark.parametrize("charset", [None, "abc", "Raten Sigöß"])
def test_spaces_with_few_characters_are_widened_with_a_notice(plain: Path, charset: str | None) -> None:
    tenfold.register("lab/Guess-v0", entry_point="lab_plain:Guess", charset=charset)
    with pytest.warns(UserWarning, match="lab/Guess-v0: observation_space and action_space did not contain all text"):
        env = tenfold.make("lab/Guess-v0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Gymnasium warns of observations outside the space
        assert env.reset(seed=0)[0] == GREETING
        assert env.step("é")[0] == "wrong ❌"


@pytest.mark.parametrize("register", [tenfold.register, gymnasium.register])
def test_an_entry_point_may_return_a_wrapper_that_converts_to_text(plain: Path, register: Callable[..., None]) -> None:
    register("lab/Spoken-v0", entry_point="lab_plain:spoken")
    with pytest.warns(UserWarning, match="lab/Spoken-v0: observation_space and action_space did not contain all text"):
        env = tenfold.make("lab/Spoken-v0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Gymnasium warns of observations outside the space
        assert env.reset(seed=0)[0] == "größer als 0"
        assert env.step("é")[0] == "größer als 3"


def test_an_environment_registered_with_gymnasium_works(plain: Path) -> None:
    gymnasium.register("lab/Bare-v0", entry_point="lab_plain:Guess")
    with pytest.warns(UserWarning, match="lab/Bare-v0: observation_space and action_space"):
        episodes = tenfold.rollout("lab/Bare-v0", tenfold.load_policy("scripted:5"), samples=1, problems=40)
    assert 0 < sum(episode.verdict.score or 0 for episode in episodes) < 40  # the number follows from the seed
    assert all(episode.messages[0]["content"] == GREETING for episode in episodes)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "Moves",
            r"lab/Other-v0: its actions are not text but Discrete\(4\); use tenfold.envs.text.Text\(\) as its action_space",
        ),
        ("Pixels", "lab/Other-v0: its observations are not text but Box.*convert in reset"),
    ],
)
def test_other_spaces_are_one_line_with_the_cure(plain: Path, name: str, message: str) -> None:
    tenfold.register("lab/Other-v0", entry_point=f"lab_plain:{name}")
    with pytest.raises(UserError, match=message):
        tenfold.make("lab/Other-v0")


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.filterwarnings("ignore:.*did not contain all text")
def test_vectors_of_environments(plain: Path, mode: str) -> None:
    tenfold.register("lab/Guess-v0", entry_point="lab_plain:Guess")
    vector = gymnasium.make_vec("lab/Guess-v0", num_envs=2, vectorization_mode=mode)
    try:
        assert vector.reset(seed=1)[0] == (GREETING, GREETING)
        assert vector.step(("x", "é"))[0] == ("wrong ❌", "wrong ❌")
    finally:
        vector.close()


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_vectors_of_text_environments(mode: str) -> None:
    vector = gymnasium.make_vec("tenfold/ChainSum-v0", num_envs=2, vectorization_mode=mode)
    try:
        first, _ = vector.reset(seed=[0, 1])
        second, _ = vector.reset(seed=[1, 2])
        assert first[1] == second[0] != first[0]
        assert vector.step(("7", "ü"))[0] == ("", "")
    finally:
        vector.close()


def test_an_endless_environment_is_filtered_by_a_number_of_problems(plain: Path) -> None:
    def run(stage: dict[str, object], out: str) -> None:
        recipe = {
            "name": "endless",
            "policy": "scripted:5",
            "environments": {"lab/Guess-v0": {"entry_point": "lab_plain:Guess"}},
            "modules": ["lab_plain"],
            "stages": [stage],
        }
        (plain / "endless.yaml").write_text(json.dumps(recipe))
        tenfold.run("endless.yaml", out=out, trust=True)

    stage = {"kind": "filter", "name": "filter", "environment": "lab/Guess-v0", "problems": 20, "samples": 2, "max_tokens": 8}
    # "5" is right in all samples of a problem or in none, and right in some problems: their numbers differ
    with pytest.raises(UserError, match=r"none of 20 problems has a pass rate between 0\.1 and 0\.9 \(mean 0\.[1-9]"):
        run(stage, "run")
    del stage["problems"]
    with pytest.raises(UserError, match=r"^filter: lab/Guess-v0 does not report its number of problems: set problems="):
        run(stage, "run2")


def test_an_iterator_of_rows_loses_no_row() -> None:
    env = TextEnv(iter([{"question": f"{number} + 1?", "answer": number + 1} for number in range(3)]))  # type: ignore[arg-type]
    assert [problem.answer for problem in env.problems] == [1, 2, 3]


def test_repeated_ids_of_rows_are_numbered() -> None:
    env = TextEnv([{"id": "a", "question": f"{number} + 1?", "answer": number + 1} for number in range(2)])
    assert [env.reset(options={"problem": index})[1]["problem_id"] for index in range(2)] == ["a", "a#2"]


@pytest.mark.parametrize(
    ("problems", "index", "message"),
    [
        ([], None, "there are no problems: give the environment at least one"),
        ([{"question": "1 + 1?", "answer": "2"}], "0", "options: problem: expected an index, got '0'"),
        ([{"question": "1 + 1?", "answer": "2"}], 1, "there is no problem 1: use an index from 0 to 0"),
    ],
)
def test_a_problem_that_does_not_exist_is_one_line(problems: list[dict[str, object]], index: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TextEnv(problems).reset(options={"problem": index})


def test_a_short_space_has_short_samples() -> None:
    space = Text(max_length=5, seed=0)
    assert all(space.sample() in space for _ in range(20))


def test_problems_may_be_rows() -> None:
    rows = [{"question": "1 + 1?", "answer": "2"}, Problem("two", ({"role": "user", "content": "2 + 2?"},), "4", "lab")]
    tenfold.register("lab/Rows-v0", problems=[*rows, {"id": "three", "question": "3 + 3?", "answer": 6}])
    env = tenfold.make("lab/Rows-v0")
    for index, (id, answer) in enumerate((("0", "2"), ("two", "4"), ("three", "6"))):
        _, info = env.reset(options={"problem": index})
        assert info["problem_id"] == id
        assert env.step(answer)[1] == 1
    with pytest.raises(UserError, match=r"problems\[1\]: expected \{'question': ..., 'answer': ...\} or a Problem, got 3"):
        tenfold.make("lab/Rows-v0", problems=[rows[0], 3])
    with pytest.raises(UserError, match="problems, row 1: "):
        tenfold.make("lab/Rows-v0", problems=[{"colour": "red"}])


def test_an_environment_of_rows_reaches_other_processes() -> None:
    tenfold.register("lab/Rows-v0", problems=[{"question": "1 + 1?", "answer": "2"}])
    spec = gymnasium.spec("lab/Rows-v0").to_json()
    code = "import sys, gymnasium, tenfold; env = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(sys.argv[1]));"
    code += "env.reset(); print(env.step('2')[1])"
    assert subprocess.run([sys.executable, "-c", code, spec], capture_output=True, text=True, check=True).stdout == "1.0\n"


@pytest.mark.parametrize("imports", ["gymnasium, tenfold", "tenfold, gymnasium"])
def test_a_plug_in_is_found_in_any_process(plain: Path, imports: str) -> None:
    (plain / "lab_plain-1.dist-info").mkdir()
    (plain / "lab_plain-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: lab-plain\nVersion: 1\n")
    (plain / "lab_plain-1.dist-info/entry_points.txt").write_text("[gymnasium.envs]\nplugin = lab_plain:register\n")
    code = (
        f"import {imports}\n"
        "print(gymnasium.make('plugin/Guess-v0').reset(seed=0)[0] is not None)\n"
        "policy = tenfold.load_policy('scripted:5')\n"
        "print(len(tenfold.rollout('plugin/Guess-v0', policy, samples=1, problems=3)))\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(plain), *sys.path])}
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, env=environment)
    assert ran.stdout == "True\n3\n", ran.stderr


def test_a_plug_in_that_imports_tenfold_may_be_imported_first(plain: Path) -> None:
    (plain / "lab_plain-1.dist-info").mkdir()
    (plain / "lab_plain-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: lab-plain\nVersion: 1\n")
    (plain / "lab_plain-1.dist-info/entry_points.txt").write_text("[gymnasium.envs]\nplugin = lab_plain:register\n")
    (plain / "lab_plain.py").write_text("import tenfold\n" + PLAIN)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(plain), *sys.path])}
    code = "import gymnasium, lab_plain, tenfold; print('plugin/Guess-v0' in tenfold.envs.registry.ids())"
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=environment)
    assert ran.stdout == "True\n", ran.stderr


def test_env_check_of_a_plain_environment(plain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (plain / "lab_guess.py").write_text("import tenfold\ntenfold.register('lab/Guess-v0', entry_point='lab_plain:Guess')\n")
    assert cli.main(["env", "check", "lab_guess:lab/Guess-v0"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("note     make       lab/Guess-v0: observation_space and action_space did not contain all text")
    assert "problems   an endless environment: each seed is a problem" in printed
    assert printed.endswith("lab_guess:lab/Guess-v0: passes\n")
