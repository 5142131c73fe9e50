"""Runs the conformance suite with the real packages of neighbours: `make test-interop`, or python neighbours.py [NAME ...].

Each neighbour of neighbours.toml gets a virtual environment in .venv/interop. It uses the packages of the environment that runs
this program, and adds the neighbour's, in the versions that the neighbour wants. An environment is made once. A neighbour that
has passed is not tested again until the table or the code changes, so a run that was stopped goes on where it was.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import TypedDict

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("neighbours.toml")
FOLDER = ROOT / ".venv" / "interop"
THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
JUDGED_WITH = ("core.py", "responses.py", "texts.py", "envs", "policies", "verifiers", "tests/interop")
"""Files and folders that decide the result."""


class _Packages(TypedDict):
    packages: list[str]
    tests: list[str]


class Neighbour(_Packages, total=False):
    """An entry of the table."""

    python: str
    """Version of Python, such as "3.12"; default: that of this program."""


class CannotInstall(Exception):
    """This machine cannot install a neighbour; the message says why."""


def code_digest() -> str:
    """Returns a digest of the code that decides the result."""
    digest = hashlib.sha256()
    for name in JUDGED_WITH:
        place = ROOT / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def environment(name: str, neighbour: Neighbour) -> Path:
    """Returns the Python of a neighbour's environment, which is made if it does not exist.

    Raises:
        CannotInstall: there is no such version of Python, or pip fails.
    """
    version = neighbour.get("python", THIS_PYTHON)
    folder = FOLDER / name
    python, ready = folder / "bin" / "python", folder / "ready"
    wanted = "\n".join([version, *neighbour["packages"]])
    if ready.is_file() and ready.read_text() == wanted:
        return python
    base = sys.executable if version == THIS_PYTHON else shutil.which(f"python{version}")
    if base is None:
        raise CannotInstall(f"it needs Python {version}, which this machine does not have")
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([base, "-m", "venv", folder], check=True)
    packages = neighbour["packages"]
    if version == THIS_PYTHON:
        (folder / "lib" / f"python{version}" / "site-packages" / "shared.pth").write_text(sysconfig.get_path("purelib"))
    else:
        packages = [*packages, str(ROOT), "pytest", "hypothesis"]
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise CannotInstall((errors or done.stderr.splitlines() or ["pip failed"])[-1])
    ready.write_text(wanted)
    return python


def test(name: str, neighbour: Neighbour, again: bool) -> str:
    """Tests one neighbour; returns the result in words: it starts with "passed", "FAILED" or "not installed"."""
    try:
        python = environment(name, neighbour)
    except CannotInstall as error:
        return f"not installed: {error}"
    passed, digest = FOLDER / name / "passed", code_digest()
    if not again and passed.is_file() and passed.read_text() == digest:
        return "passed before, with the same code"
    passed.unlink(missing_ok=True)
    package = FOLDER / "path" / "tenfold"
    if not package.is_symlink():
        package.parent.mkdir(exist_ok=True)
        package.symlink_to(ROOT)
    command = [python, "-P", "-m", "pytest", "-m", "interop", "-W", "ignore", "-p", "no:cacheprovider", *neighbour["tests"]]
    variables = os.environ | {"PYTHONPATH": str(package.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=TABLE.parent, env=variables)
    if done.returncode:
        return f"FAILED: {' '.join(neighbour['tests'])}"
    passed.write_text(digest)
    return "passed"


def main() -> int:
    """Tests the neighbours that are named, or all; prints a line for each. Returns 1 if a test failed."""
    table: dict[str, Neighbour] = tomllib.loads(TABLE.read_text())
    parser = argparse.ArgumentParser(description="Runs the conformance suite with the real packages of neighbours.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"neighbours, of {', '.join(table)}; default: all")
    parser.add_argument("--again", action="store_true", help="also test neighbours that have passed with the same code")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in table]:
        parser.error(f"there is no neighbour {unknown[0]!r}: use {', '.join(table)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    results = {name: test(name, table[name], given.again) for name in given.names or table}
    for name, result in results.items():
        print(f"{name:12} {' '.join(table[name]['packages']):40} {result}")
    return int(any(result.startswith("FAILED") for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
