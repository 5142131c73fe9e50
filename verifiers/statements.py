"""The reverse order: a solution is there, its tests come from it, and a model writes the statement.

suite = synthesis.synthesize(program, "merge", model=model)
problem = pose(suite, model)            # None where the statement cannot be solved
"""

import ast
import itertools
from dataclasses import asdict

from ..core import Message, Problem, Status, UserError, without_thinking
from . import code, code_forms, inputs
from .sandbox import SandboxFault
from .synthesis import Suite

_STATEMENT = """Here is a Python program:

```python
{program}
```

and what it gives:

{tests}

Write the statement of a programming problem whose solution this is: what `{signature}` is given, what it returns, and what
happens in the cases that the program treats specially. Do not say how, and show no code."""
_ATTEMPT = """{statement}

Write it as a Python function `{signature}`. Answer with the whole program in one ```python block."""


def pose(suite: Suite, model: inputs.Model, attempts: int = 2) -> Problem | None:
    """A problem for a solution that came first: the model writes the statement, then tries to solve it.

    Args:
        suite: the solution's tests.
        model: writes, and solves.
        attempts: how often it may try. A statement from which none of its programs passes the tests is given up; 0 takes any.

    Returns:
        The problem, or None where the statement is empty, gives the solution away, or was not solved.

    Raises:
        SandboxFault: an attempt could not be judged.
    """
    signature, answer = _signature(suite.program, suite.entry_point), suite.answer()
    tests = "\n".join(code_forms.shown(answer))
    told = model(_STATEMENT.format(program=suite.program, tests=tests, signature=signature))
    statement = without_thinking(told).strip()
    if not statement or "```" in statement or _gives_away(statement, suite.program):
        return None
    text = f"{statement}\n\nYour function is `{signature}`. It should pass tests such as these:\n\n{tests}"
    meta = {"solution": suite.program, "report": asdict(suite.report)}
    problem = Problem(f"synthetic/{suite.entry_point}", (Message(role="user", content=text),), answer, "synthesis", meta)
    asks = _ATTEMPT.format(statement=text, signature=signature)
    for _ in range(attempts):
        verdict = code.verify(problem, model(asks))
        if verdict.status == Status.FAULT:
            raise SandboxFault(verdict.reason)
        if verdict.score == 1:
            return problem
    return problem if not attempts else None


def _signature(program: str, entry_point: str) -> str:
    for node in ast.walk(inputs.parsed(program)):
        if isinstance(node, ast.FunctionDef) and node.name == entry_point:
            return f"def {entry_point}({ast.unparse(node.args)})"
    raise UserError(f"the program defines no function {entry_point!r}")


def _gives_away(statement: str, program: str) -> bool:
    """Whether the statement quotes the program: two of its longer lines in a row, or the one line of its body."""
    lines = [line.strip() for line in program.splitlines() if line.strip()]
    said = " ".join(statement.split())
    longer = [line for line in lines if len(line) > 10]
    quoted = any(f"{first} {second}" in said for first, second in itertools.pairwise(longer))
    return quoted or (len(lines) == 2 and len(lines[1]) > 10 and lines[1].removeprefix("return ") in said)
