"""The statement of a coding problem, which a policy writes from the solution and the public tests.

A statement is refused if it is incomplete, does not name the function and its parameters, or contains the solution. It contains
the solution in each of these cases:

- it repeats an expression of the solution (such as that after `return`, `if` or `x =`) that has at least `MIN_TOKENS` tokens,
  as the solution or as `ast.unparse` writes it. A token is a name, a number, a string or a sign. White space, the kind of
  quotes, parentheses and underscores in numbers do not matter. Docstrings, imports and the first lines of definitions do not
  count;
- it defines a function or class with a body;
- a code block in it has a loop, a condition, `return`, `yield`, `try` or `with`.

Calls with their results, and the signature, are not the solution.
"""

import ast
import re
from collections.abc import Iterator, Sequence

from ...core import Conversation, Message
from ...responses import without_thinking
from ...verifiers.programs.fences import fenced
from ..refine.answer_cache import Answer

MIN_WORDS, MAX_CHARACTERS = 8, 5_000
"""Smallest number of words and largest number of characters of a statement. Our choice."""
MIN_TOKENS = 6
"""Smallest number of tokens of an expression that a statement must not repeat. A shorter one, such as `a + b` or a message, may
also be a description. Our choice."""
_PROMPT = """Here is a Python function:

```python
{program}
```

These tests pass:

```python
{tests}
```

Write the statement of a programming exercise that has this function as its solution. A person who reads only the statement must
be able to write a function that returns the same values. Name the function `{entry_point}`{parameters}. Say what it takes and
what it returns, with all rules, constants and special cases. Do not show or describe the code, and write no program. Answer
with the statement only."""
_TOKEN = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\w+|[^\w\s]""")
_SIGN = re.compile(r"[^\w\s']")
_FIELDS = {
    **dict.fromkeys((ast.Return, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr), "value"),
    **dict.fromkeys((ast.If, ast.While, ast.Assert), "test"),
    **{ast.For: "iter", ast.Raise: "exc", ast.withitem: "context_expr"},
}
"""Fields with the expressions of statements."""
_DOCSTRING = re.compile(r'"""(?:[^"]|"(?!""))*"""|' + r"'''(?:[^']|'(?!''))*'''")
_NO_BODY = r"(?!\.\.\.|pass\b|#|raise[ ]+NotImplementedError\b)\S"
_DEFINITION = re.compile(
    rf"^([ \t]*)(?:async[ ]+)?(?:def|class)[ ]+\w[^\n]*:[ \t]*(?:#[^\n]*)?\n(?:[ \t]*(?:#[^\n]*)?\n)*\1[ \t]+{_NO_BODY}"
    rf"|^[ \t]*(?:async[ ]+)?def[ ]+\w[^\n]*\)[^():\n]*:[ \t]*{_NO_BODY}",
    re.MULTILINE,
)
"""A definition with a body, in the next lines or in the same one."""
_CODE = re.compile(r"^[ \t]*(?:return|yield|for|while|if|elif|else|try|with)\b", re.MULTILINE)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)


def prompt(program: str, entry_point: str, tests: Sequence[str]) -> Conversation:
    """Returns the prompt for the statement.

    Args:
        program: the solution. Its entry point is defined.
        entry_point: name of the function.
        tests: the public tests.
    """
    names = ", ".join(f"`{name}`" for name in parameters(program, entry_point))
    named = f" and its parameters {names}" if names else ""
    text = _PROMPT.format(program=program, tests="\n".join(tests), entry_point=entry_point, parameters=named)
    return [Message(role="user", content=text)]


def read(answer: Answer) -> str:
    """Returns the statement in a policy's answer."""
    return without_thinking(answer.text).strip()


def flaw(answer: Answer, program: str, entry_point: str) -> str | None:
    """Returns why a statement is refused; None if it is accepted.

    Args:
        answer: the policy's answer.
        program: the solution. Its entry point is defined.
        entry_point: name of the function.
    """
    statement = read(answer)
    if answer.truncated or len(_FENCE.findall(statement)) % 2:
        return "truncated"
    if not statement:
        return "empty"
    if len(re.findall(r"\w+", statement)) < MIN_WORDS:
        return "too short"
    if len(statement) > MAX_CHARACTERS:
        return "too long"
    if not _names(statement, entry_point):
        return "does not name the function"
    if not all(_names(statement, parameter) for parameter in parameters(program, entry_point)):
        return "does not name each parameter"
    text = _DOCSTRING.sub("", statement)
    if _DEFINITION.search(text) or any(_CODE.search(block.body) for block in fenced(text)):
        return "contains a program"
    if _gives_away(statement, program):
        return "contains a line of the solution"
    return None


def problem_text(statement: str, program: str, entry_point: str, tests: Sequence[str]) -> str:
    """Returns the prompt of the problem: the statement, the signature and, in the form of MBPP, the public tests.

    Args:
        statement: an accepted statement.
        program: the solution. Its entry point is defined.
        entry_point: name of the function.
        tests: the public tests.
    """
    text = f"{statement}\n\nThe function has this signature:\n\n```python\n{signature(program, entry_point)}\n```"
    if not tests:
        return text
    which = "this one" if len(tests) == 1 else "these"
    return f"{text}\n\nYour program should pass tests such as {which}:\n\n" + "\n".join(tests)


def signature(program: str, entry_point: str) -> str:
    """Returns the first line of a function's definition."""
    function = _function(program, entry_point)
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return f"def {entry_point}({ast.unparse(function.args)}){returns}:"


def parameters(program: str, entry_point: str) -> list[str]:
    """Returns the names of a function's parameters."""
    given = _function(program, entry_point).args
    every = [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]
    return [parameter.arg for parameter in every if parameter]


def _function(program: str, name: str) -> ast.FunctionDef:
    """Returns the definition of a function that is run: the last one."""
    return [node for node in ast.parse(program).body if isinstance(node, ast.FunctionDef) and node.name == name][-1]


def _names(text: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


def _gives_away(statement: str, program: str) -> bool:
    """True if the expression of a statement of the program stands in a text."""
    compact, bare = _compact(statement), _compact(_without_parentheses(statement))
    for expression in _expressions(ast.parse(program)):
        unparsed = ast.unparse(expression)
        for text in (unparsed, ast.get_source_segment(program, expression) or unparsed):
            if _tokens(unparsed) >= MIN_TOKENS and _compact(text) in compact:
                return True
            # Without a sign, `sorted(set(numbers))` would be the words "sorted set numbers".
            inner = _compact(_without_parentheses(text))
            if _tokens(_without_parentheses(unparsed)) >= MIN_TOKENS and _SIGN.search(inner) and inner in bare:
                return True
    return False


def _expressions(tree: ast.Module) -> Iterator[ast.expr]:
    """Yields the expressions of a program's statements that may give the solution away."""
    for node in ast.walk(tree):
        expression: ast.expr | None = getattr(node, _FIELDS.get(type(node), ""), None)
        if isinstance(expression, ast.Yield | ast.YieldFrom | ast.Await):
            expression = expression.value
        if isinstance(node, ast.For) and _tokens(_without_parentheses(ast.unparse(node.iter))) < MIN_TOKENS:
            continue  # "the range (a, b)" may be a description
        if isinstance(expression, ast.Tuple) and all(isinstance(element, ast.Name) for element in expression.elts):
            continue  # `f(a, b, c)` has the text of a result `(a, b, c)`
        if expression is not None and not isinstance(expression, ast.Constant):
            yield expression


def _tokens(text: str) -> int:
    return len(_TOKEN.findall(text))


def _without_parentheses(text: str) -> str:
    return re.sub(r"[()]", " ", text)


def _compact(text: str) -> str:
    """Returns a text without white space and underscores in numbers, and with one kind of quotes."""
    return re.sub(r"\s+|(?<=\d)_(?=\d)", "", text).replace('"', "'")
