"""Tests that a machine cannot run are reported as skipped."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

HERE = Path(__file__).parent
WITHOUT_NAMESPACES = """
import errno, os, sys
import pyseccomp
rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
for name in ("unshare", "setns"):
    rules.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
rules.load()
os.execv(sys.executable, [sys.executable, "-m", "pytest", *sys.argv[1:]])
"""
"""Runs pytest without namespaces, as in Docker by default."""


TESTS = (
    "verifiers/sandbox/test_local.py::test_a_script_reads_and_prints",
    "benchmarks/report/test_page.py::test_a_link_opens_a_response",
)


def run(nowhere: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a test of the sandbox and one of a page on a machine without namespaces and without a browser."""
    env = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST_")}
    command = [sys.executable, "-c", WITHOUT_NAMESPACES, *TESTS, *arguments]
    return subprocess.run(command, cwd=HERE, env=env | {"PATH": str(nowhere)} | variables, capture_output=True, text=True)


@pytest.fixture(autouse=True)
def refuses(skip_or_fail: Callable[[str], NoReturn]) -> None:
    """Program that runs another one without namespaces."""
    try:
        import pyseccomp  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:
        skip_or_fail(f"libseccomp ({error}): apt-get install libseccomp2")


def test_skipped_tests_are_reported_with_a_remedy(tmp_path: Path) -> None:
    done = run(tmp_path, "-n", "1")  # in a worker, as in `make test`
    assert done.returncode == 0, done.stdout
    _, _, results = done.stdout.partition("NOT TESTED: this machine lacks what these tests need")
    assert "1 test: a browser for the page of a run: apt-get install chromium" in results
    assert re.search(
        r"1 test: the sandbox for untrusted code lacks .*namespaces \(.*Operation not permitted\): allow namespaces", results
    )


def test_skipped_tests_fail_in_continuous_integration(tmp_path: Path) -> None:
    done = run(tmp_path, CI="true")
    assert done.returncode == 1, done.stdout
    for what in ("the sandbox for untrusted code lacks ", "a browser for the page of a run: apt-get install chromium"):
        assert f"CI has to test this, and this machine cannot: {what}" in done.stdout
    assert "2 errors" in done.stdout
