"""Few-shot examples of the built-in tasks, from data sets of the hub.

If there is a folder with the name of a data set, `datasets` reads it instead of the hub's data set. So these tests need no hub.
The rows have the columns of the data sets.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import datasets
import pytest

from tenfold import cli
from tenfold.benchmarks import evaluate
from tenfold.benchmarks.result import results
from tenfold.core import Conversation, UserError
from tenfold.envs.problems import sources
from tenfold.policies.scripted import ScriptedPolicy

Rows = Sequence[Mapping[str, object]]


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Clears the cache of loaded data sets after a test. The process keeps them, because the hub's do not change."""
    yield
    sources._load.cache_clear()


@pytest.fixture
def hub(lab: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, Mapping[str, Rows]], None]:
    """Writes a data set with a configuration and its splits to a folder."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", lab / "cache")

    def write(name: str, configuration: str, splits: Mapping[str, Rows]) -> None:
        (lab / name).mkdir(parents=True)
        for split, rows in splits.items():
            (lab / name / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        files = "".join(f"  - split: {split}\n    path: {split}.jsonl\n" for split in splits)
        (lab / name / "README.md").write_text(f"---\nconfigs:\n- config_name: {configuration}\n  data_files:\n{files}---\n")

    return write


def prompts_of(task: str, fewshot: int) -> list[Conversation]:
    """Returns the prompts of a task's first two problems."""
    prompts: list[Conversation] = []

    def answer(conversation: Conversation, seed: int) -> str:
        prompts.append(conversation)
        return "?"

    evaluate.evaluate(task, ScriptedPolicy(answer), fewshot=fewshot, samples=1, limit=2)
    return prompts


def test_gsm8k_gets_its_examples_from_the_training_split(hub: Callable[..., None], lab: Path) -> None:
    def row(n: int) -> dict[str, str]:
        return {"question": f"What is {n} + 2?", "answer": f"{n} + 2 = <<{n}+2={n + 2}>>{n + 2}\n#### {n + 2}"}

    hub("openai/gsm8k", "main", {"train": [row(n) for n in range(3)], "test": [row(n) for n in (2, 10)]})
    same, other = ([turn["content"] for turn in prompt] for prompt in prompts_of("gsm8k", 2))
    asks = "\n\nReason step by step and put the final answer in \\boxed{}."
    examples = [f"What is 0 + 2?{asks}", "0 + 2 = <<0+2=2>>2\n#### 2", f"What is 1 + 2?{asks}", "1 + 2 = <<1+2=3>>3\n#### 3"]
    assert same == [*examples, f"What is 2 + 2?{asks}"]
    assert other == [*examples, f"What is 10 + 2?{asks}"]
    assert len(prompts_of("gsm8k", 3)[1]) == 7
    with pytest.raises(UserError, match="there are only 3 examples, got 4; lower it"):
        prompts_of("gsm8k", 4)
    command = ["bench", "gsm8k", "--policy", "scripted:#### 12", "--fewshot", "2", "--samples", "1", "--out", "b"]
    assert cli.main(command) == 0
    (result,) = (json.loads(path.read_text()) for path in (lab / "b").glob("*.json"))
    assert (result["settings"]["fewshot"], result["score"]["mean"]) == (2, 0.5)


def mmlu_pro_row(n: int, category: str = "math") -> dict[str, object]:
    """A row with the columns of MMLU-Pro."""
    reasoning = f"A: Let's think step by step. {n} plus 1 is {n + 1}. The answer is (B)."
    row = {"question_id": n, "question": f"What is {n} + 1? ", "options": [str(n), str(n + 1), "N/A"], "answer": "B"}
    return row | {"answer_index": 1, "cot_content": reasoning, "category": category, "src": "here"}


def test_mmlu_pro_has_the_examples_of_the_problems_category_in_one_turn(hub: Callable[..., None]) -> None:
    validation = [mmlu_pro_row(0), mmlu_pro_row(1, "law"), mmlu_pro_row(2), mmlu_pro_row(3)]
    hub("TIGER-Lab/MMLU-Pro", "default", {"validation": validation, "test": [mmlu_pro_row(10), mmlu_pro_row(11, "law")]})
    (math,), (law,) = prompts_of("mmlu_pro", 2)
    assert math["content"] == (
        "The following are multiple choice questions (with answers) about math. Think step by step and then output the answer "
        'in the format of "The answer is (X)" at the end.\n\n'
        "Question: What is 0 + 1? \nOptions: A. 0\nB. 1\n"
        "Answer: Let's think step by step. 0 plus 1 is 1. The answer is (B).\n\n"
        "Question: What is 2 + 1? \nOptions: A. 2\nB. 3\n"
        "Answer: Let's think step by step. 2 plus 1 is 3. The answer is (B).\n\n"
        "Question: What is 10 + 1? \nOptions: A. 10\nB. 11\nAnswer: Let's think step by step.\n\n"
    )
    assert law["content"].count("Question: ") == 2
    assert "about law" in law["content"]


def test_mmlu_pro_reads_its_examples_from_the_folder_of_its_data(lab: Path) -> None:
    (lab / "mmlu_pro.jsonl").write_text(json.dumps(mmlu_pro_row(10)) + "\n")
    with pytest.raises(UserError, match=r"no mmlu_pro_validation.jsonl in \.; put the problems of .*, or set --fewshot 0"):
        evaluate.evaluate("mmlu_pro", ScriptedPolicy("?"), data=".")
    (lab / "mmlu_pro_validation.jsonl").write_text(json.dumps(mmlu_pro_row(2)) + "\n")
    prompts: list[Conversation] = []

    def answer(conversation: Conversation, seed: int) -> str:
        prompts.append(conversation)
        return "The answer is (B)."

    result = evaluate.evaluate("mmlu_pro", ScriptedPolicy(answer), data=".", folder="b")
    assert result.score.mean == 1
    assert "2 plus 1 is 3" in prompts[0][0]["content"]
    assert cli.main(["bench", "rescore", "b"]) == 0
    assert results("b") == [result]


def test_without_the_hub_the_error_names_the_data_set(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"question": "1 + 1?", "answer": "1 + 1 = 2\n#### 2"}]
    (lab / "gsm8k_test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["bench", "gsm8k", "--data", ".", "--policy", "scripted:2", "--out", "b"]
    assert cli.main([*command, "--fewshot", "1"]) == 2
    assert "openai/gsm8k is not in the cache" in capsys.readouterr().err
    assert cli.main(command) == 0
