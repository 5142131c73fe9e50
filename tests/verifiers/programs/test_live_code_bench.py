"""The verdicts of `protocol: livecodebench` are those of the benchmark's own grader."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenfold import verifiers
from tenfold.benchmarks import catalogue
from tenfold.benchmarks.tasks import avg_at_k
from tenfold.core import Problem, Status, Verdict
from tenfold.envs.problems import sources

pytestmark = pytest.mark.usefixtures("sandboxed")

FOLDER = Path(__file__).with_name("live_code_bench")
CASES = yaml.safe_load((FOLDER / "cases.yaml").read_text())
OFFICIAL = json.loads((FOLDER / "official.json").read_text())
"""Prompts by problem, and verdicts by name of the response, of the benchmark's own code: `python official.py CHECKOUT
official.json`, with commit 28fef95ea8c9f7a547c8329f2cd3d32b92c1fa24 of github.com/LiveCodeBench/LiveCodeBench, Python 3.11 and
numpy 2.4.6."""
OWN_CODE = "TENFOLD_LIVECODEBENCH"
"""Environment variable with the path of a checkout of the benchmark's code. With it, the file is compared with what the code
says now."""


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
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    file.write_text("".join(json.dumps(row(*item)) + "\n" for item in CASES["problems"].items()))
    return file


@pytest.fixture(scope="module")
def problems(rows: Path) -> dict[str, Problem]:
    return {problem.id: problem for problem in sources.load(f"jsonl:{rows}")}


def disagreements(problems: dict[str, Problem], slow: bool) -> list[tuple[str, str]]:
    """Returns the responses whose verdict differs from the official one, each with our reason."""
    verify = verifiers.load({"name": "code", "protocol": "livecodebench"})

    def judge(case: dict[str, Any]) -> Verdict:
        text = case["text"] if "text" in case else f"```python\n{case['code']}\n```"
        return verify(problems[case["problem"]], text)

    cases = [case for case in CASES["responses"] if case.get("slow", False) == slow]
    with ThreadPoolExecutor(4) as threads:
        verdicts = dict(zip((case["name"] for case in cases), threads.map(judge, cases), strict=True))
    return [(name, verdict.reason) for name, verdict in verdicts.items() if verdict.score != OFFICIAL["verdicts"][name]]


def test_verdicts_are_those_of_the_benchmark_s_own_grader(problems: dict[str, Problem]) -> None:
    assert {case["name"] for case in CASES["responses"]} == OFFICIAL["verdicts"].keys()
    assert disagreements(problems, slow=False) == []


@pytest.mark.slow
def test_the_time_limit_of_a_test_is_the_grader_s(problems: dict[str, Problem]) -> None:
    assert disagreements(problems, slow=True) == []


def test_the_prompts_of_the_task_are_those_of_the_benchmark_s_own_code(rows: Path) -> None:
    metadata = catalogue.settings("livecodebench")["metadata"] | {"problems": f"jsonl:{rows}"}
    documents = avg_at_k.dataset(**metadata)["test"]
    prompts = {json.loads(document["problem"])["id"]: json.loads(document["text"]) for document in documents}
    assert prompts == OFFICIAL["prompts"]


def test_the_own_code_still_says_the_same(tmp_path: Path) -> None:
    if not (checkout := os.environ.get(OWN_CODE)):
        pytest.skip(f"needs {OWN_CODE}, the path of a checkout of github.com/LiveCodeBench/LiveCodeBench")
    command = [sys.executable, FOLDER / "official.py", checkout, tmp_path / "official.json"]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    assert json.loads((tmp_path / "official.json").read_text()) == OFFICIAL


def test_outputs_of_whole_programs_cannot_be_forged() -> None:
    verify = verifiers.load({"name": "code", "protocol": "livecodebench"})
    problem = Problem("double", (), {"stdin": [{"input": "2", "output": "4"}, {"input": "3", "output": "6"}]}, "")
    leaving = "import os\nos.write(1, b'4')\nos._exit(0)"
    patched = "import sys\nmain = sys.modules['__main__']\nmain.os.write = lambda *_: 1\nprint(0)"
    for program in (leaving, patched, "import sys\nsys.modules['__main__'].run_whole = print", "exit(0)"):
        assert verify(problem, f"```python\n{program}\n```").score == 0
    assert verify(problem, "```python\nprint(2 * int(input()))\n```").score == 1


def test_the_reasoning_of_a_response_contains_no_program() -> None:
    verify = verifiers.load({"name": "code", "protocol": "livecodebench"})
    problem = Problem("four", (), {"stdin": [{"input": "", "output": "4"}]}, "")
    assert verify(problem, "<think>\n```python\nprint(4)\n```\n</think>\n4").score == 0
    assert verify(problem, "<think>\n```python\nprint(5)\n```\n</think>\n```python\nprint(4)\n```").score == 1


@pytest.mark.parametrize(
    "answer", [{"asserts": ["assert f() == 1"]}, {"stdin": [{"input": "", "output": ""}], "language": "bash"}]
)
def test_tests_that_the_benchmark_does_not_have_are_undecided(answer: Any) -> None:
    verdict = verifiers.load({"name": "code", "protocol": "livecodebench"})(Problem("p", (), answer, ""), "```\npass\n```")
    assert (verdict.status, verdict.score) == (Status.UNDECIDED, None)
    assert "protocol livecodebench" in verdict.reason
