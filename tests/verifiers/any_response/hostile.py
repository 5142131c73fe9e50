"""Hostile responses: the pieces that they consist of, how they are made, and a problem for each verifier."""

from hypothesis import strategies as st

from tenfold.core import Problem, Verifier
from tenfold.verifiers import BUILT_IN_VERIFIERS, agentic, find, load

LONGEST = 200_000
"""Maximum number of characters of a response."""
PIECES = [
    *"` ~ < > # - * _ = ? ! . , : ; ' \" \\ / | & % ^ ( ) [ ] { } $ 1 a A x é ½".split(),
    *(" ", "\t", "\n", "\r\n", "\u200b", "\u3000", "\x00", "\ud800", "𝟙"),
    *("```", "```\n", "```python\n", "~~~\n", "'''python\n", '"""', "'''", "# ", "> ", "- ", "1. ", "    ", "*a*", "<<a>>"),
    *("\\boxed{", "\\boxed", "\\fbox{1}", "\\text{", "\\text{ }", "\\frac{1}{2}", "\\begin{cases}", "\\end{cases}", "\\left("),
    *("\\frac{", "a.", 'import "', "import a.b;\n", "class a{}", "@a({"),
    *("$$", "\\(", "\\[", "\\sim", "x = ", "a=", "1,", "12,000 ", "1 m ", "(a) ", "(1, ", "[,", "\n2", "- ", "a-", "\\mod 3 "),
    *(
        "answer ",
        "The answer is ",
        "the answer is not ",
        "it is ",
        "so ",
        "A ",
        "A) ",
        "A or ",
        "option A ",
        "not ",
        "#### ",
        "A:\n",
    ),
    *(
        "<think>",
        "</think>",
        "<answer>",
        "</answer>",
        "[ANSWER]",
        "<|im_end|>",
        "<|end|>",
        "\nQuestion 1:",
        "\n---",
        "I hope it is ",
    ),
    *(
        "def add(",
        "def add(a, b):\n",
        "class A:\n",
        "import a\n",
        "from __future__ import a\n",
        "lambda ",
        "for ",
        "print(",
        "f(",
    ),
    *(
        "<tool_call>",
        "</tool_call>",
        '{"name": "area", "arguments": {}}',
        '{"name":',
        "[area(base=1)]",
        "area(",
        "[TOOL_CALLS]",
    ),
    *("<function=area>", "<parameter=base>", "</parameter>", '<invoke name="a', "<invoke name=", "<arg_key>", "to=functions."),
]
"""Every mark that a pattern searches for."""
BEGINNINGS = [
    *("", "The answer is ", "\\boxed{", "<answer>", "$", "x = 5 ", "```python\n", "```python\ndef add(a, b):\n", "> ```\n"),
    *("<tool_call>", "<function=area><parameter=base>", "[area(base=", "C) ", "to=functions.area ", "int main("),
]
ENDS = ["", "}", "_ in total", "\x00", "1", "?", "</answer>", "\n```", "</tool_call>", ")]", "\\boxed{3}", " if x", "</think>7"]

ADD = {"entry_point": "add", "calls": [{"arguments": [1, 2], "output": 3}], "limits": {"cpu_seconds": 1, "wall_seconds": 4}}
AREA = {"name": "area", "parameters": {"properties": {"base": {"type": "integer"}}, "required": ["base"]}}
IFEVAL = ["punctuation:no_comma", "detectable_format:title", "detectable_content:number_placeholders", "startend:quotation"]
OPTIONS = {"letter": "C", "options": ["1/2", "the sky is blue", "x + 1", "none of these"]}
ANSWERS = {
    "math": ["1/2", "x^2 + 1", "(1, 5]", "the cat"],
    "choice": OPTIONS,
    "science": OPTIONS,
    "reasoning_gym": "12",
    "code": ADD,
    "code_share": ADD,
    "fullstack": {"language": "python", "runs_as": "python", "tests": "assert add(1, 2) == 3"},
    "instructions": {"instructions": IFEVAL, "arguments": [{}, {}, {"num_placeholders": 2}, {}]},
    "livebench": {"rule": "zebra_puzzle", "gold": "12, the cat"},
    "livebench_coding": {
        "rule": "unit_tests",
        "unit_tests": "import unittest\nclass TestCases(unittest.TestCase):\n    def test(self): assert add(1, 2) == 3",
    },
    "function_calls": {"functions": [AREA], "calls": [{"area": {"base": [10]}}]},
    "judge": "the cat",
    "format": None,
    "length": None,
    "language": None,
    "last_numbers": "12",
    "text": "the cat, the dog",
    "json_schema": {"schema": {"type": "object", "properties": {"base": {"type": "integer"}}}, "value": {"base": 10}},
    "regex": {"match": ["a1", "b22"], "reject": ["a", "1"]},
    "sql": {"schema": "CREATE TABLE t (a INTEGER);", "databases": [{"t": [[1], [2]]}], "query": "SELECT a FROM t"},
}
"""A gold answer for each verifier."""
assert ANSWERS.keys() == BUILT_IN_VERIFIERS.keys()


def problem(name: str) -> Problem:
    """Returns the problem for the verifier of that name."""
    prompt = ({"role": "user", "content": "What is 5 + 7?"},)
    meta = {"metadata": {"source_dataset": "chain_sum", "difficulty": {}}}
    return Problem("p", prompt, ANSWERS[name], "here", meta)  # type: ignore[arg-type]


def verifier(name: str) -> Verifier:
    """Returns the verifier. The judge is one that is always asked and always says "different"."""
    if name == "judge":
        return agentic.verifier(lambda conversation: "It differs.\nVERDICT: DIFFERENT", always=True)
    return (
        find(name) if name in ("code", "code_share", "fullstack", "livebench_coding") else load(name)
    )  # `load` would start a sandbox


def repeated(beginning: str, pieces: str, end: str, length: int) -> str:
    """Returns a response of about that length that repeats the pieces."""
    return beginning + (pieces * (length // len(pieces) + 1))[:length] + end


_pieces = st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map("".join)
_runs = st.builds(
    repeated,
    st.sampled_from(BEGINNINGS),
    _pieces,
    st.sampled_from(ENDS),
    st.sampled_from((50, 600, 1_900, 19_000, LONGEST // 2 - 50)),
)
_made = st.lists(_runs, min_size=1, max_size=2).map("".join)
_random = st.text(max_size=500) | st.lists(st.sampled_from(PIECES), max_size=200).map("".join)
RESPONSES = st.one_of(_made, _random, _made)
"""Random text, and text made of marks by a grammar, of at most `LONGEST` characters."""
