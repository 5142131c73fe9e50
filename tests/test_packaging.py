"""The built wheel. It is built with installed packages, without an index."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOT_IN_WHEEL = ("tests/", "docs/", "examples/", ".")
"""Prefixes of files that the wheel does not contain."""


def tracked(*patterns: str) -> list[str]:
    """Returns the files in the git index, also if another user owns the clone."""
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", *patterns]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]


@pytest.mark.parametrize("folder", ["tenfold", "another name, with a comma"])
def test_the_wheel_contains_all_packages_and_data_from_any_folder_name(tmp_path: Path, folder: str) -> None:
    files = [name for name in tracked() if (ROOT / name).is_file()]
    for name in files:  # a copy, because a build creates files in the folder
        (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / folder / name)
    backend = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["build-backend"]
    build = f"import {backend} as backend; backend.build_wheel({str(tmp_path)!r})"  # the same call as pip's
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path / folder, check=True)
    (wheel,) = tmp_path.glob("tenfold-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    kinds = (".py", ".yaml", ".json", ".jsonl", ".html", ".typed")
    expected = [name for name in files if name.endswith(kinds) and not name.startswith(NOT_IN_WHEEL)]
    expected += [name for name in files if name.startswith("envs/new/")]  # also its README, its workflow and the licences
    assert {placed(name) for name in expected} <= names
    excluded = tuple(f"tenfold/{beginning}" for beginning in NOT_IN_WHEEL)
    assert not any(name.startswith(excluded) for name in names)
    assert "tenfold/py.typed" in names  # without it type checkers ignore the annotations


def placed(name: str) -> str:
    """Returns where the wheel has a file of the repository. One package is beside `tenfold`."""
    return name.removeprefix("envs/interop/") if name.startswith("envs/interop/tenfold_verifiers/") else f"tenfold/{name}"


def test_every_folder_of_code_or_data_is_a_package_of_the_wheel() -> None:
    packages = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    files = [name for name in tracked("*.py", "*.yaml", "*.json") if not name.startswith(NOT_IN_WHEEL)]
    folders = {Path(name).parent for name in files}
    assert packages == {".".join(Path(placed(str(folder / "__init__.py"))).parent.parts) for folder in folders}
