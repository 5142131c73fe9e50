"""The tasks score responses as the benchmarks' own code does.

`official.py` has computed the verdicts in the files, in an environment of its own.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tenfold.benchmarks import catalogue, evaluate
from tenfold.benchmarks.result import Options, Result
from tenfold.core import Message, Problem
from tenfold.policies.scripted import ScriptedPolicy
from tenfold.verifiers import load

HERE = Path(__file__).parent
FILES = {"supergpqa": "supergpqa", "gpqa_diamond": "simple_evals", "mmlu_pro": "mmlu_pro"}
"""The file of each multiple-choice task."""

Case = Mapping[str, Any]


def content(name: str) -> dict[str, Any]:
    return json.loads((HERE / f"{name}.json").read_text())  # type: ignore[no-any-return]


def measured(task: str, row: Case, responses: Sequence[str], data: Path) -> tuple[Result, str, list[float]]:
    """Returns the result of a task with one problem, its prompt, and the scores of these samples of the policy."""
    name = {"ifeval": "ifeval_input_data"}.get(task, task)
    (data / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    texts = iter(responses)
    policy = ScriptedPolicy(lambda conversation, seed: next(texts))
    result = evaluate.run_task(task, policy, Options(data=str(data), samples=len(responses)), folder=data / "bench")
    (scored,) = [json.loads(line) for line in (data / "bench" / f"{result.task}.scores.jsonl").read_text().splitlines()]
    ((prompt, samples),) = [(turn["content"], scored["samples"]) for turn in scored["prompt"]]
    return result, prompt, [sample["score"] for sample in samples]


@pytest.mark.parametrize("task", FILES)
def test_prompt_and_scores_of_a_multiple_choice_task_are_the_benchmarks(task: str, tmp_path: Path) -> None:
    file = content(FILES[task])
    assert len(file["cases"]) >= 70
    if "examples" in file:
        rows = [json.dumps(example | {"answer": "A"}) for example in file["examples"]]
        (tmp_path / f"{task}_validation.jsonl").write_text("\n".join(rows))
    for letter in sorted({case["letter"] for case in file["cases"]}):
        cases = [case for case in file["cases"] if case["letter"] == letter]
        row = {"question": file["question"], "options": file["options"], "answer_letter": letter}
        row |= {"category": file["category"]} if "category" in file else {}
        folder = tmp_path / letter
        folder.mkdir()
        for path in tmp_path.glob("*.jsonl"):
            (folder / path.name).write_text(path.read_text())
        _, prompt, found = measured(task, row, [case["response"] for case in cases], folder)
        assert prompt == file["prompt"]
        for case, score in zip(cases, found, strict=True):
            assert score == (case["official"] or 0), case  # None: MMLU-Pro takes a random option


def test_scores_of_cmath_are_the_authors(tmp_path: Path) -> None:
    cases = content("cmath")["cases"]
    assert len(cases) >= 50
    for golden in sorted({case["golden"] for case in cases}):
        chosen = [case for case in cases if case["golden"] == golden]
        row = {"grade": 1, "question": "还剩多少？", "golden": golden}
        folder = tmp_path / golden.replace("/", "_")
        folder.mkdir()
        _, prompt, found = measured("cmath", row, [case["response"] for case in chosen], folder)
        assert prompt == "还剩多少？"
        for case, score in zip(chosen, found, strict=True):
            assert score == (case["official"] or 0), case  # None: the script leaves it out


def test_the_four_accuracies_of_ifeval_are_the_benchmarks(tmp_path: Path) -> None:
    cases = content("ifeval")["cases"]
    assert len(cases) >= 60
    for number, prompt in enumerate(dict.fromkeys(case["prompt"] for case in cases)):
        chosen = [case for case in cases if case["prompt"] == prompt]
        row = {"key": number, **{name: chosen[0][name] for name in ("prompt", "instruction_id_list", "kwargs")}}
        folder = tmp_path / str(number)
        folder.mkdir()
        result, asked, found = measured("ifeval", row, [case["response"] for case in chosen], folder)
        assert asked == prompt
        assert found == [float(all(case["official"]["strict"])) for case in chosen], chosen
        for test in ("strict", "loose"):
            kept = [case["official"][test] for case in chosen]
            assert result.figures[f"part prompt {test}"] == sum(map(all, kept)) / len(kept), chosen
            assert result.figures[f"part instruction {test}"] == pytest.approx(sum(map(sum, kept)) / sum(map(len, kept))), (
                chosen
            )


CONTESTS = {
    "aime26": "aime/aime_2026",
    "hmmt_feb25": "hmmt/hmmt_feb_2025",
    "hmmt_nov25": "hmmt/hmmt_nov_2025",
    "hmmt_feb26": "hmmt/hmmt_feb_2026",
}
"""MathArena's name of each task."""
DIFFERENCES = {
    "digits": "is an integer in digits",
    "no box": "without a box",
    "boxes": "several boxes",
    "brackets": "the order within brackets",
    "slash": "cos \\pi/7 is",
    "values": "is not",
    "misread": "misreads",
}
"""What the protocol of a task says about verdicts that differ from MathArena's."""


@pytest.mark.parametrize("task", CONTESTS)
def test_scores_of_a_contest_are_those_of_matharena_up_to_the_differences_in_its_protocol(task: str) -> None:
    metadata = catalogue.settings(task)["metadata"]
    file, verify = content("matharena"), load(metadata["verifier"])
    prompt = (Message(role="user", content=file["prompt"][CONTESTS[task]]),)
    cases = [case for case in file["cases"] if task != "aime26" or re.fullmatch(r"\d{1,3}", case["gold"])]
    assert len(cases) >= (250 if task != "aime26" else 70)
    for case in cases:
        score = verify(Problem("1", prompt, case["gold"], ""), case["response"]).score
        difference = case.get("differs") or (case.get("differs_for_integers") if task == "aime26" else None)
        assert score == (1 - case["official"] if difference else case["official"]), case
        assert not difference or any(DIFFERENCES[difference] in text for text in metadata["protocol"]), case


@pytest.mark.parametrize("task", CONTESTS)
def test_the_prompt_of_a_contest_is_that_of_matharena(task: str, tmp_path: Path) -> None:
    file = content("matharena")
    row = {
        "problem_idx": 1,
        "problem": file["question"],
        "answer": 103 if task == "aime26" else "103",
        "problem_type": ["Algebra"],
    }
    result, prompt, scores = measured(task, row, ["So it is \\boxed{103}.", "So it is \\boxed{104}."], tmp_path)
    assert (prompt, scores) == (file["prompt"][CONTESTS[task]], [1, 0])
    assert result.settings["protocol"] == catalogue.settings(task)["metadata"]["protocol"]


AIME = [
    *((answer, 1) for answer in ("204", "0204", "204.", "$204$", "+204", "(204)", "{204}", "m+n=204", "m+n = 100 + 104 = 204")),
    *((answer, 1) for answer in (r"\textbf{204}", r"204\text{ cm}", r"204^\circ", r"\approx 204", "x=204", "２０４", r"\$204")),
    *((answer, 0) for answer in ("204.0", "x=204.0", "2.04e2", r"2.04\times10^2", "408/2", r"\frac{408}{2}", "200+4", "-204")),
    *((answer, 0) for answer in ("205", "2040", "20", "204!", r"204\%", r"\sqrt{41616}", "204_{10}", r"204 \text{ or } 205")),
    *((answer, 0) for answer in ("two hundred and four", r"m=100, n=104", r"\{204\}", "204,204", "")),
]
"""Answers in a box, with their scores. The competition has no code: its answers are integers in digits."""


@pytest.mark.parametrize(("answer", "score"), AIME)
def test_an_answer_of_the_aime_is_an_integer_in_digits(answer: str, score: float) -> None:
    verify = load({"name": "math", "form": "integer"})
    prompt = (Message(role="user", content="Find m + n."),)
    assert verify(Problem("1", prompt, 204, ""), f"So \\boxed{{{answer}}}.").score == score
    assert verify(Problem("1", prompt, r"\boxed{204}", ""), f"So \\boxed{{{answer}}}.").score == score


def test_a_gold_answer_of_the_aime_is_an_integer_in_digits() -> None:
    verify = load({"name": "math", "form": "integer"})
    assert verify(Problem("1", (), "025", ""), r"\boxed{25}").score == 1
    for gold in (-25, "1/2", "25.0", ["25", "26"]):
        assert verify(Problem("1", (), gold, ""), r"\boxed{25}").score is None
