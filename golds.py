"""The forms of a problem's answer (`Problem.answer`), one for each verifier that wants more than a text.

    math            a text, a number, a list of them (any is right), or `ToleratedGold`
    choice          `Options`
    science         either of these
    code            `CodeTests`
    fullstack       `ProgramTests`
    function_calls  `FunctionCalls`
    instructions    `Instructions`
    reasoning_gym   whatever its generator says

An answer comes from a file, and may be of any form: `invalid_gold` of a verifier looks at it before anything is read off it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict


class ToleratedGold(TypedDict):
    """A number, and how far an answer may lie off."""

    gold: str | float | Sequence[str | float]
    tolerance: NotRequired[float | str]
    """Relative to the gold number."""


class Options(TypedDict):
    """The options of a question in the order in which it shows them, and the letter of the right one."""

    letter: str
    options: Sequence[str]


class CallTest(TypedDict, total=False):
    """A call of the judged function, with the expected value."""

    arguments: Sequence[object]
    keywords: Mapping[str, object]
    output: object


class StdinTest(TypedDict):
    """What a program reads, and what it is to print."""

    input: str
    output: str


class CodeTests(TypedDict, total=False):
    """The tests of a coding problem: one of `calls`, `test`, `asserts`, `stdin`, and its options; `code.py` has the rules."""

    entry_point: str
    """The judged function of `calls` and `test`."""
    calls: Sequence[CallTest]
    test: str
    asserts: Sequence[str]
    stdin: Sequence[StdinTest]
    setup: str
    functions: Sequence[str]
    tolerance: float
    unordered: bool
    checker: str
    language: str
    limits: Mapping[str, Any]
    """Fields of `sandbox.Limits`."""
    encoded: bool
    public: int
    header: str
    footer: str


class ProgramTests(TypedDict):
    """Code that is set around or behind the response's; `fullstack.py` has the rules."""

    language: str
    """Of the answer."""
    runs_as: str
    """The language that the whole is run as."""
    tests: str
    files: NotRequired[Mapping[str, str]]
    """By name, in base64."""
    imports: NotRequired[Sequence[str]]
    """Packages that the tests want; read off them where they are not named."""


class Parameters(TypedDict, total=False):
    """The parameters of a declared function, as JSON Schema has them."""

    properties: Mapping[str, Mapping[str, object]]
    required: Sequence[str]


class Declaration(TypedDict):
    """A declared function."""

    name: str
    parameters: NotRequired[Parameters | None]


GoldCall = Mapping[str, Mapping[str, Sequence[object]]]
"""One function's name, and for each parameter the values that are right."""


class FunctionCalls(TypedDict):
    """Declared functions, and the calls that are right; `function_calls.py` has the rules."""

    functions: Sequence[Declaration]
    calls: Sequence[GoldCall]
    language: NotRequired[str]


class Instructions(TypedDict):
    """Names of IFEval's instructions, with the arguments of each."""

    instructions: Sequence[str]
    arguments: NotRequired[Sequence[Mapping[str, object] | None]]
