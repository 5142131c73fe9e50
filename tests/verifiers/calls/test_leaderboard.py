"""Calls in the formats of the function-calling leaderboard. `tests/envs/bfcl/` compares the verdicts with its own code."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold import verifiers
from tenfold.core import Problem, Status
from tenfold.verifiers.calls import leaderboard

AREA = {
    "name": "area",
    "parameters": {
        "properties": {
            "base": {"type": "integer"},
            "unit": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["base"],
    },
}
GOLD = {"area": {"base": [10], "unit": ["cm", ""], "tags": [["a", "b"], ""]}}
XML = '<functions><function name="area">{}</function></functions>'
VERIFY, LISTED = verifiers.load("function_calls"), verifiers.load({"name": "function_calls", "format": "list"})


def score(response: str, answer: Any, verifier: Any = VERIFY) -> float | None:
    verdict = verifier(Problem("p", (), answer, ""), response)
    assert verdict.status == Status.SCORED, verdict
    found: float | None = verdict.score
    return found


@pytest.mark.parametrize(
    ("form", "response", "expected"),
    [
        ("python", "[area(base=10, unit='CM')]", 1),
        ("python", "area(base=10)", 1),
        ("python", '[{"function": "area", "parameters": {"base": 10}}]', 0),
        ("json", '[{"function": "area", "parameters": {"base": 10}}]', 1),
        ("json", 'Here:\n```json\n[{"function": "area", "parameters": {"base": 10}}]\n```', 1),
        ("json", '{"function": "area", "parameters": {"base": 10}}', 1),
        ("json", '[{"name": "area", "arguments": {"base": 10}}]', 0),
        ("json", "[area(base=10)]", 0),
        ("verbose_xml", XML.format('<params><param name="base" value="10" type="integer"/></params>'), 1),
        ("verbose_xml", XML.format('<param name="base" value="10" type="integer"/>'), 1),
        ("verbose_xml", XML.format('<params><param name="base" value="10"/></params>'), 0),
        ("verbose_xml", XML.format('<param name="base" type="integer">10</param>'), 0),
        ("concise_xml", "Calls: " + XML.format('<param name="base" type="integer"> 10 </param>'), 1),
        ("concise_xml", XML.format('<param name="base" type="integer">ten</param>'), 0),
        ("concise_xml", XML.format('<param name="base" type="integer">10<param>'), 0),
    ],
)
def test_only_the_format_of_the_problem_counts(form: str, response: str, expected: int) -> None:
    answer = {"functions": [AREA], "calls": [GOLD], "format": form}
    assert score(response, answer) == expected
    assert score(f"So: <TOOLCALL>{response}</TOOLCALL>", answer | {"tagged": True}) == (expected if response[0] != "{" else 0)
    assert score(response, answer | {"tagged": True}) == 0


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("area(base=10, tags=['A', 'b.'])", 1),
        ("area(base=10, tags=[])", 1),  # where the parameter may be omitted
        ("area(base=10, tags=('a', 'b'))", 0),
        ("area(base=10, unit='')", 1),
        ("area(base=10, unit='c/m')", 1),
        ("area(base=10.0)", 0),
        ("area(base=True)", 0),
        ("area(unit='cm')", 0),
        ("area(base=10, depth=1)", 0),
    ],
)
def test_values_are_compared_by_the_rules_of_the_leaderboard(call: str, expected: int) -> None:
    assert score(f"[{call}]", {"functions": [AREA], "calls": [GOLD]}, LISTED) == expected


@pytest.mark.parametrize(
    ("language", "declared", "right", "text", "expected"),
    [
        ("java", {"type": "long"}, 5, "5L", 0),  # tree-sitter does not complete a short call without a semicolon
        ("java", {"type": "long"}, 5, "5L, y=1", 1),
        ("java", {"type": "long"}, 5, "5, y=1", 0),
        ("java", {"type": "String"}, "Hello", '"hello"', 1),
        ("java", {"type": "any"}, "mapArea", "mapArea", 1),
        ("java", {"type": "ArrayList", "items": {"type": "long"}}, [1, 2], "new ArrayList<Long>(Arrays.asList(1L, 2L))", 1),
        ("java", {"type": "ArrayList", "items": {"type": "long"}}, [1, 2], "List.of(1L, 2L)", 0),
        ("java", {"type": "Array", "items": {"type": "integer"}}, [1, 2], "new int[]{1, 2}", 1),
        ("java", {"type": "HashMap"}, {}, 'new HashMap<String, Object>() {{ put("a", 1); }}', 1),  # as there, without its body
        ("javascript", {"type": "Bigint"}, 5, "5n", 1),
        ("javascript", {"type": "float"}, 5.0, "5", 1),
        ("javascript", {"type": "array", "items": {"type": "array"}}, [[1], [2, 3]], "[[1], [2, 3]]", 1),
        ("javascript", {"type": "dict"}, {"a": [1], "b": [["x"]]}, "{a: 1, 'b': ['x']}", 1),
        ("javascript", {"type": "dict"}, {"a": [1]}, "{a: 2}", 0),
    ],
)
def test_java_and_javascript_are_read_as_on_the_leaderboard(
    language: str, declared: Any, right: Any, text: str, expected: int
) -> None:
    properties = {"x": declared, "y": {"type": "integer"}}
    function = {"name": "f", "parameters": {"properties": properties, "required": ["x"]}}
    answer = {"functions": [function], "calls": [{"f": {"x": [right], "y": [1, ""]}}], "language": language}
    assert score(f"[f(x={text})]", answer, LISTED) == expected
    assert score(f'<tool_call>{{"name": "f", "arguments": {{"x": "{text}"}}}}</tool_call>', answer, LISTED) == 0


@given(
    st.text() | st.text(alphabet="[]{}()<>\"'=,:&;/\\ \nabfunctioparm1.-", max_size=80), st.sampled_from(leaderboard.FORMATS)
)
def test_any_text_gets_a_verdict(text: str, form: str) -> None:
    language = form if form in ("java", "javascript") else "python"
    answer = {"functions": [AREA], "calls": [GOLD], "format": form, "language": language}
    for response in (
        text,
        f"<functions>{text}</functions>",
        f"[area(base={text})]",
        f'[{{"function": {text}}}]',
        XML.format(text),
    ):
        assert score(response, answer) == score(response, answer | {"tagged": True}) == 0
