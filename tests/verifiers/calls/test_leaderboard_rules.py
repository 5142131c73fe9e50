"""Options of `function_calls` that judge as the Berkeley Function-Calling Leaderboard does."""

import pytest

from tenfold import verifiers
from tenfold.core import Problem
from tenfold.verifiers import function_calls

AREA = {"name": "area", "parameters": {"properties": {"base": {"type": "integer"}}, "required": ["base"]}}
GOLD = {"area": {"base": [10]}}
CALL = '<tool_call>{"name": "area", "arguments": {"base": 10}}</tool_call>'


@pytest.mark.parametrize(
    ("response", "strict", "as_leaderboard"),
    [
        ("None of these functions can do that.", 1, 1),
        ("", 0, 1),
        ("<tool_call>{broken</tool_call>", 0, 1),
        (CALL, 0, 0),
        ("[area(base=10)]", 0, 0),
    ],
)
def test_unreadable_calls_decline_if_the_option_says_so(response: str, strict: float, as_leaderboard: float) -> None:
    problem = Problem("p", (), {"functions": [AREA], "calls": []}, "")
    lenient = verifiers.load({"name": "function_calls", "unreadable_declines": True})
    assert function_calls.verify(problem, response).score == strict
    assert lenient(problem, response).score == as_leaderboard
    with_gold = Problem("p", (), {"functions": [AREA], "calls": [GOLD]}, "")
    assert lenient(with_gold, "<tool_call>{broken</tool_call>").score == 0


@pytest.mark.parametrize(
    ("response", "score"),
    [
        (CALL, 1),
        ("[area(base=10), area()]", 1),
        ("[volume(base=10), area()]", 1),
        (CALL.replace("area", "volume"), 0),
        ("I need the base.", 0),
        ("", 0),
    ],
)
def test_any_call_of_a_declared_function_can_be_correct(response: str, score: float) -> None:
    problem = Problem("p", (), {"functions": [AREA], "calls": [], "any_call": True}, "")
    assert function_calls.verify(problem, response).score == score


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("[area(base=10)]", 1),
        ("```\narea(base=5 + 5)\n```", 1),
        ("<think>10</think>[area(base=10)]", 1),
        ("[area(10)]", 0),
        ("I call [area(base=10)]", 0),
        (CALL, 0),
    ],
)
def test_the_format_list_accepts_only_a_python_list(response: str, score: float) -> None:
    verifier = verifiers.load({"name": "function_calls", "format": "list"})
    assert verifier(Problem("p", (), {"functions": [AREA], "calls": [GOLD]}, ""), response).score == score


def test_calls_of_declared_tools_may_have_any_format() -> None:
    tool = {"type": "function", "function": AREA}
    prompt = ({"role": "user", "content": "?", "tools": [tool]},)
    verifier = verifiers.load({"name": "function_calls", "format": "list"})
    assert verifier(Problem("p", prompt, {"functions": [AREA], "calls": [GOLD]}, ""), CALL).score == 1  # type: ignore[arg-type]
