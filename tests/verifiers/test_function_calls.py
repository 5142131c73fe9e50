import copy
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core import Problem, Status, Verdict
from tenfold.envs.problems import sources
from tenfold.verifiers import function_calls
from tenfold.verifiers.calls import literals

AREA = {
    "name": "area",
    "parameters": {
        "properties": {
            "base": {"type": "integer"},
            "height": {"type": "float"},
            "unit": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["base", "height"],
    },
}
GOLD = {"area": {"base": [10], "height": [2.5, 3.0], "unit": ["cm", ""], "tags": [["a", "b"], ""]}}
LIVE = "live_simple,live_multiple,live_parallel,live_parallel_multiple"


def judge(response: str, *calls: dict[str, Any], language: str = "python", functions: Any = (AREA,)) -> Verdict:
    return function_calls.verify(
        Problem("p", (), {"functions": list(functions), "calls": list(calls), "language": language}, ""), response
    )


def tagged(name: str, arguments: object) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


@pytest.mark.parametrize(
    ("response", "score"),
    [
        (tagged("area", {"base": 10, "height": 2.5}), 1),
        (f"<think>{tagged('area', {'base': 1})}</think>I call it: {tagged('area', {'base': 10, 'height': 3})}", 1),
        ('```json\n[{"name": "area", "arguments": {"base": 10, "height": 2.5, "unit": "CM"}}]\n```', 1),
        ('{"name": "area", "parameters": {"base": 10, "height": 2.5, "tags": ["A", "b"]}}', 1),
        (tagged("area", '{"base": 10, "height": 2.5}'), 1),
        ("[area(base=10, height=2.5, unit='cm')]", 1),
        ("area(base=10, height=2.5)", 1),
        (tagged("areas", {"base": 10, "height": 2.5}), 0),
        (tagged("area", {"base": 10}), 0),
        (tagged("area", {"base": 10, "height": 2.5, "depth": 1}), 0),
        (tagged("area", {"base": 10.0, "height": 2.5}), 0),
        (tagged("area", {"base": "10", "height": 2.5}), 0),
        (tagged("area", {"base": 11, "height": 2.5}), 0),
        (tagged("area", {"base": 10, "height": 2.5, "tags": ["b", "a"]}), 0),
        (tagged("area", {"base": 10, "height": 2.5}) * 2, 0),
        ("[area(10, 2.5)]", 0),
        ("The area is 12.5.", 0),
        ('{"name": "area",\r\n "arguments": {"base": 10, "height": 2.5}}', 1),
        ('```json\r\n{"name": "area", "arguments": {"base": 10, "height": 2.5}}\r\n```', 1),
        ('<tool_call>\n{"name": "area", "arguments": {"base": 10, "height": 2.5, "unit": "</tool_call>"}}\n</tool_call>', 0),
        ("area(base=1, base=10, height=2.5)", 0),
        ('<tool_call>{"name": "area", "arguments": {"base": 1, "base": 10, "height": 2.5}}</tool_call>', 0),
        ("area(base={(1, 2): 3}, height=2.5)", 0),
        ("area(base={b'a': 3}, height=2.5)", 0),
        ("area(base=0x" + "f" * 5_000 + ", height=2.5)", 0),
        (tagged("area", {"base": 10, "height": 2.5, "tags": "."}), 0),
        (tagged("area", {"base": 10, "height": 2.5, "tags": ""}), 0),
        (tagged("area", {"base": 10, "height": 2.5, "unit": "-*-"}), 0),
        ("<tool_call>{", 0),
        (tagged("area", [1]), 0),
        ("<tool_call>" + "[" * 50_000, 0),
        ("[" * 50_000, 0),
        ("area(base=" + "-" * 5_000 + "1)", 0),
        ("area(base=" + "9" * 10_000 + ")", 0),
        ("", 0),
        ("x" * 200_000, 0),
    ],
)
def test_a_call_is_correct_if_name_arguments_types_and_values_are(response: str, score: int) -> None:
    verdict = judge(response, GOLD)
    assert (verdict.status, verdict.score) == (Status.SCORED, score), verdict
    assert "\n" not in verdict.reason


def test_several_calls_are_correct_in_any_order_and_each_only_once() -> None:
    wide, narrow = {"area": {"base": [1, 2], "height": [1.0]}}, {"area": {"base": [1], "height": [1.0]}}
    one, two = (tagged("area", {"base": base, "height": 1.0}) for base in (1, 2))
    assert judge(one + two, wide, narrow).score == 1
    assert judge(two + one, wide, narrow).score == 1
    assert judge(one + one, wide, narrow).score == 1
    assert judge(two + two, wide, narrow).score == 0
    assert judge(one, wide, narrow).score == 0
    assert judge(one + two + two, wide, narrow).score == 0


def test_calling_none_is_correct_if_no_function_fits() -> None:
    assert judge("None of these functions can tell the weather.").score == 1
    assert judge(tagged("area", {"base": 10, "height": 2.5})).score == 0
    for response in (
        "",
        "<tool_call>{",
        "I call: [area(base=10, height=2.5)]",
        "[area(base=10, height=2.5), 5]",
        "area(base=10, height=2.5);",
        "x = area(base=10)",
        '{"name": "area", "arguments": {"base": 10}} done',
        '[{"name": "area"',
        '```json\n{"name": "area", "arguments": {}}\n```\nok',
    ):
        assert judge(response).score == 0, response
    assert judge("The function area computes areas (of triangles), not the weather.").score == 1


def test_calls_may_be_on_separate_lines() -> None:
    lines = "\n".join(json.dumps({"name": "area", "arguments": {"base": base, "height": 1.0}}) for base in (1, 2))
    assert judge(lines, {"area": {"base": [2], "height": [1.0]}}, {"area": {"base": [1], "height": [1.0]}}).score == 1


def test_text_is_compared_loosely_but_numbers_are_not() -> None:
    when = {"area": {"base": [1], "height": [1.0], "unit": ["April 1, 2024", "-5", "10.5"]}}
    right, wrong = ("april 1 2024", "-5", "10.5"), ("April 2, 2024", "5", "105")
    for text in (*right, *wrong):
        assert judge(tagged("area", {"base": 1, "height": 1, "unit": text}), when).score == (text in right), text


@pytest.mark.parametrize(
    ("right", "given", "score"),
    [
        ({"x": [5]}, {"x": 5.0}, 1),
        ({"x": [5]}, {"x": 5}, 1),
        ({"x": [5]}, {"x": 5.5}, 0),
        ({"x": [5]}, {"x": "5"}, 0),
        ({"n": [5]}, {"n": 5.0}, 0),
        ({"inner": [{"x": 5}]}, {"inner": {"x": 5.0}}, 1),
        ({"inner": [{"n": 5}]}, {"inner": {"n": 5.0}}, 0),
        ({"xs": [[1, 2]]}, {"xs": [1.0, 2]}, 1),
        ({"xs": [[1, 2]]}, {"xs": [1.0, 3]}, 0),
    ],
)
def test_values_in_a_dictionary_have_their_declared_types(right: Any, given: Any, score: int) -> None:
    numbers = {"x": {"type": "float"}, "n": {"type": "integer"}, "xs": {"type": "array", "items": {"type": "number"}}}
    declared = {"type": "dict", "properties": {**numbers, "inner": {"type": "dict", "properties": numbers}}}
    function = {"name": "f", "parameters": {"properties": {"d": declared, "list": {"type": "array", "items": declared}}}}
    assert judge(tagged("f", {"d": given}), {"f": {"d": [right]}}, functions=[function]).score == score
    assert judge(tagged("f", {"list": [given]}), {"f": {"list": [[right]]}}, functions=[function]).score == score


@pytest.mark.parametrize(
    ("language", "declared", "right", "text", "score"),
    [
        ("java", {"type": "integer"}, 5, "5", 1),
        ("java", {"type": "integer"}, 5, "5L", 0),
        ("java", {"type": "integer"}, 5, '"5"', 0),
        ("java", {"type": "integer"}, 5, 5, 0),
        ("java", {"type": "long"}, 5, "5L", 1),
        ("java", {"type": "float"}, 0.5, "0.5f", 1),
        ("java", {"type": "double"}, -0.5, "-0.5", 1),
        ("java", {"type": "boolean"}, True, "true", 1),
        ("java", {"type": "boolean"}, True, "1", 0),
        ("java", {"type": "String"}, "Hello", "hello", 1),
        ("java", {"type": "any"}, "mapArea", "mapArea", 1),
        ("java", {"type": "HashMap"}, {"limit": [50]}, 'new HashMap<String, Object>() {{ put("limit", 50); }}', 1),
        ("java", {"type": "HashMap"}, {"limit": [50]}, 'Map.of("limit", "50")', 0),
        ("java", {"type": "HashMap"}, "userProfile", "userProfile", 1),
        ("java", {"type": "ArrayList", "items": {"type": "long"}}, [1, 2], "new ArrayList<Long>(Arrays.asList(1L, 2L))", 1),
        ("java", {"type": "ArrayList", "items": {"type": "long"}}, [1, 2], "new ArrayList<>() {{ add(1L); add(2L); }}", 1),
        ("java", {"type": "ArrayList", "items": {"type": "long"}}, [1, 2], "List.of(2L, 1L)", 0),
        ("java", {"type": "Array", "items": {"type": "String"}}, ["a,b", "c"], 'new String[]{"a,b", "c"}', 1),
        ("java", {"type": "ArrayList", "items": {"type": "long"}}, [1, 2], "List.of(7L, 8L).subList(1L, 2L)", 0),
        ("java", {"type": "ArrayList", "items": {"type": "long"}}, [1, 2], "new HashSet<>(Set.of(1L, 2L))", 0),
        ("java", {"type": "ArrayList", "items": {"type": "long"}}, [1, 2], "new long[]{1L, 2L}", 0),
        ("java", {"type": "ArrayList", "items": {"type": "long"}}, [1, 2], "new ArrayList<Long>(List.of(1L, 2L), 9)", 0),
        ("java", {"type": "ArrayList", "items": {"type": "long"}}, [], "new ArrayList<>(someOtherList)", 0),
        ("java", {"type": "ArrayList", "items": {"type": "long"}}, [1, 2], "Arrays.asList(1L, /* two */ 2L)", 1),
        ("java", {"type": "HashMap"}, {"limit": [50]}, 'Map.of("a", 1).put("limit", 50)', 0),
        ("java", {"type": "HashMap"}, {"limit": [50]}, "Map.of(limit, 50)", 0),
        ("java", {"type": "HashMap"}, {}, "new HashMap<>(someMap)", 0),
        ("java", {"type": "ArrayList", "items": {"type": "long"}}, [1, 2], "java.util.Arrays.asList(1L, 2L)", 1),
        (
            "java",
            {"type": "Array", "items": {"type": "Array", "items": {"type": "String"}}},
            [["a"], ["b"]],
            'new String[][]{{"a"}, {"b"}}',
            1,
        ),
        ("java", {"type": "Array", "items": {"type": "Array", "items": {"type": "String"}}}, [["a"]], 'new String[]{{"a"}}', 0),
        ("java", {"type": "String"}, "\U0001f600", '"\\ud83d\\ude00"', 1),
        ("java", {"type": "integer"}, 5, "0x5", 1),
        ("java", {"type": "integer"}, 5, "(5) // five", 1),
        ("java", {"type": "integer"}, 5, "5; int y = 2", 0),
        ("javascript", {"type": "array", "items": {"type": "integer"}}, [3], "new Array(3)", 0),
        ("javascript", {"type": "array", "items": {"type": "integer"}}, [1, 2], "[1, , 2]", 0),
        ("javascript", {"type": "array", "items": {"type": "integer"}}, [1, 2], "new Set([1, 2])", 0),
        ("javascript", {"type": "dict"}, {"a": [1]}, "{a: 2, a: 1}", 0),
        ("javascript", {"type": "Bigint"}, 5, "5n", 1),
        ("javascript", {"type": "Bigint"}, 15, "0xFn", 1),
        ("javascript", {"type": "integer"}, 31, "0x1F", 1),
        ("javascript", {"type": "integer"}, 3, "0b11", 1),
        ("javascript", {"type": "integer"}, 10, "010", 0),
        ("javascript", {"type": "float"}, 10.0, "010", 0),
        ("javascript", {"type": "String"}, "\U0001f600AB", "'\\u{1F600}\\x41\\u0042'", 1),
        ("javascript", {"type": "float"}, 5.0, "5", 1),
        ("javascript", {"type": "Boolean"}, False, "false", 1),
        ("javascript", {"type": "String"}, "it's", "'it\\'s'", 1),
        ("javascript", {"type": "dict"}, {"a": [1], "b": [["x"]]}, "{a: 1, 'b': ['x']}", 1),
        ("javascript", {"type": "dict"}, {"a": [1], "b": [["x"]]}, "{a: '1', 'b': ['x']}", 0),
        ("javascript", {"type": "array", "items": {"type": "integer"}}, [[1], [2]], "[[1], [2]]", 0),
        ("javascript", {"type": "array", "items": {"type": "float"}}, [60, 30], "[60, 30.0]", 1),
    ],
)
def test_java_and_javascript_are_read_as_source_text(language: str, declared: Any, right: Any, text: Any, score: int) -> None:
    function = {"name": "f", "parameters": {"properties": {"x": declared}, "required": ["x"]}}
    verdict = judge(tagged("f", {"x": text}), {"f": {"x": [right]}}, language=language, functions=[function])
    assert verdict.score == score, verdict


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "5",
        {"functions": [AREA]},
        {"functions": [AREA], "calls": [{"volume": {}}]},
        {"functions": [AREA], "calls": [{"area": {"base": [1]}}]},
        {"functions": [AREA], "calls": [{"area": {"base": [1], "height": [1], "depth": [1]}}]},
        {"functions": [AREA], "calls": [5]},
        {"functions": [5], "calls": []},
        {"functions": [AREA], "calls": {}},
        {"functions": [AREA], "calls": [{"area": {"base": 10, "height": [1]}}]},
        {"functions": [{"name": "f", "parameters": {"properties": {"x": None}}}], "calls": [{"f": {"x": [1]}}]},
        {"functions": [AREA], "calls": [], "language": "cobol"},
    ],
)
def test_a_gold_that_contradicts_its_declarations_is_undecided(answer: Any) -> None:
    verdict = function_calls.verify(Problem("p", (), answer, ""), tagged("area", {}))
    assert (verdict.status, verdict.score) == (Status.UNDECIDED, None)


@given(st.text() | st.text(alphabet="[]{}()<>\"'=,:\\ \nabtool_call/1.-", max_size=60))
def test_any_text_gets_a_verdict(text: str) -> None:
    for response in (text, f"<tool_call>{text}</tool_call>", f"[area(base={text})]", tagged("f", {"x": text})):
        assert judge(response, GOLD).score == 0
    for language in ("java", "javascript"):
        assert literals.read(text, language).text is not None


VALUES = st.recursive(
    st.integers() | st.booleans() | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=6,
)


@given(VALUES, st.sampled_from(["java", "javascript"]))
def test_written_literals_are_read_back_unchanged(value: Any, language: str) -> None:
    read = literals.read(literals.write(value, language, {"type": "any"}), language)
    assert read.kind != "code"
    assert read.plain() == value


def test_gold_response_with_a_set_is_correct() -> None:
    function = {
        "name": "f",
        "parameters": {"properties": {"x": {"type": "Set", "items": {"type": "String"}}}, "required": ["x"]},
    }
    answer = {"functions": [function], "calls": [{"f": {"x": [["a", "b"]]}}], "language": "java"}
    assert function_calls.verify(Problem("p", (), answer, ""), function_calls.gold_response(answer)).score == 1


# --- against the leaderboard's data and its own checker ---


def gold_calls() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields every gold call of the leaderboard's single-turn categories: its id, and an answer with only this call."""
    for uri in ("bfcl:", f"bfcl:{LIVE}"):
        for problem in sources.load(uri):
            for gold in problem.answer["calls"]:
                yield problem.id, problem.answer | {"calls": [gold]}


def arguments_of(answer: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    (call,) = function_calls.parse_calls(function_calls.gold_response(answer))
    return call.name, dict(call.arguments)


def mutants(answer: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields calls that differ from the gold call in one thing: kind of difference, name and arguments."""
    name, arguments = arguments_of(answer)
    wanted = answer["calls"][0][name]
    yield "wrong name", f"{name}_of", arguments
    yield "extra", name, arguments | {"no_such_parameter": "1"}
    for parameter, value in arguments.items():
        if "" not in wanted[parameter]:
            yield "missing", name, {key: item for key, item in arguments.items() if key != parameter}
        others: dict[str, list[Any]] = {"type": [7, "seven", ["seven"], {"seven": 7}, 7.5], "value": []}
        if answer["language"] == "python":
            kinds = {type(right) for right in wanted[parameter]} | {type(value)}
            kinds |= {int} if float in kinds else {bool, str} & kinds
            others["type"] = [other for other in others["type"] if type(other) not in kinds]
            others["value"] = [changed(value)]
        else:
            (declared,) = (f["parameters"]["properties"][parameter] for f in answer["functions"] if f["name"] == name)
            other = literals.write(changed(wanted[parameter][0]), answer["language"], declared)
            others = {"type": [7, True, [value]], "value": [f"{value}_other", other]}
        for kind, values in others.items():
            for other in values:
                if other not in wanted[parameter]:
                    yield f"wrong {kind}", name, arguments | {parameter: other}


def changed(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return f"{value} or another"
    if isinstance(value, int | float):
        return value + 1_000_003
    if isinstance(value, list):
        return [*value, copy.deepcopy(value[0]) if value else 1]
    return value | {"no_such_key": 1} if isinstance(value, dict) else "none"


def checker_says(cases: list[dict[str, Any]]) -> list[Any]:
    script = Path(__file__).with_name("bfcl_checker.py")
    lines = "\n".join(json.dumps(case | {"category": "simple"}) for case in cases)
    done = subprocess.run([sys.executable, str(script)], input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def case(answer: dict[str, Any], name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    functions = [function for function in answer["functions"] if function["name"] == next(iter(answer["calls"][0]))]
    return {"answer": answer | {"functions": functions}, "calls": [{"name": name, "arguments": arguments}]}


def test_gold_calls_get_the_same_verdict_from_the_leaderboards_checker() -> None:
    cases, ours = [], []
    for _, answer in gold_calls():
        cases.append(case(answer, *arguments_of(answer)))
        ours.append(function_calls.verify(Problem("", (), answer, ""), function_calls.gold_response(answer)).score == 1)
    theirs = checker_says(cases)
    assert len(theirs) == len(ours) > 3000
    assert sum(ours) / len(ours) >= 0.995
    assert sum(theirs_ is True for theirs_ in theirs) / len(theirs) >= 0.98
    only_theirs = [cases[i]["answer"]["calls"] for i, valid in enumerate(theirs) if valid is True and not ours[i]]
    assert not only_theirs


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_no_mutant_of_a_gold_call_is_accepted(step: int) -> None:
    accepted, count = [], 0
    for name, answer in itertools.islice(gold_calls(), 0, None, step):
        for kind, function, arguments in mutants(answer):
            count += 1
            verdict = function_calls.verify(Problem("", (), answer, ""), tagged(function, arguments))
            if verdict.score == 1:
                accepted.append((name, kind, function, arguments))
    assert accepted == []
    assert count > 50_000 // step
