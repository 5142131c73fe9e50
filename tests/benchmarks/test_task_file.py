"""Tasks of the user's own data: `--task FILE`, `--problems`, and `tenfold task check`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import tenfold
from tenfold import cli
from tenfold.benchmarks import catalogue, evaluate
from tenfold.benchmarks.report import compare
from tenfold.benchmarks.result import results
from tenfold.core import Conversation, UserError
from tenfold.policies.scripted import ScriptedPolicy

TASK: dict[str, Any] = {
    "problems": "jsonl:units.jsonl",
    "template": "{prompt}\n\nPut the number in \\boxed{}.",
    "system": "Convert.",
    "examples": [{"prompt": "How many metres is 5 km?", "response": "\\boxed{5000}"}],
    "samples": 2,
    "temperature": 1,
    "max_tokens": 16,
}


@pytest.fixture
def units(lab: Path) -> Path:
    rows = [{"question": f"How many metres is {n} km?", "answer": 1000 * n} for n in (1, 2, 3)]
    (lab / "units.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (lab / "units.yaml").write_text(yaml.safe_dump(TASK))
    return lab


def write(**changes: Any) -> None:
    settings = {name: value for name, value in (TASK | changes).items() if value is not None}
    Path("units.yaml").write_text(yaml.safe_dump(settings))


def test_a_task_file_is_a_task_with_its_prompt_verifier_and_sampling(units: Path) -> None:
    seen: list[Conversation] = []

    def answer(conversation: Conversation, seed: int) -> str:
        seen.append(conversation)
        return "\\boxed{2000}"

    result = evaluate.evaluate("units.yaml", ScriptedPolicy(answer), folder="b")
    assert (result.task, result.score.samples, result.score.mean) == ("units_avg2", 2, pytest.approx(1 / 3))
    assert result.settings["sampling"] == {"do_sample": True, "temperature": 1.0, "top_p": 0.95, "max_gen_toks": 16}
    assert [(turn["role"], turn["content"]) for turn in seen[0]] == [
        ("system", "Convert."),
        ("user", "How many metres is 5 km?\n\nPut the number in \\boxed{}."),
        ("assistant", "\\boxed{5000}"),
        ("user", "How many metres is 1 km?\n\nPut the number in \\boxed{}."),
    ]


def test_a_task_file_may_have_a_top_k(units: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(top_k=20)
    assert evaluate.evaluate("units.yaml", ScriptedPolicy("1000")).settings["sampling"]["top_k"] == 20
    assert evaluate.evaluate("units.yaml", ScriptedPolicy("1000"), top_k=3).settings["sampling"]["top_k"] == 3
    write(top_k=0)
    assert cli.main(["task", "check", "units.yaml"]) == 2
    assert "top_k: Input should be greater than or equal to 1" in capsys.readouterr().err


def test_results_of_a_task_file_are_judged_again_without_the_file(units: Path) -> None:
    write(verifier=[{"name": "math", "weight": 3}, {"name": "length", "weight": 1}], name="conversion")
    assert cli.main(["bench", "--task", "units.yaml", "--policy", "scripted:1000", "--out", "b"]) == 0
    before = results("b")
    assert before[0].task == "conversion_avg2"
    (units / "units.yaml").unlink()
    assert cli.main(["bench", "rescore", "b"]) == 0
    assert results("b") == before


def test_a_task_file_names_code_only_with_trust(units: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (units / "lab_near.py").write_text("def near(gold, answer):\n    return abs(float(answer) - gold) < 10\n")
    write(verifier="lab_near:near")
    command = ["bench", "--task", "units.yaml", "--policy", "scripted:1001", "--out", "b"]
    assert cli.main(command) == 2
    assert "units.yaml names 'lab_near:near', which is code of the module lab_near" in capsys.readouterr().err
    assert cli.main(["task", "check", "units.yaml"]) == 2
    assert cli.main([*command, "--trust"]) == 0
    assert results("b")[0].score.mean == pytest.approx(1 / 3)
    environment = {**os.environ, "PYTHONPATH": str(Path(tenfold.__file__).parent.parent), "PYTHONSAFEPATH": "1"}
    rescore = [sys.executable, "-m", "tenfold.cli", "bench", "rescore", "b"]  # a new process has not imported the module
    assert subprocess.run(rescore, env=environment, check=False, capture_output=True).returncode == 2
    assert subprocess.run([*rescore, "--trust"], env=environment, check=False, capture_output=True).returncode == 0


def test_few_shot_examples_come_from_the_file_or_a_uri_and_never_include_the_problem(units: Path) -> None:
    prompts: list[list[str]] = []

    def answer(conversation: Conversation, seed: int) -> str:
        prompts.append([turn["content"] for turn in conversation if turn["role"] == "user"])
        return "1"

    write(examples="jsonl:units.jsonl", fewshot=2, template=None, samples=1)
    evaluate.evaluate("units.yaml", ScriptedPolicy(answer))
    assert prompts[0] == [f"How many metres is {n} km?" for n in (2, 3, 1)]
    assert prompts[2] == [f"How many metres is {n} km?" for n in (1, 2, 3)]
    prompts.clear()
    evaluate.evaluate("chain_sum", ScriptedPolicy(answer), fewshot=3, system="Add.", samples=1, limit=1)
    assert len(prompts[0]) == 4
    with pytest.raises(UserError, match="humaneval has no few-shot examples; omit --fewshot, or list examples"):
        evaluate.evaluate("humaneval", ScriptedPolicy(answer), fewshot=3)
    write(fewshot=2)
    with pytest.raises(UserError, match="there are only 1 examples, got 2"):
        evaluate.evaluate("units.yaml", ScriptedPolicy(answer))


def test_own_problems_give_a_known_task_another_name_without_reported_scores(units: Path) -> None:
    result = evaluate.evaluate("aime24", ScriptedPolicy("1000"), problems="jsonl:units.jsonl", folder="b", samples=2)
    assert result.task.startswith("aime24-own-")
    assert compare.compare([result]) == []
    assert cli.main(["bench", "rescore", "b"]) == 0
    assert results("b") == [result]
    other = evaluate.evaluate("aime24", ScriptedPolicy("1000"), problems="jsonl:./units.jsonl", folder="b", samples=2)
    assert other.task == result.task  # the same problems, read from another path


def test_task_check_prints_the_first_prompt_and_the_scores_of_three_kinds_of_answers(
    units: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["task", "check", "units.yaml"]) == 0
    printed = capsys.readouterr().out
    assert "units: 3 problems, avg@2, verifier math" in printed
    assert "[system]\nConvert.\n\n[user]\nHow many metres is 5 km?" in printed
    assert "gold answers: mean score 1.000 on 3 problems" in printed
    assert "empty answers: mean score 0.000 on 3 problems" in printed
    assert "swapped answers: mean score 0.000 on 3 problems" in printed
    assert printed.endswith("passes\n")


@pytest.mark.parametrize(
    ("verify", "rows", "words"),
    [
        ("return True", [], "an empty response to units/0 does not score 0 but 1.0"),
        ("return True", [], "another problem's gold answer scores 1 on units/0"),
        ("return False", [], "the gold answer of units/0 does not score 1 but 0.0"),
        ("", [{"question": "?", "answer": None}], "1 of 4 problems cannot be judged, the first is units/3: "),
        ("", [{"question": "How many metres is 1 km?", "answer": 1000}], "2 problems have the same prompt as another one"),
        ("", [{"question": "How many metres is 5 km?", "answer": 5000}], "1 few-shot examples are problems of the task"),
    ],
)
def test_task_check_says_what_is_wrong_and_what_to_do(
    units: Path, verify: str, rows: list[dict[str, Any]], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (units / "units.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    if verify:
        (units / "lab_checked.py").write_text(f"def verify(gold, answer):\n    {verify}\n")
        write(verifier="lab_checked:verify")
    assert cli.main(["task", "check", "units.yaml", "--trust"]) == 2
    printed = capsys.readouterr()
    assert f"- {words}" in printed.out
    assert "findings; see the list above" in printed.err


def test_task_check_swaps_no_answers_that_are_equal_in_another_notation(
    units: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"question": f"{n} + 0.5 - {n}?", "answer": answer} for n, answer in enumerate(["0.5", "1/2"])]
    (units / "units.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert cli.main(["task", "check", "units.yaml"]) == 0
    assert "swapped answers: no score on 0 problems" in capsys.readouterr().out


def test_task_check_judges_the_gold_answer_by_the_parts_that_read_it(units: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts: list[dict[str, Any]] = [
        {"name": "math"},
        {"name": "format", "weight": 0.2},
        {"name": "length", "weight": 0.1, "free": 1, "limit": 2},
    ]
    write(verifier=parts)
    assert cli.main(["task", "check", "units.yaml"]) == 0
    assert "mean score 0.7" in capsys.readouterr().out
    (units / "lab_none.py").write_text("def verify(gold, answer):\n    return 0.5\n")
    write(verifier=[{"name": "lab_none:verify"}, *parts[1:]])
    assert cli.main(["task", "check", "units.yaml", "--trust"]) == 2
    assert "the gold answer of units/0 does not score 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"problem": "x"}, r"units\.yaml: problem: unknown setting; use one of name, version, problems"),
        ({"problems": None}, "problems: Field required"),
        ({"template": "Answer."}, r"template: .*does not contain \{prompt\}: add it"),
        ({"examples": [{"prompt": "?", "answer": "1"}]}, r"units\.yaml: examples\.0\.response: Field required"),
        (
            {"examples": [{"prompt": "?", "response": "1", "answer": "1"}]},
            r"examples\.0\.answer: unknown setting; use one of prompt, response",
        ),
        ({"temperature": float("inf")}, "temperature: Input should be a finite number"),
        ({"stop": ["END", ""]}, r"stop\.1: String should have at least 1 character"),
        ({"examples": None, "fewshot": 2}, "has no few-shot examples; list examples in it, or omit fewshot"),
        ({"samples": 0}, "samples: Input should be greater than or equal to 1"),
        ({"name": "gsm8k"}, "'gsm8k' cannot be the name of a task of your own"),
        ({"problems": "jsonl:none.jsonl"}, r"no file none\.jsonl"),
    ],
)
def test_a_mistake_in_a_task_file_is_a_one_line_error(units: Path, changes: dict[str, Any], words: str) -> None:
    write(**changes)
    with pytest.raises(UserError, match=words) as error:
        evaluate.evaluate("units.yaml", ScriptedPolicy("1"))
    assert "\n" not in str(error.value)


def test_a_date_that_does_not_exist_in_a_task_file_is_a_one_line_error(units: Path) -> None:
    Path("units.yaml").write_text("version: 2024-13-45\n")
    with pytest.raises(UserError, match=r"units\.yaml is not YAML: month must be in 1\.\.12"):
        evaluate.evaluate("units.yaml", ScriptedPolicy("1"))


def test_the_base_of_task_files_is_not_listed_as_a_task() -> None:
    assert catalogue.OWN not in catalogue.names()
    with pytest.raises(UserError, match="no task 'own'"):
        catalogue.expand(["own"])
