"""What is installed without an extra: it does its own work, and says in one line which extra the rest wants.

`light_core.py` does and asks for everything, once where every other package is hidden, and once where none is installed.
"""

import ast
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tenfold import extras
from tenfold.core import UserError

ROOT = Path(__file__).parent.parent
SCRIPT = Path(__file__).with_name("light_core.py")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = re.compile(r"tenfold\[(.*)\]")


def distribution(requirement: str) -> str:
    """The package that a requirement names, in the index's own spelling."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", requirement)[0]).lower()


def declared(extra: str) -> set[str]:
    """The packages that an extra names."""
    return {distribution(one) for one in PROJECT["optional-dependencies"][extra] if not OWN.match(one)}


def included(extra: str) -> set[str]:
    """The extras that an extra brings, those of these among them."""
    named = {name for one in PROJECT["optional-dependencies"][extra] if (own := OWN.match(one)) for name in own[1].split(",")}
    return named.union(*map(included, named))


def run(python: str, *hidden: str, **variables: str) -> dict[str, Any]:
    """What `light_core.py` prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TENFOLD_"))}
    done = subprocess.run([python, SCRIPT, *hidden], env=kept | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check(found: dict[str, Any]) -> None:
    """The core's work is done, and each of the others ends with its line."""
    assert found["imported"] == []
    python, commands = found["python"], found["commands"]
    assert {name: python[name] for name in ("a number", "an integral", "a program", "calls")} == dict.fromkeys(
        ("a number", "an integral", "a program", "calls"), "1.0"
    )
    assert python["everything by its name"] == "True"
    assert python["SmallFunctions"] == python["gymnasium.make"]
    assert python["HumanEval"].startswith("HumanEval/")
    assert python["HumanEvalTurns"].startswith("HumanEval/")
    assert (python["scripted:x"], python["openai:m?base_url=http://localhost:1/v1"]) == ("ScriptedPolicy", "OpenAIPolicy")
    lines = {
        "calls of Java": "the verifier tenfold.verifiers.function_calls:verify wants the package tree-sitter: {java}",
        "instructions": "the verifier instructions wants the package lm-eval: {bench}",
        "reasoning_gym": "the verifier reasoning_gym wants the package reasoning-gym: {problems}",
        "tenfold.run": "a recipe wants the package [a-z-]+: {train}",
        "ChainSum": "reasoning_gym:chain_sum wants the package reasoning-gym: {problems}",
        "Math": "champ: wants the package champ-dataset: {problems}",
        "GSM8K": "hf:openai/gsm8k wants the package datasets: {problems}",
        "micro:": "micro: wants the package torch: {hf}",
        "hf:a/b": "hf:a/b wants the package huggingface-hub: {hf}",
        "vllm+path:.": "vllm: wants the package vllm: {gpu}",
        "problems parquet:a.parquet": "parquet:a.parquet wants the package pyarrow: {problems}",
        "problems hf:a/b": "hf:a/b wants the package datasets: {problems}",
        "problems reasoning_gym:chain_sum": "reasoning_gym:chain_sum wants the package reasoning-gym: {problems}",
        "problems champ:": "champ: wants the package champ-dataset: {problems}",
    }
    for name, line in lines.items():
        assert re.fullmatch(f"UserError: {with_extra(line)}", python[name]), python[name]
    small = "rollout tenfold/SmallFunctions-v0 --problems 2 --samples 2 --policy"
    shown = {
        "--help": "usage: tenfold",
        "env list": "tenfold/ChainSum-v0",
        "env check tenfold/SmallFunctions-v0": "passes",
        "verify --gold 1/2 --answer so it is 0.5": '"score": 1.0',
        "verify --audit own --limit 3": "rules (math)",
        f"{small} openai:m?base_url=URL": "4 episodes of 2 problems: mean score 0.000",
    }
    for command, words in shown.items():
        code, out, err = commands[command]
        assert (code, words in out) == (0, True), (command, out, err)
    lines = {
        "env check tenfold/ChainSum-v0": "reasoning_gym:chain_sum wants the package reasoning-gym: {problems}",
        f"{small} micro:": "micro: wants the package torch: {hf}",
        "run quickstart": "tenfold run wants the package [a-z-]+: {train}",
        "run quickstart --dry-run": "tenfold run wants the package [a-z-]+: {train}",
        "bench chain_sum_avg8 --policy scripted:x": "tenfold bench wants the package lm-eval: {bench}",
        "synthesize human_eval:": "a test suite wants the package hypothesis: {synthesis}",
    }
    for command, line in lines.items():
        code, _, err = commands[command]
        assert code == 2, command
        assert re.fullmatch(f"error: {with_extra(line)}\n", err), err
    assert commands.keys() == shown.keys() | lines.keys()


def with_extra(line: str) -> str:
    return re.sub(r"\{(\w+)\}", r"pip install 'tenfold\\[\1\\]'", line)


@pytest.mark.usefixtures("sandboxed")
def test_the_core_does_without_every_package_of_an_extra() -> None:
    hidden = [module for modules in extras.MODULES.values() for module in modules.split()]
    check(run(sys.executable, *hidden, PYTHONPATH=str(ROOT.parent)))


@pytest.mark.slow
@pytest.mark.usefixtures("sandboxed")
def test_an_environment_with_the_core_alone(tmp_path: Path) -> None:
    """Asks the index that pip is set up with."""
    names = subprocess.run(["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    for name in filter(None, names.stdout.split("\0")):
        copy = tmp_path / "source" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", tmp_path / "source"], check=True)
    check(run(str(python)))


@pytest.mark.parametrize("extra", extras.MODULES)
def test_the_table_of_extras_says_what_the_project_declares(extra: str) -> None:
    assert {distribution(extras.package_of(module)) for module in extras.MODULES[extra].split()} >= declared(extra)
    brought = declared(extra).union(*map(declared, included(extra)))
    assert {distribution(extras.package_of(module)) for module in extras.MODULES[extra].split()} <= brought
    assert set(extras.INCLUDED.get(extra, ())) == included(extra)


def test_every_extra_is_in_the_table_and_in_all() -> None:
    others = PROJECT["optional-dependencies"].keys() - {"all", "dev", "docs"}
    assert others == extras.MODULES.keys()
    assert included("all") == others - {"gpu"}
    assert "all" in included("dev")


def test_every_package_that_is_imported_is_declared() -> None:
    apart = {"tests", ".venv", "build", "runs", "examples", "docs"}
    files = [path for path in ROOT.rglob("*.py") if not apart & {*path.relative_to(ROOT).parts}]
    imported = set().union(*map(modules_of, files)) - sys.stdlib_module_names - {"tenfold"}
    of_extras = {module for modules in extras.MODULES.values() for module in modules.split()}
    distributions = importlib.metadata.packages_distributions()
    core = {distribution(one) for one in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]}
    undeclared = [one for one in imported - of_extras if not core & {*map(distribution, distributions.get(one, ()))}]
    assert undeclared == []


def modules_of(file: Path) -> set[str]:
    """The top-level modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("order", ["import tenfold, gymnasium", "import gymnasium, tenfold"])
def test_gymnasium_knows_the_environments_in_either_order(order: str) -> None:
    program = f"{order}\nprint(gymnasium.make('tenfold/ChainSum-v0').spec.id, gymnasium.__spec__.loader.__class__.__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tenfold/ChainSum-v0", "SourceFileLoader"]


def test_whoever_only_looks_for_gymnasium_leaves_the_hook_in_place() -> None:
    program = (
        "import importlib.util, sys, tenfold\nimportlib.util.find_spec('gymnasium')\nassert 'gymnasium' not in sys.modules\n"
        "from gymnasium.envs.registration import registry\nprint('tenfold/ChainSum-v0' in registry)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@pytest.mark.parametrize("name", ["lab", "torch.lab", None])
def test_a_module_that_no_extra_brings_is_none_of_ours(name: str | None) -> None:
    with pytest.raises(ModuleNotFoundError), extras.wanted_by("a test"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_an_extra_that_brings_the_package_too_is_named_where_it_is_asked_for() -> None:
    error = ModuleNotFoundError("No module named 'torch'", name="torch")
    assert extras.line(error, "this", "train") == "this wants the package torch: pip install 'tenfold[train]'"
    assert extras.line(error, "this", "bench") == "this wants the package torch: pip install 'tenfold[hf]'"
    with pytest.raises(UserError, match=r"this wants the package torch: pip install 'tenfold\[hf\]'"), extras.wanted_by("this"):
        raise error
