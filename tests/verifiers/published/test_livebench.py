"""Responses to LiveBench's questions get the scores of LiveBench's own code.

`official.py` has computed the scores in the files, in an environment of its own.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tenfold.envs.problems import sources
from tenfold.verifiers import load

HERE = Path(__file__).parent
CATEGORIES = ("math", "reasoning", "language", "data_analysis", "instruction_following", "coding")


def content(category: str) -> dict[str, Any]:
    return json.loads((HERE / f"livebench_{category}.json").read_text())  # type: ignore[no-any-return]


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("category", CATEGORIES)
def test_scores_are_the_benchmarks(category: str, tmp_path: Path) -> None:
    file = content(category)
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in file["questions"].values()))
    problems = {problem.id: problem for problem in sources.load(f"jsonl:{tmp_path}/questions.jsonl")}
    verify = load("livebench_coding" if category == "coding" else "livebench")
    assert len(file["cases"]) >= 40
    for case in file["cases"]:
        problem = problems[case["question"]]
        assert [turn["content"] for turn in problem.prompt] == file["questions"][case["question"]]["turns"]
        assert verify.invalid_gold(problem) is None
        # None: sympy finds no equality, so the benchmark's code asks a model. None of these answers is equal to the gold one.
        assert verify(problem, case["response"]).score == pytest.approx(case["official"] or 0), case


def test_each_task_has_cases_with_several_scores() -> None:
    found: dict[str, set[float]] = {}
    for category in CATEGORIES:
        file = content(category)
        for case in file["cases"]:
            found.setdefault(file["questions"][case["question"]]["task"], set()).add(case["official"] or 0)
    assert len(found) == 24
    assert all(len(scores) > 1 for scores in found.values()), found
