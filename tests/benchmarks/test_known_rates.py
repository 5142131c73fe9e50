"""A policy with known pass rates gets these rates in every task that a verifier judges."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenfold.benchmarks import catalogue, evaluate
from tenfold.benchmarks.result import Options
from tenfold.core import Conversation, sample_seed
from tenfold.policies.scripted import ScriptedPolicy

RATES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Pass rate of each problem."""
TASKS = {
    task: catalogue.settings(task)["metadata"].get("verifier", "math")
    for task in catalogue.names()
    if "judged" not in catalogue.settings(task)["metadata"]
}

Form = tuple[Callable[[int], dict[str, Any]], Callable[[int], str], str]
"""Row n of a task's data, its correct response, and an incorrect response."""
FORMS: dict[str, Form] = {
    "math": (lambda n: {"problem": f"What is {n} + 0?", "answer": n}, lambda n: f"\\boxed{{{n}}}", "\\boxed{7.5}"),
    "choice": (
        lambda n: {"question": f"Which is {n}?", "options": [str(n + 1), str(n), "x", "y"], "answer_letter": "B"},
        lambda n: "So the answer is (B).\nAnswer: B",
        "So the answer is (C).\nAnswer: C",
    ),
    "last_numbers": (lambda n: {"input": f"{n}加0是多少？", "golden": str(n)}, lambda n: f"答：{n}。", "答：7.5。"),
    "code": (
        lambda n: {"task_id": n, "text": f"Write f that gives {n}.", "code": "", "test_list": [f"assert f() == {n}"]},
        lambda n: f"```python\ndef f(): return {n}\n```",
        "```python\ndef f(): return 7.5\n```",
    ),
    "livecodebench": (
        lambda n: {
            "question_id": f"print_{n}",
            "question_content": f"Print the number {n}.",
            "public_test_cases": json.dumps([{"input": "", "output": str(n), "testtype": "stdin"}]),
        },
        lambda n: f"```python\nprint({n})\n```",
        "```python\nprint(7.5)\n```",
    ),
    "livebench": (
        lambda n: {
            "question_id": str(n),
            "category": "reasoning",
            "task": "spatial",
            "turns": [f"Which number is {n}?"],
            "ground_truth": str(n),
        },
        lambda n: f"It is **{n}**.",
        "It is **7.5**.",
    ),
    "livebench_coding": (
        lambda n: {
            "question_id": str(n),
            "category": "coding",
            "task": "LCB_generation",
            "turns": [f"Print the number {n}."],
            "public_test_cases": json.dumps([{"input": "", "output": str(n), "testtype": "stdin"}]),
            "private_test_cases": "[]",
            "original_json": {"metadata": "{}"},
        },
        lambda n: f"```python\nprint({n})\n```",
        "```python\nprint(7.5)\n```",
    ),
    "fullstack": (
        lambda n: {
            "id": n,
            "content": f"Write f that gives {n}.",
            "canonical_solution": "",
            "labels": {"programming_language": "python"},
            "test": {"code": f"assert f() == {n}\n"},
        },
        lambda n: f"```python\ndef f(): return {n}\n```",
        "```python\ndef f(): return 7.5\n```",
    ),
    "instructions": (
        lambda n: {"prompt": f"Name {n} birds.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
        lambda n: "owl and finch",
        "owl, finch",
    ),
    "tenfold.envs.toy.short_notes:verify": (
        lambda n: {"prompt": f"Tell them: {n} red, 4 blue.", "answer": "any"},
        lambda n: f"Hello! {n} red, 4 blue.",
        "Hello! Many.",
    ),
    "function_calls": (
        lambda n: {
            "question": f"Say {n}.",
            "function": [{"name": "say", "parameters": {"properties": {"n": {"type": "integer"}}, "required": ["n"]}}],
            "ground_truth": [{"say": {"n": [n]}}],
        },
        lambda n: f"[say(n={n})]",
        "[say(n=99)]",
    ),
}


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("task", TASKS)
def test_a_policy_gets_its_known_pass_rates(task: str, tmp_path: Path) -> None:
    verifier = TASKS[task]
    row, correct, incorrect = FORMS[verifier if isinstance(verifier, str) else verifier.get("protocol", verifier["name"])]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row(n)) + "\n" for n in range(len(RATES))))

    head = catalogue.settings(task)["metadata"].get("template", "{prompt}").partition("{prompt}")[0]

    def answer(conversation: Conversation, seed: int) -> str:
        found = re.search(r"\d+", conversation[-1]["content"].removeprefix(head))
        assert found
        solves = sample_seed(seed, task, 0) / 2**53 < RATES[int(found[0])]
        return correct(int(found[0])) if solves else incorrect

    options = Options(problems=f"jsonl:{tmp_path}/rows.jsonl", samples=24, fewshot=0)
    result = evaluate.run_task(task, ScriptedPolicy(answer), options, folder=tmp_path)
    margin = (result.score.same_problems_high - result.score.same_problems_low) / 2  # two standard errors
    assert abs(result.score.mean - 0.5) < 1.5 * margin
    rows = [json.loads(line) for line in (tmp_path / f"{result.task}.scores.jsonl").read_text().splitlines()]
    rates = [sum(sample["score"] for sample in row["samples"]) / 24 for row in rows]
    assert (rates[0], rates[-1]) == (0, 1)
    assert all(abs(rate - true) < 0.31 for rate, true in zip(rates, RATES, strict=True))  # three standard errors
