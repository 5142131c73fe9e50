import json
from pathlib import Path

import pytest

import tenfold
from tenfold import cli
from tenfold.core import UserError
from tenfold.envs.problems import sources
from tenfold.pipelines.synthesize.rows import synthesize

pytestmark = pytest.mark.usefixtures("sandboxed")

ROWS = [
    {"task_id": 1, "text": "Add.", "code": "def add(a, b): return a + b", "test_list": ["assert add(1, 2) == 3"]},
    {"task_id": 2, "text": "Now.", "code": "import time\ndef now(): return time.time()", "test_list": ["assert now() > 0"]},
    {"task_id": 3, "text": "Two.", "code": "def f(): ...\ndef g(): ...", "test_list": ["assert f() == g()"]},
]


def test_problems_get_generated_tests_and_a_killed_run_resumes(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    uri, out = f"jsonl:{lab}/rows.jsonl", lab / "tests.jsonl"
    assert cli.main(["synthesize", uri, "--out", str(out), "--limit", "1", "--inputs", "10", "--compare"]) == 0
    assert "1 of 1 problems have tests" in capsys.readouterr().out
    whole = out.read_bytes()
    out.write_bytes(whole[:-20])  # as if killed while writing
    added, now = synthesize(uri, out, compare=True, inputs_per_round=10, public_tests=2, min_private_tests=8, seed=0)
    assert out.read_bytes().startswith(whole)
    assert added["own_score"] < 1  # the problem's own test also passes with 1 ^ 2 == 3
    assert added["report"]["score"] == 1.0
    assert "no input of now has a stable output" in now["left_out"]
    with pytest.raises(UserError, match="inputs_per_round=10, not 11"):
        synthesize(uri, out, compare=True, inputs_per_round=11, public_tests=2, min_private_tests=8, seed=0)

    env = tenfold.make("tenfold/MBPP-v0", problems=f"jsonl:{out}?limit=1")
    prompt, _ = env.reset(seed=0)
    assert prompt.startswith("Add.")
    assert env.step("def add(x, y): return y + x")[1] == 1
    env.reset(seed=0)
    assert env.step("def add(x, y): return 3")[1] == 0


def test_problems_without_code_raise_a_one_line_error(lab: Path) -> None:
    (lab / "sums.jsonl").write_text('{"question": "1+1?", "answer": 2}')
    with pytest.raises(UserError, match="no coding problem"):
        synthesize(f"jsonl:{lab}/sums.jsonl", lab / "out.jsonl")
    assert not (lab / "out.jsonl").exists()
    assert sources.load(f"jsonl:{lab}/sums.jsonl")


def test_generated_tests_keep_the_comparison_and_problems_with_checkers_have_none(lab: Path) -> None:
    tests = {"entry_point": "f", "calls": [{"arguments": [[2, 1]], "output": [1, 2]}]}
    rows = [
        {"prompt": "f([2, 1])", "answer": tests | {"unordered": True}, "code": "def f(xs): return sorted(set(xs))"},
        {
            "prompt": "f([2, 1])",
            "answer": tests | {"checker": "def check(a, o, e): return True"},
            "code": "def f(xs): return xs",
        },
    ]
    (lab / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    unordered, checked = synthesize(f"jsonl:{lab}/own.jsonl?solution=code", lab / "out.jsonl", inputs_per_round=10)
    assert tenfold.verify(unordered["answer"], "def f(xs): return sorted(set(xs), reverse=True)", "code").score == 1
    assert tenfold.verify(unordered["answer"], "def f(xs): return sorted(xs)", "code").score == 0
    assert "checker" in checked["left_out"]


def test_generated_tests_keep_an_exact_tolerance_and_the_code_around_a_program(lab: Path) -> None:
    footer = 'if "Solution" in globals():\n    half = Solution().half'
    answer = {"entry_point": "half", "calls": [{"arguments": [3], "output": 1.5}], "tolerance": 0, "footer": footer}
    (lab / "own.jsonl").write_text(
        json.dumps({"prompt": "Halve 3.", "answer": answer, "code": "def half(x: int): return x / 2"})
    )
    (row,) = synthesize(f"jsonl:{lab}/own.jsonl?solution=code", lab / "out.jsonl", inputs_per_round=10)
    solution = "class Solution:\n    def half(self, x): return x / 2"
    assert tenfold.verify(row["answer"], solution, "code").score == 1
    assert tenfold.verify(row["answer"], f"{solution} * 1.0000001", "code").score == 0


def test_a_function_that_a_prompt_names_is_no_example(lab: Path) -> None:
    answer = {"asserts": ["assert double(2) == 4"], "functions": ["double"], "test": None}
    rows = [
        {"prompt": "Write double().", "answer": answer, "code": "def double(x): return 2 * x"},
        {"prompt": "Write a program.", "answer": answer | {"functions": None}, "code": "def double(x): return 2 * x"},
    ]
    (lab / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = synthesize(f"jsonl:{lab}/own.jsonl?solution=code", lab / "out.jsonl", inputs_per_round=10)
    assert [row["report"]["score"] for row in found] == [1.0]
