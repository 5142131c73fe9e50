"""`tenfold env new`: the package works as it comes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tenfold import UserError, cli
from tenfold.cli.env import new as command
from tenfold.envs import new
from tenfold.envs.new import package

ROOT = Path(__file__).parents[2]


def test_the_package_passes_its_tests_and_its_environment_is_found(tmp_path: Path) -> None:
    folder, id = new.write("lab_numerals", tmp_path / "made", licence="MIT", author="A. Author")
    assert id == "lab_numerals/Numerals-v0"
    # The metadata of an installed package, as pip writes it.
    installed = tmp_path / "lab_numerals-0.1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-numerals\nVersion: 0.1.0\n")
    (installed / "entry_points.txt").write_text("[gymnasium.envs]\nlab_numerals = lab_numerals.environments:register\n")
    path = os.pathsep.join([str(folder), str(tmp_path), os.environ.get("PYTHONPATH", "")])

    def ran(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-P", "-m", *arguments],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "failed" not in ran("pytest", "-q", "-p", "no:cacheprovider")
    assert id in {row["id"] for row in json.loads(ran("tenfold.cli", "env", "list", "--json"))}
    rollout = ran("tenfold.cli", "rollout", id, "--policy", "scripted:XIV", "--samples", "1", "--out", "episodes.jsonl")
    assert "200 episodes of 200 problems" in rollout


@pytest.mark.parametrize("name", ["ab", "n" * package.LONGEST_NAME])
def test_the_package_passes_ruff_whatever_its_name(name: str, tmp_path: Path) -> None:
    folder, _ = new.write(name, tmp_path / "made")
    for action in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *action, "--no-cache", "."], cwd=folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_all_files_of_the_template_are_written_under_the_new_name(tmp_path: Path) -> None:
    folder, _ = new.write("lab_numerals", tmp_path / "made")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {file.replace(package.TEMPLATE_NAME, "lab_numerals") for file in package.FILES}
    assert not [file for file in files if "roman_numerals" in (text := (folder / file).read_text()) or "roman-numerals" in text]
    command_line = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "--cached", "--others", "--exclude-standard", "."]
    tracked = subprocess.run(command_line, cwd=package.TEMPLATE, capture_output=True, text=True, check=True).stdout.split()
    assert sorted(tracked) == sorted(package.FILES)


@pytest.mark.parametrize("licence", [each for each in new.LICENCES if each != "none"])
def test_a_licence_is_written_and_named(licence: str, tmp_path: Path) -> None:
    folder, _ = new.write("lab_numerals", tmp_path / "made", licence, "A. Author")
    text = (folder / "LICENSE").read_text()
    assert f'license = "{licence}"' in (folder / "pyproject.toml").read_text()
    assert text == (ROOT / "LICENSE").read_text() if licence == "Apache-2.0" else "A. Author" in text
    assert command.LICENCES == new.LICENCES


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("My-Units", "such as my_units"),
        ("1st", "with a letter first"),
        ("a/../b", "lower-case letters"),
        ("units_", "lower-case letters"),
        ("", "lower-case letters"),
        ("class", "Python's grammar"),
        ("json", "installed here"),
        ("gymnasium", "installed here"),
        ("tenfold", "namespace of environments"),
        ("n" * 41, "at most 40"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=reason):
        new.write(name, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_nothing_is_overwritten(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "lab_numerals").mkdir()
    (lab / "lab_numerals" / "mine.txt").write_text("mine")
    assert cli.main(["env", "new", "lab_numerals"]) == 2
    assert "exists already, and nothing is overwritten" in capsys.readouterr().err
    assert [path.name for path in lab.iterdir()] == ["lab_numerals"]
    assert cli.main(["env", "new", "lab_numerals", "--dir", "other/place"]) == 0
    assert (lab / "other" / "place" / "lab_numerals" / "verifier.py").is_file()
    (lab / "empty").mkdir()
    assert cli.main(["env", "new", "lab_numerals", "--dir", "empty"]) == 0
