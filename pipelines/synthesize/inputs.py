"""Test inputs for a function: hypothesis strategies from its signature, the constants of its program, and examples.

    inputs = generate(strategy("def f(xs: list[int], k: int = 2): ...", "f"), count=100, seed=0)     # distinct argument lists

The types, ranges and characters of examples define the values of a parameter; without examples its annotation and its default
do. Examples that a policy has written add values. If a parameter has neither examples nor an annotation nor a default, they
define its values. Half of the inputs are examples with a small change, because random inputs hardly ever are valid dates or
bracket sequences.
"""

import ast
import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException
from hypothesis.internal.conjecture import providers

from ...core import UserError
from ...verifiers.sandbox.inside.wire import encode
from .examples import MAX_INPUT, Value, literal

MAX_PROGRAM = 100_000
"""Maximal characters of a program whose signature and constants are read. Our choice."""
ATTEMPTS = 4
"""Generated inputs per requested input, because many are equal. Our choice."""

Strategy = st.SearchStrategy[Any]
"""A strategy for values of any type, because programs take any."""
Constants = Sequence[Any]
"""The constants of a program, of any types."""
_LISTS = ("list", "List", "Sequence", "Iterable", "Collection", "MutableSequence")
_SETS = ("set", "Set", "AbstractSet")
_FROZEN_SETS = ("frozenset", "FrozenSet")
_DICTIONARIES = ("dict", "Dict", "Mapping", "MutableMapping", "DefaultDict", "defaultdict")
_LETTERS = "abcdeABC019 "


def parsed(program: str) -> ast.Module:
    """Returns the syntax tree of a program.

    Raises:
        UserError: the program is not valid Python, or longer than `MAX_PROGRAM`.
    """
    if len(program) > MAX_PROGRAM:
        raise UserError(f"the program has {len(program)} characters; the limit is {MAX_PROGRAM}")
    try:
        return ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"the program is not valid Python: {error}") from None


def defines(program: str, function: str) -> bool:
    """True if a program can be parsed and defines a function. It is not run."""
    try:
        return bool(_definitions(parsed(program), function))
    except UserError:
        return False


def _definitions(tree: ast.Module, function: str) -> list[ast.FunctionDef]:
    return [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function]


def strategy(
    program: str, function: str, examples: Sequence[Sequence[Value]] = (), written: Sequence[Sequence[Value]] = ()
) -> st.SearchStrategy[list[Value]]:
    """Returns a strategy for the argument lists of a function.

    Args:
        program: source of the program. It is parsed, not run.
        function: name of the function.
        examples: argument lists that the function takes.
        written: argument lists that a policy has written.

    Raises:
        UserError: the program does not define the function, or the type of a parameter is unknown.
    """
    tree = parsed(program)
    defined = _definitions(tree, function)
    if not defined:
        raise UserError(f"the program defines no function {function!r}")
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    parameters = [*defined[-1].args.posonlyargs, *defined[-1].args.args]
    required = len(parameters) - len(defined[-1].args.defaults)
    examples, written = (
        [list(example) for example in given if required <= len(example) <= len(parameters)] for given in (examples, written)
    )
    length = max((len(example) for example in examples), default=len(parameters))
    columns = []
    for position, parameter in enumerate(parameters[:length]):
        default = defined[-1].args.defaults[position - required] if position >= required else None
        seen = [example[position] for example in examples if position < len(example)]
        column = _like(seen, constants) if seen else _declared(parameter.annotation, default, constants)
        if further := [example[position] for example in written if position < len(example)]:
            column = _like(further, constants) if column is None else column | _like(further, constants)
        if column is None and written and position >= required:
            break  # the policy leaves out this parameter, so its default is used
        if column is None:
            raise UserError(f"unknown type of parameter {parameter.arg} of {function}: annotate it, or give examples")
        columns.append(column)
    fresh = st.tuples(*columns).map(list)
    longer = [example for example in (*examples, *written) if example]
    return st.one_of(fresh, st.sampled_from(longer).flatmap(_one_changed)) if longer else fresh


@contextlib.contextmanager
def _no_constants_of_modules() -> Iterator[None]:
    """Keeps hypothesis from drawing constants of imported modules, so that the inputs depend on the seed only.

    Hypothesis has no setting for it.
    """
    name, kind = "_maybe_draw_constant", providers.HypothesisProvider
    original = getattr(kind, name, None)
    setattr(kind, name, lambda *arguments, **options: None)
    try:
        yield
    finally:
        setattr(kind, name, original)


class _EnoughError(Exception):
    """Stops the generation of inputs."""


def generate(source: st.SearchStrategy[list[Value]], count: int, seed: int = 0) -> list[list[Value]]:
    """Returns distinct argument lists, simple ones first; fewer than `count` if the strategy has no more.

    Args:
        source: see `strategy`.
        count: maximum number of argument lists.
        seed: seed of the generation.

    Raises:
        UserError: the strategy generates no argument list.
    """
    generated: dict[str, list[Value]] = {}

    @hypothesis_seed(seed)
    @settings(
        max_examples=ATTEMPTS * count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(source)
    def keep(arguments: list[Value]) -> None:
        form = json.dumps([encode(argument) for argument in arguments])
        if len(form) <= MAX_INPUT and len(generated) < count:
            generated.setdefault(form, arguments)
        if len(generated) >= count:
            raise _EnoughError

    try:
        with _no_constants_of_modules():
            keep()
    except _EnoughError:
        pass
    except (HypothesisException, TypeError) as error:  # for example a set of lists, which are not hashable
        raise UserError(f"no arguments can be generated: {(str(error).splitlines() or [''])[0]}") from None
    return list(generated.values())


def _declared(annotation: ast.expr | None, default: ast.expr | None, constants: Constants) -> Strategy | None:
    """Returns a strategy for the values of an annotation and the default; without annotation, for values like the default."""
    declared = _of_annotation(annotation, constants) if annotation is not None else None
    try:
        value = literal(default) if default is not None else None
    except (ValueError, TypeError):  # the default is not a literal
        return declared
    if default is None:
        return declared
    return _like([value], constants) if declared is None else declared | st.just(value)


def _of_annotation(node: ast.expr, constants: Constants) -> Strategy | None:
    """Returns a strategy for the values of an annotation, or None if they are unknown or cannot be generated."""
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


def _of_generic(name: str, inner: Sequence[ast.expr], constants: Constants) -> Strategy | None:
    if name == "Literal":
        try:
            return st.sampled_from([ast.literal_eval(node) for node in inner])
        except ValueError:  # a member of an enumeration
            return None
    if name in ("Optional", "Union"):
        return _either([*inner, *([ast.Constant(None)] if name == "Optional" else [])], constants)
    open_ended = len(inner) == 2 and isinstance(inner[1], ast.Constant) and inner[1].value is ...
    parts = [_of_annotation(node, constants) for node in (inner[:1] if open_ended else inner)]
    if not parts:
        return st.just(()) if name in ("tuple", "Tuple") else None
    # An element of unknown type is an integer or a text.
    elements = [part if part is not None else _integers([], constants) | _texts([], constants) for part in parts]
    if name in ("tuple", "Tuple"):
        return st.lists(elements[0], max_size=6).map(tuple) if open_ended else st.tuples(*elements)
    if name in _LISTS:
        return st.lists(elements[0], max_size=8)
    if name in _SETS:
        return st.sets(elements[0], max_size=6)
    if name in _FROZEN_SETS:
        return st.frozensets(elements[0], max_size=6)
    return st.dictionaries(elements[0], elements[1], max_size=5) if name in _DICTIONARIES and len(elements) == 2 else None


def _either(nodes: Sequence[ast.expr], constants: Constants) -> Strategy | None:
    parts = [part for node in nodes if (part := _of_annotation(node, constants)) is not None]
    return st.one_of(parts) if parts else None


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _like(values: Sequence[Any], constants: Constants) -> Strategy:
    """Returns a strategy for values like these, by their types, ranges and characters."""
    options: list[Strategy] = []
    for kind in dict.fromkeys(type(value) for value in values):
        of_kind = [value for value in values if type(value) is kind]
        # The items of a set are sorted, because their order differs between processes.
        containers = of_kind if kind in (list, set, frozenset) else []
        items = [item for value in containers for item in (value if kind is list else sorted(value, key=repr))]
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


def _integers(examples: Sequence[int], constants: Constants) -> Strategy:
    """Returns a strategy for small integers and neighbours of constants and examples.

    If there are several examples and all are at least 0, all integers are at least 0.
    """
    beside = {
        value + step for value in (*constants, *examples) if type(value) is int and abs(value) < 1 << 40 for step in (-1, 0, 1)
    }
    lowest = 0 if len(examples) > 1 and min(examples) >= 0 else -12
    options = [st.integers(lowest, 12), st.integers(min(lowest * 10, 0), max([120, *(2 * value for value in examples)]))]
    near = sorted(value for value in beside if value >= lowest or len(examples) < 2)
    return st.one_of(*options, *([st.sampled_from(near)] if near else []))


def _floats(examples: Sequence[float], constants: Constants) -> Strategy:
    """Returns a strategy for numbers with few digits, because these are usual in tests and short when printed."""
    lowest = 0 if len(examples) > 1 and min(examples) >= 0 else -100
    near = [float(value) for value in (*examples, *constants) if type(value) in (int, float) and lowest <= value < 1e9]
    options: list[Strategy] = [st.integers(lowest, 100).map(lambda n: n / 10), st.integers(lowest, 1000).map(lambda n: n / 8)]
    return st.one_of(*options, *([st.sampled_from(near)] if near else []))


def _texts(examples: Sequence[str], constants: Constants) -> Strategy:
    """Returns a strategy for texts of the examples' characters and words.

    Without examples, the texts consist of letters and of the characters in the program's strings.
    """
    short = {value for value in constants if isinstance(value, str) and len(value) <= 20}
    alphabet = set("".join(examples)) or set("".join(short)) | set(_LETTERS)
    if len(alphabet) < 4 and "".join(alphabet).isalpha():
        alphabet |= {chr(ord(letter) + 1) for letter in alphabet} | {
            letter.swapcase() for letter in alphabet if len(letter.swapcase()) == 1
        }
    longest = max((len(text) for text in examples), default=8)
    letters = st.text(st.sampled_from(sorted(alphabet)), max_size=longest + 3)
    words = {word for text in examples for word in text.split()}
    constant_words = {word for word in short if word.strip() and " " not in word}
    several = any(" " in text for text in examples)
    if words & constant_words or (several and len(words) > 1):
        pool = sorted(words | (constant_words if words & constant_words else set()))
        return st.one_of(st.lists(st.sampled_from(pool), max_size=8 if several else 1).map(" ".join), letters)
    return letters


def _one_changed(example: Sequence[Value]) -> Strategy:
    """Returns a strategy for an example with a small change in one argument."""
    return st.integers(0, len(example) - 1).flatmap(
        lambda at: _changed(example[at]).map(lambda new: [*example[:at], new, *example[at + 1 :]])
    )


@st.composite
def _changed(draw: st.DrawFn, value: Value) -> Value:
    """Returns a strategy for a value and values that differ from it by a small change."""
    step = draw(st.integers(0, 5))
    if step == 0 or value is None:
        return value
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return abs(value + step - 3) if value >= 0 else value + step - 3  # a count does not become negative
    if isinstance(value, float):
        changed = round(value + (step - 3) / 4, 6)
        return abs(changed) if value >= 0 else changed
    if isinstance(value, dict) and value:
        key = draw(st.sampled_from(list(value)))
        rest = {name: item for name, item in value.items() if name != key}
        return rest if step == 1 else {**rest, key: draw(_changed(value[key]))}
    if not isinstance(value, str | list | tuple) or not value:
        return value
    at = draw(st.integers(0, len(value) - 1))
    if isinstance(value, tuple):  # its length is kept, because it is part of the type
        return (*value[:at], draw(_changed(value[at])), *value[at + 1 :])
    other = draw(st.integers(0, len(value) - 1))
    if step == 4 and isinstance(value, list):
        return [*value[:at], draw(_changed(value[at])), *value[at + 1 :]]
    if step == 5:
        return value[::-1]
    middle = {1: [], 2: [value[at], value[at]]}.get(step, [value[other]])
    parts = [*value[:at], *middle, *value[at + 1 :]]
    return "".join(parts) if isinstance(value, str) else parts
