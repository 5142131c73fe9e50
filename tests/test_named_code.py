"""Modules that a user names on the command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tenfold.cli import main

MODULE = """
import tenfold
from lab_answers import ANSWER

problem = tenfold.Problem("sum", ({"role": "user", "content": "1 + 1 ="},), ANSWER, "lab")
tenfold.register("lab/Sum-v0", problems=[problem])
"""


def tenfold(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command as it is installed: the working folder is not on Python's path."""
    code = "import sys; from tenfold.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments], cwd=folder, env=dict(os.environ), capture_output=True, text=True
    )


def test_a_module_of_the_working_folder_is_imported_if_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "lab_sums.py").write_text(MODULE)
    (tmp_path / "lab_answers.py").write_text("ANSWER = '2'")
    done = tenfold(tmp_path, "env", "check", "lab_sums:lab/Sum-v0")
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["lab_sums:lab/Sum-v0: passes"]), done.stderr
    assert "passes   process    another process makes the same environment" in done.stdout


@pytest.mark.parametrize("arguments", [["env", "list"], ["env", "check", "tenfold/ChainSum-v0"]])
def test_no_other_module_of_the_working_folder_is_imported(tmp_path: Path, arguments: list[str]) -> None:
    for name in ("tenfold_lab", "reasoning_gym", "gymnasium", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    done = tenfold(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr


def test_a_named_module_makes_no_other_file_of_the_folder_importable(tmp_path: Path) -> None:
    (tmp_path / "lab_sums.py").write_text(MODULE)
    (tmp_path / "lab_answers.py").write_text("ANSWER = '2'")
    (tmp_path / "lab_other.py").write_text("raise SystemExit('imported')")
    code = (
        "import importlib.util\nfrom tenfold.cli import main\n"
        "assert main(['env', 'check', 'lab_sums:lab/Sum-v0']) == 0\n"
        "print(importlib.util.find_spec('lab_answers') is not None, importlib.util.find_spec('lab_other') is not None)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["True False"], done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "env show lab_gone:lab/Sum-v0",
        "bench env:lab_gone:lab/Sum-v0 --policy scripted:1",
        "bench chain_sum --policy call:lab_gone:answer",
        "verify --verifier lab_gone:judge --gold 1 --response 1",
        "env show tenfold/ChainSum-v0 --set problems=generate:lab_gone:rows",
        "run lab.yaml --trust",
    ],
)
def test_an_error_for_a_missing_module_says_where_modules_are_looked_up(
    lab: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    stage = "{kind: bench, name: bench, tasks: [chain_sum]}"
    (lab / "lab.yaml").write_text(f"name: lab\npolicy: 'scripted:1'\nmodules: [lab_gone]\nstages: [{stage}]\n")
    assert main(command.split()) == 2
    error = capsys.readouterr().err
    assert f"No module named 'lab_gone'; modules are looked up in the current folder ({os.getcwd()}) and among" in error
    assert error.count("\n") == 1


def test_from_python_modules_are_looked_up_on_its_path(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import tenfold; tenfold.make('lab_gone:lab/Sum-v0')"], capture_output=True, text=True
    )
    words = "no environment 'lab_gone:lab/Sum-v0': cannot import lab_gone (No module named 'lab_gone'; modules are looked up on"
    assert f"{words} Python's path (sys.path) and among installed packages)" in done.stderr


def test_a_deleted_working_folder_is_no_traceback(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os, sys\nfrom tenfold.cli import main\nos.rmdir(os.getcwd())\nsys.exit(main(['env', 'list']))"
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=gone, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr


def test_an_installed_module_has_precedence(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise SystemExit('imported')")
    done = tenfold(tmp_path, "env", "check", "yaml:lab/Sum-v0")
    assert "no environment 'yaml:lab/Sum-v0'" in done.stderr
