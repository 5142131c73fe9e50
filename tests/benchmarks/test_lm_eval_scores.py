"""The tasks of the suite `base` that lm-eval has: the same responses get the scores of lm-eval's own run."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import lm_eval
import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from tenfold.benchmarks import catalogue, lm_eval_tasks
from tenfold.benchmarks.result import Options
from tenfold.core import Completion, Conversation, Sampling
from tenfold.policies.scripted import ScriptedPolicy

OPTIONS = ("zinc", "neon", "argon", "xenon")
ROWS: dict[str, list[dict[str, Any]]] = {
    "openai/gsm8k": [{"question": f"What is row {n}?", "answer": "40 + 2 = 42\n#### 42"} for n in range(40)],
    "SaylorTwift/bbh": [{"input": f"row {n}: not False is", "target": "True"} for n in range(40)],
    "TIGER-Lab/MMLU-Pro": [
        {"question": f"Which is a metal in row {n}?", "options": list(OPTIONS), "answer": "A", "answer_index": 0}
        | {"category": "math", "cot_content": "A: Let's think step by step. It is zinc. The answer is (A)."}
        for n in range(40)
    ],
    "cais/mmlu": [{"question": f"Which is a metal in row {n}?", "choices": list(OPTIONS), "answer": n % 4} for n in range(40)],
    "haonan-li/cmmlu": [
        {"Question": f"row {n} 哪个是金属？", **dict(zip("ABCD", OPTIONS, strict=True)), "Answer": "ABCD"[n % 4]}
        for n in range(40)
    ],
}
"""Small data in the form of each data set."""

GSM8K = [
    *(
        "#### 42",
        "40 + 2 = 42\n#### 42",
        "#### 42.",
        "#### 42.0",
        "#### $42",
        "#### 42 apples",
        "#### 42,",
        "####42",
        "#### 4 2",
    ),
    *("#### -42", "#### +42", "#### 41\n#### 42", "#### 42\n#### 41", "#### 1,042", "#### forty-two", "####", "", "42", "42."),
    *(
        "The answer is 42.",
        "The answer is 42. It is not 41.",
        "\\boxed{42}",
        "$42",
        "42%",
        "#### 42%",
        "#### 42\nSo 42.",
        "x = 42",
    ),
    *("#### \\boxed{42}", "#### 42/1", "#### 84/2", "#### 0042", "#### 42 41", "Answer: 42", "#### **42**"),
]
BBH = [
    *(
        "So the answer is True.",
        "So the answer is True",
        "the answer is True.",
        "The answer is True.",
        "So the answer is False.",
    ),
    *(
        "So the answer is true.",
        "So the answer is  True.",
        "So the answer is True!",
        "So the answer is **True**.",
        "True.",
        "True",
    ),
    *(
        "So the answer is (True).",
        "the answer is True. the answer is False.",
        "the answer is False, no, the answer is True.",
        "",
    ),
    *(
        "So the answer is True. Done.",
        "the answer is True.\nthe answer is False.",
        "the answer is\nTrue.",
        "the answer is True,",
    ),
    *(
        "the answer is not False.",
        "the answer is True\n",
        "the answer is T.",
        "answer is True.",
        "So, the answer is True .",
        "the",
    ),
    *("the answer is: True.", "the answer is 'True'.", "the answer isTrue.", "the answer is true", "the answer is TRUE.", "42"),
]
MMLU_PRO = [
    *(
        "The answer is (A).",
        "The answer is A.",
        "the answer is (A)",
        "answer is A",
        "The answer is: A",
        "The answer is (B).",
        "A",
    ),
    *(
        "The answer is **A**.",
        "The answer is (A",
        "The answer is \\boxed{A}.",
        "The answer is a.",
        "Answer: A",
        "(A)",
        "",
        "zinc",
    ),
    *(
        "The answer is (A). The answer is (B).",
        "The answer is (B). The answer is (A).",
        "The answer is (J).",
        "The answer is (K).",
    ),
    *("The answer is Argon.", "the answer is\n(A)", "The answer is  (A)", "So answer is (A), zinc.", "The Answer is (A)."),
    *(
        "The answer is not A.",
        "The answer is (AB).",
        "The answer is zinc.",
        "\\boxed{A}",
        "The best answer is (A)",
        "answer is (A",
    ),
]
GENERATED = {
    "gsm8k": GSM8K,
    "bbh_cot_fewshot_boolean_expressions": BBH,
    "mmlu_pro_math": MMLU_PRO,
}
"""The responses to each task's rows: right, wrong and odd ones."""


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(path: str, name: str | None = None, **kwargs: Any) -> datasets.DatasetDict:
        part = datasets.Dataset.from_list(ROWS[path])
        return datasets.DatasetDict({split: part for split in ("train", "test", "dev", "validation")})

    monkeypatch.setattr(datasets, "load_dataset", load)


def row_of(prompt: str) -> int:
    """Returns the number of the row that a prompt asks about; the few-shot examples come before it."""
    return int(re.findall(r"row (\d+)", prompt)[-1])


def likelihood(prompt: str, continuation: str) -> float:
    """Returns the scripted log-likelihood of an option's letter. Ties are among them."""
    return -float((row_of(prompt) * 7 + "ABCD".index(continuation.strip()) * 3) % 5)


class Direct(LM):
    """Scripted responses as a model of lm-eval, without tenfold."""

    def __init__(self, responses: Sequence[str]):
        super().__init__()
        self.responses = responses

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        return [self.responses[row_of(request.args[0])] for request in requests]

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        return [(likelihood(*request.args), False) for request in requests]

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        raise NotImplementedError


class Likelihoods(ScriptedPolicy):
    """A policy with scripted log-likelihoods."""

    def loglikelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        return [(likelihood(*pair), False) for pair in pairs]

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        raise NotImplementedError


def lm_evals_scores(task: str, model: LM, limit: int) -> list[float]:
    """Returns the first metric of each row under the first filter, and nothing else, from a run of lm-eval alone."""
    manager = catalogue.lm_eval_tasks(task)
    found = lm_eval.simple_evaluate(model=model, tasks=[task], task_manager=manager, limit=limit, bootstrap_iters=0)
    assert found is not None
    logged: list[Mapping[str, Any]] = found["samples"][task]
    first = [row for row in logged if row["filter"] == logged[0]["filter"]]
    return [float(row[row["metrics"][0]]) for row in sorted(first, key=lambda row: row["doc_id"])]


def our_scores(task: str, policy: ScriptedPolicy, limit: int, folder: Path) -> list[float]:
    result = lm_eval_tasks.evaluate(f"lm_eval:{task}", policy, Options(limit=limit), folder=folder)
    rows = [json.loads(line) for line in (folder / f"{result.task}.scores.jsonl").read_text().splitlines()]
    return [row["samples"][0]["score"] for row in sorted(rows, key=lambda row: int(row["problem"].rpartition("/")[2]))]


@pytest.mark.parametrize("task", GENERATED)
def test_generated_responses_get_lm_evals_scores(task: str, tmp_path: Path) -> None:
    responses = GENERATED[task]
    assert len(responses) >= 30
    policy = ScriptedPolicy(lambda conversation, seed: responses[row_of(conversation[0]["content"])])
    expected = lm_evals_scores(task, Direct(responses), len(responses))
    assert our_scores(task, policy, len(responses), tmp_path) == expected
    assert {0, 1} == set(expected)


@pytest.mark.parametrize("task", ["mmlu_abstract_algebra", "cmmlu_agronomy"])
def test_likelihoods_get_lm_evals_scores(task: str, tmp_path: Path) -> None:
    expected = lm_evals_scores(task, Direct([]), 40)
    assert our_scores(task, Likelihoods("?"), 40, tmp_path) == expected
    assert {0, 1} == set(expected)
