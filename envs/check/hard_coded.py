"""A program that solves only the tests that a policy can see: it has their outputs as constants."""

import ast
import doctest
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple, cast

from ...core import Problem
from ...golds import CodeTests
from ...verifiers.programs import forms

_ASSERTION = re.compile(r"^[ \t]*(assert\b.*)$", re.MULTILINE)


class Example(NamedTuple):
    """A call with its expected value, each as Python source."""

    function: str
    arguments: str
    """The positional arguments, as a tuple."""
    keywords: str
    """The keyword arguments, as a mapping."""
    output: str


def response(problem: Problem, prompt: str) -> str | None:
    """Returns a program with the outputs of the visible tests, or None if a problem has no such tests.

    The visible tests are those that a tool may show (`public`), and the examples in the prompt: assertions, and calls after
    `>>>` with their values. No text of the problem is evaluated here. The program runs where all judged programs run.

    Args:
        problem: the problem.
        prompt: the prompt as the policy gets it.
    """
    if not isinstance(problem.answer, Mapping) or not any(problem.answer.get(form) for form in forms.FORMS):
        return None
    tests = cast(CodeTests, problem.answer)
    if public := (forms.public_tests(tests) or {}).get("stdin"):
        return _whole_program([(str(test["input"]), str(test["output"])) for test in public])
    shown = "\n".join(forms.public_test_texts(tests))
    examples = [*dict.fromkeys([*_assertions(shown), *_assertions(prompt), *_sessions(prompt)])]
    if "entry_point" in tests:
        examples = [example for example in examples if example.function == tests["entry_point"]]
    return f"```python\n{_functions(examples)}```" if examples else None


def _assertions(text: str) -> Iterator[Example]:
    """Yields the examples of assertions that compare a call with a value, one in a line."""
    for line in _ASSERTION.findall(text):
        match _parsed(line):
            case [ast.Assert(ast.Compare(ast.Call() as call, [ast.Eq()], [value]))]:
                yield from _example(call, ast.unparse(value))


def _sessions(text: str) -> Iterator[Example]:
    """Yields the examples of calls after `>>>`, with the value in the next lines."""
    try:
        sessions = doctest.DocTestParser().get_examples(text)
    except ValueError:  # a malformed session
        return
    for session in sessions:
        match _parsed(session.source), _parsed(session.want):
            case [ast.Expr(ast.Call() as call)], [ast.Expr(value)]:
                yield from _example(call, ast.unparse(value))


def _example(call: ast.Call, output: str) -> Iterator[Example]:
    """Yields the example of a call, unless the call has arguments such as `*values`."""
    is_plain = not any(isinstance(argument, ast.Starred) for argument in call.args) and all(word.arg for word in call.keywords)
    if isinstance(call.func, ast.Name) and is_plain:
        arguments = ast.unparse(ast.Tuple(call.args, ast.Load()))
        keywords = ", ".join(f"{word.arg!r}: {ast.unparse(word.value)}" for word in call.keywords)
        yield Example(call.func.id, arguments, f"{{{keywords}}}", output)


def _parsed(source: str) -> list[ast.stmt]:
    """Returns the statements of a source; none if it is not valid."""
    try:
        return ast.parse(source.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _functions(examples: list[Example]) -> str:
    """Returns the source of functions that return the expected values, and for other arguments the most frequent one."""
    lines: list[str] = []
    for function in dict.fromkeys(example.function for example in examples):
        own = [example for example in examples if example.function == function]
        lines.append(f"def {function}(*arguments, **keywords):")
        for example in own:
            lines.append(f"    if arguments == {example.arguments} and keywords == {example.keywords}:")
            lines.append(f"        return {example.output}")
        ((output, _),) = Counter(example.output for example in own).most_common(1)
        lines += [f"    return {output}", "", ""]
    return "\n".join(lines)


def _whole_program(examples: list[tuple[str, str]]) -> str:
    """Returns a program that prints the expected outputs, and for other inputs the first one."""
    outputs = {text.strip(): output for text, output in examples}
    first = examples[0][1]
    return f"```python\nimport sys\n\noutputs = {outputs!r}\nprint(outputs.get(sys.stdin.read().strip(), {first!r}))\n```"
