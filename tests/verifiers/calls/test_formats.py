"""Calls in the formats of chat templates. Each is correct, has an incorrect value, or is malformed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core import Problem, Verdict
from tenfold.verifiers import function_calls
from tenfold.verifiers.calls import formats

AREA = {
    "name": "area",
    "parameters": {
        "properties": {
            "base": {"type": "integer"},
            "height": {"type": "float"},
            "unit": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "opts": {"type": "dict"},
            "flag": {"type": "boolean"},
        },
        "required": ["base"],
    },
}
FACTORIAL = {"name": "math.factorial", "parameters": {"properties": {"number": {"type": "integer"}}, "required": ["number"]}}
GOLD = {
    "area": {
        "base": [10],
        "height": [2.5, ""],
        "unit": ["12", ""],
        "tags": [["x", "y"], ""],
        "opts": [{"a": [1]}, ""],
        "flag": [True, ""],
    }
}


def judge(response: str, *calls: dict[str, Any], language: str = "python") -> Verdict:
    answer = {"functions": [AREA, FACTORIAL], "calls": list(calls), "language": language}
    return function_calls.verify(Problem("p", (), answer, ""), response)


ARGUMENTS = '{{"base": {base}}}'
JSON = f'{{{{"name": "area", "arguments": {ARGUMENTS}}}}}'
QWEN = "<tool_call>\n<function=area>\n<parameter=base>\n{base}\n</parameter>\n</function>\n</tool_call>"
INVOKE = '<invoke name="area">\n<parameter name="base">{base}</parameter>\n</invoke>'
FORMS = {
    "Hermes": f"<tool_call>\n{JSON}\n</tool_call>",
    "Hermes after text": f"I call it.\n<tool_call>\n{JSON}\n</tool_call><|im_end|>",
    "Hermes, OpenAI's object in it": f'<tool_call>{{{{"type": "function", "function": {JSON}}}}}</tool_call>',
    "Jamba, Hunyuan": f"<tool_calls>[{JSON}]</tool_calls>",
    "MiniMax-M1": f"<tool_calls>\n{JSON}\n</tool_calls>",
    "LongCat": f"<longcat_tool_call>{JSON}</longcat_tool_call>",
    "Granite": f"<|tool_call|>[{JSON}]",
    "Granite 20B": f"<function_call> {JSON}",
    "Phi-4-mini": f"<|tool_call|>[{JSON}]<|/tool_call|>",
    "Phi's functools": f"functools[{JSON}]",
    "Mistral": f"[TOOL_CALLS] [{JSON}]",
    "Mistral, v11": f"[TOOL_CALLS]area{ARGUMENTS}",
    "Mistral, v13": f"[TOOL_CALLS]area[ARGS]{ARGUMENTS}</s>",
    "Mistral, with an id": f"[TOOL_CALLS]area[CALL_ID]123456789[ARGS]{ARGUMENTS}",
    "Llama 3": JSON.replace("arguments", "parameters") + "<|eot_id|>",
    "Llama 3 with its tag": "<|python_tag|>" + JSON.replace("arguments", "parameters") + "<|eom_id|>",
    "Llama 3 with a type": '{{"type": "function", "name": "area", "parameters": {{"base": {base}}}}}',
    "Llama 3.1, custom tool format": f"<function=area>{ARGUMENTS}</function>",
    "Llama 4": "<|python_start|>[area(base={base})]<|python_end|>",
    "Python": "[area(base={base})]",
    "Olmo 3": "<function_calls>\narea(base={base})\n</function_calls>",
    "Qwen3-Coder": QWEN,
    "Qwen3-Coder, bare": "<function=area>\n<parameter=base>\n{base}\n</parameter>\n</function>",
    "Qwen3-Coder in one line": "<tool_call><function=area><parameter=base>{base}</parameter></function></tool_call>",
    "Qwen3-Coder after text": f"Let me see.\n\n{QWEN}",
    "Qwen3-Coder without a parameter's end": QWEN.replace("</parameter>\n", ""),
    "Seed-OSS": "<seed:tool_call>\n<function=area>\n<parameter=base>{base}</parameter>\n</function>\n</seed:tool_call>",
    "GLM-4.5": "<tool_call>area\n<arg_key>base</arg_key>\n<arg_value>{base}</arg_value>\n</tool_call>",
    "GLM-4.7": "<tool_call>area<arg_key>base</arg_key><arg_value>{base}</arg_value></tool_call>",
    "MiniMax-M2": f"<minimax:tool_call>\n{INVOKE}\n</minimax:tool_call>",
    "invoke in function_calls": f"<function_calls>\n{INVOKE}\n</function_calls>",
    "invoke, bare": INVOKE,
    "DeepSeek-V3.2": (
        '<｜DSML｜function_calls>\n<｜DSML｜invoke name="area">\n<｜DSML｜parameter name="base" string="false">{base}'
        "</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>"
    ),
    "DeepSeek-V3": (
        f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>area\n```json\n{ARGUMENTS}\n```"
        "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    ),
    "DeepSeek-V3.1": (
        f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>area<｜tool▁sep｜>{ARGUMENTS}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    ),
    "Step-3": ('<steptml:invoke name="area"><steptml:parameter name="base">{base}</steptml:parameter></steptml:invoke>'),
    "Kimi K2": (
        f"<|tool_calls_section_begin|><|tool_call_begin|>functions.area:0<|tool_call_argument_begin|>{ARGUMENTS}"
        "<|tool_call_end|><|tool_calls_section_end|>"
    ),
    "gpt-oss": f"<|channel|>commentary to=functions.area <|constrain|>json<|message|>{ARGUMENTS}<|call|>",
    "gpt-oss without its marks": f"commentary to=functions.area json{ARGUMENTS}",
    "functionary": f">>>area\n{ARGUMENTS}",
    "InternLM": "<|action_start|><|plugin|>" + JSON.replace("arguments", "parameters") + "<|action_end|>",
    "Command A": '<|START_ACTION|>[{{"tool_call_id": "0", "tool_name": "area", "parameters": {{"base": {base}}}}}]'
    "<|END_ACTION|>",
    "xLAM": f"[{JSON}]",
    "xLAM in a fence": f"```json\n[{JSON}]\n```",
    "xLAM in a fence after text": f"I call the function:\n\n```json\n[{JSON}]\n```",
    "OpenAI": f'{{{{"tool_calls": [{{{{"id": "1", "type": "function", "function": {JSON}}}}}]}}}}',
    "arguments in a text": '<tool_call>{{"name": "area", "arguments": "{{\\"base\\": {base}}}"}}</tool_call>',
}


@pytest.mark.parametrize("form", FORMS)
def test_calls_are_parsed_in_every_format(form: str) -> None:
    right, wrong = (FORMS[form].format(base=base) for base in (10, 999))
    assert judge(right, GOLD).score == 1
    assert judge(wrong, GOLD).score == 0
    assert judge(f"<think>\n{wrong}\n</think>\n\n{right}", GOLD).score == 1
    assert judge(f"<think>\n{right}\n</think>\n\n{wrong}", GOLD).score == 0
    assert judge(right.replace("base", "height"), GOLD).score == 0
    assert judge(right.replace("area", "areas"), GOLD).score == 0


@pytest.mark.parametrize("form", FORMS)
def test_a_complete_or_truncated_call_is_never_taken_for_declining(form: str) -> None:
    text = FORMS[form].format(base=10)
    assert judge(text).score == 0
    truncated = text[: text.rindex("10") + 1]
    assert judge(truncated).score == 0, truncated
    assert judge(truncated, GOLD).score == 0, truncated


def glm(*pairs: str) -> str:
    keys = "".join("<arg_key>{}</arg_key><arg_value>{}</arg_value>".format(*pair.split("=")) for pair in pairs)
    return f"<tool_call>area{keys}</tool_call>"


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("<function=area><parameter=base>10</parameter><parameter=unit>12</parameter></function>", 1),
        ('<function=area><parameter=base>10</parameter><parameter=unit>"12"</parameter></function>', 0),
        ("<function=area><parameter=base>10</parameter><parameter=height>2.5</parameter></function>", 1),
        ("<function=area><parameter=base>10</parameter><parameter=height>2,5</parameter></function>", 0),
        ("<function=area><parameter=base>10.0</parameter></function>", 0),
        ("<function=area><parameter=base>ten</parameter></function>", 0),
        ("<function=area><parameter=base>0x0a</parameter></function>", 0),
        ("<function=area><parameter=base>[10]</parameter></function>", 0),
        ('<function=area><parameter=base>"10"</parameter></function>', 0),
        ("<function=area><parameter=base></parameter></function>", 0),
        ("<function=area><parameter=base>\n 10 \n</parameter></function>", 1),
        ('<function=area><parameter=base>10</parameter><parameter=tags>["x", "y"]</parameter></function>', 1),
        ("<function=area><parameter=base>10</parameter><parameter=tags>['x', 'y']</parameter></function>", 1),
        ("<function=area><parameter=base>10</parameter><parameter=tags>x, y</parameter></function>", 0),
        ('<function=area><parameter=base>10</parameter><parameter=tags>["y", "x"]</parameter></function>', 0),
        ('<function=area><parameter=base>10</parameter><parameter=opts>{"a": 1}</parameter></function>', 1),
        ('<function=area><parameter=base>10</parameter><parameter=opts>{"a": "1"}</parameter></function>', 0),
        ("<function=area><parameter=base>10</parameter><parameter=flag>True</parameter></function>", 1),
        ("<function=area><parameter=base>10</parameter><parameter=flag>false</parameter></function>", 0),
        ("<function=area><parameter=base>10</parameter><parameter=flag>1</parameter></function>", 0),
        ("<function=area><parameter=base>10</parameter><parameter=colour>red</parameter></function>", 0),
        ("<function=area><parameter=base>9</parameter><parameter=base>10</parameter></function>", 0),
        ("<function=area>base=10</function>", 0),
        ("<function=area></function>", 0),
        ("<function=area><parameter=base>10</parameter></function>" * 2, 0),
        (glm("base=10", "unit=12"), 1),
        (glm("base=10", "flag=true"), 1),
        (glm("base=10", 'tags=["x", "y"]'), 1),
        (glm("base=ten"), 0),
        (glm("base=10", "unit=13"), 0),
        (glm("base=1", "base=10"), 0),
        (glm("base=10").replace("</tool_call>", "<arg_key>unit</arg_key></tool_call>"), 0),
        ("<tool_call><arg_key>base</arg_key><arg_value>10</arg_value></tool_call>", 0),
        ("<tool_call>area</tool_call>", 0),
        ("[TOOL_CALLS]area[ARGS]10", 0),
        ("[TOOL_CALLS]area[ARGS][10]", 0),
        ("The area is 12.5.", 0),
    ],
)
def test_xml_values_get_their_declared_types(response: str, score: int) -> None:
    assert judge(response, GOLD).score == score


@pytest.mark.parametrize(
    "response",
    [
        "<function=math.factorial><parameter=number>5</parameter></function><function=area><parameter=base>10</parameter></function>",
        "<tool_call>\n<function=area><parameter=base>10</parameter></function>\n</tool_call>\n<tool_call>\n<function=math.factorial>"
        "<parameter=number>5</parameter></function>\n</tool_call>",
        "<tool_call>area<arg_key>base</arg_key><arg_value>10</arg_value></tool_call>\n<tool_call>math.factorial<arg_key>number</arg_key>"
        "<arg_value>5</arg_value></tool_call>",
        '[TOOL_CALLS]area[ARGS]{"base": 10}[TOOL_CALLS]math.factorial[ARGS]{"number": 5}',
        '[TOOL_CALLS]area{"base": 10}[TOOL_CALLS]math.factorial{"number": 5}',
        '<|python_tag|>{"name": "area", "parameters": {"base": 10}}; {"name": "math.factorial", "parameters": {"number": 5}}',
        '{"name": "area", "parameters": {"base": 10}}\n{"name": "math.factorial", "parameters": {"number": 5}}',
        '<|tool_calls_section_begin|><|tool_call_begin|>functions.area:0<|tool_call_argument_begin|>{"base": 10}'
        '<|tool_call_end|><|tool_call_begin|>functions.math.factorial:1<|tool_call_argument_begin|>{"number": 5}'
        "<|tool_call_end|><|tool_calls_section_end|>",
        '<minimax:tool_call><invoke name="area"><parameter name="base">10</parameter></invoke><invoke name="math.factorial">'
        '<parameter name="number">5</parameter></invoke></minimax:tool_call>',
        "<function_calls>\narea(base=10)\nmath.factorial(number=5)\n</function_calls>",
        '<tool_call>{"name": "area", "arguments": {"base": 10}}\n'
        '{"name": "math.factorial", "arguments": {"number": 5}}</tool_call>',
    ],
)
def test_several_calls_in_one_response_are_parsed(response: str) -> None:
    factorial = {"math.factorial": {"number": [5]}}
    assert judge(response, GOLD, factorial).score == 1
    assert judge(response, factorial, GOLD).score == 1
    assert judge(response, GOLD).score == 0
    assert judge(response, GOLD, {"math.factorial": {"number": [6]}}).score == 0


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("None of these functions can tell the weather.", 1),
        ("[]", 1),
        ("<tool_calls>[]</tool_calls>", 1),
        ("To use `area`, I need the base and the height. Which are they?", 1),
        ("The function `math.factorial` (of a number) does not help; neither does area.", 1),
        ("I could compute an area = base * height / 2, but you ask for the weather.", 1),
        ("", 0),
        ("<tool_call>", 0),
        ("<tool_call></tool_call>", 0),
        ("</tool_call>", 0),
        ("<tool_calls>[]</tool_calls>\nI'll call area(base=5).", 0),
        ('<tool_calls>[]</tool_calls> {"name": "area", "arguments": {"base": 10}}', 0),
        ("\u6211\u5c06\u8c03\u7528area", 0),  # I will call area
        ("\u6211\u8c03\u7528area(base=10)", 0),
        ("area\u4e0d\u80fd\u67e5\u8be2\u5929\u6c14", 1),  # area cannot look up the weather
        ("<function=weather>", 0),
        ("<function=weather><parameter=city>Rome</parameter></function>", 0),
        ('[TOOL_CALLS]weather{"city": "Rome"}', 0),
        ("[TOOL_CALLS]", 0),
        ("<|python_tag|>weather", 0),
        ("<｜tool▁calls▁begin｜>", 0),
        ("<|tool_calls_section_begin|>", 0),
        ("commentary to=functions.area", 0),
        ('<invoke name="area">', 0),
        ("<arg_key>base</arg_key>", 0),
        ('{"function": "area", "args": {"base": 10}}', 0),
        ('I will call {"function": "area", "args": {"base": 10}}.', 0),
        ('I call it: area{"base": 10}', 0),
        ("I call it: area(base=10)", 0),
        ("Action: area\nAction Input: 10", 0),
        ("<area><base>10</base></area>", 0),
        ("```tool_code\narea(10)\n```", 0),
        ("I will call area with base 10 and height 5.", 0),
        ("Let me use the `area` function.", 0),
        ("Calling area(10, 5)", 0),
        ("I'll use math.factorial for 5.", 0),
        ("The call is math.factorial(5).", 0),
        ("area: base=10", 0),
        ("area base=10 height=5", 0),
        ("**Tool:** `area`\n**Input:** 10", 0),
        ("Function: area\nArguments: base=10", 0),
        ("name: area\nbase: 10", 0),
        ('<area base="10"/>', 0),
        ('<tool name="area"><arg>10</arg></tool>', 0),
        ("<function>area</function>", 0),
        ("<tool_use><name>area</name></tool_use>", 0),
        ("\uff1ctool_call\uff1earea\uff1c/tool_call\uff1e", 0),
        ("\u200b\u3164", 0),
        ("I can't call area, because it needs a base.", 1),
        ("The available functions are area and math.factorial. None fits.", 1),
        ("- area: computes the area of a triangle\n- math.factorial: n!\nNone of them is relevant.", 1),
        ("The area of the triangle is 25.", 1),
        ("Which base should I use for area?", 1),
    ],
)
def test_a_response_declines_if_it_contains_text_and_no_call(response: str, score: int) -> None:
    assert judge(response).score == score


def test_last_of_several_fenced_blocks_is_parsed() -> None:
    blocks = [f'```json\n{{"name": "area", "arguments": {{"base": {base}}}}}\n```' for base in (5, 10)]
    for response in ("\n\n".join(blocks), "First:\n" + "\nthen\n".join(blocks)):
        assert judge(response, GOLD).score == 1
        assert judge(response, {"area": {"base": [5]}}).score == 0


def test_end_mark_inside_of_an_argument_does_not_end_the_calls() -> None:
    calls = [f'{{"name": "area", "arguments": {{"base": 10, "unit": "{unit}"}}}}' for unit in ("12", "a </tool_call> b")]
    golds = [{"area": {"base": [10], "unit": [unit]}} for unit in ("12", "a </tool_call> b")]
    for response in (f"<tool_call>{calls[0]}\n{calls[1]}</tool_call>", f"<tool_call>[{', '.join(calls)}]</tool_call>"):
        assert judge(response, *golds).score == 1
        assert judge(response, golds[0]).score == 0


def test_text_in_a_call_without_parameters_makes_it_malformed() -> None:
    answer = {"functions": [{"name": "now", "parameters": {"properties": {}}}], "calls": [{"now": {}}], "language": "python"}
    for response, score in (
        ("<function=now></function>", 1),
        ("<function=now>", 1),
        ("<function=now>in Rome</function>", 0),
        ("<function=now>in Rome", 0),
    ):
        assert function_calls.verify(Problem("", (), answer, ""), response).score == score


def test_null_in_xml_is_none_for_every_declared_type() -> None:
    function = {"name": "f", "parameters": {"properties": {"x": {"type": "string"}}, "required": ["x"]}}
    for right, score in ((None, 1), ("none", 0)):
        answer = {"functions": [function], "calls": [{"f": {"x": [right]}}], "language": "python"}
        response = "<function=f>\n<parameter=x>\nnull\n</parameter>\n</function>"
        assert function_calls.verify(Problem("", (), answer, ""), response).score == score


def test_source_text_of_java_stays_text_in_xml() -> None:
    function = {"name": "f", "parameters": {"properties": {"x": {"type": "long"}, "s": {"type": "String"}}, "required": ["x"]}}
    answer = {"functions": [function], "calls": [{"f": {"x": [5], "s": ["a"]}}], "language": "java"}
    for value, score in (("5L", 1), ("5", 0)):
        response = f"<function=f><parameter=x>{value}</parameter><parameter=s>a</parameter></function>"
        assert function_calls.verify(Problem("", (), answer, ""), response).score == score


def test_the_code_of_a_tool_call_is_read_in_every_format() -> None:
    code = "for i in range(3):\n    print(i < 2)"
    for turn in (
        f"<tool_call>\n<function=python>\n<parameter=code>\n{code}\n</parameter>\n</function>\n</tool_call>",
        f"<tool_call>python\n<arg_key>code</arg_key>\n<arg_value>{code}</arg_value>\n</tool_call>",
    ):
        assert formats.last_call(turn) == ("python", code)
    assert formats.last_call("[f(x=1)]") is None, "an answer, not a tool call"


MARKS = [
    *formats._WRAPPED,
    *formats._WRAPPED.values(),
    "<function=area>",
    "<parameter=base>",
    "</parameter>",
    "</function>",
]
MARKS += [
    "<arg_key>",
    "</arg_key>",
    "<arg_value>",
    "</arg_value>",
    "<invoke name=area>",
    "[ARGS]",
    "to=functions.area",
    "{",
    "}",
    '"base": 10',
    "area",
    "(",
]


@given(st.lists(st.sampled_from(MARKS) | st.text(max_size=3), max_size=12).map("".join))
def test_arbitrary_text_with_call_marks_gets_a_verdict(text: str) -> None:
    assert judge(text, GOLD).score in (0, 1)
    assert judge(text).score in (0, 1)
    formats.last_call(text)
