"""The verdicts of `protocol: livecodebench` are those of the benchmark's own grader."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenfold import verifiers
from tenfold.core import Problem
from tenfold.envs.problems import sources

pytestmark = pytest.mark.usefixtures("sandboxed")

FOLDER = Path(__file__).with_name("live_code_bench")
CASES = yaml.safe_load((FOLDER / "cases.yaml").read_text())
OFFICIAL = json.loads((FOLDER / "verdicts.json").read_text())
"""Verdicts of the benchmark's own grader, by name of the response: `python official.py CHECKOUT verdicts.json`, with commit
28fef95ea8c9f7a547c8329f2cd3d32b92c1fa24 of github.com/LiveCodeBench/LiveCodeBench and Python 3.11."""


def row(name: str, problem: dict[str, Any]) -> dict[str, str]:
    """Returns a problem in the format of LiveCodeBench's rows."""
    kind = "functional" if "function" in problem else "stdin"
    tests = [{"input": given, "output": expected, "testtype": kind} for given, expected in problem["tests"]]
    return {
        "question_id": name,
        "question_content": f"Solve {name}.",
        "starter_code": problem.get("starter", ""),
        "metadata": json.dumps({"func_name": problem["function"]} if "function" in problem else {}),
        "public_test_cases": json.dumps(tests[:1]),
        "private_test_cases": json.dumps(tests[1:]),
    }


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Problem]:
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    file.write_text("".join(json.dumps(row(*item)) + "\n" for item in CASES["problems"].items()))
    return {problem.id: problem for problem in sources.load(f"jsonl:{file}")}


def test_verdicts_are_those_of_the_benchmark_s_own_grader(problems: dict[str, Problem]) -> None:
    verify = verifiers.load({"name": "code", "protocol": "livecodebench"})

    def judge(case: dict[str, Any]) -> tuple[str, float | None, str]:
        text = case["text"] if "text" in case else f"```python\n{case['code']}\n```"
        verdict = verify(problems[case["problem"]], text)
        return case["name"], verdict.score, verdict.reason

    with ThreadPoolExecutor(4) as threads:
        verdicts = list(threads.map(judge, CASES["responses"]))
    assert [verdict for verdict in verdicts if verdict[1] != OFFICIAL[verdict[0]]] == []
    assert len(verdicts) == len(OFFICIAL) > 180
