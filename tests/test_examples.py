"""Runs the commands of the READMEs of all examples, each in a copy of its folder."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

import tenfold
from tenfold.pipelines.stage import Context
from tenfold.policies.checkpoints import checkpoint, tokenizer_of

EXAMPLES = Path(__file__).parent.parent / "examples"
TRL_PYTHON = "TENFOLD_TRL_PYTHON"
"""Environment variable with the path of a Python that has TRL."""


class Ran(NamedTuple):
    """The result of an example."""

    folder: Path
    output: str
    readme: str

    def lacks(self) -> list[str]:
        """Lines of the README's output that are not in the actual output."""
        printed = "".join(_blocks(self.readme, "text")).splitlines()
        message = " ".join(self.output.split())
        return [line for line in printed if " ".join(line.split()) not in message]


Run = Callable[..., Ran]


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def _module(example: str, name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Returns a module of an example."""
    monkeypatch.setattr("tenfold.register", lambda *arguments, **options: None)
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / example / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the commands of an example's README. Packages are installed in a temporary folder, without an index."""
    programs, site = tmp_path / "bin", tmp_path / "site"
    programs.mkdir()
    path = os.pathsep.join([str(site), "$PYTHONPATH", os.environ.get("PYTHONPATH", "")])

    def program(name: str, command: str) -> None:
        (programs / name).write_text(f'#!/bin/sh\nPYTHONPATH="{path}" exec {command}\n')
        (programs / name).chmod(0o700)

    def started(name: str, python: str = sys.executable) -> Ran:
        program("python", f'"{python}" "$@"')
        program("tenfold", f'"{python}" -P -m tenfold.cli "$@"')
        options = f'--quiet --no-index --no-deps --no-build-isolation --target "{site}"'
        program("pip", f'"{python}" -P -m pip "$@" {options}')
        folder = tmp_path / name
        shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("runs", "bench", "build", "*.egg-info"))
        readme = (folder / "README.md").read_text()
        commands = "".join(_blocks(readme, "bash"))
        variables = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "COLUMNS": "100", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=folder,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        return Ran(folder, done.stdout, readme)

    return started


def test_every_example_is_in_the_table_and_has_commands_and_output() -> None:
    table = (EXAMPLES / "README.md").read_text()
    folders = {path.parent.name for path in EXAMPLES.glob("*/README.md")}
    assert folders == set(re.findall(r"^\| \[(\w+)\]\(\1/README\.md\)", table, re.MULTILINE))
    for name in folders:
        readme = (EXAMPLES / name / "README.md").read_text()
        assert _blocks(readme, "bash"), name
        assert _blocks(readme, "text"), name


@pytest.mark.parametrize("name", ["custom_stage", "own_benchmark", "recipe"])
def test_example_data_are_equal_to_the_output_of_their_program(name: str, tmp_path: Path) -> None:
    subprocess.run([sys.executable, EXAMPLES / name / "make_data.py"], cwd=tmp_path, check=True, stdout=subprocess.PIPE)
    written = {path.name: path.read_text() for path in tmp_path.glob("*.jsonl")}
    assert written == {path.name: path.read_text() for path in (EXAMPLES / name).glob("*.jsonl")}
    assert written


def test_multi_turn(run: Run) -> None:
    ran = run("multi_turn")
    assert not ran.lacks()
    rows = [json.loads(line) for line in (ran.folder / "guess_at_random.jsonl").read_text().splitlines()]
    assert {len(row["turns"]) for row in rows if "turns" in row} == {1, 2, 3, 4, 5, 6, 7}


def test_own_benchmark(run: Run) -> None:
    ran = run("own_benchmark")
    assert not ran.lacks()
    assert (ran.folder / "bench" / "seldom_incorrect" / "index.html").is_file()


@pytest.mark.parametrize(("text", "score"), [("Is it 37?", 1), ("12345678937", 0), ("0.37", 0), ("-37", 0), ("9" * 5000, 0)])
def test_a_guess_is_a_whole_number(text: str, score: int, monkeypatch: pytest.MonkeyPatch) -> None:
    game = _module("multi_turn", "guess", monkeypatch).GuessTheNumber()
    game.reset(options={"problem": 36})
    assert game.step(text)[1] == score


def test_the_players_read_the_largest_number(monkeypatch: pytest.MonkeyPatch) -> None:
    game, players = (_module("multi_turn", name, monkeypatch) for name in ("guess", "players"))
    rules = game.RULES.format(largest=400, turns=9)
    conversation = [{"role": "user", "content": text} for text in (rules, "200 is too low.", "300 is too low.")]
    assert players.bisect(conversation, 0) == "I guess 350."
    assert players.guess_at_random(conversation, 0)


@pytest.mark.parametrize(
    ("scores", "shown"),
    [([[1.0, 1.0], [1.0, 1.0]], []), ([[None, None], [1.0, 1.0], [None, 0.0]], ["0.000  p2, an incorrect sample: r"])],
)
def test_a_result_without_errors_or_without_some_scores_can_be_read(
    scores: list[list[float | None]],
    shown: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ("mean", "low", "high", "pass_at_k", "problems", "without_score")
    (tmp_path / "clock_avg8.result.json").write_text(json.dumps({"score": dict.fromkeys(names, 1.0)}))
    rows = [
        {"problem": f"p{number}", "samples": [{"score": score, "reason": "r"} for score in row]}
        for number, row in enumerate(scores)
    ]
    (tmp_path / "clock_avg8.scores.jsonl").write_text("\n".join(map(json.dumps, rows)))
    _module("own_benchmark", "read_result", monkeypatch).show(tmp_path)
    assert capsys.readouterr().out.splitlines()[2:] == shown


def test_the_number_of_longest_problems_may_change_after_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = _module("custom_stage/token_lengths", "stages", monkeypatch).TokenLengths
    settings = {"kind": "token_lengths", "name": "short", "problems": f"jsonl:{EXAMPLES}/custom_stage/sums.jsonl"}
    context = Context(tmp_path, "micro:?hidden=64&layers=2", 0, {}, lambda *arguments, **options: None)
    metrics = json.loads(json.dumps(kind(**settings, longest_shown=1).run(context)))
    assert [kind(**settings, longest_shown=number).tables(metrics).count("What is") for number in (1, 9)] == [1, 9]


@pytest.mark.slow
def test_plugin_package(run: Run) -> None:
    ran = run("plugin_package")
    assert not [line for line in ran.lacks() if not line.startswith("│")]
    assert "200 steps on 200 examples" in ran.output
    assert "roman_numerals/Numerals-v0" in ran.output


@pytest.mark.slow
def test_custom_stage(run: Run) -> None:
    ran = run("custom_stage")
    assert not [line for line in ran.lacks() if not line.startswith("│")]
    assert re.search(r"kept 48 of 120 problems, median 19 tokens, longest\s+27", ran.output)
    assert "20 steps on 48 examples" in ran.output
    page = (ran.folder / "runs" / "sums" / "report.html").read_text()
    assert 'img alt="token_lengths"' in page
    assert "the longest problems" in page


@pytest.mark.slow
def test_recipe(run: Run) -> None:
    ran = run("recipe")
    before, after = re.findall(r"env_lab_First-v0_avg8:\s+([\d.]+) \[", ran.output)
    assert float(after) > float(before) + 3
    cells = json.loads((ran.folder / "read_a_run.ipynb").read_text())["cells"]
    program = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    subprocess.run([sys.executable, "-c", program], cwd=ran.folder, env=os.environ | {"MPLBACKEND": "agg"}, check=True)


def test_rewards_of_both_trainers_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES / "trl_grpo")
    check = importlib.import_module("check")
    folder = checkpoint("micro:")
    tokenizer = tokenizer_of(folder)
    gold = tenfold.make(check.ENVIRONMENT).unwrapped.problems[0].answer  # type: ignore[attr-defined]
    score = (1 + importlib.import_module("sums").digits(None, gold)) / 2
    tokens = [*tokenizer(gold, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    rows = [{"problem": 0, "tokens": tokens, "reward": reward} for reward in (score, 0.0)]
    draws = tmp_path / "draws.jsonl"
    draws.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert check.of_trl(draws, folder) == "TRL drew 2 completions: 1 rewards are the environment's scores"
    (tmp_path / "episodes").mkdir()
    with (tmp_path / "episodes" / "1.jsonl").open("w") as file:
        for reward, reason in ((score, "stop"), (0.0, "stop"), (1.0, "length")):
            turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": gold}]
            row = {"problem": 0, "messages": turns, "verdict": {"score": reward}, "finish_reason": reason}
            file.write(f"{json.dumps(row)}\n")
    assert check.of_verl(tmp_path) == "verl drew 3 completions: 1 scores are the rewards of TRL's function"


@pytest.mark.slow
def test_trl_grpo(run: Run) -> None:
    python = os.environ.get(TRL_PYTHON) or (sys.executable if importlib.util.find_spec("trl") else "")
    if not python:
        pytest.skip(f"TRL is not installed here; {TRL_PYTHON} names the Python of an environment with it")
    ran = run("trl_grpo", python)
    means = [float(mean) for mean in re.findall(r"^step \d+: mean reward ([\d.]+)$", ran.output, re.MULTILINE)]
    assert len(means) == 3
    assert means[2] > 3 * means[0]
    assert "TRL drew 960 completions: 960 rewards are the environment's scores" in ran.output
