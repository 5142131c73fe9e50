import json
from pathlib import Path
from typing import Any

import pytest

from tenfold.core import Message, Problem, Status
from tenfold.envs.problems import sources
from tenfold.verifiers import load

verify = load("instructions")


def posed(*instructions: tuple[str, dict[str, Any]]) -> Problem:
    names, arguments = [name for name, _ in instructions], [given for _, given in instructions]
    prompt = (Message(role="user", content="Say it."),)
    return Problem("1", prompt, {"instructions": names, "arguments": arguments}, "")


WORDS = ("length_constraints:number_words", {"relation": "at least", "num_words": 3})
NO_COMMA = ("punctuation:no_comma", {})
NO_SECRET = ("keywords:forbidden_words", {"forbidden_words": ["secret", "слово"]})
GERMAN = ("language:response_language", {"language": "de"})


@pytest.mark.parametrize(
    ("instructions", "response", "score"),
    [
        ([NO_COMMA], "no commas here", 1),
        ([NO_COMMA], "commas, here", 0),
        ([NO_COMMA, WORDS], "one two three", 1),
        ([NO_COMMA, WORDS], "one two", 0),
        ([WORDS], "<think>one two three four</think>one two", 0),
        ([WORDS], "<think>one two three four", 0),
        ([GERMAN], "Das ist ein deutscher Satz.", 1),
        ([GERMAN], "This is an English sentence.", 0),
        ([("combination:repeat_prompt", {"prompt_to_repeat": "Say it."})], "Say it. Said.", 1),
        ([NO_COMMA], "", 0),
        ([NO_SECRET], "the se\u200bcret is out", 0),
        ([NO_SECRET], "the s\u0435cret is out", 0),
        ([NO_SECRET], "the \uff53\uff45\uff43\uff52\uff45\uff54 is out", 0),
        ([NO_SECRET], "это c\u043bово", 0),
        ([NO_SECRET], "это обычный текст, and secretaries", 1),
        ([NO_COMMA], "commas\uff0chere", 0),
        ([NO_COMMA], "commas\ufe50 here", 0),
        ([NO_COMMA], "\u7532\u3001\u4e59", 0),
        ([NO_COMMA], "\u65e5\u672c\u8a9e\u3067\u3059\u3002", 1),
        ([WORDS], "a\u200bb \u3164", 0),
        ([WORDS], "\u200b\u3164", 0),
    ],
)
def test_a_response_must_follow_all_instructions(
    instructions: list[tuple[str, dict[str, Any]]], response: str, score: float
) -> None:
    assert verify(posed(*instructions), response).score == score


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "names no instructions"),
        ({"instructions": []}, "names no instructions"),
        ({"instructions": "punctuation:no_comma"}, "names no instructions"),
        ({"instructions": ["no:such"]}, "unknown instruction 'no:such'"),
        ({"instructions": [NO_COMMA[0]], "arguments": ["x"]}, "the arguments of the instructions are not"),
        ({"instructions": [NO_COMMA[0]], "arguments": [{"x": 1}]}, "unexpected keyword argument 'x'"),
        ({"instructions": [WORDS[0]], "arguments": [{"relation": "no such", "num_words": 3}]}, "but no such is given"),
    ],
)
def test_unusable_instructions_are_undecided(answer: object, reason: str) -> None:
    verdict = verify(Problem("1", (), answer, ""), "x")
    assert (verdict.status, verdict.score) == (Status.UNDECIDED, None)
    assert reason in verdict.reason


def test_an_instruction_may_have_no_arguments() -> None:
    names = [NO_COMMA[0], WORDS[0]]
    for arguments in ([None, WORDS[1]], [{}, WORDS[1]]):
        answer = {"instructions": names, "arguments": arguments}
        assert verify(Problem("1", (), answer, ""), "one two three").score == 1
        assert verify(Problem("1", (), answer, ""), "one, two").score == 0
    assert verify(Problem("1", (), {"instructions": [NO_COMMA[0]]}, ""), "one, two").score == 0


def test_rows_of_ifeval_are_problems(tmp_path: Path) -> None:
    row = {
        "key": 1000,
        "prompt": "Write.",
        "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
        "kwargs": [{"num_words": None}, {"num_words": 3, "relation": "at least", "language": None}],
    }
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    [problem] = sources.load(f"jsonl:{tmp_path}/rows.jsonl")
    assert problem.id == "1000"
    assert problem.answer["arguments"] == [{}, {"num_words": 3, "relation": "at least"}]
    assert verify(problem, "three plain words").score == 1


@pytest.mark.parametrize(
    ("name", "response", "status"),
    [
        ("detectable_content:number_placeholders", "[" * 60_000, Status.TIMEOUT),  # lm-eval's pattern is quadratic
        ("detectable_format:json_format", "[" * 60_000, Status.SCORED),
        ("detectable_format:title", "\ud800\x00", Status.SCORED),
    ],
)
def test_a_response_that_a_check_cannot_read_is_not_a_fault(name: str, response: str, status: Status) -> None:
    verdict = verify(posed((name, {"num_placeholders": 2} if "number" in name else {})), response)
    assert (verdict.status, verdict.score) == (status, 0)
