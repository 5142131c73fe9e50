"""Arguments to try a function with: hypothesis strategies from its signature, from constants of its program, and from examples.

    drawn = draw(strategy("def f(xs: list[int], k: int = 2): ...", "f"), count=100, seed=0)     # distinct argument lists

Examples say what a parameter takes, by their types, their ranges, their characters; where there are none, its annotation does.
One of them with a small change is tried as often as something new: a date or a bracket sequence is not found by chance.
"""

import ast
import contextlib
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException

from ...core import UserError
from ...verifiers.sandbox.inside.wire import encode

MAX_PROGRAM = 100_000
"""Characters of a program that is read for its signature and its constants."""
MAX_INPUT = 2_000
"""Longest argument list, as JSON, that is kept."""
ATTEMPTS = 4
"""Draws for each input that is asked for: many are equal."""

Strategy = st.SearchStrategy[Any]
_LISTS = ("list", "List", "Sequence", "Iterable", "Collection", "MutableSequence")
_SETS = ("set", "Set", "frozenset", "FrozenSet", "AbstractSet")
_DICTIONARIES = ("dict", "Dict", "Mapping", "MutableMapping", "DefaultDict", "defaultdict")
_LETTERS = "abcdeABC019 "


def parsed(program: str) -> ast.Module:
    """The syntax tree of a program.

    Raises:
        UserError: it is no Python, or longer than `MAX_PROGRAM`.
    """
    if len(program) > MAX_PROGRAM:
        raise UserError(f"a program of more than {MAX_PROGRAM} characters")
    try:
        return ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"the program is no Python: {error}") from None


def examples_in(text: str, function: str) -> list[list[Any]]:
    """Argument lists of the calls of a function that stand in a text, a docstring or assertions, where they are literals."""
    found = []
    for match in re.finditer(rf"(?<![\w.]){re.escape(function)}\(", text):
        depth, quote, escaped = 0, "", False
        for end in range(match.end() - 1, min(len(text), match.end() + MAX_INPUT)):
            character = text[end]
            if quote:
                quote = "" if character == quote and not escaped else quote
                escaped = character == "\\" and not escaped
            elif character in "'\"":
                quote = character
            else:
                depth += (character in "([{") - (character in ")]}")
            if depth == 0:
                found.append(text[match.start() : end + 1])
                break
    return [arguments for call in found if (arguments := _literals(call)) is not None]


def _literals(call: str) -> list[Any] | None:
    try:
        node = ast.parse(call, mode="eval").body
        if not isinstance(node, ast.Call) or node.keywords:
            return None
        return [ast.literal_eval(argument) for argument in node.args]
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None


Model = Callable[[str], str]
"""Answers a prompt with text."""
_QUESTION = """Here is a Python program:

```python
{program}
```

Write argument lists to test `{entry_point}` with: ordinary ones, edge cases, and some that would expose a mistake. One Python
list of literals a line, such as [[1, 2], "a"], and nothing else."""


def asked(model: Model, program: str, entry_point: str) -> list[list[Any]]:
    """Argument lists that a model gives for a function; lines that are no lists of literals are passed over."""
    found = []
    for line in model(_QUESTION.format(program=program, entry_point=entry_point)).splitlines():
        text = line.strip().strip("`").lstrip("-*0123456789. ")
        if not text.startswith("[") or len(text) > MAX_INPUT:
            continue
        with contextlib.suppress(SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
            arguments = ast.literal_eval(text)
            found += [arguments] if isinstance(arguments, list) else []
    return found


def strategy(program: str, function: str, examples: Sequence[Sequence[Any]] = ()) -> st.SearchStrategy[list[Any]]:
    """A strategy for the argument lists of a function.

    Args:
        program: Python that defines it; it is read, not run.
        function: its name.
        examples: argument lists that it takes.

    Raises:
        UserError: the program does not define it, or nothing says what a parameter takes.
    """
    tree = parsed(program)
    defined = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function]
    if not defined:
        raise UserError(f"the program defines no function {function!r}")
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    parameters = [*defined[-1].args.posonlyargs, *defined[-1].args.args]
    required = len(parameters) - len(defined[-1].args.defaults)
    examples = [list(example) for example in examples if required <= len(example) <= len(parameters)]
    length = max((len(example) for example in examples), default=len(parameters))
    columns = []
    for position, parameter in enumerate(parameters[:length]):
        default = defined[-1].args.defaults[position - required] if position >= required else None
        seen = [example[position] for example in examples if position < len(example)]
        drawn = _like(seen, constants) if seen else _declared(parameter.annotation, default, constants)
        if drawn is None:
            raise UserError(f"nothing says what {function} takes for {parameter.arg}: annotate it, or give examples")
        columns.append(drawn)
    fresh = st.tuples(*columns).map(list)
    longer = [example for example in examples if example]
    return st.one_of(fresh, st.sampled_from(longer).flatmap(_one_changed)) if longer else fresh


class _EnoughError(Exception):
    """Ends a search for inputs."""


def draw(source: st.SearchStrategy[list[Any]], count: int, base: int = 0) -> list[list[Any]]:
    """Distinct argument lists, simple ones first; fewer than asked for where the strategy has no more.

    Args:
        source: see `strategy`.
        count: how many.
        base: equal seeds draw equal lists.

    Raises:
        UserError: nothing can be drawn.
    """
    drawn: dict[str, list[Any]] = {}

    @seed(base)
    @settings(
        max_examples=ATTEMPTS * count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(source)
    def keep(arguments: list[Any]) -> None:
        form = json.dumps([encode(argument) for argument in arguments])
        if len(form) <= MAX_INPUT and len(drawn) < count:
            drawn.setdefault(form, arguments)
        if len(drawn) >= count:
            raise _EnoughError

    try:
        keep()
    except _EnoughError:
        pass
    except (HypothesisException, TypeError) as error:  # a set of lists, say
        raise UserError(f"no arguments can be drawn: {(str(error).splitlines() or [''])[0]}") from None
    return list(drawn.values())


def _declared(annotation: ast.expr | None, default: ast.expr | None, constants: Sequence[Any]) -> Strategy | None:
    """What an annotation allows, and a default; more of the default's kind where it stands alone."""
    said = _of_annotation(annotation, constants) if annotation is not None else None
    try:
        value = ast.literal_eval(default) if default is not None else None
    except (ValueError, TypeError):  # no literal: it says nothing
        return said
    if default is None:
        return said
    return _like([value], constants) if said is None else said | st.just(value)


def _of_annotation(node: ast.expr, constants: Sequence[Any]) -> Strategy | None:
    """What an annotation allows; None where it does not say, or says something that cannot be drawn."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            try:
                return _of_annotation(ast.parse(node.value, mode="eval").body, constants)
            except (SyntaxError, ValueError):
                return None
        return st.none() if node.value is None else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _either([node.left, node.right], constants)
    if isinstance(node, ast.Subscript):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return _of_generic(_name(node.value), inner, constants)
    atoms: dict[str, Strategy] = {
        "int": _integers([], constants),
        "float": _floats([], constants),
        "str": _texts([], constants),
        "bool": st.booleans(),
        "bytes": st.binary(max_size=8),
        "complex": st.complex_numbers(max_magnitude=10, allow_nan=False, allow_infinity=False),
    }
    return atoms.get(_name(node))


def _of_generic(name: str, inner: Sequence[ast.expr], constants: Sequence[Any]) -> Strategy | None:
    if name == "Literal":
        return st.sampled_from([node.value for node in inner if isinstance(node, ast.Constant)] or [None])
    if name in ("Optional", "Union"):
        return _either([*inner, *([ast.Constant(None)] if name == "Optional" else [])], constants)
    open_ended = len(inner) == 2 and isinstance(inner[1], ast.Constant) and inner[1].value is ...
    parts = [_of_annotation(node, constants) for node in (inner[:1] if open_ended else inner)]
    if not parts:
        return st.just(()) if name in ("tuple", "Tuple") else None
    known = [part if part is not None else _integers([], constants) | _texts([], constants) for part in parts]
    if name in ("tuple", "Tuple"):
        return st.lists(known[0], max_size=6).map(tuple) if open_ended else st.tuples(*known)
    if name in _LISTS:
        return st.lists(known[0], max_size=8)
    if name in _SETS:
        return st.sets(known[0], max_size=6)
    return st.dictionaries(known[0], known[1], max_size=5) if name in _DICTIONARIES and len(known) == 2 else None


def _either(nodes: Sequence[ast.expr], constants: Sequence[Any]) -> Strategy | None:
    parts = [part for node in nodes if (part := _of_annotation(node, constants)) is not None]
    return st.one_of(parts) if parts else None


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _like(values: Sequence[Any], constants: Sequence[Any]) -> Strategy:
    """More of the kind of these values."""
    options: list[Strategy] = []
    for kind in dict.fromkeys(type(value) for value in values):
        of_kind = [value for value in values if type(value) is kind]
        items = [item for value in of_kind for item in value] if kind in (list, set, frozenset) else []
        longest = max((len(value) for value in of_kind), default=0) if kind in (list, set, frozenset, tuple, dict) else 0
        if kind is bool:
            options.append(st.booleans())
        elif kind is int:
            options.append(_integers(of_kind, constants))
        elif kind is float:
            options.append(_floats(of_kind, constants))
        elif kind is str:
            options.append(_texts(of_kind, constants))
        elif kind is list:
            inner = _like(items, constants) if items else _integers([], constants)
            options.append(st.lists(inner, max_size=longest + 3))
        elif kind in (set, frozenset):
            options.append(
                st.frozensets(_like(items, constants) if items else st.integers(-5, 5), max_size=longest + 3).map(kind)
            )
        elif kind is tuple and len({len(value) for value in of_kind}) == 1:
            options.append(st.tuples(*(_like(column, constants) for column in zip(*of_kind, strict=True))))
        elif kind is tuple:
            flat = [item for value in of_kind for item in value]
            options.append(st.lists(_like(flat, constants), max_size=longest + 3).map(tuple))
        elif kind is dict and any(of_kind):
            keys, contents = ([x for value in of_kind for x in part(value)] for part in (dict.keys, dict.values))
            options.append(st.dictionaries(_like(keys, constants), _like(contents, constants), max_size=longest + 2))
        else:
            options.append(st.sampled_from(of_kind))
    return st.one_of(options)


def _integers(examples: Sequence[int], constants: Sequence[Any]) -> Strategy:
    """Small ones, and those beside a constant or an example; none below zero where several examples are not."""
    beside = {
        value + step for value in (*constants, *examples) if type(value) is int and abs(value) < 1 << 40 for step in (-1, 0, 1)
    }
    lowest = 0 if len(examples) > 1 and min(examples) >= 0 else -12
    options = [st.integers(lowest, 12), st.integers(min(lowest * 10, 0), max([120, *(2 * value for value in examples)]))]
    near = sorted(value for value in beside if value >= lowest or len(examples) < 2)
    return st.one_of(*options, *([st.sampled_from(near)] if near else []))


def _floats(examples: Sequence[float], constants: Sequence[Any]) -> Strategy:
    """Of few digits: they are what people test with, and they print short."""
    lowest = 0 if len(examples) > 1 and min(examples) >= 0 else -100
    known = [float(value) for value in (*examples, *constants) if type(value) in (int, float) and lowest <= value < 1e9]
    options: list[Strategy] = [st.integers(lowest, 100).map(lambda n: n / 10), st.integers(lowest, 1000).map(lambda n: n / 8)]
    return st.one_of(*options, *([st.sampled_from(known)] if known else []))


def _texts(examples: Sequence[str], constants: Sequence[Any]) -> Strategy:
    """Of the characters that examples have, or else of letters and what the program's own texts are made of; of their words."""
    short = {value for value in constants if isinstance(value, str) and len(value) <= 20}
    alphabet = set("".join(examples)) or set("".join(short)) | set(_LETTERS)
    if len(alphabet) < 4 and "".join(alphabet).isalpha():
        alphabet |= {chr(ord(letter) + 1) for letter in alphabet} | {
            letter.swapcase() for letter in alphabet if len(letter.swapcase()) == 1
        }
    longest = max((len(text) for text in examples), default=8)
    drawn = st.text(st.sampled_from(sorted(alphabet)), max_size=longest + 3)
    words = {word for text in examples for word in text.split()}
    known = {word for word in short if word.strip() and " " not in word}
    several = any(" " in text for text in examples)
    if words & known or (several and len(words) > 1):
        pool = sorted(words | (known if words & known else set()))
        return st.one_of(st.lists(st.sampled_from(pool), max_size=8 if several else 1).map(" ".join), drawn)
    return drawn


def _one_changed(example: list[Any]) -> Strategy:
    """An example with one of its arguments changed a little."""
    return st.integers(0, len(example) - 1).flatmap(
        lambda at: _changed(example[at]).map(lambda new: [*example[:at], new, *example[at + 1 :]])
    )


@st.composite
def _changed(drawing: st.DrawFn, value: Any) -> Any:
    """A value, or one a small step away from it."""
    step = drawing(st.integers(0, 5))
    if step == 0 or value is None:
        return value
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + step - 3 if value or step > 2 else value + step
    if isinstance(value, float):
        return round(value + (step - 3) / 4, 6)
    if isinstance(value, dict) and value:
        key = drawing(st.sampled_from(list(value)))
        rest = {name: item for name, item in value.items() if name != key}
        return rest if step == 1 else {**rest, key: drawing(_changed(value[key]))}
    if not isinstance(value, str | list | tuple) or not value:
        return value
    at = drawing(st.integers(0, len(value) - 1))
    if isinstance(value, tuple):  # its length is part of its type
        return (*value[:at], drawing(_changed(value[at])), *value[at + 1 :])
    other = drawing(st.integers(0, len(value) - 1))
    if step == 4 and isinstance(value, list):
        return [*value[:at], drawing(_changed(value[at])), *value[at + 1 :]]
    if step == 5:
        return value[::-1]
    middle = {1: [], 2: [value[at], value[at]]}.get(step, [value[other]])
    parts = [*value[:at], *middle, *value[at + 1 :]]
    return "".join(parts) if isinstance(value, str) else parts
