"""The verifiers of LiveBench. `../published/test_livebench.py` compares their scores with those of LiveBench's own code."""

import pytest

import tenfold
from tenfold.core import Problem, Status, Verdict
from tenfold.verifiers import find
from tenfold.verifiers.live_bench.worker import RULES, SYMBOLIC

WORDS = "red,blue,green,pink,cat,dog,cow,pig"
GOLDS: dict[str, object] = {
    **{rule: "4" for rule in RULES},
    **{"web_of_lies_v2": "yes, no, yes", "web_of_lies_v3": "yes, no, yes", "plot_unscrambling": "A cat sat. It ran."},
    **{"connections": WORDS, "connections_bold": WORDS, "olympiad": [3, 1, 2], "logic_with_navigation": [1, 2]},
    **{"tablejoin": {"id": "key"}, "consecutive_events": [{"user_id": "a", "max_consecutive_growth_months": 1}]},
}
QUESTIONS = [
    *({"rule": rule, "gold": gold} for rule, gold in GOLDS.items()),
    *({"rule": rule, "gold": "x^2+1"} for rule in SYMBOLIC),
    {"rule": "amc", "gold": "B", "option": "42"},
    *(
        {"rule": "tablereformat", "gold": gold, "format": name, "version": version}
        for version, name, gold in (
            (2, "csv", "a,b\n1,2"),
            (2, "json", '[{"a": 1}]'),
            (2, "html", "<table><tr><th>a</th></tr><tr><td>1</td></tr></table>"),
            (1, "jsonl", '{"a": 1}'),
            (1, "markdown", "| a |\n|---|\n| 1 |"),
        )
    ),
]
HOSTILE = [
    *("", "\x00", "\ud800", "<think>", "}" * 9, "\\boxed", "\\boxed{", "\\boxed x \\boxed{$y}", "NaN", "²", "9" * 5000),
    *("<solution>" * 3000, "</solution>" * 3000, "**" * 5000, "*" * 5001 + "a", "\\boxed{" * 4000, "((((" * 5000, "[" * 99_999),
    *(
        "<solution>" + "{" * 50_000 + "</solution>",
        "<solution>" + "-" * 90_000 + "1</solution>",
        " --- " * 9000,
        "answer:" * 9000,
    ),
    *(
        "<solution>1e999999999</solution>",
        "<table>" * 5000,
        "|" * 3000,
        '"' * 9999,
        "a," * 9000,
        "1.5." * 9000,
        "\n" * 99_999,
    ),
    *(
        "<solution>" + "[" * 9000 + "]" * 9000 + "</solution>",
        "```json\n" * 3000,
        "a.\n" * 9000,
        "\\frac{1}{0}",
        "\\boxed{9!!!!!}",
    ),
]
"""Long, nested and broken texts."""


def judged(answer: object, response: str) -> Verdict:
    return tenfold.verify(answer, response, "livebench")


@pytest.mark.parametrize("answer", QUESTIONS, ids=lambda answer: "-".join(map(str, [*answer.values()][::2]))[:30])
def test_any_response_gets_a_score_from_0_to_1(answer: object) -> None:
    for response in HOSTILE:
        verdict = judged(answer, response)
        assert verdict.status in (Status.SCORED, Status.TIMEOUT), (response[:50], verdict)
        assert verdict.score is not None
        assert 0 <= verdict.score <= 1


def test_the_reasoning_does_not_count() -> None:
    answer = {"rule": "spatial", "gold": "4"}
    assert judged(answer, "<think>**4**</think>It is **5**.").score == 0
    assert judged(answer, "<think>**5**</think>It is **4**.<|im_end|>").score == 1
    assert judged(answer, "<think>It is **4**.").score == 0  # truncated during the reasoning


def test_a_repeated_group_counts_once() -> None:
    half = "red, blue, green, pink"
    assert judged({"rule": "connections", "gold": WORDS}, f"<solution>{half}, {half}, {half}</solution>").score == 0.5


@pytest.mark.parametrize(
    ("response", "score"),
    [
        (r"\boxed{(x-1)(x+1)}", 1),
        (r"\boxed{f(x) = x^2 - 1 + C}", 1),
        (r"\boxed{1 - x^2}", 0),
        (r"\boxed{\sin(x)^2 + x^2 - 1 - \sin(x)^2}", 1),
        (r"\boxed{x^2}", 0),
    ],
)
def test_expressions_count_in_any_equivalent_form(response: str, score: float) -> None:
    assert judged({"rule": "amps_hard", "gold": "x^2-1"}, response).score == score


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("4", "names no rule of LiveBench"),
        ({"rule": "chess", "gold": "4"}, "'chess' is no rule of LiveBench"),
        ({"rule": "spatial", "gold": None}, "spatial: the gold answer is not a text"),
        ({"rule": "cta", "gold": "--"}, "cta: the gold answer is not a text"),
        ({"rule": "amc", "gold": "F"}, "amc: the gold answer is not one of the letters A to E"),
        ({"rule": "olympiad", "gold": []}, "olympiad: the gold answer is not a list"),
        ({"rule": "tablejoin", "gold": "{}"}, "tablejoin: the gold answer is not a mapping"),
        ({"rule": "instructions"}, "the problem names no instructions"),
        ({"rule": "tablereformat", "gold": "x", "format": "html", "version": 2}, "the gold table cannot be read as html"),
    ],
)
def test_a_question_without_a_usable_gold_answer_is_not_scored(answer: object, reason: str) -> None:
    verdict = judged(answer, "4")
    assert (verdict.status, verdict.score) == (Status.UNDECIDED, None)
    assert reason in verdict.reason


TESTS = "import unittest\nclass TestCases(unittest.TestCase):\n    def test(self): self.assertEqual(double(4), 8)\n"


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize(
    ("code", "score"),
    [
        ("def double(x):\n    return 2 * x", 1),
        ("from __future__ import annotations\ndef double(x):\n    return 2 * x\nif __name__ == '__main__':\n    exit()", 1),
        ("import atexit, os\ndef double(x):\n    os._exit(0)", 0),
        ("def double(x):\n    while True: pass", 0),
        ("import sys\nsys.exit()", 0),
        ("def double(x):\n    print(x * 'a' * 10_000_000)\n    return 8", 1),
    ],
)
def test_a_program_must_pass_the_unit_tests(code: str, score: float) -> None:
    answer = {"rule": "unit_tests", "unit_tests": TESTS, "seconds": 2.0}
    verdict = tenfold.verify(answer, f"```python\n{code}\n```", "livebench_coding")
    assert verdict.score == score, verdict


def test_unit_tests_with_a_missing_package_are_not_scored() -> None:
    answer = {"rule": "unit_tests", "unit_tests": TESTS, "imports": ["numpy", "no_such_package"]}
    reason = find("livebench_coding").invalid_gold(Problem("", (), answer, ""))
    assert reason == "the tests need the package no_such_package: pip install 'tenfold[fullstack]'"
