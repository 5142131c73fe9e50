"""What only Humanity's Last Exam has: a published system prompt of the policy, confidences, and questions with images."""

import hashlib
import json
from pathlib import Path

import pytest

from tenfold.benchmarks import catalogue, evaluate, identity, judged, rescore
from tenfold.benchmarks.judged import hle
from tenfold.benchmarks.result import Options, Result
from tenfold.core import Conversation
from tenfold.policies.scripted import ScriptedPolicy

JUDGE = "scripted:extracted_final_answer: 3\nreasoning: It is 3.\n**correct:** Yes\nconfidence: 80%"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three questions without an image and one with an image."""
    images = ("", "data:image/png;base64,AA==", None, "")
    about = {"answer_type": "exactMatch", "rationale": "", "raw_subject": "Geometry", "category": "Math"}
    rows = [
        {"id": f"q{n}", "question": f"What is {n}?", "image": image, "answer": str(n), **about}
        for n, image in enumerate(images)
    ]
    (tmp_path / "hle.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def run(data: Path, judge: str = JUDGE, policy: str = "Answer: 3", folder: Path | None = None, samples: int = 1) -> Result:
    options = Options(data=str(data), judge=judge, samples=samples)
    return evaluate.run_task("hle", ScriptedPolicy(policy), options, folder=folder)


def prompts(result: Result, folder: Path) -> list[list[dict[str, str]]]:
    rows = (folder / f"{result.task}.scores.jsonl").read_text().splitlines()
    return [json.loads(row)["prompt"] for row in rows]


def test_questions_with_an_image_are_left_out(data: Path, tmp_path: Path) -> None:
    asked = prompts(run(data, folder=tmp_path / "out"), tmp_path / "out")
    assert [turns[-1]["content"] for turns in asked] == ["What is 0?", "What is 2?", "What is 3?"]
    assert all(turns[0]["role"] == "system" for turns in asked)


def test_the_published_system_prompt_is_read_from_the_data_and_kept_for_judging_again(data: Path, tmp_path: Path) -> None:
    text = "Explanation: {why}\nAnswer: {it}"
    (data / "run_model_predictions.py").write_text(f"import openai\nSYSTEM_PROMPT = {text!r}\nraise SystemExit")
    before = identity.of_task("hle", Options(data=str(data), judge=JUDGE))
    result = run(data, folder=tmp_path / "out")
    assert prompts(result, tmp_path / "out")[0][0]["content"] == text
    (data / "run_model_predictions.py").unlink()
    assert rescore.rescore(tmp_path / "out")[0][1] == result
    assert run(data).hash != result.hash
    assert identity.of_task("hle", Options(data=str(data), judge=JUDGE)) != before


def test_a_system_prompt_that_is_not_the_published_one_is_a_difference(data: Path) -> None:
    message = (
        "the policy's system prompt is not the published one; "
        "with run_model_predictions.py of centerforaisafety/hle in --data it is"
    )
    assert message in run(data).settings["protocol"]
    metadata = catalogue.settings("hle")["metadata"] | {"system": "it", "system_digest": hashlib.sha256(b"it").hexdigest()}
    asked = judged.settings.of_task(hle, metadata, JUDGE, None)
    assert message not in judged.settings.differences(hle, metadata, asked, JUDGE, ScriptedPolicy("x"), 16)


def test_an_empty_response_is_incorrect_and_has_the_highest_confidence(data: Path) -> None:
    result = run(data, policy="<think>3</think>")
    assert (result.score.mean, result.figures["mean confidence"]) == (0, 1)
    assert (
        "3 responses without text have the lowest score, and the judge was not asked about them" in result.settings["protocol"]
    )


def test_confidences_out_of_range_count_as_the_nearest_one(data: Path) -> None:
    result = run(data, judge="scripted:correct: yes\nconfidence: 900")
    assert (result.score.mean, result.figures["mean confidence"]) == (1, 1)
    assert "3 confidences below 0 or above 100 count as 0 or 100" in result.settings["protocol"][-1]


def by_the_question(conversation: Conversation, seed: int) -> str:
    is_right = "What is 3?" in conversation[-1]["content"]
    return f"correct: {'yes' if is_right else 'no'}\nconfidence: {90 if is_right else 60}"


def test_the_calibration_error_needs_two_bins_of_100_responses(data: Path) -> None:
    """Of 240 responses, the first bin has 100 with the confidence 0.6, all incorrect. Its weight is 100 / 240."""
    judge = f"call:{__name__}:by_the_question"
    assert "calibration error" not in run(data, judge, samples=66).figures
    assert run(data, judge, samples=80).figures["calibration error"] == pytest.approx((100 / 240 * 0.6**2) ** 0.5)


@pytest.mark.parametrize(
    ("text", "judgement"),
    [
        ("extracted_final_answer: correct: yes\nreasoning: They differ.\ncorrect: no\nconfidence: 7", hle.Judgement(False, 7)),
        ("**correct**: yes\n\n**confidence**: 0%", hle.Judgement(True, 0)),
        ('{\n  "correct": "yes",\n  "confidence": 55\n}', hle.Judgement(True, 55)),
        ("correct: yes", None),
        ("confidence: 90", None),
        ("correct: perhaps\nconfidence: 90", None),
        ("The response is not correct: yes.\nconfidence: 90", None),
    ],
)
def test_a_judgement_in_lines(text: str, judgement: hle.Judgement | None) -> None:
    assert hle.read(text) == judgement
