"""An exception of the user's code is one line with its type, its message, and the line of the user's code."""

import json
import re
import warnings
from pathlib import Path

import pytest
import yaml

from tenfold import cli, faults
from tenfold.cli.main import main

CODE = """
import gymnasium
import tenfold
from tenfold.envs.text import Text

class Sound(gymnasium.Env):
    problems = range(3)
    observation_space = action_space = Text()
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return "What is 1 + 1?", {}
    def step(self, action):
        return "", float(action == "2"), True, False, {}

class Make(Sound):
    def __init__(self):
        raise ValueError("of make")

class Reset(Sound):
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return {}["of reset"], {}

class Step(Sound):
    def step(self, action):
        raise ValueError("of step")

def rows():
    yield {"question": "1 + 1?", "answer": "2"}
    raise OSError("of\\nrows")

def verify(problem, response):
    return 1 / 0

for name in ("Make", "Reset", "Step"):
    tenfold.register(f"mine/{name}-v0", entry_point=f"mine:{name}")
tenfold.register("mine/Rows-v0", problems="generate:mine:rows")
sums = [{"question": f"{n} + 1?", "answer": n + 1} for n in range(2)]
tenfold.register("mine/Verifier-v0", problems=sums, verifier="mine:verify")
"""
"""Environments with an exception each, in mine.py."""
ERRORS = {
    "Make": "ValueError: of make (mine.py:{}, in __init__)",
    "Reset": "KeyError: 'of reset' (mine.py:{}, in reset)",
    "Step": "ValueError: of step (mine.py:{}, in step)",
    "Rows": "OSError: of rows (mine.py:{}, in rows)",
    "Verifier": "ZeroDivisionError: division by zero (mine.py:{}, in verify)",
}


@pytest.fixture
def mine(lab: Path) -> Path:
    (lab / "mine.py").write_text(CODE)
    return lab


def error_of(name: str) -> str:
    """Returns the line that is expected for the environment with this name."""
    marks = {"Make": '"of make"', "Reset": '"of reset"', "Step": '"of step"', "Rows": "OSError", "Verifier": "1 / 0"}
    return ERRORS[name].format(next(n for n, line in enumerate(CODE.splitlines(), 1) if marks[name] in line))


def printed_by(capsys: pytest.CaptureFixture[str], *command: str) -> tuple[int, str, str]:
    """Returns the exit code of a command, its output, and what it wrote on stderr."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Gymnasium's about a reward that is NaN
        code = main(command)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def is_one_line(err: str, end: str = "") -> bool:
    """True if stderr has one line, which is an error with this end."""
    return err.startswith("error: ") and err.endswith(f"{end}\n") and err.count("\n") == 1


@pytest.mark.parametrize("name", ERRORS)
def test_env_check_names_the_cause_once_and_the_checks_that_it_stops(
    name: str, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = printed_by(capsys, "env", "check", f"mine:mine/{name}-v0")
    found = {"Make": "make", "Reset": "reset", "Step": "step", "Rows": "make", "Verifier": "verifier"}[name]
    assert (out.count("fails  "), out.count(error_of(name))) == (1, 1)
    assert re.search(rf"^fails    {found:10} {re.escape(error_of(name))}\n +-> \w", out, re.MULTILINE)
    stopped = {
        "Make": "gymnasium, problems, seeds, gold, no-op, hostile, process, times: they need the environment",
        "Reset": "problems, seeds, no-op, hostile, process, times: the same exception stops them",
        "Step": "seeds, no-op, hostile, process, times: the same exception stops them",
        "Verifier": "no-op, hostile: the same exception stops them",
    }
    assert f"note     not run    {stopped.get(name, stopped['Make'])}\n" in out
    assert (code, is_one_line(err, f"checks fail: {found}")) == (2, True)


@pytest.mark.parametrize("name", ["Make", "Reset", "Rows"])
@pytest.mark.parametrize("command", [("env", "play"), ("env", "show")])
def test_env_play_and_show_name_the_line(
    command: tuple[str, str], name: str, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed_by(capsys, *command, f"mine:mine/{name}-v0") == (2, "", f"error: {error_of(name)}\n")


@pytest.mark.parametrize("name", ["Make", "Rows"])
@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_a_run_names_the_line(arguments: tuple[str, ...], name: str, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage = {"kind": "filter", "name": "filter", "environment": f"mine/{name}-v0"}
    recipe = {"name": "r", "policy": "scripted:2", "modules": ["mine"], "stages": [stage]}
    (mine / "r.yaml").write_text(yaml.safe_dump(recipe))
    assert printed_by(capsys, "run", "r.yaml", "--trust", *arguments)[::2] == (2, f"error: {error_of(name)}\n")


@pytest.mark.parametrize("name", ERRORS)
def test_a_rollout_whose_episodes_all_fail_names_the_line(name: str, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = printed_by(
        capsys, "rollout", f"mine:mine/{name}-v0", "--policy", "scripted:2", "--samples", "1", "--out", "episodes.jsonl"
    )
    assert (code, is_one_line(err, error_of(name))) == (2, True)
    if name == "Reset":  # the episodes are stored, and played again by the same command
        assert len((mine / "episodes.jsonl").read_text().splitlines()) == 4


@pytest.mark.parametrize("name", ERRORS)
def test_a_benchmark_whose_episodes_all_fail_names_the_line(name: str, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = printed_by(
        capsys, "bench", f"env:mine:mine/{name}-v0", "--policy", "scripted:2", "--samples", "2", "--out", "out"
    )
    assert (code, is_one_line(err, error_of(name))) == (2, True)


def test_a_run_with_a_few_faults_names_the_first(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (mine / "sometimes.py").write_text(
        "import mine, tenfold\n"
        "class Sometimes(mine.Sound):\n"
        "    problems = range(8)\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        assert options['problem'] != 3, 'not three'\n"
        "        return super().reset(seed=seed)\n"
        "    def step(self, action):\n"
        "        return '', 0.5, True, False, {}\n"
        "tenfold.register('mine/Sometimes-v0', entry_point='sometimes:Sometimes')\n"
    )
    line = "AssertionError: not three (sometimes.py:5, in reset)"
    stage = {"kind": "filter", "name": "filter", "environment": "mine/Sometimes-v0", "samples": 2}
    recipe = {"name": "r", "policy": "scripted:2", "modules": ["sometimes", "mine"], "stages": [stage]}
    (mine / "r.yaml").write_text(yaml.safe_dump(recipe))
    code, out, _ = printed_by(capsys, "run", "r.yaml", "--trust", "--out", "run")
    assert code == 0
    assert json.loads((mine / "run/filter/stage.json").read_text())["metrics"]["fault"] == line
    assert "the first fault:" in " ".join(out.replace("│", "").split())
    task = ("bench", "env:sometimes:mine/Sometimes-v0", "--policy", "scripted:2", "--samples", "2", "--out", "out")
    code, _, err = printed_by(capsys, *task)
    assert (code, err.count(line)) == (0, 1)
    rollout = ("rollout", "sometimes:mine/Sometimes-v0", "--policy", "scripted:2", "--samples", "2", "--out", "e.jsonl")
    code, _, err = printed_by(capsys, *rollout)
    assert code == 0
    assert err == f"2 episodes have no score because of a fault (the first: {line}): run the same command to play them again\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x = 1 / 0\n", "ZeroDivisionError: division by zero (broken.py:1)"),
        ("def f(:\n", "SyntaxError: invalid syntax (broken.py:1)"),
        ("\nfrom json import nothing\n", "cannot import name 'nothing' from 'json'"),
    ],
)
def test_a_module_that_cannot_be_imported(text: str, line: str, lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "broken.py").write_text(text)
    code, _, err = printed_by(capsys, "env", "show", "broken:mine/Units-v0")
    assert (code, is_one_line(err)) == (2, True)
    assert line in err
    assert "broken.py:" in err


def test_a_policy_that_raises(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "players.py").write_text("def play(conversation, seed):\n    raise RuntimeError('tired')\n")
    code, _, err = printed_by(capsys, "rollout", "tenfold/GuessNumber-v0", "--policy", "call:players:play", "--problems", "1")
    assert (code, is_one_line(err, "tired (players.py:2, in play)")) == (2, True)


def test_an_exception_of_a_library_names_the_users_line_that_called_it(lab: Path) -> None:
    (lab / "calls.py").write_text("import json\ndef read():\n    return json.loads('{')\n")
    import calls  # type: ignore[import-not-found]

    with pytest.raises(json.JSONDecodeError) as raised:
        calls.read()
    assert faults.described(raised.value).endswith("(calls.py:3, in read)")


def test_an_exception_without_the_users_code_stays_a_traceback(monkeypatch: pytest.MonkeyPatch, lab: Path) -> None:
    """A defect of this package must not look like one of the user."""
    from tenfold.envs import listing

    monkeypatch.setattr(listing, "short", json.loads)  # which does not take rows
    with pytest.raises(TypeError):
        cli.main(["env", "list"])


@pytest.mark.parametrize(
    ("id", "option", "words"),
    [
        ("ChainSum", "problems=5", "problems: expected a URI or a list of problems, got 5"),
        ("ChainSum", "problems=null", "problems: expected a URI or a list of problems, got None"),
        ("ChainSum", "template=5", "expected a template, which is a text with {prompt}, got 5"),
        ("ChainSum", "system=5", "system: expected a text, got 5"),
        ("GuessNumber", "system=5", "system: expected a text, got 5"),
        ("GuessNumber", "problems=[1]", "problems[0]: expected {'question': ..., 'answer': ...} or a Problem, got 1"),
    ],
)
def test_an_option_of_another_type_is_an_error_of_one_line(
    id: str, option: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["bench", f"env:tenfold/{id}-v0?{option}", "--policy", "scripted:1", "--limit", "1", "--out", "unused"]
    assert printed_by(capsys, *command)[::2] == (2, f"error: {words}\n")
